"""Short histories in which a certain mistake would cost money, or lose some.

Each plays by what the product does anyway and ends with everything at rest; it raises
AssertionError when a promise is broken. On the product as it is they all pass.
"""

import json
from typing import Any
from unittest.mock import patch

from django.db import transaction

from notifications import outbox
from notifications.models import Notification
from payments import credits, reconciliation, refunds
from payments.models import Payment, ProviderEvent, Refund
from payments.tasks import handle_events
from resolution import cases, tasks
from resolution.messages import compose
from resolution.models import Case
from resolution.sweeps import sweep
from resolution.terms import Remedy, Verdict
from tests.stateful.world import World, interrupted

PART = 2500
ALL = 6400


def accepted(world: World, processor: str = "stripe", asked: int = PART, **paid: Any) -> Case:
    """A case whose refund is to be sent."""
    case = world.open(world.pay(processor, **paid), asked)
    assert world.act("cleo", "accept")
    return case


def given(world: World) -> list[int]:
    """What the provider has given back of the latest case's payment."""
    rows = world.sandbox.ledger()[world.case().payment.charge_id]["refunds"]
    return [row["amount_minor"] for row in rows if row["state"] != "failed"]


def slow_worker(world: World) -> None:
    """One worker stands before its call while another takes over and sends."""
    accepted(world)
    refund = world.refund()

    def overtaken() -> None:
        world.a_while_passes(400)
        refunds.send(refund.pk)

    with interrupted(before=overtaken):
        refunds.send(refund.pk)
    world.check()
    world.come_to_rest()
    assert given(world) == [PART]


def hidden_effect(world: World) -> None:
    """The refund is made, the answer is an error, and a day later the key is forgotten."""
    accepted(world)
    world.sandbox.fault("stripe", "refund.create", "500_after_effect")
    world.send()
    world.a_while_passes(25 * 3600)
    world.sandbox.forget_keys()
    world.send()
    world.check()
    world.come_to_rest()
    assert given(world) == [PART]


def late_refusal(world: World) -> None:
    """A worker is refused and falls asleep; another sends the refund; then the first wakes up."""
    accepted(world, "paypal")
    refund = world.refund()
    world.sandbox.fault("paypal", "refund.create", "decline", code="TRANSACTION_REFUSED")

    def overtaken() -> None:
        world.a_while_passes(400)
        refunds.send(refund.pk)

    with interrupted(after=overtaken):
        refunds.send(refund.pk)
    assert world.refund().state == Refund.State.SUCCEEDED, "a worker wrote without its lease"
    world.come_to_rest()


def long_call(world: World) -> None:
    """A call takes a hundred seconds, which is within the lease; nobody else may send meanwhile."""
    accepted(world)
    refund = world.refund()

    def others_look() -> None:
        world.a_while_passes(100)
        refunds.send(refund.pk)

    with interrupted(before=others_look):
        refunds.send(refund.pk)
    calls = world.sandbox.ledger()[refund.payment.charge_id]["create_calls"]
    assert (world.refund().attempts, calls) == (1, 1), "two workers had one refund"


def lost_nudge(world: World) -> None:
    """An event comes twice, and both times the nudge to the workers is lost."""
    case = world.open(world.pay(), PART)
    world.sandbox.refund_elsewhere(case.payment.charge_id, 1000)
    for letter in world.collect():
        world.hear(letter, times=2)
    handle_events()
    assert Payment.objects.get(pk=case.payment_id).refunded_minor == 1000, "an event was dropped"
    world.come_to_rest()


def two_claims(world: World) -> None:
    """Two refunds that fit alone, and not together."""
    payment = world.pay()
    intents = [refunds.Intent(payment.pk, 4000, "USD", key, f"revt_{key}") for key in "ab"]
    refusals = 0
    for intent in intents:
        try:
            with transaction.atomic():
                refunds.request_refunds([intent])
        except refunds.OverRefund:
            refusals += 1
    world.check()
    assert refusals == 1


def not_there_yet(world: World) -> None:
    """The provider takes the refund and is still at it; then the card turns out to be gone."""
    accepted(world)
    world.sandbox.fault("stripe", "refund.create", "wait", code="processing")
    world.send()
    assert world.case().money == "sent", "5 pending was told as done"
    world.sandbox.fail(world.refund().provider_id)
    world.come_to_rest()
    assert (world.case().money, world.case().waiting_on) == ("failed", "staff")


def late_failure(world: World) -> None:
    """The refund arrives, the case closes, and twenty days later the money comes back."""
    accepted(world)
    world.sweep()
    world.sweep()
    assert world.case().state == "closed"
    world.days_pass(20)
    world.sandbox.fail(world.refund().provider_id)
    world.hear_all()
    world.come_to_rest()
    assert world.case().money == "failed"


def bank_first(world: World) -> None:
    """The buyer's bank opens a chargeback between the decision and the first attempt."""
    case = accepted(world)
    world.sandbox.dispute(case.payment.charge_id)
    world.hear_all()
    tasks.sweep_cases()
    assert world.case().frozen_at is not None
    for refund_id in refunds.due():
        refunds.send(refund_id)
    world.check()
    world.come_to_rest()
    assert world.sandbox.calls("refund.create") == []


def alone_at_the_bank(world: World) -> None:
    """A refund that no list shows is made, its answer is lost, and the bank rules for the buyer."""
    payment = world.pay("paypal", order_id="")
    world.open(payment, PART)
    assert world.act("cleo", "accept")
    world.sandbox.fault("paypal", "refund.create", "drop", effect=True)
    world.send()
    world.sandbox.dispute(payment.charge_id, amount_minor=1000)
    world.sandbox.rule(payment.charge_id, "lost")
    world.sandbox.events()  # lost as well
    reconciliation.look(payment.pk)
    world.a_while_passes(3600)
    world.send()
    assert world.refund().state == Refund.State.SUBMITTING, "a doubt was taken for certainty"
    [there] = world.sandbox.ledger()[payment.charge_id]["refunds"]
    reconciliation.look(payment.pk, [there["id"]])
    assert world.refund().state == Refund.State.SUCCEEDED


def woken_late(world: World) -> None:
    """A worker freezes before its call; another is refused; then the first wakes up."""
    accepted(world, "paypal")
    refund = world.refund()

    def frozen(place: str) -> None:
        if place == "refund.calling" and world.refund().attempts == 1:
            world.a_while_passes(400)
            world.sandbox.fault("paypal", "refund.create", "decline", code="TRANSACTION_REFUSED")
            refunds.send(refund.pk)

    with patch.object(refunds, "failpoint", frozen):
        refunds.send(refund.pk)
    assert world.refund().state == Refund.State.FAILED
    assert given(world) == [], "a worker called without its lease"


def repeated_credits(world: World) -> None:
    """The booking of a decision's credits is asked for twice, as a repeated task would."""
    world.open(world.pay(), PART)
    assert world.act("cleo", "deny")
    assert world.act("bea", "appeal")
    assert world.act("sam", "decide", verdict=Verdict(Remedy.CREDIT, PART))
    world.days_pass(8)
    sweep()
    booked = world.case().payment.credits.get()
    with transaction.atomic():
        credits.grant(
            world.case().payment, PART, key=booked.key, cause=booked.cause, note=booked.note
        )
    world.come_to_rest()


def refunded_elsewhere(world: World) -> None:
    """Somebody gives a part back in the provider's dashboard."""
    case = world.open(world.pay(), PART)
    world.sandbox.refund_elsewhere(case.payment.charge_id, 1000)
    world.hear_all()
    world.come_to_rest()


def crowded_out(world: World) -> None:
    """Before the refund leaves, so much is given back elsewhere that it no longer fits."""
    case = accepted(world, asked=ALL)
    world.sandbox.refund_elsewhere(case.payment.charge_id, 5000)
    world.hear_all()
    world.come_to_rest()
    assert (world.case().money, world.case().waiting_on) == ("failed", "staff")


def cleanly_refused(world: World) -> None:
    """The provider refuses for good: the money is free again, and staff decide what to do."""
    accepted(world)
    world.sandbox.fault("stripe", "refund.create", "decline")
    world.send()
    world.come_to_rest()
    assert (world.case().payment.reserved_minor, world.case().money) == (0, "failed")


def shuffled_bank(world: World) -> None:
    """The bank opens a chargeback and rules for the creator; we hear of the end first."""
    case = world.open(world.pay(), PART)
    world.sandbox.dispute(case.payment.charge_id)
    world.collect()
    world.sandbox.rule(case.payment.charge_id, "won")
    for letter in reversed(world.collect()):
        world.hear(letter)
    for _ in range(2):
        handle_events()
    payment = Payment.objects.get(pk=case.payment_id)
    assert payment.chargeback == "won", "the end depends on the order in which it is told"
    world.come_to_rest()


def without_effect(world: World) -> None:
    """The provider breaks down before it has done anything."""
    accepted(world)
    world.sandbox.fault("stripe", "refund.create", "500_before")
    world.send()
    world.sandbox.forget_keys()
    world.come_to_rest()
    assert given(world) == [PART]


def paypal_part(world: World) -> None:
    """A part goes back through PayPal."""
    accepted(world, "paypal")
    world.send()
    assert given(world) == [PART], "9 more went back than was decided"
    world.come_to_rest()


def two_sweepers(world: World) -> None:
    """Two sweepers have found the same overdue case."""
    case = world.open(world.pay(), PART)
    world.days_pass(8)
    done = [cases.take_step_on_all([case.pk], "escalate") for _ in range(2)]
    assert done == [[case.pk], []], "14 escalated twice"
    world.come_to_rest()


def slow_mail(world: World) -> None:
    """A worker of the outbox sleeps through its lease; another sends; then it reports a failure."""
    world.open(world.pay(), PART)

    def overtaken(batch: Any) -> Any:
        if not Notification.objects.filter(state="sent").exists():
            world.a_while_passes(400)
            outbox.deliver(compose)
        raise ValueError("No words for this.")

    outbox.deliver(overtaken)
    world.check()
    assert not Notification.objects.exclude(state="sent", attempts=2).exists()
    world.come_to_rest()


def by_letter(event_pk: int) -> None:
    """Takes what an event says for the truth, as no handler should."""
    event = ProviderEvent.objects.get(pk=event_pk)
    about = json.loads(event.payload)["data"]["object"]
    if event.type.startswith("charge.dispute"):
        state = "open" if about["status"] == "needs_response" else about["status"]
        Payment.objects.filter(charge_id=about["charge"]).update(chargeback=state)
    else:
        for payment in Payment.objects.filter(charge_id=about.get("charge") or about["id"]):
            reconciliation.look(payment.pk)
    event.processed_at = event.received_at
    event.save()
