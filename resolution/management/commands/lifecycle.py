"""Renders the lifecycle for people to read, out of the decorators of resolution/lifecycle.py."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from resolution.lifecycle import Lifecycle
from resolution.models import Case
from resolution.terms import Clock, Effects, Party, State, Words

PAGE = Path("docs") / "lifecycle.md"

HEAD = """# The lifecycle of a case

Made by `python manage.py lifecycle` out of `resolution/lifecycle.py`: change it there.

A case begins with *Open a case* and ends in *closed*, from where nothing leads back. Each step
below is one row of the table in the code. It is open when the case is in one of its states, all its
guards hold, and whoever acts is of the named side with all that is asked of them. Steps of the
*system* are taken by the sweeps as soon as their guards hold.
"""


@dataclass(frozen=True)
class Step:
    """One step of the table, with its rows taken together."""

    name: str
    doc: str
    parties: tuple[Party, ...]
    facts: tuple[Callable[..., bool], ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    target_doc: str
    guards: tuple[Callable[..., bool], ...]
    effects: Effects


class Command(BaseCommand):
    help = f"Writes {PAGE} out of the lifecycle's table."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail when the page is not current."
        )

    def handle(self, *, check: bool, **options: Any) -> None:
        path = settings.BASE_DIR / PAGE
        page = render()
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(page)
            self.stdout.write(f"{PAGE} is written.")
        elif not path.exists() or path.read_text() != page:
            raise CommandError(f"{PAGE} is not current: run python manage.py lifecycle.")
        else:
            self.stdout.write(f"{PAGE} is current.")


def steps() -> Iterator[Step]:
    """Every step of the table, in the order of the code."""
    for name, method in vars(Lifecycle).items():
        if not hasattr(method, "_django_fsm"):
            continue
        rows = method._django_fsm.transitions
        sources = tuple(rows)
        row = rows[sources[0]]
        targets, target_doc = _targets(row.target, sources)
        yield Step(
            name=name,
            doc=getdoc(method) or "",
            parties=row.permission.parties,
            facts=row.permission.facts,
            sources=sources,
            targets=targets,
            target_doc=target_doc,
            guards=tuple(row.conditions),
            effects=row.custom["effects"],
        )


def _targets(target: Any, sources: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The states that a step may lead to, and what decides when there are several."""
    if target is None:
        return (), "unchanged"
    if hasattr(target, "allowed_states"):
        return tuple(target.allowed_states), getdoc(target.func) or ""
    return (target,), ""


def render() -> str:
    """The whole page."""
    rows = list(steps())
    return "\n".join(
        [
            HEAD,
            "## States\n",
            "```mermaid",
            *_diagram(rows),
            "```\n",
            "Steps that leave the state as it is are only in the table.\n",
            "## Steps\n",
            *_table(rows),
            "",
            "## Guards: facts about the case\n",
            *_glossary(guard for step in rows for guard in step.guards),
            "",
            "## Facts about who acts\n",
            *_glossary(fact for step in rows for fact in step.facts),
            "",
        ]
    )


def _diagram(rows: Iterable[Step]) -> Iterator[str]:
    """A Mermaid state diagram: one arrow for each pair of states, with its steps."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for step in rows:
        for source, target in _edges(step):
            if source != target:
                arrows.setdefault((source, target), []).append(step.name)
    yield "stateDiagram-v2"
    for (source, target), names in arrows.items():
        yield f"    {source or '[*]'} --> {target}: {', '.join(names)}"
    yield f"    {State.CLOSED} --> [*]"


def _edges(step: Step) -> Iterator[tuple[str, str]]:
    """The pairs of states that a step joins; where the case decides, each kind of case is asked."""
    for source in step.sources:
        target = getattr(Lifecycle, step.name)._django_fsm.transitions[source].target
        if hasattr(target, "func"):
            kinds = [Case(state=source, decided_by=party) for party in (Party.CREATOR, Party.STAFF)]
            for state in dict.fromkeys(str(target.func(case, None)) for case in kinds):
                yield source, state
        elif target is not None:
            yield source, target


def _table(rows: Iterable[Step]) -> Iterator[str]:
    yield "| step | who | from | to | guards | of who acts | clock | words | money | told |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for step in rows:
        cells = [
            f"`{step.name}`<br>{step.doc}",
            ", ".join(step.parties),
            ", ".join(step.sources) if any(step.sources) else "–",
            step.target_doc if not step.targets else _to(step),
            _names(step.guards),
            _names(step.facts),
            _clock(step.effects),
            "" if step.effects.words == Words.NONE else str(step.effects.words.label),
            "moves" if step.effects.moves_money else "",
            _told(step.effects),
        ]
        yield f"| {' | '.join(cells)} |"


def _to(step: Step) -> str:
    named = " or ".join(step.targets)
    return f"{named}<br>{step.target_doc}" if step.target_doc else named


def _names(facts: Iterable[Callable[..., bool]]) -> str:
    return ", ".join(f"`{fact.__name__}`" for fact in facts)


def _clock(effects: Effects) -> str:
    clock = effects.clock
    if callable(clock):
        return getdoc(clock) or ""
    return "" if clock == Clock.KEEP else str(clock.label)


def _told(effects: Effects) -> str:
    if effects.staff_only:
        return "nobody: only staff see it"
    if callable(effects.tells):
        return getdoc(effects.tells) or ""
    return ", ".join(effects.tells)


def _glossary(facts: Iterable[Callable[..., bool]]) -> Iterator[str]:
    known = {fact.__name__: getdoc(fact) or "" for fact in facts}
    for name, doc in known.items():
        yield f"- `{name}`: {doc}"
