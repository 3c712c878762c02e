"""Who did what on a case, and who looked at what: for whoever has to know, in one list by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from resolution.admin.desk import label_of
from resolution.management.commands.verify_timeline import flaws
from resolution.models import Assignment, Case, Event, Reading
from resolution.terms import Party, State
from resolution.words import platform

SHOWN = 500
"""As many readings are shown, the latest; everything that was done is."""


@dataclass(frozen=True)
class Line:
    """One thing that happened: when, who it was, as what, what they did, and what came of it."""

    at: datetime
    who: str
    role: str
    what: str
    detail: str
    ref: str = ""


@dataclass(frozen=True)
class Audit:
    """All of it, the latest first; `flaw` says where the timeline is not as it was written."""

    lines: Sequence[Line]
    flaw: str


def of(case: Case) -> Audit:
    """What is known of who was at a case. Five queries."""
    events = case.events.select_related("actor").order_by("seq")
    readings = case.readings.select_related("reader").order_by("-pk")[:SHOWN]
    assignments = case.assignments.select_related("by")
    lines = [
        *(_done(case, event) for event in events),
        *(_read(reading) for reading in readings),
        *(_assigned(assignment) for assignment in assignments),
    ]
    lines.sort(key=lambda line: line.at, reverse=True)
    return Audit(lines, next(flaws([case]), ""))


def _done(case: Case, event: Event) -> Line:
    who = event.actor.name if event.actor else _("The system")
    detail = ""
    if event.state_after != event.state_before:
        before, after = event.state_before, str(State(event.state_after).label)
        detail = f"{State(before).label} → {after}" if before else after
    return Line(
        event.created_at, who, _role(event.party), label_of(event.step), detail,
        event.public_id,
    )  # fmt: skip


def _role(party: str) -> str:
    return {
        Party.BUYER.value: _("Buyer"),
        Party.CREATOR.value: _("Creator"),
        Party.STAFF.value: platform(),
    }.get(party, "")


def _read(reading: Reading) -> Line:
    what = {
        Reading.What.PAGE: _("Looked at the case"),
        Reading.What.FILE: _("Opened a file"),
    }.get(Reading.What(reading.what), reading.get_what_display())
    return Line(reading.at, reading.reader.name, platform(), what, reading.detail)


def _assigned(assignment: Assignment) -> Line:
    what = _("Took the case") if assignment.to_id else _("Let the case go")
    return Line(assignment.at, assignment.by.name, platform(), what, "")
