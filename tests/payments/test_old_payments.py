"""Payments of PayPal's older kinds: sales of the v1 API, and captures that no order names."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from payments import reconciliation, refunds, tasks
from payments.gateways import Charge, Declined, RefundAnswer, RefundRequest, gateway_for
from payments.models import Discrepancy, Payment, Refund
from tests.payments.test_refunds import PART, ask, made, soon, sums
from tests.payments.test_webhooks import told
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

pytestmark = pytest.mark.django_db(transaction=True)

SALE = "2MU78835H4515710F"
PARENT = "PAY-46E69296BH2194803KEE662Y"


@pytest.fixture
def request_of_sale(sandbox: SandboxClient) -> RefundRequest:
    """Ten dollars back of a sale of 79."""
    sandbox.register("paypal", SALE, 7900, order_id=PARENT, sale=True)
    return RefundRequest("rfnd_one", SALE, 1000, "USD", "rfnd_one:1", order_id=PARENT)


Paid = Callable[..., Payment]


@pytest.fixture
def paid(make_payment: MakePayment, sandbox: SandboxClient) -> Paid:
    """A payment through PayPal; `parent` is what PayPal lists its refunds under, if anything."""

    def pay(*, sale: bool, parent: str, told_of_it: bool) -> Payment:
        charge = uuid.uuid4().hex[:17].upper()
        payment = make_payment(
            processor="paypal", charge_id=charge, order_id=parent if told_of_it else ""
        )
        sandbox.register("paypal", charge, payment.amount_minor, order_id=parent, sale=sale)
        return payment

    return pay


def test_a_sale_is_refunded_once_and_found_by_our_id(
    sandbox: SandboxClient, request_of_sale: RefundRequest
) -> None:
    paypal = gateway_for("paypal")

    answers = [paypal.refund(request_of_sale) for _ in range(2)]

    assert answers == [RefundAnswer(answers[0].provider_id, "succeeded")] * 2
    assert paypal.find(request_of_sale) == answers[0]
    assert paypal.fetch(answers[0].provider_id, request_of_sale) == answers[0]
    [seen] = paypal.refunds_of(Charge(SALE, "USD", order_id=PARENT))
    assert (seen.refund_id, seen.amount_minor, seen.currency) == ("rfnd_one", 1000, "USD")
    [kept] = sandbox.ledger()[SALE]["refunds"]
    assert (kept["refund_id"], kept["amount_minor"]) == ("rfnd_one", 1000)


def test_what_paypal_refuses_of_a_sale_is_declined_in_words(
    sandbox: SandboxClient, request_of_sale: RefundRequest
) -> None:
    sandbox.refund_elsewhere(SALE)

    with pytest.raises(Declined) as refusal:
        gateway_for("paypal").refund(request_of_sale)

    assert (refusal.value.code, refusal.value.message) == (
        "TRANSACTION_ALREADY_REFUNDED", "PayPal has already returned all of this payment.",
    )  # fmt: skip


@pytest.mark.parametrize("told_of_it", [True, False])
def test_a_refund_of_a_sale_in_doubt_is_adopted_whether_we_know_its_payment_or_not(
    paid: Paid, sandbox: SandboxClient, *, told_of_it: bool
) -> None:
    payment = paid(sale=True, parent=PARENT, told_of_it=told_of_it)
    refund = ask(payment)
    sandbox.fault("paypal", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    sandbox.forget_keys()
    soon(refund)

    settled = refunds.send(refund.pk)

    assert settled
    assert settled.state == "succeeded"
    assert made(sandbox, payment) == [PART]


def test_a_refund_of_a_sale_in_paypals_dashboard_is_told_and_counted(
    paid: Paid, sandbox: SandboxClient, listening: str
) -> None:
    payment = paid(sale=True, parent=PARENT, told_of_it=True)

    sandbox.refund_elsewhere(payment.charge_id, 1500)
    told("PAYMENT.SALE.REFUNDED")

    assert sums(payment) == (0, 1500)
    assert list(payment.refunds.values_list("elsewhere", "state")) == [(True, "succeeded")]


@pytest.mark.parametrize("sale", [False, True])
def test_without_a_list_the_key_is_held_to_for_as_long_as_paypal_keeps_it(
    paid: Paid, sandbox: SandboxClient, *, sale: bool
) -> None:
    payment = paid(sale=sale, parent="", told_of_it=False)
    refund = ask(payment)
    sandbox.fault("paypal", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    soon(refund)
    two_days_ago = timezone.now() - timedelta(days=2)
    Refund.objects.update(first_sent_at=two_days_ago, in_doubt_since=two_days_ago)

    settled = refunds.send(refund.pk)

    assert settled
    assert (settled.state, settled.generation) == ("succeeded", 1)
    assert made(sandbox, payment) == [PART]


def test_without_a_list_and_without_the_key_a_person_has_to_look(
    paid: Paid, sandbox: SandboxClient
) -> None:
    payment = paid(sale=False, parent="", told_of_it=False)
    refund = ask(payment)
    sandbox.fault("paypal", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    soon(refund)
    long_ago = timezone.now() - timedelta(days=30)
    Refund.objects.update(first_sent_at=long_ago, in_doubt_since=long_ago)

    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, refund.alert) == ("submitting", True)
    assert "PayPal’s dashboard" in refund.trouble
    assert made(sandbox, payment) == [PART]


def test_what_has_no_list_is_compared_refund_by_refund(paid: Paid, sandbox: SandboxClient) -> None:
    payment = paid(sale=False, parent="", told_of_it=False)
    refund = refunds.send(ask(payment).pk)
    assert refund
    sandbox.fail(refund.provider_id)

    reconciliation.look(payment.pk)

    refund.refresh_from_db()
    assert (refund.state, sums(payment)) == ("failed", (0, 0))
    assert Discrepancy.objects.count() == 0


def test_a_sum_that_a_payment_came_with_is_not_counted_twice(
    paid: Paid, sandbox: SandboxClient
) -> None:
    payment = paid(sale=True, parent=PARENT, told_of_it=True)
    for part in (1000, 500):
        sandbox.refund_elsewhere(payment.charge_id, part)
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=1500)

    tasks.look_at_payments([payment.pk])
    tasks.look_at_payments([payment.pk])

    assert sums(payment) == (0, 1500)
    assert sorted(payment.refunds.values_list("amount_minor", flat=True)) == [500, 1000]
    assert Discrepancy.objects.count() == 0


def test_what_such_a_sum_leaves_unexplained_is_written_down(
    paid: Paid, sandbox: SandboxClient
) -> None:
    payment = paid(sale=True, parent=PARENT, told_of_it=True)
    sandbox.refund_elsewhere(payment.charge_id, 1000)
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=1500)

    tasks.look_at_payments([payment.pk])

    assert sums(payment) == (0, 1500)
    assert [row.kind for row in Discrepancy.objects.all()] == ["sums"]
