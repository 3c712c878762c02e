"""Who is told that a deadline of theirs comes near: when, how often, and not for nothing."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketplace import clock
from marketplace.models import Company, TeamMember, User
from notifications.models import Notification
from resolution import cases, messages, reminders
from resolution.models import Case
from resolution.terms import SYSTEM, Actor, Remedy, Verdict
from tests.conftest import Later
from tests.people import make_user


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def rows() -> list[tuple[str, User]]:
    """The reminders so far: kind and reader."""
    found = Notification.objects.filter(kind__in=reminders.KINDS).order_by("pk")
    return [(row.kind, row.recipient) for row in found.select_related("recipient")]


def test_a_creator_is_reminded_three_days_and_one_day_before_once_each(
    later: Later, waiting_case: Case, cleo: User
) -> None:
    TeamMember.objects.create(company=waiting_case.company, user=make_user("Vi"), role="viewer")
    written = [reminders.remind()]
    for days in (4.01, 0, 2, 0, 0.5):
        later(timedelta(days=days))
        written.append(reminders.remind())

    assert written == [0, 1, 0, 1, 0, 0]
    assert rows() == [("early_reminder", cleo), ("reminder", cleo)]


def test_after_an_outage_only_the_nearest_reminder_is_written(
    later: Later, waiting_case: Case, cleo: User
) -> None:
    reminders.remind()
    later(timedelta(days=6.5))

    assert [reminders.remind(), rows()] == [1, [("reminder", cleo)]]


def test_a_deadline_that_is_over_is_not_reminded_of(later: Later, waiting_case: Case) -> None:
    reminders.remind()
    later(timedelta(days=8))

    assert reminders.remind() == 0


def test_whoever_may_still_appeal_is_reminded_and_support_is_not(
    later: Later, waiting_case: Case, bea: User, cleo: User, company: Company, buyer: Actor,
    creator: Actor, staff: Actor,
) -> None:  # fmt: skip
    TeamMember.objects.create(company=company, user=make_user("Theo"), role="support")
    cases.take_step(waiting_case, "deny", creator, message="No.")
    later(timedelta(days=4.01))
    of_denial = [reminders.remind(), rows()]
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="Yes.")
    half = Verdict(Remedy.REFUND, 3200)
    cases.take_step(now_at(waiting_case), "decide", staff, message="Half.", verdict=half)
    later(timedelta(days=4.01))

    assert of_denial == [1, [("early_reminder", bea)]]
    assert reminders.remind() == 2
    assert rows()[1:] == [("early_reminder", bea), ("early_reminder", cleo)]


def test_a_frozen_case_reminds_nobody_until_it_goes_on(
    later: Later, waiting_case: Case, cleo: User
) -> None:
    cases.take_step(waiting_case, "freeze", SYSTEM)
    later(timedelta(days=4.01))
    while_frozen = reminders.remind()
    cases.take_step(now_at(waiting_case), "resume", SYSTEM)
    right_after = reminders.remind()
    later(timedelta(days=4.01))

    assert [while_frozen, right_after, reminders.remind()] == [0, 0, 1]
    assert rows() == [("early_reminder", cleo)]


def test_a_reminder_has_nothing_to_say_once_the_deadline_is_met(
    later: Later, waiting_case: Case, creator: Actor
) -> None:
    later(timedelta(days=4.01))
    reminders.remind()
    row = Notification.objects.select_related("recipient").get(kind=reminders.EARLY)
    before = messages.compose([row])[row.pk]
    cases.take_step(waiting_case, "deny", creator, message="No.")

    assert before is not None
    assert messages.compose([row])[row.pk] is None
    assert waiting_case.events.count() == 3


@pytest.mark.parametrize(
    ("hour", "leaves"),
    [(8, (8, 9, 0)), (9, (8, 9, 30)), (17, (8, 17, 30)), (18, (9, 9, 0)), (23, (9, 9, 0))],
)
def test_it_leaves_between_nine_and_six_where_the_reader_lives(
    hour: int, leaves: tuple[int, int, int]
) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    now = datetime(2026, 7, 8, hour, 30, tzinfo=tokyo).astimezone(UTC)

    then = reminders.decent_hour(now, tokyo).astimezone(tokyo)

    assert (then.day, then.hour, then.minute) == leaves


def test_looking_for_reminders_asks_as_much_for_many_cases_as_for_none(
    later: Later, waiting_case: Case
) -> None:
    later(timedelta(days=1))
    reminders.remind()

    with CaptureQueriesContext(connection) as queries:
        reminders.remind()

    # for each of the two distances: begin, a first mark if there is none, the mark, the time, the
    # cases, the mark as it is now, commit
    assert len(queries) == 14
    assert clock.offset() == timedelta(days=1)
