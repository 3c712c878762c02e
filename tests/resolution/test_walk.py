"""The main walks through the lifecycle, by the door alone."""

from datetime import timedelta

from notifications.models import Notification
from payments import credits, refunds
from payments.gateways import RefundAnswer
from payments.models import Payment, Refund
from resolution import cases, sweeps
from resolution.models import Case, Rule
from resolution.terms import Actor, Party, Remedy, Verdict
from tests.conftest import Later

HALF = Verdict(Remedy.REFUND, 3200)
ALL = Verdict(Remedy.REFUND, 6400)
CREDITS = Verdict(Remedy.CREDIT, 6400)


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def arrive(case: Case) -> None:
    """Let the provider say that the case's refund arrived."""
    refund = now_at(case).refund
    assert refund
    refunds.settle(refund.pk, RefundAnswer(f"re_{refund.pk}", "succeeded"), token=None)
    sweeps.notice_refund(case.pk)
    sweeps.sweep()


def steps(case: Case) -> list[str]:
    return list(now_at(case).events.values_list("step", flat=True))


def test_an_accepted_case_is_refunded_and_closes(
    waiting_case: Case, creator: Actor, payment: Payment
) -> None:
    cases.take_step(waiting_case, "accept", creator, message="Sorry about that.")
    arrive(waiting_case)

    case = now_at(waiting_case)
    assert (case.state, case.outcome, case.money) == ("closed", "buyer_won", "arrived")
    assert steps(case) == [
        "open_case", "notify_creator", "accept", "refund_sent", "refund_arrived", "close",
    ]  # fmt: skip
    payment.refresh_from_db()
    assert (payment.refunded_minor, payment.reserved_minor) == (6400, 0)


def test_the_long_way_ends_with_a_final_review(
    waiting_case: Case, buyer: Actor, creator: Actor, staff: Actor, other_staff: Actor
) -> None:
    case = waiting_case
    for step, actor, verdict in [
        ("request_info", creator, None),
        ("reply", buyer, None),
        ("deny", creator, None),
        ("appeal", buyer, None),
        ("decide", staff, HALF),
        ("appeal", creator, None),
        ("decide_final", other_staff, ALL),
    ]:
        cases.take_step(now_at(case), step, actor, message=f"My word on {step}.", verdict=verdict)
    arrive(case)

    assert now_at(case).state == "closed"
    assert steps(case) == [
        "open_case", "notify_creator", "request_info", "reply", "deny", "appeal", "decide",
        "appeal", "decide_final", "refund_sent", "refund_arrived", "close",
    ]  # fmt: skip
    assert list(Refund.objects.order_by("id").values_list("amount_minor", "state")) == [
        (3200, "canceled"), (6400, "succeeded"),
    ]  # fmt: skip


def test_silence_brings_it_to_staff_who_give_credits(
    waiting_case: Case, buyer: Actor, staff: Actor, later: Later
) -> None:
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()
    sweeps.sweep()
    case = now_at(waiting_case)
    assert (case.state, case.waiting_on, case.review_reason) == (
        "escalated", "staff", "creator_silent",
    )  # fmt: skip
    cases.take_step(case, "decide", staff, message="Nobody answered.", verdict=CREDITS)
    assert now_at(case).waiting_on == Party.BUYER
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()

    assert buyer.user
    assert credits.balances(buyer.user) == [("USD", 6400)]
    assert now_at(case).state == "closed"
    assert steps(case) == [
        "open_case", "notify_creator", "escalate", "decide", "finalize", "close",
    ]  # fmt: skip


def test_a_rule_refunds_with_its_message(case: Case, creator: Actor) -> None:
    Rule.objects.create(
        company=case.company, name="All of it", position=1, reasons=["not_as_described"],
        message="Hi {{ first_name }}, {{ amount }} goes back to your {{ method }}.",
    )  # fmt: skip

    sweeps.advance([case.pk])

    event = case.events.get(step="auto_refund")
    assert event.message == "Hi Bea, $64.00 goes back to your Visa ending 4242."
    assert now_at(case).waiting_on == Party.SYSTEM


def test_a_denial_that_nobody_appeals_closes_without_a_refund(
    waiting_case: Case, creator: Actor, later: Later
) -> None:
    cases.take_step(waiting_case, "deny", creator, message="It is as the page says.")
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()

    case = now_at(waiting_case)
    assert (case.state, case.outcome) == ("closed", "creator_won")
    assert not Refund.objects.exists()


def test_everybody_is_told_once_and_nobody_of_their_own_act(
    waiting_case: Case, creator: Actor, buyer: Actor
) -> None:
    cases.take_step(waiting_case, "request_info", creator, message="Which calls?")

    assert creator.user
    assert buyer.user
    assert list(
        Notification.objects.order_by("id").values_list("kind", "recipient_id")
    ) == [
        ("open_case", buyer.user.pk),
        ("notify_creator", creator.user.pk),
        ("request_info", buyer.user.pk),
    ]  # fmt: skip
