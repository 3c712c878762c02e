"""The data of the demo: every kind of case, all of it as it would really have come to be."""

from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F
from pytest_django import Settings

from marketplace import clock
from marketplace.models import Company, TeamMember, User
from notifications.models import Notification
from payments.models import Payment, Refund
from resolution.models import Attachment, Case, Event, Rule, RuleChange
from resolution.terms import Party, State
from tests.sandbox_fixture import SandboxClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("told")]


def test_there_is_a_case_in_every_state() -> None:
    states = set(Case.objects.values_list("state", flat=True))

    assert states == set(State)


def test_cases_end_in_every_way_and_wait_for_everybody() -> None:
    outcomes = set(Case.objects.filter(state="closed").values_list("outcome", flat=True))
    waiting = set(Case.objects.exclude(state="closed").values_list("waiting_on", flat=True))

    assert outcomes == {"buyer_won", "creator_won", "withdrawn", "void"}
    assert waiting == set(Party)


def test_every_company_has_its_whole_team() -> None:
    roles = {
        company.name: set(company.members.values_list("role", flat=True))
        for company in Company.objects.all()
    }

    assert roles == {
        "Sideproject Club": {"owner", "admin", "support", "viewer"},
        "Loop & Lens": {"owner", "support", "viewer"},
        "Kiln School": {"owner", "admin", "support", "viewer"},
    }


def test_one_person_is_on_two_teams() -> None:
    places = TeamMember.objects.values("user__name").annotate(teams=Count("id")).filter(teams__gt=1)

    assert [(row["user__name"], row["teams"]) for row in places] == [("Jonas Weber", 2)]


def test_staff_are_two_agents_two_of_finance_and_an_administrator() -> None:
    staff = User.objects.filter(is_staff=True).values_list("staff_role", "is_superuser")

    assert Counter(staff) == {("agent", False): 2, ("finance", False): 2, ("finance", True): 1}


def test_one_company_answers_by_itself() -> None:
    assert Rule.objects.filter(company__name="Kiln School").count() == 3
    assert Rule.objects.count() == 3
    assert Event.objects.filter(step="auto_refund").count() == 3
    assert Event.objects.filter(step="cancel_refund").count() == 1
    assert Case.objects.filter(state="awaiting_creator", waiting_on="system").count() == 1
    assert RuleChange.objects.filter(act="changed").count() == 3


def test_the_clock_is_where_it_was() -> None:
    assert clock.offset() == timedelta()
    assert not Event.objects.filter(created_at__gt=clock.now()).exists()


def test_time_never_went_backwards_on_a_timeline() -> None:
    for case in Case.objects.all():
        moments = [event.created_at for event in case.events.all()]
        assert moments == sorted(moments)


def test_the_timelines_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_timeline")

    assert (
        capsys.readouterr().out
        == f"All {Case.objects.count()} timelines are as they were written.\n"
    )


def test_the_providers_hold_the_same_books(told: SandboxClient) -> None:
    theirs = {charge: row["refunded_minor"] for charge, row in told.ledger().items()}
    ours = Payment.objects.filter(processor__in=Payment.REVERSIBLE)

    assert theirs == dict(ours.values_list("charge_id", "refunded_minor"))


def test_nothing_is_under_way_but_one_refund_that_failed_for_finance() -> None:
    assert not Refund.objects.filter(state__in=Refund.IN_FLIGHT).exists()
    failed = Refund.objects.filter(state="failed").values_list("cases__money", "cases__waiting_on")
    assert list(failed) == [("failed", "staff")]


def test_a_sum_that_takes_two_waits_for_the_second_person() -> None:
    [proposed] = Case.objects.exclude(proposed_step="")

    assert (proposed.proposed_step, proposed.proposed_minor) == ("decide", 125000)
    assert proposed.proposed_by.staff_role == "finance"  # type: ignore[union-attr]


def test_an_old_sale_of_paypals_was_refunded() -> None:
    [sale] = Payment.objects.filter(order_id__startswith="PAY-")

    assert (sale.processor, sale.refunded_minor) == ("paypal", sale.amount_minor)


def test_files_are_as_the_door_for_files_leaves_them() -> None:
    kinds = Counter(Attachment.objects.values_list("kind", flat=True))

    assert kinds == {"image": 15, "pdf": 6}
    assert not Attachment.objects.filter(event=None).exists()
    assert not Attachment.objects.exclude(uploader=F("event__actor")).exists()


def test_only_the_mail_of_the_last_days_is_left_to_send() -> None:
    fresh = clock.now() - timedelta(days=3, minutes=1)

    assert not Notification.objects.filter(created_at__lt=fresh).exclude(state="sent").exists()
    pending = Notification.objects.filter(state="pending")
    assert pending.exists()
    assert not pending.filter(created_at__lt=fresh).exists()


def test_loading_again_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = (User.objects.count(), Case.objects.count(), Event.objects.count())

    call_command("demo_data")

    assert capsys.readouterr().out == "There are people already, so nothing was loaded.\n"
    assert (User.objects.count(), Case.objects.count(), Event.objects.count()) == before


def test_outside_the_demo_nothing_is_loaded(settings: Settings) -> None:
    settings.DEMO = False

    with pytest.raises(CommandError, match="for the demo only"):
        call_command("demo_data")


def test_money_arrived_within_hours_of_being_sent() -> None:
    sent = dict(Event.objects.filter(step="refund_sent").values_list("case_id", "created_at"))
    arrived = Event.objects.filter(step="refund_arrived").values_list("case_id", "created_at")

    hours = [round((at - sent[case_id]) / timedelta(hours=1)) for case_id, at in arrived]

    assert Counter(hours) == {3: 4, 2: 6}
