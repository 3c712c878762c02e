"""A refund that only PayPal's dashboard can tell of: finance say what it shows."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from marketplace.models import TeamMember, User
from payments import refunds
from payments.models import Payment, Refund
from tests.payments.conftest import sandbox, sandbox_process
from tests.payments.test_refunds import PART, ask, made, soon, sums
from tests.payments.test_unlisted import alone, lost, the_bank_rules
from tests.sandbox_fixture import SandboxClient

__all__ = ["alone", "lost", "sandbox", "sandbox_process"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stuck(alone: Payment, lost: Refund, sandbox: SandboxClient) -> Refund:
    """It was made, its answer was lost, and the bank has ruled for the buyer since."""
    the_bank_rules(sandbox, alone, "lost")
    soon(lost)
    refunds.send(lost.pk)
    lost.refresh_from_db()
    return lost


def page_of(refund: Refund) -> str:
    return reverse("admin:payments_refund_look_up", args=[refund.pk])


def test_what_finance_found_counts_as_paypal_has_it(
    at_sams: Client, sam: User, alone: Payment, stuck: Refund, sandbox: SandboxClient
) -> None:
    [there] = sandbox.ledger()[alone.charge_id]["refunds"]
    leads_there = at_sams.get(reverse("admin:payments_refund_change", args=[stuck.pk]))

    answer = at_sams.post(page_of(stuck), {"seen": "made", "provider_id": f" {there['id']} "})

    assert page_of(stuck) in leads_there.content.decode()
    assert answer.status_code == 302
    stuck.refresh_from_db()
    assert (stuck.state, stuck.provider_id) == ("succeeded", there["id"])
    assert (sums(alone), made(sandbox, alone)) == ((0, PART), [PART])
    assert LogEntry.objects.get(user=sam).object_id == str(stuck.pk)


def test_what_they_did_not_find_gives_way_to_the_bank(
    at_sams: Client, sam: User, alone: Payment, sandbox: SandboxClient
) -> None:
    refund = ask(alone)
    sandbox.fault("paypal", "refund.create", "drop", effect=False)
    refunds.send(refund.pk)
    the_bank_rules(sandbox, alone, "lost")
    soon(refund)
    refunds.send(refund.pk)

    answer = at_sams.post(page_of(refund), {"seen": "none", "provider_id": ""})

    assert answer.status_code == 302
    refund.refresh_from_db()
    assert (refund.state, refund.failure_code) == ("canceled", "charged_back")
    assert "not made" in LogEntry.objects.get(user=sam).get_change_message()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "Say whether it is there."),
        ({"seen": "perhaps"}, "perhaps"),
        ({"seen": "made"}, "Enter its id"),
        ({"seen": "made", "provider_id": "A\0B"}, "unsupported character"),
        ({"seen": "made", "provider_id": "9" * 81}, "80"),
        ({"seen": "made", "provider_id": "0TR62341"}, "That is not this refund."),
    ],
)
def test_what_cannot_be_taken_says_why_and_changes_nothing(
    at_sams: Client, stuck: Refund, said: dict[str, str], problem: str
) -> None:
    answer = at_sams.post(page_of(stuck), said)

    assert answer.status_code == 422
    assert problem in answer.content.decode()
    stuck.refresh_from_db()
    assert (stuck.state, stuck.provider_id) == ("submitting", "")


def test_while_paypal_is_away_nothing_is_changed(
    at_sams: Client, stuck: Refund, sandbox: SandboxClient
) -> None:
    sandbox.fault("paypal", "dispute.find", "500_before", times=9)

    answer = at_sams.post(page_of(stuck), {"seen": "made", "provider_id": "0TR62341"})

    assert answer.status_code == 422
    assert "PayPal gives no clear answer now" in answer.content.decode()


def test_an_agent_reads_it_and_says_nothing(at_abes: Client, stuck: Refund) -> None:
    page = at_abes.get(page_of(stuck))
    answer = at_abes.post(page_of(stuck), {"seen": "none"})

    assert (page.status_code, b'name="seen"' in page.content) == (200, False)
    assert answer.status_code == 403
    stuck.refresh_from_db()
    assert stuck.state == "submitting"


def test_nobody_says_what_became_of_a_refund_of_their_own(
    at_sams: Client, sam: User, stuck: Refund
) -> None:
    TeamMember.objects.create(company=stuck.payment.company, user=sam, role="admin")

    assert at_sams.post(page_of(stuck), {"seen": "none"}).status_code == 403


def test_a_refund_that_needs_no_looking_up_leads_back(
    at_sams: Client, alone: Payment, sandbox: SandboxClient
) -> None:
    refund = ask(alone)
    refunds.send(refund.pk)

    answer = at_sams.post(page_of(refund), {"seen": "none"})

    assert (answer.status_code, answer.headers["Location"]) == (
        302, reverse("admin:payments_refund_change", args=[refund.pk]),
    )  # fmt: skip
    refund.refresh_from_db()
    assert refund.state == "succeeded"
