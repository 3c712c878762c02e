"""What the providers tell us: taken in at once, handled after that.

`take_in` checks an event and stores it; only then is it answered. `handle` takes it for what it is,
a hint that something about a charge has changed, and looks at that charge (reconciliation.py). A
lost nudge is found by a sweep; an event that cannot be handled yet waits, longer each time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from marketplace.failpoints import failpoint
from payments import reconciliation, signatures
from payments.gateways import GatewayError
from payments.models import Payment, ProviderEvent

LARGEST = 512 * 1024
"""Bytes of an event; the providers' own are a fraction of that."""

LONGEST_NAME = 80
"""Letters of a charge's name, as payments keep it."""

LEASE = timedelta(minutes=5)
PRUNED_AT_ONCE = 5000
LONGEST_PAUSE = timedelta(minutes=30)

ABOUT_MONEY: Mapping[str, tuple[str, ...]] = {
    "stripe": ("refund.", "charge.refund", "charge.dispute."),
    "paypal": (
        *("PAYMENT.REFUND.", "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"),
        *("PAYMENT.SALE.REFUNDED", "PAYMENT.SALE.REVERSED"),
        "CUSTOMER.DISPUTE.",
    ),
}
"""How the events begin that we act on; the others are stored and left alone."""


class Malformed(Exception):
    """The body is no event of this provider's."""


def take_in(provider: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Store an event that is the provider's, once however often it comes.

    Raises Malformed or signatures.Forged, and stores nothing, for anything else, and
    signatures.CannotCheck when the provider shall send it again.
    """
    if len(body) > LARGEST:
        raise Malformed("An event is not that large.")
    signatures.check(provider, body, headers)
    event_id, kind, text = _read(provider, body)
    event = ProviderEvent(provider=provider, event_id=event_id, type=kind, payload=text)
    event.charge = _charge_of(event)
    _store(event)
    failpoint("event.stored")


def _store(event: ProviderEvent) -> None:
    """Insert, unless it is there, in one statement that is its own transaction."""
    fields = [field for field in event._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(getattr(event, field.attname), connection) for field in fields]
    columns = ", ".join(str(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {event._meta.db_table} ({columns}) VALUES ({marks})"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            values,
        )


def _read(provider: str, body: bytes) -> tuple[str, str, str]:
    """The id and the type of an event, and its text; raises Malformed."""
    try:
        text = body.decode()
        event = json.loads(text)
        found = event["id"], event["type" if provider == "stripe" else "event_type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Malformed("The body is no event.") from None
    for name, longest in zip(found, (255, 100), strict=True):
        if not isinstance(name, str) or not 0 < len(name) <= longest:
            raise Malformed("The event has no id or no type.")
        if not (name.isascii() and name.isprintable()):
            raise Malformed("The event's id or type holds an unsupported character.")
    return *found, text


def due(limit: int = 200) -> list[int]:
    """Ids of events that are still to be handled, oldest first."""
    return list(
        ProviderEvent.objects.filter(processed_at=None, next_attempt_at__lte=timezone.now())
        .order_by("next_attempt_at")
        .values_list("pk", flat=True)[:limit]
    )


def handle(event_pk: int) -> None:
    """Look at the payments that an event is about. Safe to call at any time, any number of times.

    One look answers every event of the same charge that was stored before it: however many come,
    and however often, they cost one. When the provider cannot be asked, the event waits and says
    why.
    """
    now = timezone.now()
    mine = ProviderEvent.objects.filter(pk=event_pk, processed_at=None)
    claimed = mine.filter(next_attempt_at__lte=now).update(
        next_attempt_at=now + LEASE, attempts=F("attempts") + 1
    )
    if not claimed:
        return
    failpoint("event.claimed")
    event = ProviderEvent.objects.get(pk=event_pk)
    waiting = ProviderEvent.objects.filter(processed_at=None)
    of_charge = waiting.filter(provider=event.provider, charge=event.charge).exclude(charge="")
    answered = {event_pk, *of_charge.values_list("pk", flat=True)}
    told = _refunds_named(waiting.filter(pk__in=answered, provider="paypal"))
    payments = list(payments_named(event))
    try:
        for payment in payments:
            reconciliation.look(payment.pk, told)
    except GatewayError as trouble:
        pause = min(LONGEST_PAUSE, timedelta(seconds=2 ** min(event.attempts, 11)))
        pause = max(pause, timedelta(seconds=trouble.retry_after or 0))
        mine.update(error=trouble.message, next_attempt_at=timezone.now() + pause)
    else:
        failpoint("event.looked")
        seen_to = waiting.filter(pk__in=answered) if payments else mine
        seen_to.update(error="", processed_at=timezone.now())


def prune() -> int:
    """Remove the events that were seen to EVENTS_KEPT_DAYS ago; answer how many.

    One that a provider should send again after that is looked at again, which changes nothing.
    """
    before = timezone.now() - timedelta(days=settings.EVENTS_KEPT_DAYS)
    old = ProviderEvent.objects.filter(processed_at__lt=before).order_by("processed_at")
    removed = 0
    while batch := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        removed += ProviderEvent.objects.filter(pk__in=batch).delete()[0]
    return removed


def payments_named(event: ProviderEvent) -> Iterable[Payment]:
    """The payments of ours that an event about money is about; none when it is not."""
    about = _object_of(event)
    if about is None:
        return []
    named = {name for name in _names_in(about) if isinstance(name, str) and "\0" not in name}
    return Payment.objects.filter(processor=event.provider).filter(
        Q(charge_id__in=named) | Q(refunds__provider_id__in=named)
    ).distinct()  # fmt: skip


def _object_of(event: ProviderEvent) -> Mapping[str, Any] | None:
    """What an event about money is about, as the provider has written it; None for other events."""
    if not event.type.startswith(ABOUT_MONEY[event.provider]):
        return None
    said = json.loads(event.payload)
    held = said.get("data") if event.provider == "stripe" else said
    about = (held if isinstance(held, dict) else {}).get(
        "object" if event.provider == "stripe" else "resource"
    )
    return about if isinstance(about, dict) else None


def _refunds_named(events: Iterable[ProviderEvent]) -> set[str]:
    """The refunds that events of PayPal's are about; Stripe lists all refunds of a charge."""
    about = [_object_of(event) for event in events if "REFUND" in event.type]
    names = [each.get("id") for each in about if each]
    return {name for name in names if isinstance(name, str) and _can_be_kept(name)}


def _charge_of(event: ProviderEvent) -> str:
    """The charge, capture or sale that an event is about; empty when it names none or several."""
    about = _object_of(event)
    if about is None:
        return ""
    if event.provider == "stripe":
        held = about.get("id") if about.get("object") == "charge" else about.get("charge")
        named = [held.get("id") if isinstance(held, dict) else held]
    else:
        named = [*_disputed(about), *_ups(about), about.get("sale_id")]
    names = {name for name in named if isinstance(name, str)}
    name = names.pop() if len(names) == 1 else ""
    return name if _can_be_kept(name) else ""


def _can_be_kept(name: str) -> bool:
    return len(name) <= LONGEST_NAME and name.isprintable()


def _names_in(about: Mapping[str, Any]) -> Iterator[object]:
    """Every id in an event's object that may be a charge, a capture, an intent or a refund."""
    yield about.get("id")
    yield about.get("sale_id")
    for field in ("charge", "payment_intent"):
        held = about.get(field)
        yield held.get("id") if isinstance(held, dict) else held
    yield from _ups(about)
    yield from _disputed(about)


def _ups(about: Mapping[str, Any]) -> Iterator[object]:
    """What PayPal links a refund up to: its capture."""
    for link in _list(about.get("links")):
        if isinstance(link, dict) and link.get("rel") == "up":
            yield str(link.get("href", "")).rpartition("/")[2]


def _disputed(about: Mapping[str, Any]) -> Iterator[object]:
    for transaction in _list(about.get("disputed_transactions")):
        if isinstance(transaction, dict):
            yield transaction.get("seller_transaction_id")


def _list(held: object) -> list[Any]:
    return held if isinstance(held, list) else []
