"""Looks at a payment as its provider has it, and brings our books in line with it.

One look serves all: an event of the provider's is a hint to take it, and so is the time of day. It
reads everything that the provider has on the charge, so it does not matter which event called for
it, in which order they came, or how late. What cannot be brought in line becomes a `Discrepancy`.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from marketplace import clock
from marketplace.doorbell import ring
from payments import refunds
from payments.gateways import (
    Charge,
    Chargebacks,
    GatewayError,
    RefundSeen,
    gateway_for,
)
from payments.models import Discrepancy, Payment, Refund
from payments.money import format_money

log = logging.getLogger(__name__)

TOO_LONG = timedelta(hours=1)
"""In flight longer than this, a refund is looked at from the provider's side."""

Kind = Discrepancy.Kind
Difference = tuple[Kind, str, str]
"""A kind, the refund it is about as the provider names it, and a sentence."""


def look(payment_id: int, told: Iterable[str] = ()) -> None:
    """Bring our books in line with the provider's on one payment. Safe to call at any time.

    `told` are provider's ids of refunds that may be of this payment, from an event or from a
    person: where the provider keeps no list, nothing else leads to a refund that we do not know.

    Raises Unknown or Unavailable when the provider does not answer clearly; nothing is changed
    then. Whoever listens (PAYMENT_NEWS_TASK) is nudged when anything has changed.
    """
    payment = Payment.objects.get(pk=payment_id)
    if payment.processor not in Payment.REVERSIBLE or not payment.charge_id:
        return
    began = _database_time()
    handed_over = {refund.provider_id for refund in payment.refunds.exclude(provider_id="")}
    gateway = gateway_for(payment.processor)
    charge = Charge(
        *(payment.charge_id, payment.currency, payment.account, payment.order_id),
        heard_of=frozenset(handed_over.union(told)),
    )
    seen = gateway.refunds_of(charge)
    bank = gateway.chargebacks_of(charge)
    with transaction.atomic():
        payment = Payment.objects.select_for_update(no_key=True).get(pk=payment_id)
        if payment.looked_at and payment.looked_at > began:
            return  # A look that began later has been applied: this one is out of date.
        before = _state_of(payment)
        differences = [*_take_in(payment, seen, handed_over), *_heed_bank(payment, bank)]
        differences += _check_sums(payment)
        _keep(payment, differences)
        Payment.objects.filter(pk=payment_id).update(looked_at=began)
        if _state_of(payment) != before:
            ring(settings.PAYMENT_NEWS_TASK, payment_id)


def look_at_all(payment_ids: Iterable[int]) -> None:
    """Look at payments one by one; a provider that does not answer is left for another time."""
    silent: set[str] = set()
    for payment in Payment.objects.filter(pk__in=payment_ids).order_by("pk"):
        if payment.processor in silent:
            continue
        try:
            look(payment.pk)
        except GatewayError as trouble:
            silent.add(payment.processor)
            level = logging.ERROR if trouble.alert else logging.WARNING
            log.log(level, "Payment %s is not compared: %s", payment.public_id, trouble.message)


def too_long_under_way() -> Iterator[int]:
    """Ids of payments whose money has been on its way for long, or is disputed, or differs."""
    late = timezone.now() - TOO_LONG
    waiting = Refund.objects.filter(state__in=Refund.IN_FLIGHT).filter(
        Q(first_sent_at__lt=late) | Q(elsewhere=True)
    )
    differing = Discrepancy.objects.filter(gone_at=None, settled_at=None)
    ids: QuerySet[Payment, tuple[int]] = (
        Payment.objects.filter(pk__in=waiting.values("payment")).values_list("pk")
        | Payment.objects.filter(pk__in=differing.values("payment")).values_list("pk")
        | Payment.objects.filter(chargeback=Payment.Chargeback.OPEN).values_list("pk")
    )
    return (pk for (pk,) in ids.iterator())


def recently_moved() -> Iterator[int]:
    """Ids of payments to compare once a day: paid or given back within RECONCILIATION_DAYS."""
    since = clock.now() - timedelta(days=settings.RECONCILIATION_DAYS)
    moved = Refund.objects.filter(Q(created_at__gte=since) | Q(settled_at__gte=since))
    return (
        Payment.objects.filter(processor__in=Payment.REVERSIBLE)
        .filter(Q(paid_at__gte=since) | Q(pk__in=moved.values("payment")))
        .values_list("pk", flat=True)
        .iterator()
    )


# ── One look ──────────────────────────────────────────────────────────────────────────────────────


def _database_time() -> datetime:
    """Orders looks by when they began, on whatever machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def _state_of(payment: Payment) -> object:
    """All of a payment that others may want to hear of when it changes."""
    sums = Payment.objects.values_list("refunded_minor", "reserved_minor", "chargeback")
    rows = payment.refunds.order_by("pk").values_list("pk", "state", "provider_id")
    return sums.get(pk=payment.pk), list(rows)


def _take_in(
    payment: Payment, seen: Sequence[RefundSeen], handed_over: set[str]
) -> Iterator[Difference]:
    """Settle our refunds and record the others, as the provider has them; yield what differs."""
    rows = list(payment.refunds.all())
    by_provider = {row.provider_id: row for row in rows if row.provider_id}
    ours = {row.public_id: row for row in rows if not row.elsewhere}
    for one in seen:
        name = one.answer.provider_id
        row = by_provider.get(name) or ours.get(one.refund_id)
        if row is None:
            yield from _record(payment, one)
        elif row.provider_id not in ("", name):
            yield Kind.TWICE, name, f"{row.public_id} is {row.provider_id} as well."
            yield from _record(payment, one)
        elif (row.amount_minor, row.currency) != (one.amount_minor, one.currency):
            here, there = _money(row), format_money(one.amount_minor, one.currency)
            yield Kind.TERMS, name, f"{row.public_id} is over {here} here, {there} there."
        elif row.state in (Refund.State.FAILED, Refund.State.CANCELED):
            if one.answer.state not in ("failed", "canceled"):
                detail = f"{row.public_id} over {_money(row)} {row.state} here."
                yield Kind.ENDED_HERE, name, detail
        elif row.provider_id != name or refunds.is_news(row, one.answer):
            refunds.settle(row.pk, one.answer, token=None)
            by_provider[name] = row
    listed = {one.answer.provider_id for one in seen}
    for name in sorted(handed_over - listed):
        row = by_provider[name]
        if row.state not in (Refund.State.FAILED, Refund.State.CANCELED):
            yield Kind.MISSING, name, f"{row.public_id} over {_money(row)} is not listed there."


def _record(payment: Payment, one: RefundSeen) -> Iterator[Difference]:
    """Record a refund that was made without us; where there is no room, say so."""
    given = format_money(one.amount_minor, one.currency)
    if one.currency != payment.currency:
        yield Kind.TERMS, one.answer.provider_id, f"{given} of a payment in {payment.currency}."
        return
    try:
        refunds.record_elsewhere(payment.pk, one)
    except refunds.OverRefund:
        yield Kind.NO_ROOM, one.answer.provider_id, f"{given} was given back at the provider."


def _heed_bank(payment: Payment, bank: Chargebacks) -> Iterator[Difference]:
    refunds.note_chargeback(payment.pk, bank.state)
    payment.refresh_from_db()
    back = payment.refunded_minor + payment.credited_minor
    if bank.lost_minor and bank.lost_minor + back > payment.amount_minor:
        taken, given = (format_money(n, payment.currency) for n in (bank.lost_minor, back))
        yield Kind.PAID_TWICE, "", f"The bank took {taken}, and {given} was given back."
    for row in payment.refunds.filter(
        state=Refund.State.CANCELED, failure_code=refunds.CHARGED_BACK.failure_code
    ):
        yield Kind.OVERTAKEN, row.public_id, refunds.overtaken(row)


def _check_sums(payment: Payment) -> Iterator[Difference]:
    """The sums on the payment are those of its refunds."""
    rows = payment.refunds.all()

    def total(states: Sequence[str]) -> int:
        return rows.filter(state__in=states).aggregate(n=Sum("amount_minor"))["n"] or 0

    sums = (payment.refunded_minor, payment.reserved_minor)
    told = (total([Refund.State.SUCCEEDED]), total(Refund.RESERVING))
    if sums != told:
        names = [format_money(n, payment.currency) for n in (*sums, *told)]
        yield (
            Kind.SUMS,
            "",
            f"{names[0]} refunded and {names[1]} on its way, by its refunds {names[2]} and "
            f"{names[3]}.",
        )


def _keep(payment: Payment, differences: Sequence[Difference]) -> None:
    """Write down what differs, once; what no longer does is gone."""
    Discrepancy.objects.bulk_create(
        [
            Discrepancy(payment=payment, kind=kind, reference=reference, detail=detail)
            for kind, reference, detail in differences
        ],
        ignore_conflicts=True,
    )
    known = {
        (row.kind, row.reference, row.detail): row
        for row in Discrepancy.objects.filter(payment=payment, settled_at=None)
    }
    now = clock.now()
    for what, row in known.items():
        if what in differences and row.gone_at:
            row.gone_at = None
        elif what not in differences and not row.gone_at:
            row.gone_at = now
        else:
            continue
        row.save(update_fields=["gone_at"])


def _money(refund: Refund) -> str:
    return format_money(refund.amount_minor, refund.currency)
