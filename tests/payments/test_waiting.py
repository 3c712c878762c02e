"""Refunds that do not arrive at once, arrive in odd currencies, or fail long after they arrived."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection

from notifications.models import Notification
from payments import reconciliation, refunds
from payments.models import Payment, Refund
from resolution import cases, tasks
from resolution.models import Case
from resolution.terms import Actor
from tests.conftest import Later
from tests.invariants import differences, violations
from tests.payments.test_refunds import PROCESSORS, ask, paid, soon, sums
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient


def test_a_refund_that_requires_action_is_kept_and_followed(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "wait", code="requires_action")

    first = refunds.send(refund.pk)
    soon(refund)
    again = refunds.send(refund.pk)

    assert first
    assert again
    assert (first.state, again.state, sums(payment)) == (
        "requires_action", "requires_action", (2500, 0),
    )  # fmt: skip
    sandbox.arrive(first.provider_id)
    soon(refund)
    last = refunds.send(refund.pk)
    assert last
    assert (last.state, sums(payment)) == ("succeeded", (0, 2500))
    assert len(sandbox.calls("refund.create")) == 1


WAITS = [
    ("stripe", "processing"), ("stripe", "insufficient_funds"), ("stripe", "charge_pending"),
    ("paypal", "ECHECK"),
]  # fmt: skip


@pytest.mark.parametrize(("processor", "reason"), WAITS)
def test_a_pending_refund_says_why_and_is_not_taken_for_done(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str, reason: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    refund = ask(payment)
    sandbox.fault(processor, "refund.create", "wait", code=reason)

    waiting = refunds.send(refund.pk)

    assert waiting
    assert (waiting.state, waiting.failure_code, sums(payment)) == ("submitting", reason, (2500, 0))
    sandbox.arrive(waiting.provider_id)
    soon(refund)
    arrived = refunds.send(refund.pk)
    assert arrived
    assert (arrived.state, arrived.failure_code, sums(payment)) == ("succeeded", "", (0, 2500))


def test_a_balance_that_stays_too_low_ends_as_a_failure_with_its_reason(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "wait", code="insufficient_funds")
    waiting = refunds.send(refund.pk)
    assert waiting

    sandbox.fail(waiting.provider_id, "insufficient_funds")
    soon(refund)
    failed = refunds.send(refund.pk)

    assert failed
    assert (failed.state, failed.failure_code) == ("failed", "insufficient_funds")
    assert failed.failure_message == "There was not enough money in the account to refund from."
    assert sums(payment) == (0, 0)


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize(
    ("currency", "whole", "part"), [("JPY", 6400, 2501), ("KWD", 6400, 2510), ("USD", 6400, 2501)]
)
@pytest.mark.django_db(transaction=True)
def test_a_part_goes_back_in_every_kind_of_currency(
    make_payment: MakePayment, sandbox: SandboxClient, buyer: Actor, creator: Actor,
    processor: str, currency: str, whole: int, part: int,
) -> None:  # fmt: skip
    order = "ORDER" if processor == "paypal" else ""
    payment = make_payment(
        processor=processor, currency=currency, amount_minor=whole, order_id=order
    )
    sandbox.register(processor, payment.charge_id, whole, currency, order_id=order)
    case = cases.open_case(
        payment, payment.buyer, reason="not_as_described", message="A part.", asked_minor=part
    )
    tasks.advance([case.pk])
    cases.take_step(case, "accept", creator)

    tasks.carry_out(_refund_of(case).pk)
    tasks.sweep_cases()

    case = Case.objects.get(pk=case.pk)
    assert (case.state, case.money, sums(payment)) == ("closed", "arrived", (0, part))
    assert [r["amount_minor"] for r in sandbox.ledger()[payment.charge_id]["refunds"]] == [part]
    assert (violations(), differences(sandbox.ledger())) == ([], [])


def test_thousandths_that_stripe_does_not_take_are_refused_before_they_are_sent(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = make_payment(currency="KWD")
    sandbox.register("stripe", payment.charge_id, payment.amount_minor, "KWD")

    refused = refunds.send(ask(payment, 2501).pk)

    assert refused
    assert (refused.state, refused.failure_code) == ("failed", "amount_not_representable")
    assert (sums(payment), sandbox.calls("refund.create")) == ((0, 0), [])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_failure_twenty_days_after_the_arrival_is_told_once_and_frees_the_money(
    waiting_case: Case, payment: Payment, creator: Actor, staff: Actor, sandbox: SandboxClient,
    later: Later, processor: str,
) -> None:  # fmt: skip
    order = "ORDER" if processor == "paypal" else ""
    Payment.objects.filter(pk=payment.pk).update(processor=processor, order_id=order)
    sandbox.register(processor, payment.charge_id, 6400, order_id=order)
    cases.take_step(waiting_case, "accept", creator)
    refund = refunds.send(_refund_of(waiting_case).pk)
    assert refund
    for _ in range(2):
        tasks.sweep_cases()
    later(timedelta(days=20))

    sandbox.fail(refund.provider_id)
    reconciliation.look(payment.pk)
    for _ in range(2):
        tasks.sweep_cases()

    case = Case.objects.get(pk=waiting_case.pk)
    assert (case.state, case.money, case.waiting_on) == ("closed", "failed", "staff")
    assert sums(payment) == (0, 0)
    last = case.events.order_by("seq").last()
    assert last
    assert last.step == "refund_failed"
    told = Notification.objects.filter(about=last.public_id).values_list("recipient", flat=True)
    assert Counter(told) == Counter([case.buyer_id, creator.user_id])
    assert (violations(), differences(sandbox.ledger())) == ([], [])
    cases.take_step(case, "credit_instead", staff, message="Your card is gone.")
    assert Case.objects.get(pk=case.pk).money == "arrived"
    assert violations() == []


def _refund_of(case: Case) -> Refund:
    refund = Case.objects.select_related("refund").get(pk=case.pk).refund
    assert refund
    return refund


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_claim_at_the_same_instant_one_gets_it(payment: Payment) -> None:
    rounds, workers = 20, 4
    start = threading.Barrier(workers)
    waiting = [ask(payment, 100, key=f"r{number}").pk for number in range(rounds)]
    got: list[int] = []

    def work() -> None:
        for refund_id in waiting:
            start.wait(30)
            if refunds._claim(refund_id):
                got.append(refund_id)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got) == waiting
    assert set(Refund.objects.values_list("attempts", flat=True)) == {1}
