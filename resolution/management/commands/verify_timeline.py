"""Checks that no timeline was changed behind the database's back."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Prefetch

from resolution.lifecycle import Lifecycle
from resolution.models import Attachment, Case, Erasure, Event

BATCH = 500
ROWS = 2000


class Command(BaseCommand):
    requires_system_checks = ()
    help = "Recomputes the hashes of every timeline and replays its steps; exits with 1 on a flaw."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--case", metavar="reso_…", help="Only this one.")

    def handle(self, *, case: str | None, **options: Any) -> None:
        wanted = Case.objects.only("public_id", "state", "last_seq", "last_hash").order_by("pk")
        if case:
            wanted = wanted.filter(public_id=case)
            if not wanted:
                raise CommandError(f"There is no case {case}.")
        checked = broken = 0
        last = 0
        while batch := list(wanted.filter(pk__gt=last)[:BATCH]):
            last = batch[-1].pk
            checked += len(batch)
            for flaw in flaws(batch):
                broken += 1
                self.stdout.write(flaw)
        if broken:
            raise CommandError(f"{broken} of {checked} timelines are broken.")
        self.stdout.write(f"All {checked} timelines are as they were written.")


def flaws(batch: Sequence[Case]) -> Iterator[str]:
    """A sentence on the first broken row of each case whose timeline is not what was written."""
    in_order = Prefetch("attachments", Attachment.objects.order_by("position"))
    events = Event.objects.filter(case__in=batch).order_by("case_id", "seq")
    rows = events.prefetch_related(in_order).iterator(chunk_size=ROWS)
    event = next(rows, None)
    for case in batch:
        replay = Replay(case)
        while event is not None and event.case_id == case.pk:
            replay.add(event)
            event = next(rows, None)
        flaw = replay.flaw or replay.flaw_at_end()
        if flaw:
            yield f"{case.public_id}: {flaw}"


class Replay:
    """One timeline, row by row; `flaw` is what is wrong with the first row that is not right."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.seq, self.hash, self.state = 0, "", ""
        self.flaw = ""

    def add(self, event: Event) -> None:
        if self.flaw:
            return
        flaw = self._flaw_of(event)
        if flaw:
            self.flaw = f"event {event.seq} ({event.public_id}, {event.step}): {flaw}"
        self.seq, self.hash, self.state = event.seq, event.hash, event.state_after

    def _flaw_of(self, event: Event) -> str:
        if event.seq != self.seq + 1:
            return f"number {self.seq + 1} is missing before it."
        if event.previous_hash != self.hash:
            return "it does not follow the row before."
        files = event.attachments.all()
        if event.digest(self.case.public_id, files) != event.hash:
            return "it was changed: its hash is another one."
        if not event.keeps_its_words:
            return "its words are not the ones that were written."
        if not all(file.keeps_its_seal for file in files):
            return "one of its files is not the one that was sent."
        if (event.was_blanked or any(file.was_blanked for file in files)) and not was_erased(event):
            return "its words were blanked, and no erasure of whoever wrote them is on record."
        if event.state_before != self.state:
            return f"it begins as {event.state_before!r}, the row before ended as {self.state!r}."
        if not in_table(event.step, event.state_before, event.state_after):
            return f"no such step leads from {event.state_before!r} to {event.state_after!r}."
        return ""

    def flaw_at_end(self) -> str:
        """What is wrong between the last row and the case itself."""
        case = self.case
        if self.seq != case.last_seq:
            return f"rows are missing at the end: {self.seq} of {case.last_seq} are there."
        if self.hash != case.last_hash:
            return "the case remembers another last row."
        if self.state != case.state:
            return f"replayed it is {self.state!r}, the case says {case.state!r}."
        return ""


def was_erased(event: Event) -> bool:
    """Whoever wrote an event, or got it where it was automatic, was erased with their words."""
    person = event.actor_id or event.case.buyer_id
    return Erasure.objects.filter(person=person, words_too=True).exists()


def in_table(step: str, before: str, after: str) -> bool:
    """Whether the lifecycle has a step of that name between these states."""
    known = getattr(getattr(Lifecycle, step, None), "_django_fsm", None)
    row = known.transitions.get(before) if known else None
    if row is None:
        return False
    if row.target is None:
        return after == before
    return after in getattr(row.target, "allowed_states", [row.target])
