"""Reminders: who is told, some days before a deadline of theirs, that it comes.

A reminder is no step and stands on no timeline; it is one `Notification` a person, unique by the
event that set the deadline. The row is written when the deadline comes near, and its e-mail leaves
at a decent hour of the reader's. Its words are made when it leaves, and there are none once the
deadline is met or moved (`still_due`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from marketplace import clock
from marketplace.doorbell import ring
from marketplace.models import TeamMember, User
from marketplace.time_zone import zone_of
from notifications.models import Notification
from notifications.preferences import next_time
from resolution.cases import BATCH
from resolution.lifecycle import runs_the_company
from resolution.models import Case, Event, ReminderMark
from resolution.terms import BOTH, Actor, Party, State

EARLY, LAST = "early_reminder", "reminder"
KINDS = (EARLY, LAST)
"""The kinds of these notifications: the last before a deadline, and those before that."""

OPENS, CLOSES = 9, 18
"""The hours between which a reminder leaves, by its reader's clock."""


def whose_deadline(case: Case) -> set[Party]:
    """The sides that an answer or an appeal is open to until the case's date."""
    if case.frozen_at or case.due_at is None or case.state == State.CLOSED:
        return set()
    if case.state == State.DECIDED:
        return case.who_could_appeal()
    return {Party(case.waiting_on)} & set(BOTH)


def still_due(case: Case, reader: Actor, due_at: datetime | None) -> bool:
    """Whether this very deadline is still ahead of this reader. `case` is as it stands now."""
    if case.due_at is None or case.due_at != due_at or case.due_at <= clock.now():
        return False
    may_act = case.state != State.DECIDED or runs_the_company(case, reader)
    return may_act and reader.party in whose_deadline(case)


def remind() -> int:
    """Write the reminders that have fallen due; answer how many.

    Safe to run at any time from any number of workers: a row of marks is held meanwhile. After an
    outage nobody gets two at once: what lies within the next reminder's days is left to that.
    """
    written = 0
    for days, nearer in zip(settings.REMINDER_DAYS, [*settings.REMINDER_DAYS[1:], 0], strict=True):
        more = True
        while more:
            count, more = _remind_some(days, nearer)
            written += count
    if written:
        ring("resolution.tasks.deliver")
    return written


def _remind_some(days: int, nearer: int) -> tuple[int, bool]:
    """Go over a batch of deadlines; answer how many people are reminded, and whether to go on."""
    with transaction.atomic():
        mark = _hold_mark(days, nearer)
        if mark is None:
            return 0, False
        now = clock.database_now()
        end = now + timedelta(days=days)
        cases = _coming_up(mark, now + timedelta(days=nearer), end)
        full = len(cases) == BATCH
        mark.due_at, mark.case_id = (cases[-1].due_at or end, cases[-1].pk) if full else (end, 0)
        mark.save(update_fields=["due_at", "case_id"])
        rows = _rows(cases, days, EARLY if nearer else LAST, now) if cases else []
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows), full


def _hold_mark(days: int, nearer: int) -> ReminderMark | None:
    """The mark of these days, held; None while another worker holds it."""
    begin = ReminderMark(days=days, due_at=clock.now() + timedelta(days=nearer))
    ReminderMark.objects.bulk_create([begin], ignore_conflicts=True)
    return ReminderMark.objects.select_for_update(skip_locked=True).filter(days=days).first()


def _coming_up(mark: ReminderMark, start: datetime, end: datetime) -> list[Case]:
    """The next cases past the mark whose deadlines lie between these moments, soonest first."""
    past = Q(due_at__gt=mark.due_at) | Q(due_at=mark.due_at, pk__gt=mark.case_id)
    waits = Q(waiting_on__in=BOTH) | Q(state=State.DECIDED, final=False)
    return list(
        Case.objects.filter(past, waits, due_at__gte=max(mark.due_at, start), due_at__lte=end)
        .exclude(state=State.CLOSED)
        .filter(frozen_at=None)
        .select_related("buyer")
        .order_by("due_at", "pk")[:BATCH]
    )


def _rows(cases: Sequence[Case], days: int, kind: str, now: datetime) -> list[Notification]:
    """A message for everybody who can still meet one of these deadlines."""
    set_by = {
        event.case_id: event.public_id
        for event in Event.objects.filter(case__in=cases, data__has_key="due_at")
        .only("case_id", "public_id")
        .order_by("case_id", "-seq")
        .distinct("case_id")
    }
    places: dict[int, list[TeamMember]] = {}
    for place in (
        TeamMember.objects.filter(company__in={case.company_id for case in cases})
        .exclude(role=TeamMember.Role.VIEWER)
        .select_related("user")
    ):
        places.setdefault(place.company_id, []).append(place)
    return [
        Notification(
            key=f"{set_by[case.pk]}:{days}d:{person.public_id}:email",
            recipient=person,
            kind=kind,
            about=set_by[case.pk],
            thread=case.public_id,
            next_attempt_at=decent_hour(now, zone_of(person)),
            created_at=now,
        )
        for case in cases
        for person in _due(case, places.get(case.company_id, ()))
    ]


def _due(case: Case, team: Iterable[TeamMember]) -> list[User]:
    """The people on the sides whose deadline it is, who may do something about it."""
    sides = whose_deadline(case)
    people = [case.buyer] if Party.BUYER in sides else []
    if Party.CREATOR in sides:
        people += [
            place.user
            for place in team
            if case.state != State.DECIDED
            or runs_the_company(case, Actor(Party.CREATOR, place.user, role=place.role))
        ]
    return [person for person in people if person.is_active]


def decent_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """Now, or else the next morning in this zone."""
    local = now.astimezone(zone)
    return now if OPENS <= local.hour < CLOSES else next_time(local, OPENS)
