"""How both sides of a job are measured and told: by turns, by the CPU time that they take.

On a machine that others use too, wall time swings threefold while CPU time, Python's and that of
its PostgreSQL backend together, stays nearly the same; so ratios are of CPU time. Medians of the
wall time are printed beside them.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

AS_JSON = os.environ.get("FORMAT") == "json"
SMALL = os.environ.get("SIZE", "small") == "small"


def prepare() -> None:
    """The settings of a bench; before Django is imported."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DEMO", "1")
    os.environ.setdefault("VAR_DIR", "var/bench")
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    os.environ.setdefault("STRIPE_WEBHOOK_SECRET", "whsec_bench")


@dataclass
class Side:
    """One side of a job: how long its turns took, and what they cost."""

    walls: list[float] = field(default_factory=list)
    python: float = 0.0
    postgres: float = 0.0

    @property
    def cpu(self) -> float:
        return self.python + self.postgres

    @property
    def middle(self) -> float:
        return median(self.walls)

    @property
    def p95(self) -> float:
        return quantiles(self.walls, n=20)[-1] if len(self.walls) > 1 else self.walls[0]

    def take(self, act: Callable[[], object]) -> None:
        """Run one turn, a few hundredths of a second at least: /proc counts hundredths."""
        began, python, postgres = time.perf_counter(), time.process_time(), backend_seconds()
        act()
        self.python += time.process_time() - python
        self.postgres += backend_seconds() - postgres
        self.walls.append(time.perf_counter() - began)


def backend_seconds() -> float:
    """CPU time so far of the PostgreSQL backend that serves this process."""
    from django.db import connection

    connection.ensure_connection()
    stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def by_turns(
    ours: Callable[[], object], floor: Callable[[], object], turns: int, each: int = 1
) -> tuple[Side, Side]:
    """Both sides by turns, after one turn of each to warm up; walls are of a single act."""
    sides = Side(), Side()
    for act in (ours, floor):
        act()
    for _ in range(turns):
        for side, act in zip(sides, (ours, floor), strict=True):
            side.take(lambda act=act: [act() for _ in range(each)])  # type: ignore[misc]
    for side in sides:
        side.walls = [wall / each for wall in side.walls]
        side.python /= turns * each
        side.postgres /= turns * each
    return sides


def costs_at_most(job: str, ours: Side, floor: Side, goal: float, **more: object) -> None:
    """Say what an act costs, in milliseconds, beside its floor: fewer is better."""
    ratio = ours.cpu / floor.cpu
    say(
        job=job,
        unit="ms",
        ours=round(ours.middle * 1000, 2),
        floor=round(floor.middle * 1000, 2),
        ratio=round(ratio, 2),
        goal=f"<= {goal}",
        met=ratio <= goal,
        p95=round(ours.p95 * 1000, 2),
        cpu_ms=round(ours.cpu * 1000, 2),
        postgres_ms=round(ours.postgres * 1000, 2),
        floor_cpu_ms=round(floor.cpu * 1000, 2),
        **more,
    )


def say(**line: object) -> None:
    """One line for one job: JSON, or a row of the table. What has no goal is `met=None`."""
    if AS_JSON:
        text = json.dumps(line)
    else:
        met = {"True": "met", "False": "not met", "None": "told"}[str(line["met"])]
        rest = {"job", "unit", "ours", "floor", "ratio", "goal", "met"}
        more = "  ".join(f"{name} {value}" for name, value in line.items() if name not in rest)
        text = (
            f"{line['job']:<42} {line['ours']:>9} {line['floor']:>9} {line['unit']:<8}"
            f" {line['ratio']:>5} {line['goal']:>8} {met:<8} {more}"
        )
    print(text, flush=True)  # noqa: T201


def head() -> None:
    """The first line of the table."""
    if not AS_JSON:
        print(f"{'job':<42} {'ours':>9} {'floor':>9} {'':<8} {'ratio':>5} {'goal':>8}", flush=True)  # noqa: T201
