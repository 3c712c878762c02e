"""Known mistakes are planted one by one, and each is caught; without it, the same history is fine.

A mistake is a small change at a seam of the product. The third column is a piece of what is said
when it is caught: by an invariant (with its number), by the comparison with the provider's books,
or by the end that the history should have had.
"""

import copy
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import IntegrityError, connection
from django.test.utils import override_settings

from notifications import outbox
from notifications.models import Notification
from payments import credits, reconciliation, refunds, webhooks
from payments.gateways.paypal import Transport
from payments.gateways.stripe import StripeGateway
from payments.models import Payment, Refund
from resolution import cases, sweeps
from tests.planted import scenarios
from tests.stateful.world import World

State = Refund.State
NO_TIME = timedelta()

state_after, settle, move_money = refunds._state_after, refunds.settle, refunds._move_money
prepare, lock, post = refunds._prepare_to_call, cases._lock_alone, Transport.post
due, news_of_refund, grant = refunds.due, sweeps._news_of_refund, credits.grant


def fresh_key(refund: Refund) -> str:
    return uuid.uuid4().hex


def settle_whoever(refund_id: int, answer: Any, *, token: Any) -> Refund | None:
    return settle(refund_id, answer, token=None)


def pending_is_done(before: str, answer: str) -> str:
    return state_after(before, "succeeded" if answer == "pending" else answer)


def success_stays(before: str, answer: str) -> str:
    return before if before == State.SUCCEEDED else state_after(before, answer)


def never_mind_the_bank(refund: Refund, *more: Any) -> bool:
    payments = Payment.objects.filter(pk=refund.payment_id)
    bank = payments.get().chargeback
    payments.update(chargeback="")
    try:
        return prepare(refund, *more)
    finally:
        payments.update(chargeback=bank)


def grant_again(payment: Payment, amount_minor: int, *, key: str, **terms: Any) -> Any:
    return grant(payment, amount_minor, key=uuid.uuid4().hex, **terms)


def keep_the_reservation(refund: Refund, before: str, after: str) -> None:
    if after not in (State.FAILED, State.CANCELED):
        move_money(refund, before, after)


def only_new_ones(limit: int = 200) -> list[int]:
    return list(Refund.objects.filter(pk__in=due(limit), attempts=0).values_list("pk", flat=True))


def canceled_is_no_news(case: Any) -> str | None:
    if case.refund and case.refund.state == State.CANCELED:
        return None
    return news_of_refund(case)


def without_amount(transport: Transport, path: str, params: Any, **more: Any) -> Any:
    if path.endswith("/refund"):
        params = {name: value for name, value in params.items() if name != "amount"}
    return post(transport, path, params, **more)


def as_it_was_found() -> Callable[..., Any]:
    """The rows as the first sweeper has read them, for every other one too."""
    read: dict[Any, Any] = {}

    def stale(case_ids: Any) -> Any:
        found, now = lock(case_ids)
        return copy.deepcopy(read.setdefault(tuple(case_ids), copy.deepcopy(found))), now

    return stale


def settle_any_mail(settling: Any, messages: Any, **fields: Any) -> None:
    rows = Notification.objects.filter(pk__in=[message.pk for message in messages])
    rows.update(lease_token=None, lease_until=None, **fields)


@contextmanager
def reserve_whatever() -> Iterator[None]:
    """Neither the statement nor the database looks at what is left."""
    check = next(c for c in Payment._meta.constraints if c.name == "payment_never_gives_back_more")

    def reserve(intents: Any) -> int:
        for one in intents:
            payment = Payment.objects.get(pk=one.payment_id)
            payment.reserved_minor += one.amount_minor
            payment.save()
        return len(intents)

    with connection.schema_editor() as editor:
        editor.remove_constraint(Payment, check)
    try:
        with patch.object(refunds, "_reserve", reserve):
            yield
    finally:
        Payment.objects.update(reserved_minor=0)
        with connection.schema_editor() as editor:
            editor.add_constraint(Payment, check)


def planted(where: Any, name: str, mistake: Any) -> Callable[[], Any]:
    return lambda: patch.object(where, name, mistake)


BUGS: list[tuple[str, Callable[[], Any], Callable[[World], None], str]] = [
    ("a fresh key for each attempt",
     planted(Refund, "idempotency_key", property(fresh_key)),
     scenarios.slow_worker, "was refunded twice"),
    ("no look at the provider before a retry",
     planted(StripeGateway, "find", lambda gateway, request: None),
     scenarios.hidden_effect, "was refunded twice"),
    ("the next key before the first one has ended",
     planted(refunds, "KEY_LIFE", NO_TIME),
     scenarios.slow_worker, "was refunded twice"),
    ("settled without a look at the lease",
     planted(refunds, "settle", settle_whoever),
     scenarios.late_refusal, "a worker wrote without its lease"),
    ("a lease that is shorter than a call",
     lambda: override_settings(REFUND_LEASE_SECONDS=5),
     scenarios.long_call, "two workers had one refund"),
    ("an event counts only when its nudge comes through",
     planted(webhooks, "due", lambda limit=200: []),
     scenarios.lost_nudge, "an event was dropped"),
    ("an event is taken at its word",
     planted(webhooks, "handle", scenarios.by_letter),
     scenarios.shuffled_bank, "depends on the order"),
    ("money is promised that was promised before",
     reserve_whatever,
     scenarios.two_claims, "1 the sums of a payment"),
    ("a failed refund keeps its reservation",
     planted(refunds, "_move_money", keep_the_reservation),
     scenarios.cleanly_refused, "1 the sums of a payment"),
    ("pending is taken for done",
     planted(refunds, "_state_after", pending_is_done),
     scenarios.not_there_yet, "5 pending was told as done"),
    ("a failure after success is not heard",
     planted(refunds, "_state_after", success_stays),
     scenarios.late_failure, "is succeeded here, failed there"),
    ("a refund is sent although the bank looks into it",
     planted(refunds, "_prepare_to_call", never_mind_the_bank),
     scenarios.bank_first, "8 nothing is sent or promised"),
    ("what is in no list counts as never made",
     planted(refunds, "UNLISTED_KEY_LIFE", refunds.KEY_LIFE),
     scenarios.alone_at_the_bank, "a doubt was taken for certainty"),
    ("a call without a look at the lease",
     planted(refunds, "_still_mine", lambda refund: True),
     scenarios.woken_late, "a worker called without its lease"),
    ("what waits is not looked at again",
     planted(refunds, "due", only_new_ones),
     scenarios.without_effect, "3 a refund is still under way"),
    ("a refund that was crowded out is forgotten",
     planted(sweeps, "_news_of_refund", canceled_is_no_news),
     scenarios.crowded_out, "3 a case does not know what has become of its refund"),
    ("what was given back elsewhere is not counted",
     planted(reconciliation, "_record", lambda payment, seen: iter(())),
     scenarios.refunded_elsewhere, "is not known here"),
    ("a refund through PayPal without its amount",
     planted(Transport, "post", without_amount),
     scenarios.paypal_part, "9 more went back than was decided"),
    ("credits are granted once for each call",
     planted(credits, "grant", grant_again),
     scenarios.repeated_credits, "7 a decision is credited once"),
    ("a sweep acts on what it read before",
     lambda: patch.object(cases, "_lock_alone", as_it_was_found()),
     scenarios.two_sweepers, "14 escalated twice"),
    ("a message is settled by whoever",
     planted(outbox._Settling, "_settle", settle_any_mail),
     scenarios.slow_mail, "16 a message that is sent says when"),
    ("nobody is told",
     planted(cases, "_messages", lambda batch: []),
     scenarios.refunded_elsewhere, "16 whoever is to be told has a message"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "history", "said"), [bug[1:] for bug in BUGS],
                         ids=[bug[0] for bug in BUGS])  # fmt: skip
def test_a_planted_mistake_is_caught(
    world: World, plant: Callable[[], Any], history: Callable[[World], None], said: str
) -> None:
    world.begin_anew()
    history(world)

    world.begin_anew()
    with pytest.raises((AssertionError, IntegrityError)) as caught, plant():
        history(world)

    assert said in str(caught.value)
