"""How a refund is recorded, sent once, and settled. The only code that changes a `Refund`.

Intent, then act, then settle. `request_refunds` reserves the money and records the intent inside
the transaction of the decision. `send` claims one refund by compare-and-set and commits, calls the
provider outside any transaction under a stable idempotency key, and settles in a new one. Whatever
was handed over without a clear answer is looked up at the provider before it is tried again.

What happens at the provider without us comes in here too: `record_elsewhere` for money that was
given back in its dashboard, `note_chargeback` for what the buyer's bank does.
"""

import logging
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_noop

from marketplace import clock, trail
from marketplace.failpoints import failpoint
from payments.gateways import (
    Declined,
    Gateway,
    GatewayError,
    RefundAnswer,
    RefundRequest,
    RefundSeen,
    Unavailable,
    Unknown,
    Unlisted,
    gateway_for,
    longest_call,
)
from payments.models import Discrepancy, Payment, Refund
from payments.money import format_money

log = logging.getLogger(__name__)

KEY_LIFE = timedelta(hours=23)
"""Stripe may forget an idempotency key after 24 h; PayPal keeps its own for 45 days."""

UNLISTED_KEY_LIFE = timedelta(days=29)
"""For payments without a list to look through, all of them PayPal's: v1 keeps a key for 30 days."""

LOOK_AGAIN = timedelta(seconds=5)
"""How soon a refund that the provider is still working on is looked at; later each time."""

LONGEST_PAUSE = timedelta(minutes=30)

BLOCKING = (Payment.Chargeback.OPEN, Payment.Chargeback.LOST)
"""While the bank holds the money, and once it has given it back, nothing is refunded."""

State = Refund.State


class OverRefund(Exception):
    """More would go back than was paid and is not yet spoken for."""


@dataclass(frozen=True)
class Intent:
    """Terms of a refund to be recorded: minor units of the payment's currency."""

    payment_id: int
    amount_minor: int
    currency: str
    key: str
    cause: str
    held: bool = False


def request_refunds(intents: Sequence[Intent]) -> dict[str, Refund]:
    """Record refunds to be sent once each, by key; a known key gives the row it gave before.

    Reserves each amount on its payment by one conditional UPDATE. Runs inside the caller's
    transaction, which holds the payments' locks. Raises OverRefund, and records nothing, when any
    of them would return more than was paid and is not yet spoken for, or the bank has the payment.
    """
    refunds = {row.key: row for row in Refund.objects.filter(key__in=[i.key for i in intents])}
    fresh = [intent for intent in intents if intent.key not in refunds]
    if not fresh:
        return refunds
    with transaction.atomic():
        if _reserve(fresh) != len(fresh):
            payments = Payment.objects.filter(pk__in=[intent.payment_id for intent in fresh])
            if payments.filter(chargeback__in=BLOCKING).exists():
                raise OverRefund("The buyer’s bank has this payment, so it can’t be refunded.")
            raise OverRefund("The payment has less than that left to give back.")
        made = Refund.objects.bulk_create(
            Refund(
                payment_id=intent.payment_id,
                amount_minor=intent.amount_minor,
                currency=intent.currency,
                key=intent.key,
                cause=intent.cause,
                state=State.HELD if intent.held else State.PENDING,
                next_attempt_at=None if intent.held else timezone.now(),
            )
            for intent in fresh
        )
    return refunds | {row.key: row for row in made}


def _reserve(intents: Sequence[Intent]) -> int:
    """Speak for each amount on its payment; answer how many payments had it left."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE payments_payment AS p
               SET reserved_minor = p.reserved_minor + wanted.amount
              FROM unnest(%s::bigint[], %s::bigint[]) AS wanted(id, amount)
             WHERE p.id = wanted.id AND wanted.amount > 0 AND p.chargeback NOT IN ('open', 'lost')
               AND p.refunded_minor + p.reserved_minor + p.credited_minor + wanted.amount
                   <= p.amount_minor
            """,
            [[i.payment_id for i in intents], [i.amount_minor for i in intents]],
        )
        return cursor.rowcount


def release(refunds: Iterable[Refund]) -> None:
    """Let held refunds go out: the decision that promised them is final."""
    Refund.objects.filter(pk__in=[r.pk for r in refunds], state=State.HELD).update(
        state=State.PENDING, next_attempt_at=timezone.now()
    )


def cancel_held(refund: Refund) -> None:
    """Lift a hold: the decision that promised the refund does not stand. Frees the money."""
    with transaction.atomic():
        Payment.objects.select_for_update(no_key=True).get(pk=refund.payment_id)
        lifted = Refund.objects.filter(pk=refund.pk, state=State.HELD).update(
            state=State.CANCELED, settled_at=clock.now()
        )
        if lifted:
            _move_money(refund, State.HELD, State.CANCELED)


def due(limit: int = 200) -> list[int]:
    """Ids of refunds that want a worker now: never sent, in doubt, or still under way."""
    now = timezone.now()
    return list(
        Refund.objects.filter(state__in=Refund.IN_FLIGHT, next_attempt_at__lte=now)
        .filter(Q(lease_until=None) | Q(lease_until__lt=now))
        .order_by("next_attempt_at")
        .values_list("pk", flat=True)[:limit]
    )


def try_now(refunds: QuerySet[Refund]) -> int:
    """Let refunds that wait be tried at the next sweep; answer how many there were."""
    return refunds.filter(state__in=Refund.IN_FLIGHT).update(next_attempt_at=timezone.now())


def send(refund_id: int) -> Refund | None:
    """Bring one refund a step further at the provider; None when another worker has it.

    Safe to call at any time, any number of times, from any number of workers.
    """
    refund = _claim(refund_id)
    if refund is None:
        return None
    trail.note(refund=refund.public_id, payment=refund.payment.public_id)
    failpoint("refund.claimed")
    token, doubted = refund.lease_token, refund.in_doubt_since is not None
    gateway = gateway_for(refund.payment.processor)
    request = as_request(refund)
    try:
        if refund.provider_id:
            answer = gateway.fetch(refund.provider_id, request)
        else:
            found, key_life = _find(gateway, refund) if doubted else (None, KEY_LIFE)
            if found is None and not _prepare_to_call(refund, key_life):
                return Refund.objects.select_related("payment").get(pk=refund_id)
            answer = found or _call(gateway, refund, doubted=doubted)
    except Declined as refusal:
        answer = RefundAnswer(
            provider_id=refund.provider_id,
            state="failed",
            failure_code=refusal.code,
            failure_message=refusal.message,
        )
    except Unavailable as trouble:
        _report(refund, trouble)
        _put_back(refund, token, doubted=doubted, wait=trouble.retry_after)
        return refund
    except Unknown as trouble:
        _report(refund, trouble)
        _put_back(refund, token, doubted=True, wait=trouble.retry_after)
        return refund
    failpoint("refund.called")
    settled = settle(refund_id, answer, token=token)
    failpoint("refund.settled")
    return settled


def _find(gateway: Gateway, refund: Refund) -> tuple[RefundAnswer | None, timedelta]:
    """Look for a refund in doubt; without it, answer for how long its key can still be trusted.

    Where the provider has no list to look through, the key alone tells a repeat from a second
    refund: it is held to as long as the provider keeps it, and after that a person has to look.
    """
    try:
        return gateway.find(as_request(refund)), KEY_LIFE
    except Unlisted as trouble:
        if refund.first_sent_at and timezone.now() - refund.first_sent_at > UNLISTED_KEY_LIFE:
            raise Unknown(
                f"{trouble.message} It was asked for {UNLISTED_KEY_LIFE.days} days ago, so it can "
                "no longer be asked for under the same key. Look it up in PayPal’s dashboard.",
                alert=True,
            ) from trouble
        return None, UNLISTED_KEY_LIFE


def _call(gateway: Gateway, refund: Refund, *, doubted: bool) -> RefundAnswer:
    """Ask for the refund; a refusal after a doubt may be our own earlier refund, so look again.

    Not without a lease that outlasts the call: a worker that was frozen would otherwise ask for
    what another has been refused since, or use a key that is forgotten by now, after another has
    used the next.
    """
    failpoint("refund.calling")
    if not _still_mine(refund):
        raise Unavailable("The worker was held up for longer than its lease.")
    try:
        return gateway.refund(as_request(refund))
    except Declined:
        found, _ = _find(gateway, refund) if doubted else (None, KEY_LIFE)
        if found is None:
            raise
        return found


def _still_mine(refund: Refund) -> bool:
    """Whether the lease holds for as long as a call can take, by the database's word."""
    answered_by = timezone.now() + timedelta(seconds=longest_call())
    mine = Refund.objects.filter(pk=refund.pk, lease_token=refund.lease_token)
    return mine.filter(lease_until__gt=answered_by).exists()


def _report(refund: Refund, trouble: GatewayError) -> None:
    """Say why a refund waits: in the log, and on its row, where staff read it."""
    level = logging.ERROR if trouble.alert else logging.WARNING
    log.log(level, "Refund %s waits: %s", refund.public_id, trouble.message)
    Refund.objects.filter(pk=refund.pk, lease_token=refund.lease_token).update(
        trouble=trouble.message, alert=trouble.alert
    )


def settle(refund_id: int, answer: RefundAnswer, *, token: uuid.UUID | None) -> Refund | None:
    """Record what the provider says of a refund, and move the payment's sums accordingly.

    With a lease token the answer counts only while that lease still holds: a worker that slept
    through its lease is refused, and None is returned. A late answer may turn succeeded into
    failed, never the other way round.
    """
    with transaction.atomic():
        payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
        Payment.objects.select_for_update(no_key=True).get(pk=payment_id)
        refund = Refund.objects.select_for_update(no_key=True).get(pk=refund_id)
        if token is not None and refund.lease_token != token:
            return None
        before, after = refund.state, _state_after(refund.state, answer.state)
        if before == after and after not in Refund.IN_FLIGHT:
            return refund
        refund.state = after
        refund.provider_id = answer.provider_id or refund.provider_id
        refund.failure_code = answer.failure_code or answer.pending_reason
        refund.failure_message = answer.failure_message
        refund.trouble, refund.alert = "", False
        refund.lease_token = refund.lease_until = refund.in_doubt_since = None
        refund.next_attempt_at = _next_look(refund) if after in Refund.IN_FLIGHT else None
        if after not in Refund.RESERVING and before != after:
            refund.settled_at = clock.now()
        refund.save()
        _move_money(refund, before, after)
        failpoint("refund.settling")
    return refund


def not_made(refund_id: int) -> bool:
    """End a refund in doubt that a person has looked for at its provider, in vain.

    It failed, so that finance see to it, or gives way to the bank where that has ruled for the
    buyer. Answers False, and changes nothing, when there is nothing to look up any more, or a
    worker has it in hand.
    """
    with transaction.atomic():
        payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
        Payment.objects.select_for_update(no_key=True).get(pk=payment_id)
        refund = (
            Refund.objects.select_for_update(no_key=True, of=["self"])
            .select_related("payment")
            .get(pk=refund_id)
        )
        in_hand = refund.lease_until is not None and refund.lease_until > timezone.now()
        if in_hand or not refund.wants_looking_up:
            return False
        if refund.payment.chargeback == Payment.Chargeback.LOST:
            _give_way_to_the_bank(refund)
        else:
            settle(refund_id, NOT_MADE, token=None)
    return True


# ── What happens at the provider without us ───────────────────────────────────────────────────────

CHARGED_BACK = RefundAnswer(
    provider_id="",
    state="canceled",
    failure_code="charged_back",
    failure_message=gettext_noop("The buyer’s bank has already given the money back."),
)


NOT_MADE = RefundAnswer(
    provider_id="",
    state="failed",
    failure_code="not_made",
    failure_message="It was looked up in the provider’s dashboard, and had never been made.",
)


def record_elsewhere(payment_id: int, seen: RefundSeen) -> Refund:
    """Record a refund that was made at the provider without us; known by its id, it is one row.

    It counts like one of ours. A sum that the payment came with, without refunds to show for it, is
    what such refunds explain first: it is not counted twice. Where the payment has less than that
    left, refunds of ours that were never sent make room for it: what has really been given back
    cannot be promised again. Raises OverRefund, and changes nothing, when even so there is not
    enough left.
    """
    with transaction.atomic():
        payment = Payment.objects.select_for_update(no_key=True).get(pk=payment_id)
        known = Refund.objects.filter(provider_id=seen.answer.provider_id).first()
        if known:
            return known
        state = _state_after("", seen.answer.state)
        counts = state not in (State.FAILED, State.CANCELED)
        if counts:
            _explain(payment, seen.amount_minor)
        if counts and payment.refundable_minor < seen.amount_minor:
            _make_room(payment, seen.amount_minor)
        refund = Refund(
            payment=payment,
            amount_minor=seen.amount_minor,
            currency=seen.currency,
            key=f"elsewhere:{seen.answer.provider_id}",
            cause="elsewhere",
            elsewhere=True,
            state=state,
            provider_id=seen.answer.provider_id,
            failure_code=seen.answer.failure_code or seen.answer.pending_reason,
            failure_message=seen.answer.failure_message,
        )
        if state in Refund.IN_FLIGHT:
            refund.next_attempt_at = _next_look(refund)
        else:
            refund.settled_at = clock.now()
        refund.save(force_insert=True)
        _move_money(refund, "", state)
    return refund


def _explain(payment: Payment, amount_minor: int) -> None:
    """Take up to so much off the refunded sum that no refund of ours accounts for.

    A payment that was brought in from elsewhere came with its sum only; the refunds behind it turn
    up at the provider later.
    """
    arrived = payment.refunds.filter(state=State.SUCCEEDED).aggregate(n=Sum("amount_minor"))["n"]
    explained = min(payment.refunded_minor - (arrived or 0), amount_minor)
    if explained > 0:
        payment.refunded_minor -= explained
        payment.save(update_fields=["refunded_minor"])


def _make_room(payment: Payment, amount_minor: int) -> None:
    """Cancel refunds that certainly never left until so much is left; raises OverRefund."""
    room = payment.refundable_minor
    unsent = Refund.objects.select_for_update(no_key=True).filter(
        payment=payment, state__in=[State.HELD, State.PENDING], provider_id=""
    )
    to_cancel = []
    for refund in unsent.order_by("pk"):
        if room < amount_minor:
            to_cancel.append(refund)
            room += refund.amount_minor
    if room < amount_minor:
        raise OverRefund("More was given back elsewhere than is left of the payment.")
    for refund in to_cancel:
        before = refund.state
        refund.state = State.CANCELED
        refund.failure_code = "refunded_elsewhere"
        refund.failure_message = gettext_noop("The payment was refunded at the provider meanwhile.")
        refund.lease_token = refund.lease_until = refund.next_attempt_at = None
        refund.settled_at = clock.now()
        refund.save()
        _move_money(refund, before, State.CANCELED)


def note_chargeback(payment_id: int, state: str) -> bool:
    """Record what the buyer's bank says of a payment, and let waiting refunds look at it again.

    Answers whether it is news. An empty state is none: what the provider does not list any more
    stays as it was.
    """
    with transaction.atomic():
        noted = (
            Payment.objects.filter(pk=payment_id).exclude(chargeback=state).update(chargeback=state)
            if state
            else 0
        )
        if noted:
            Refund.objects.filter(
                payment_id=payment_id, state__in=Refund.IN_FLIGHT, provider_id=""
            ).update(next_attempt_at=timezone.now())
    return bool(noted)


def is_news(refund: Refund, answer: RefundAnswer) -> bool:
    """Whether settling by this answer would move the refund on."""
    return _state_after(refund.state, answer.state) != refund.state


def _claim(refund_id: int) -> Refund | None:
    """Take the lease on one refund that wants work, and commit; None when it wants none."""
    now = timezone.now()
    with transaction.atomic():
        claimed = (
            Refund.objects.filter(
                pk=refund_id, state__in=Refund.IN_FLIGHT, next_attempt_at__lte=now
            )
            .filter(Q(lease_until=None) | Q(lease_until__lt=now))
            .update(
                lease_token=uuid.uuid4(),
                lease_until=now + timedelta(seconds=settings.REFUND_LEASE_SECONDS),
                attempts=F("attempts") + 1,
            )
        )
    if not claimed:
        return None
    return Refund.objects.select_related("payment").get(pk=refund_id)


def _prepare_to_call(refund: Refund, key_life: timedelta) -> bool:
    """Write down that the provider is about to be called; False when it must not be, not now.

    No refund starts while a chargeback is open: it waits, and is canceled when the bank has ruled
    for the buyer. A refund in doubt that the provider does not know is only taken as absent after
    a while, and a key that the provider may have forgotten is replaced by the next generation
    before it is used. Raises Unknown for one in doubt that can neither be looked up, nor asked for
    again since the bank has ruled for the buyer.
    """
    now = timezone.now()
    listed = (
        key_life == KEY_LIFE
    )  # where not, the one key alone tells a repeat from a second refund
    mine = Refund.objects.filter(pk=refund.pk, lease_token=refund.lease_token)
    patience = timedelta(seconds=settings.REFUND_DOUBT_SECONDS)
    if refund.in_doubt_since and now - refund.in_doubt_since < patience:
        mine.update(
            lease_token=None, lease_until=None, next_attempt_at=refund.in_doubt_since + patience
        )
        return False
    with transaction.atomic():
        # Under its lock, so that a chargeback is either seen here or comes after the call.
        payment = Payment.objects.select_for_update(no_key=True).get(pk=refund.payment_id)
        if payment.chargeback == Payment.Chargeback.OPEN:
            mine.update(lease_token=None, lease_until=None, next_attempt_at=now + LONGEST_PAUSE)
            return False
        if payment.chargeback == Payment.Chargeback.LOST:
            if refund.in_doubt_since and not listed:
                raise Unknown(
                    "The bank has ruled for the buyer, and PayPal keeps no list that shows whether "
                    "this refund was made before. Look it up in PayPal’s dashboard.",
                    alert=True,
                )
            _give_way_to_the_bank(refund)
            return False
        if listed and refund.first_sent_at and now - refund.first_sent_at > key_life:
            refund.generation += 1
            refund.first_sent_at = None
        refund.first_sent_at = refund.first_sent_at or now
        refund.in_doubt_since = now
        refund.state = State.SUBMITTING
        return bool(
            mine.update(
                generation=refund.generation,
                first_sent_at=refund.first_sent_at,
                in_doubt_since=refund.in_doubt_since,
                state=refund.state,
            )
        )


def _give_way_to_the_bank(refund: Refund) -> None:
    """Cancel a refund that never left, as the buyer has the money; finance are to know of it."""
    settled = settle(refund.pk, CHARGED_BACK, token=refund.lease_token)
    if settled and settled.failure_code == CHARGED_BACK.failure_code:
        Discrepancy.objects.bulk_create(
            [
                Discrepancy(
                    payment_id=refund.payment_id,
                    kind=Discrepancy.Kind.OVERTAKEN,
                    reference=refund.public_id,
                    detail=overtaken(refund),
                )
            ],
            ignore_conflicts=True,
        )


def overtaken(refund: Refund) -> str:
    """What is to be known of a refund that the bank's ruling has overtaken."""
    amount = format_money(refund.amount_minor, refund.currency)
    return f"A refund of {amount} was decided and never sent: the bank had ruled for the buyer."


def _put_back(
    refund: Refund, token: uuid.UUID | None, *, doubted: bool, wait: float | None
) -> None:
    """Give up the lease and come back later, later each time.

    Only a refund that was never in doubt goes back to pending; the others are looked up first.
    """
    pause = min(LONGEST_PAUSE, timedelta(seconds=2 ** min(refund.attempts, 11)))
    seconds = max(wait or 0, pause.total_seconds() * random.uniform(0.5, 1))  # noqa: S311
    changes: dict[str, object] = {
        "lease_token": None,
        "lease_until": None,
        "next_attempt_at": timezone.now() + timedelta(seconds=seconds),
    }
    if not doubted and not refund.provider_id:
        changes |= {"in_doubt_since": None, "first_sent_at": None, "state": State.PENDING}
    Refund.objects.filter(pk=refund.pk, lease_token=token).update(**changes)


def _next_look(refund: Refund) -> datetime:
    return timezone.now() + min(LONGEST_PAUSE, LOOK_AGAIN * refund.attempts**2)


def as_request(refund: Refund) -> RefundRequest:
    """The terms of a refund as its provider is asked for them."""
    return RefundRequest(
        refund_id=refund.public_id,
        charge_id=refund.payment.charge_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        idempotency_key=refund.idempotency_key,
        account=refund.payment.account,
        order_id=refund.payment.order_id,
    )


def _state_after(before: str, answer: str) -> str:
    """What a refund becomes when the provider answers; an end is only left for a late failure."""
    told = State.SUBMITTING if answer == "pending" else State(answer)
    if before in (State.FAILED, State.CANCELED):
        return before
    if before == State.SUCCEEDED and told not in (State.FAILED, State.CANCELED):
        return before
    return told


def _move_money(refund: Refund, before: str, after: str) -> None:
    """Move the payment's reserved and refunded sums along with a refund's state."""

    def share(state: str) -> tuple[int, int]:
        return (
            refund.amount_minor if state in Refund.RESERVING else 0,
            refund.amount_minor if state == State.SUCCEEDED else 0,
        )

    reserved, refunded = (new - old for new, old in zip(share(after), share(before), strict=True))
    if reserved or refunded:
        Payment.objects.filter(pk=refund.payment_id).update(
            reserved_minor=F("reserved_minor") + reserved,
            refunded_minor=F("refunded_minor") + refunded,
        )
