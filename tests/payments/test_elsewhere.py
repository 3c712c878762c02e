"""What happens to a payment at the provider or at the bank reaches its case."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from payments import refunds
from payments.models import Discrepancy, Payment, Refund
from payments.tasks import handle_events, look_at_payments
from resolution import cases, tasks, timeline
from resolution.models import Case
from resolution.terms import Actor, Remedy, Verdict
from tests.conftest import Later
from tests.payments.test_webhooks import BANK, MADE, PROCESSORS, told, wait_for
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

pytestmark = pytest.mark.django_db(transaction=True)

ALL = 6400
PART = 2400


@pytest.fixture(params=PROCESSORS)
def payment(
    request: pytest.FixtureRequest, make_payment: MakePayment, sandbox: SandboxClient
) -> Payment:
    """A payment that its provider knows of, too; the cases below are about it."""
    order = "ORDER" if request.param == "paypal" else ""
    made = make_payment(processor=request.param, order_id=order)
    sandbox.register(made.processor, made.charge_id, made.amount_minor, order_id=order)
    return made


def now_at(case: Case) -> Case:
    return Case.objects.select_related("payment", "refund").get(pk=case.pk)


def steps(case: Case) -> list[str]:
    return list(case.events.order_by("seq").values_list("step", flat=True))


def work() -> None:
    """What the workers do within half a minute."""
    Refund.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=timezone.now())
    for refund_id in refunds.due():
        tasks.carry_out(refund_id)
    tasks.sweep_cases()
    tasks.sweep_cases()


def at_provider(sandbox: SandboxClient, payment: Payment) -> list[int]:
    rows = sandbox.ledger()[payment.charge_id]["refunds"]
    return [row["amount_minor"] for row in rows if row["state"] != "failed"]


# ── Refunded elsewhere ────────────────────────────────────────────────────────────────────────────


def test_a_payment_refunded_in_full_elsewhere_voids_its_case(
    waiting_case: Case, payment: Payment, sandbox: SandboxClient, listening: str
) -> None:
    sandbox.refund_elsewhere(payment.charge_id)
    told(*MADE[payment.processor])
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome, case.money) == ("closed", "void", "")
    assert steps(case) == ["open_case", "notify_creator", "void"]
    assert case.events.get(step="void").data["why"] == "refunded"
    last = timeline.entries(case, timeline.events_of(case, "buyer"), "buyer")[-1]
    assert last.text == " All of the payment was refunded outside of this case."
    assert at_provider(sandbox, payment) == [ALL]


def test_after_a_part_was_refunded_elsewhere_accepting_gives_what_is_left(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    sandbox.refund_elsewhere(payment.charge_id, PART)
    told(*MADE[payment.processor])

    cases.take_step(now_at(waiting_case), "accept", creator)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.remedy_minor) == ("closed", ALL - PART)
    assert at_provider(sandbox, payment) == [PART, ALL - PART]
    assert (case.payment.refunded_minor, case.payment.reserved_minor) == (ALL, 0)


def test_a_promise_gives_way_to_what_was_really_given_back(
    waiting_case: Case, payment: Payment, creator: Actor, buyer: Actor, staff: Actor,
    sandbox: SandboxClient, listening: str,
) -> None:  # fmt: skip
    cases.take_step(waiting_case, "deny", creator, message="It is as the page says.")
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="Count them.")
    half = Verdict(Remedy.REFUND, ALL // 2)
    cases.take_step(now_at(waiting_case), "decide", staff, message="So.", verdict=half)
    sandbox.refund_elsewhere(payment.charge_id)
    told(*MADE[payment.processor])
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome) == ("closed", "void")
    assert list(Refund.objects.order_by("pk").values_list("elsewhere", "state")) == [
        (False, "canceled"), (True, "succeeded"),
    ]  # fmt: skip
    assert (case.payment.refunded_minor, case.payment.reserved_minor) == (ALL, 0)


def test_a_refund_that_no_longer_fits_is_for_finance_who_send_what_is_left(
    waiting_case: Case, payment: Payment, creator: Actor, staff: Actor, sandbox: SandboxClient,
    listening: str,
) -> None:  # fmt: skip
    cases.take_step(waiting_case, "accept", creator)
    sandbox.refund_elsewhere(payment.charge_id, PART)
    told(*MADE[payment.processor])
    work()
    case = now_at(waiting_case)
    assert (case.state, case.money, case.waiting_on) == ("decided", "failed", "staff")
    assert at_provider(sandbox, payment) == [PART]

    cases.take_step(case, "retry_refund", staff)
    work()

    case = now_at(case)
    assert (case.state, case.money, case.remedy_minor) == ("closed", "arrived", ALL - PART)
    assert at_provider(sandbox, payment) == [PART, ALL - PART]


def test_a_refund_elsewhere_that_fails_later_frees_the_money(
    waiting_case: Case, payment: Payment, sandbox: SandboxClient, listening: str
) -> None:
    sandbox.settle_after(60)
    name = sandbox.refund_elsewhere(payment.charge_id)
    first = {"stripe": "refund.created", "paypal": "PAYMENT.REFUND.PENDING"}[payment.processor]
    told(first)
    work()
    payment.refresh_from_db()
    assert (payment.reserved_minor, now_at(waiting_case).state) == (ALL, "awaiting_creator")

    sandbox.fail(name)
    look_at_payments([payment.pk])
    work()

    payment.refresh_from_db()
    assert (payment.refundable_minor, now_at(waiting_case).state) == (ALL, "awaiting_creator")


# ── Charged back ──────────────────────────────────────────────────────────────────────────────────


def test_a_chargeback_freezes_and_the_ruling_for_the_buyer_voids(
    waiting_case: Case, payment: Payment, sandbox: SandboxClient, listening: str
) -> None:
    opened, closed = BANK[payment.processor]
    sandbox.dispute(payment.charge_id)
    told(opened)
    work()
    assert now_at(waiting_case).frozen_at is not None

    sandbox.rule(payment.charge_id, "lost")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome) == ("closed", "void")
    assert steps(case) == ["open_case", "notify_creator", "freeze", "void"]
    assert case.events.get(step="void").data["why"] == "charged_back"
    assert at_provider(sandbox, payment) == []


def test_the_ruling_for_the_creator_lets_the_clock_go_on(
    waiting_case: Case, payment: Payment, sandbox: SandboxClient, listening: str, later: Later
) -> None:
    opened, closed = BANK[payment.processor]
    due = waiting_case.due_at
    sandbox.dispute(payment.charge_id)
    told(opened)
    work()
    later(timedelta(days=30))
    work()
    assert now_at(waiting_case).state == "awaiting_creator"

    sandbox.rule(payment.charge_id, "won")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.frozen_at) == ("awaiting_creator", None)
    assert due
    assert case.due_at
    assert abs(case.due_at - due - timedelta(days=30)) < timedelta(minutes=1)
    assert steps(case) == ["open_case", "notify_creator", "freeze", "resume"]


def test_nothing_is_sent_while_a_chargeback_is_open_and_all_of_it_afterwards(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    opened, closed = BANK[payment.processor]
    cases.take_step(waiting_case, "accept", creator)
    sandbox.dispute(payment.charge_id)
    told(opened)
    work()
    work()
    case = now_at(waiting_case)
    assert (case.state, case.money, case.frozen_at is not None) == ("decided", "requested", True)
    assert case.refund
    assert case.refund.state == "pending"
    assert sandbox.calls("refund.create") == []

    sandbox.rule(payment.charge_id, "won")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.money) == ("closed", "arrived")
    assert at_provider(sandbox, payment) == [ALL]


def test_a_refund_that_was_never_sent_is_canceled_when_the_bank_has_paid(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    opened, closed = BANK[payment.processor]
    cases.take_step(waiting_case, "accept", creator)
    sandbox.dispute(payment.charge_id)
    told(opened)
    sandbox.rule(payment.charge_id, "lost")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome, case.money) == ("closed", "void", "")
    assert case.refund
    assert (case.refund.state, case.refund.failure_code) == ("canceled", "charged_back")
    assert case.payment.reserved_minor == 0
    assert sandbox.calls("refund.create") == []
    assert "refund_failed" not in steps(case)


def test_a_refund_in_doubt_is_looked_for_but_not_repeated_while_the_bank_looks(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    opened, closed = BANK[payment.processor]
    cases.take_step(waiting_case, "accept", creator)
    sandbox.fault(payment.processor, "refund.create", "500_before")
    work()
    sandbox.dispute(payment.charge_id)
    told(opened)
    old = timezone.now() - timedelta(minutes=5)
    Refund.objects.update(in_doubt_since=old)
    work()
    assert len(sandbox.calls("refund.create")) == 1

    sandbox.rule(payment.charge_id, "lost")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome) == ("closed", "void")
    assert len(sandbox.calls("refund.create")) == 1


def test_a_refund_of_a_closed_case_that_the_bank_has_overtaken_is_put_before_staff(
    waiting_case: Case, payment: Payment, creator: Actor, staff: Actor, sandbox: SandboxClient,
    listening: str,
) -> None:  # fmt: skip
    opened, closed = BANK[payment.processor]
    cases.take_step(waiting_case, "accept", creator)
    work()
    sent = now_at(waiting_case).refund
    assert sent
    sandbox.fail(sent.provider_id)
    look_at_payments([payment.pk])
    work()
    cases.take_step(now_at(waiting_case), "retry_refund", staff)
    sandbox.dispute(payment.charge_id)
    told(opened)
    sandbox.rule(payment.charge_id, "lost")
    told(closed)
    work()

    case = now_at(waiting_case)
    assert (case.state, case.money, case.waiting_on) == ("closed", "failed", "staff")
    assert at_provider(sandbox, payment) == []
    with pytest.raises(cases.StepRefused, match="bank has this payment"):
        cases.take_step(case, "retry_refund", staff)


def test_a_chargeback_of_what_was_refunded_already_is_a_discrepancy(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    opened, closed = BANK[payment.processor]
    cases.take_step(waiting_case, "accept", creator)
    work()
    assert now_at(waiting_case).state == "closed"
    sandbox.dispute(payment.charge_id)
    told(opened)
    sandbox.rule(payment.charge_id, "lost")
    told(closed)
    work()

    assert list(Discrepancy.objects.values_list("kind", "detail")) == [
        ("paid_twice", "The bank took $64.00, and $64.00 was given back."),
    ]  # fmt: skip
    assert now_at(waiting_case).outcome == "buyer_won"


def test_a_late_failure_told_by_the_provider_is_put_before_staff(
    waiting_case: Case, payment: Payment, creator: Actor, sandbox: SandboxClient, listening: str
) -> None:
    cases.take_step(waiting_case, "accept", creator)
    work()
    case = now_at(waiting_case)
    assert case.state == "closed"
    assert case.refund
    sandbox.fail(case.refund.provider_id)

    told({"stripe": "refund.failed", "paypal": "PAYMENT.REFUND.FAILED"}[payment.processor])
    work()

    case = now_at(case)
    assert (case.money, case.waiting_on) == ("failed", "staff")
    assert steps(case).count("refund_failed") == 1


Happen = Callable[[Payment, SandboxClient], Any]


@pytest.mark.parametrize("order", ["as they came", "backwards", "each twice"])
def test_the_end_is_the_same_in_whatever_order_it_is_told(
    waiting_case: Case, payment: Payment, sandbox: SandboxClient, listening: str, order: str
) -> None:
    kinds = {"as they came": "", "backwards": "reorder", "each twice": "double"}[order]
    if kinds:
        sandbox.fault(payment.processor, "webhook.send", kinds, times=3)
    sandbox.refund_elsewhere(payment.charge_id, PART)
    sandbox.dispute(payment.charge_id)
    sandbox.rule(payment.charge_id, "won")
    sandbox.refund_elsewhere(payment.charge_id)
    told(*MADE[payment.processor], *BANK[payment.processor])
    wait_for(lambda: _all_told(payment))
    handle_events()
    work()

    case = now_at(waiting_case)
    assert (case.state, case.outcome, case.payment.chargeback) == ("closed", "void", "won")
    assert case.payment.refunded_minor == ALL
    assert at_provider(sandbox, payment) == [PART, ALL - PART]


def _all_told(payment: Payment) -> bool:
    handle_events()
    payment.refresh_from_db()
    return payment.refunded_minor == ALL and payment.chargeback == "won"
