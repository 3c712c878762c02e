"""Payments of PayPal's that belong to no order: nothing lists their refunds.

What became of one whose answer was lost is told by its key, by an event, or by a person; never by
its absence from a list.
"""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from payments import reconciliation, refunds
from payments.models import Discrepancy, Payment, Refund
from tests.payments.test_refunds import PART, ask, made, soon, sums
from tests.payments.test_webhooks import told
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[False, True], ids=["capture", "sale"])
def alone(
    request: pytest.FixtureRequest, make_payment: MakePayment, sandbox: SandboxClient
) -> Payment:
    """A payment that belongs to no order and to no payment of v1's."""
    payment = make_payment(processor="paypal", charge_id="ALONE", order_id="")
    sandbox.register("paypal", "ALONE", payment.amount_minor, sale=request.param)
    return payment


@pytest.fixture
def lost(alone: Payment, sandbox: SandboxClient) -> Refund:
    """A refund of it that was made, and whose answer never came."""
    refund = ask(alone)
    sandbox.fault("paypal", "refund.create", "drop", effect=True)
    refunds.send(refund.pk)
    refund.refresh_from_db()
    assert (refund.state, refund.provider_id) == ("submitting", "")
    return refund


def the_bank_rules(sandbox: SandboxClient, payment: Payment, outcome: str) -> None:
    sandbox.dispute(payment.charge_id, amount_minor=1000)
    sandbox.rule(payment.charge_id, outcome)
    reconciliation.look(payment.pk)


def test_after_the_bank_has_ruled_for_the_buyer_a_doubt_waits_for_a_person(
    alone: Payment, lost: Refund, sandbox: SandboxClient
) -> None:
    the_bank_rules(sandbox, alone, "lost")
    soon(lost)

    refunds.send(lost.pk)

    lost.refresh_from_db()
    assert (lost.state, lost.alert, lost.wants_looking_up) == ("submitting", True, True)
    assert "Look it up in PayPal’s dashboard" in lost.trouble
    assert sums(alone) == (PART, 0)


def test_after_the_bank_has_ruled_for_the_creator_its_key_tells(
    alone: Payment, lost: Refund, sandbox: SandboxClient
) -> None:
    the_bank_rules(sandbox, alone, "won")
    soon(lost)

    refunds.send(lost.pk)

    lost.refresh_from_db()
    assert lost.state == "succeeded"
    assert made(sandbox, alone) == [PART]


def test_what_certainly_never_left_gives_way_to_the_bank(
    alone: Payment, sandbox: SandboxClient
) -> None:
    refund = ask(alone)
    the_bank_rules(sandbox, alone, "lost")

    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, refund.failure_code) == ("canceled", "charged_back")
    assert made(sandbox, alone) == []


def test_its_event_tells_of_a_refund_whose_answer_was_lost(
    alone: Payment, sandbox: SandboxClient, listening: str
) -> None:
    refund = ask(alone)
    sandbox.fault("paypal", "refund.create", "drop", effect=True)
    refunds.send(refund.pk)

    told(f"PAYMENT.{'SALE' if _is_a_sale(sandbox, alone) else 'CAPTURE'}.REFUNDED")

    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert (sums(alone), made(sandbox, alone)) == ((0, PART), [PART])


def test_a_refund_made_in_the_dashboard_is_found_by_its_event(
    alone: Payment, sandbox: SandboxClient, listening: str
) -> None:
    name = sandbox.refund_elsewhere(alone.charge_id, PART)

    told(f"PAYMENT.{'SALE' if _is_a_sale(sandbox, alone) else 'CAPTURE'}.REFUNDED")
    reconciliation.look(alone.pk)

    rows = Refund.objects.values_list("provider_id", "elsewhere", "state", "amount_minor")
    assert list(rows) == [(name, True, "succeeded", PART)]
    assert not Discrepancy.objects.exists()


def test_a_refund_of_another_payment_is_not_taken_in(
    alone: Payment, lost: Refund, make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    other = make_payment(processor="paypal", charge_id="OTHER", order_id="")
    sandbox.register("paypal", "OTHER", other.amount_minor, sale=_is_a_sale(sandbox, alone))
    name = sandbox.refund_elsewhere("OTHER", PART)

    reconciliation.look(alone.pk, [name, "NOTHING"])

    lost.refresh_from_db()
    assert (lost.provider_id, Refund.objects.count()) == ("", 1)


@pytest.mark.parametrize(("bank", "state"), [("", "failed"), ("lost", "canceled")])
def test_what_a_person_did_not_find_has_ended(
    alone: Payment, sandbox: SandboxClient, bank: str, state: str
) -> None:
    refund = ask(alone)
    sandbox.fault("paypal", "refund.create", "drop", effect=False)
    refunds.send(refund.pk)
    if bank:
        the_bank_rules(sandbox, alone, bank)
    long_ago = timezone.now() - timedelta(days=30)
    Refund.objects.update(first_sent_at=long_ago)
    soon(refund)
    refunds.send(refund.pk)

    assert refunds.not_made(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, refund.alert) == (state, False)
    assert sums(alone) == (0, 0)
    overtaken = Discrepancy.objects.filter(kind="overtaken").count()
    assert overtaken == (1 if bank else 0)
    assert not refunds.not_made(refund.pk)


def test_what_a_worker_has_in_hand_is_not_ended(
    alone: Payment, lost: Refund, sandbox: SandboxClient
) -> None:
    the_bank_rules(sandbox, alone, "lost")
    soon(lost)
    refunds.send(lost.pk)
    soon(lost)
    assert refunds._claim(lost.pk)

    assert not refunds.not_made(lost.pk)

    lost.refresh_from_db()
    assert lost.state == "submitting"


def test_a_worker_whose_lease_went_to_another_does_not_call(
    alone: Payment, sandbox: SandboxClient
) -> None:
    """However long it still thinks that it holds it: its clock may be another."""
    refund = ask(alone)
    mine = refunds._claim(refund.pk)
    assert mine
    assert refunds._prepare_to_call(mine, refunds.KEY_LIFE)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE payments_refund SET lease_token = gen_random_uuid()")

    with pytest.raises(refunds.Unavailable):
        refunds._call(refunds.gateway_for("paypal"), mine, doubted=False)

    assert made(sandbox, alone) == []


def _is_a_sale(sandbox: SandboxClient, payment: Payment) -> bool:
    return bool(sandbox.ledger()[payment.charge_id].get("sale"))
