"""`make torture`: HISTORIES=2000 SEED=1 KILLS=0 WORKERS=3, or AGAIN=1:50-74 to play a world again.

Prints what goes wrong as it is found, and at last one line of JSON. The exit status is 0 only when
nothing was paid twice, lost, stuck, or told otherwise than the providers have it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tests.torture.house import HERE, House, free_port, open_house

SAY_EVERY_SECONDS = 30
IN_A_WORLD = 25
"""Histories that share a world, at the most."""


@dataclass
class Tally:
    """What the closing line says."""

    histories: int = 0
    seed: str = "1"
    faults: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    refunds: int = 0
    double: int = 0
    lost: int = 0
    stuck: int = 0
    mismatched: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    sweeps_to_settle: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        return not (self.double or self.lost or self.stuck or self.mismatched)

    def add(self, said: dict[str, Any]) -> None:
        """Add what a worker says of a world, or of all kills."""
        self.histories += said.get("histories", 0)
        self.faults.update(said.get("faults", {}))
        self.steps += said.get("steps", 0)
        self.refunds += said["refunds"]
        if "kills" in said:
            self.kills, self.sweeps_to_settle = said["kills"], said["sweeps"]
        for kind in ("double", "lost", "stuck", "mismatched"):
            setattr(self, kind, getattr(self, kind) + len(said["findings"][kind]))

    def line(self) -> str:
        told = vars(self) | {"faults": dict(sorted(self.faults.items()))}
        return json.dumps(told)


class EndedEarly(Exception):
    """What has been played counts all the same, and the run was no success."""


def say(text: str) -> None:
    """A line for whoever waits at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell_of(said: dict[str, Any]) -> None:
    """Print what is wrong with a world, and how to play it again."""
    wrong = {kind: found for kind, found in said["findings"].items() if found}
    if not wrong:
        return
    say(f"AGAIN={said['seed']} {json.dumps(wrong, indent=1)}")
    say("\n".join(f"    {step}" for step in said.get("trace", [])))


def worlds_of(seed: str, wanted: int, workers: int) -> list[str]:
    """Names of worlds with so many histories in all, and something to do for each worker."""
    size = max(1, min(IN_A_WORLD, -(-wanted // workers)))
    return [f"{seed}:{first}-{min(first + size, wanted) - 1}" for first in range(0, wanted, size)]


def histories(house: House, worlds: list[str], workers: int) -> Iterator[dict[str, Any]]:
    """Share the worlds out to processes, and yield what is said of each as it ends."""
    with ExitStack() as stack:
        running = []
        for number in range(workers):
            name = f"torture_{number}"
            house.add_database(name)
            # Nudges of one worker's must not be followed by another, who has other tables.
            separate = {
                "REDIS_URL": f"{house.servers.redis_url}?db={number}",
                "BROKER_URL": f"{house.servers.redis_url}?virtual_host={number}",
                "MISTAKE": os.environ.get("MISTAKE", ""),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.worker", *worlds[number::workers]],
                stdout=subprocess.PIPE,
                text=True,
                cwd=HERE,
                env=house.environment(name, **separate),
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            running.append(process)
        yield from _all_of(*running)


def _all_of(*processes: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What these say, as they say it, until all of them have ended."""
    said: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def listen(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.put(json.loads(line))
        said.put(None)

    for process in processes:
        Thread(target=listen, args=[process], daemon=True).start()
    talking = len(processes)
    while talking:
        one = said.get()
        if one is None:
            talking -= 1
        else:
            yield one
    if any(process.wait() for process in processes):
        raise EndedEarly("A process of the torture ended before its work did.")


def killed(house: House, seed: str, wanted: int) -> Iterator[dict[str, Any]]:
    """Have so many workers killed, and yield what is said of it."""
    house.add_database("torture_kills")
    # Short enough to run out while it lasts, and longer than a refund can take: checks.py.
    short = {"REFUND_LEASE_SECONDS": "11", "REFUND_DOUBT_SECONDS": "1"}
    short["IDLE_TRANSACTION_SECONDS"] = "4"  # others wait for whoever froze with a lock
    more = {
        "EMAIL_URL": f"smtp://127.0.0.1:{free_port()}",
        "FAILPOINTS_LOG": str(house.state / "torture_kills" / "kills"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.kills", str(wanted), seed],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env=house.environment("torture_kills", **short, **more),
    )
    try:
        yield from _all_of(process)
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Play the histories, kill the workers, print the closing line; stopped early, of what was."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = said_at = time.monotonic()
    asked = {name: os.environ.get(name, "") for name in ("HISTORIES", "SEED", "KILLS", "WORKERS")}
    tally = Tally(seed=asked["SEED"] or "1")
    kills, workers = int(asked["KILLS"] or 0), int(asked["WORKERS"] or 3)
    worlds = worlds_of(tally.seed, int(asked["HISTORIES"] or 2000), workers)
    if again := os.environ.get("AGAIN"):
        worlds, kills = [again], 0
    stopped = short = False
    try:
        with open_house() as house:
            for said in chain(
                histories(house, worlds, min(workers, len(worlds))),
                killed(house, tally.seed, kills) if kills else (),
            ):
                tally.add(said)
                tell_of(said)
                short |= said.get("short", False)
                if time.monotonic() - said_at > SAY_EVERY_SECONDS:
                    said_at = time.monotonic()
                    say(f"{tally.histories} histories, {tally.refunds} refunds")
    except KeyboardInterrupt:
        stopped = True
    except EndedEarly as problem:
        say(str(problem))
        short = True
    tally.seconds = round(time.monotonic() - began, 1)
    if short:
        say("Not all that was asked for was played: a process ended, or time did.")
    say(tally.line())
    return 130 if stopped else 0 if tally.sound and not short else 1


if __name__ == "__main__":
    sys.exit(main())
