"""Refunds are recorded once, sent once and settled, whatever the provider does in between."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from payments import refunds
from payments.gateways import RefundAnswer
from payments.models import Payment, Refund
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

PART = 2500
PROCESSORS = ["stripe", "paypal"]


def paid(make: MakePayment, sandbox: SandboxClient, processor: str = "stripe") -> Payment:
    """A payment that its provider knows of, too."""
    number = uuid.uuid4().hex[:12].upper()
    charge, order = ("ch_" + number, "") if processor == "stripe" else (number, "O" + number)
    payment = make(processor=processor, charge_id=charge, order_id=order)
    sandbox.register(processor, charge, payment.amount_minor, order_id=order)
    return payment


def ask(payment: Payment, amount: int = PART, key: str = "one", held: bool = False) -> Refund:
    with transaction.atomic():
        intent = refunds.Intent(payment.pk, amount, payment.currency, key, "revt_1", held)
        return refunds.request_refunds([intent])[key]


def soon(refund: Refund) -> None:
    """Let the pause before the next attempt be over, and the doubt be old enough."""
    past = timezone.now() - timedelta(minutes=2)
    Refund.objects.filter(pk=refund.pk).update(next_attempt_at=past)
    Refund.objects.filter(pk=refund.pk, in_doubt_since__isnull=False).update(in_doubt_since=past)


def sums(payment: Payment) -> tuple[int, int]:
    payment.refresh_from_db()
    return payment.reserved_minor, payment.refunded_minor


def made(sandbox: SandboxClient, payment: Payment) -> list[int]:
    """What the provider itself has given back."""
    return [r["amount_minor"] for r in sandbox.ledger()[payment.charge_id]["refunds"]]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_refund_is_reserved_sent_and_arrives(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    refund = ask(payment)
    assert sums(payment) == (PART, 0)

    settled = refunds.send(refund.pk)

    assert settled
    assert settled.state == "succeeded"
    assert sums(payment) == (0, PART)
    assert made(sandbox, payment) == [PART]


@pytest.mark.django_db
def test_the_same_key_is_the_same_refund(payment: Payment) -> None:
    first, again = ask(payment), ask(payment)

    assert first == again
    assert sums(payment) == (PART, 0)


@pytest.mark.django_db
def test_more_than_was_paid_is_refused_and_leaves_nothing(payment: Payment) -> None:
    ask(payment, 6000)

    with pytest.raises(refunds.OverRefund):
        ask(payment, 401, key="two")

    assert Refund.objects.count() == 1
    assert sums(payment) == (6000, 0)


@pytest.mark.django_db
def test_nothing_is_refunded_while_a_chargeback_is_open(make_payment: MakePayment) -> None:
    payment = make_payment(chargeback="open")

    with pytest.raises(refunds.OverRefund):
        ask(payment)

    assert not Refund.objects.exists()


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("kind", ["500_after_effect", "drop", "half_body"])
def test_an_unclear_answer_is_looked_up_before_it_is_repeated(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str, kind: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    refund = ask(payment)
    sandbox.fault(processor, "refund.create", kind, times=10)
    refunds.send(refund.pk)
    refund.refresh_from_db()
    assert (refund.state, refund.in_doubt_since is not None) == ("submitting", True)
    sandbox.behave()
    soon(refund)

    settled = refunds.send(refund.pk)

    assert settled
    assert settled.state == "succeeded"
    assert made(sandbox, payment) == [PART]
    assert sums(payment) == (0, PART)


def test_a_doubt_is_given_time_before_the_refund_counts_as_absent(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "500_before", times=10)
    refunds.send(refund.pk)
    sandbox.behave()
    Refund.objects.filter(pk=refund.pk).update(next_attempt_at=timezone.now())

    refunds.send(refund.pk)
    refund.refresh_from_db()
    assert (refund.state, made(sandbox, payment)) == ("submitting", [])
    soon(refund)
    sandbox.forget_keys()
    refunds.send(refund.pk)

    assert made(sandbox, payment) == [PART]


def test_a_provider_that_is_away_is_tried_again_later(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "429", times=10, retry_after=120)
    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, refund.in_doubt_since) == ("pending", None)
    assert refund.next_attempt_at
    assert refund.next_attempt_at > timezone.now() + timedelta(seconds=60)
    assert sums(payment) == (PART, 0)


def test_a_refusal_is_final_and_frees_the_money(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.dispute(payment.charge_id)

    settled = refunds.send(refund.pk)

    assert settled
    assert (settled.state, settled.failure_code != "") == ("failed", True)
    assert sums(payment) == (0, 0)
    assert made(sandbox, payment) == []


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_refund_under_way_is_asked_after_until_it_arrives(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    sandbox.settle_after(0.2)
    refund = ask(payment)
    first = refunds.send(refund.pk)
    assert first
    assert (first.state, first.provider_id != "") == ("submitting", True)
    assert sums(payment) == (PART, 0)

    threading.Event().wait(0.3)
    soon(refund)
    assert refunds.due() == [refund.pk]
    last = refunds.send(refund.pk)

    assert last
    assert last.state == "succeeded"
    assert len(sandbox.calls("refund.create")) == 1


def test_a_late_failure_takes_the_refund_back(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    settled = refunds.send(refund.pk)
    assert settled

    failed = RefundAnswer(settled.provider_id, "failed", failure_code="lost_or_stolen_card")
    refunds.settle(refund.pk, failed, token=None)
    refunds.settle(refund.pk, RefundAnswer(settled.provider_id, "succeeded"), token=None)

    refund.refresh_from_db()
    assert refund.state == "failed"
    assert sums(payment) == (0, 0)


def test_a_worker_that_slept_through_its_lease_is_refused(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    slow = refunds._claim(refund.pk)
    assert slow
    Refund.objects.filter(pk=refund.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    refunds.send(refund.pk)

    late = refunds.settle(refund.pk, RefundAnswer("", "failed"), token=slow.lease_token)

    assert late is None
    refund.refresh_from_db()
    assert refund.state == "succeeded"


def test_a_key_that_the_provider_may_have_forgotten_is_replaced(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "500_before", times=10)
    refunds.send(refund.pk)
    sandbox.behave()
    soon(refund)
    long_ago = timezone.now() - timedelta(hours=24)
    Refund.objects.filter(pk=refund.pk).update(first_sent_at=long_ago)

    settled = refunds.send(refund.pk)

    assert settled
    assert (settled.generation, settled.state) == (2, "succeeded")
    assert made(sandbox, payment) == [PART]


@pytest.mark.django_db
def test_a_worker_whose_lease_is_over_does_not_call_any_more(
    payment: Payment, sandbox: SandboxClient, settings: Settings
) -> None:
    refund = ask(payment)
    settings.REFUND_LEASE_SECONDS = 0

    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, refund.in_doubt_since, refund.lease_token) == ("pending", None, None)
    assert sandbox.calls("refund.create") == []


@pytest.mark.django_db
def test_a_held_refund_waits_until_it_is_released(payment: Payment) -> None:
    refund = ask(payment, held=True)
    assert refunds.due() == []
    assert sums(payment) == (PART, 0)

    refunds.release([refund])

    assert refunds.due() == [refund.pk]


@pytest.mark.django_db
def test_a_lifted_hold_frees_the_money_once(payment: Payment) -> None:
    refund = ask(payment, held=True)

    refunds.cancel_held(refund)
    refunds.cancel_held(refund)

    assert sums(payment) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_one_refund_once(
    make_payment: MakePayment, sandbox: SandboxClient, settings: Settings
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "delay", seconds=0.3)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        refunds.send(refund.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert made(sandbox, payment) == [PART]
    assert len(sandbox.calls("refund.create")) == 1
    assert sums(payment) == (0, PART)


@pytest.mark.django_db
def test_the_terms_of_a_refund_never_change(payment: Payment) -> None:
    refund = ask(payment)

    with pytest.raises(IntegrityError), transaction.atomic():
        Refund.objects.filter(pk=refund.pk).update(amount_minor=1)

    refund.refresh_from_db()
    assert refund.amount_minor == PART
