"""What a marketplace feeds us: its people, companies, products, memberships and payments.

A signed POST with up to 200 records, each with the id that the marketplace knows it by and the time
of its last change. Records come in any order and any number of times: the latest one counts, what
names something unknown waits for it, and what was paid and refunded is never changed here.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError as Invalid
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.errors import ApiError, ErrorOut
from api.models import FedRecord
from marketplace import clock
from marketplace.doorbell import ring
from marketplace.models import Company, Membership, Product, TeamMember, User
from payments.models import Payment
from payments.money import exponent
from resolution import erasure

router = Router(tags=["Ingest"])

MOST = 200
TOLERANCE = 5 * 60  # seconds
LOCK = 0x6665_6564


# ── Records ───────────────────────────────────────────────────────────────────────────────────────


def _id(prefix: str) -> Any:
    return Field(pattern=rf"^{prefix}_[A-Za-z0-9]{{1,34}}$")


def _written(value: object) -> object:
    """Amounts are strings: a float has lost what it was before it gets here."""
    if isinstance(value, bool | float):
        raise ValueError("write amounts as strings")  # noqa: TRY004 - pydantic wants this one
    return value


Name = Annotated[str, Field(min_length=1, max_length=120)]
Amount = Annotated[Decimal, BeforeValidator(_written), Field(ge=0, lt=10**12)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]


class Record(BaseModel):
    """What all records have."""

    model_config = ConfigDict(extra="forbid")

    updated_at: AwareDatetime


class UserIn(Record):
    """A person who buys, or works for a company."""

    type: Literal["user"]
    id: Annotated[str, _id("user")]
    name: Name
    email: Annotated[str, Field(max_length=254)]
    time_zone: Annotated[str, Field(max_length=64)] = "UTC"


class MemberIn(BaseModel):
    """A place in a company’s team."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[str, _id("user")]
    role: Literal["owner", "admin", "support", "viewer"]


class CompanyIn(Record):
    """A company; `team`, where given, is all of it."""

    type: Literal["company"]
    id: Annotated[str, _id("biz")]
    title: Name
    team: Annotated[list[MemberIn], Field(max_length=200)] | None = None


class ProductIn(Record):
    """Something that a company sells."""

    type: Literal["product"]
    id: Annotated[str, _id("prod")]
    account_id: Annotated[str, _id("biz")]
    title: Name
    description: Annotated[str, Field(max_length=10_000)] = ""
    price: Amount
    currency: Code
    interval: Literal["once", "month", "year"] = "once"


class MembershipIn(Record):
    """A person’s hold on a product."""

    type: Literal["membership"]
    id: Annotated[str, _id("mem")]
    user_id: Annotated[str, _id("user")]
    product_id: Annotated[str, _id("prod")]
    status: Literal["active", "canceled", "ended"] = "active"
    started_at: AwareDatetime
    renews_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None


class PaymentIn(Record):
    """Money that was paid. `charge_id` is the processor’s; so is `order_id`, for PayPal."""

    type: Literal["payment"]
    id: Annotated[str, _id("pay")]
    user_id: Annotated[str, _id("user")]
    product_id: Annotated[str, _id("prod")]
    membership_id: Annotated[str, _id("mem")] | None = None
    processor: Literal["stripe", "paypal", "crypto", "coinbase"]
    charge_id: Annotated[str, Field(max_length=80)] = ""
    order_id: Annotated[str, Field(max_length=80)] = ""
    processor_account: Annotated[str, Field(max_length=80)] = ""
    method: Annotated[str, Field(max_length=60)] = ""
    amount: Amount
    currency: Code
    refunded_amount: Amount = Decimal(0)
    paid_at: AwareDatetime


KINDS: dict[str, type[Record]] = {
    "user": UserIn,
    "company": CompanyIn,
    "product": ProductIn,
    "membership": MembershipIn,
    "payment": PaymentIn,
}
"""In the order in which they name one another."""

MODELS: dict[str, "QuerySet[Any]"] = {
    "user_": User.objects.all(),
    "biz_": Company.objects.all(),
    "prod_": Product.objects.all(),
    "mem_": Membership.objects.all(),
    "pay_": Payment.objects.all(),
}

StatusName = Literal["applied", "unchanged", "outdated", "waiting", "refused"]


class FeedIn(Schema):
    """Up to 200 records of any type, in any order; the documentation says what each type holds."""

    model_config = ConfigDict(extra="forbid")

    records: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST)]


class ResultOut(Schema):
    """What became of one record; `waits_for` are ids that we have not been told of."""

    type: str | None
    id: str | None
    status: StatusName
    waits_for: list[str] = Field(default_factory=list)
    message: str | None = None


class FeedOut(Schema):
    """What became of the records, in the order in which they were sent."""

    results: list[ResultOut]


class Refused(Exception):
    """The record cannot be applied as it is; the text says why, to the marketplace’s people."""


# ── Who may feed us ───────────────────────────────────────────────────────────────────────────────


def signed(request: HttpRequest) -> bool:
    """Let through what is signed, just now, by one of our secrets; ApiError 401 for all else."""
    if not _is_signed(request):
        raise ApiError(401, "invalid_signature", "The request is not signed, or not any more.")
    return True


def _is_signed(request: HttpRequest) -> bool:
    """Whether a request carries a fresh signature of Standard Webhooks by one of our secrets."""
    told = [request.headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")]
    message_id, stamp, signatures = told
    if not (message_id and stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        return False
    if abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    content = b".".join([message_id.encode("utf-8", "replace"), stamp.encode(), request.body])
    wanted = [
        hmac.new(secret.encode(), content, hashlib.sha256).digest()
        for secret in settings.INGEST_SECRETS
    ]
    given = [_decoded(one) for one in signatures.split(" ")]
    return any(hmac.compare_digest(one, other) for one in wanted for other in given)


def _decoded(signature: str) -> bytes:
    version, _, value = signature.partition(",")
    try:
        return base64.b64decode(value, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""


@router.post(
    "/ingest",
    auth=signed,
    response={200: FeedOut, **dict.fromkeys((400, 401, 413, 415, 422), ErrorOut)},
    operation_id="ingest",
)
def ingest(request: HttpRequest, body: FeedIn) -> FeedOut:
    """Tell of people, companies, products, memberships and payments of the marketplace.

    Signed as Standard Webhooks, with the literal bytes of the shared secret; no token is needed.
    """
    return FeedOut(results=take_in(body.records))


# ── Taking records in ─────────────────────────────────────────────────────────────────────────────


def take_in(records: Sequence[dict[str, Any]]) -> list[ResultOut]:
    """Apply what can be applied, keep what has to wait, and answer for each record in turn."""
    results: list[ResultOut | None] = [None] * len(records)
    parsed: list[tuple[int, Any]] = []
    for number, raw in enumerate(records):
        try:
            parsed.append((number, _parsed(raw)))
        except Refused as reason:
            told = {
                name: raw[name][:40] for name in ("type", "id") if isinstance(raw.get(name), str)
            }
            results[number] = ResultOut(
                type=told.get("type"), id=told.get("id"), status="refused", message=str(reason)
            )
    order = list(KINDS)
    parsed.sort(key=lambda one: (order.index(one[1].type), one[0]))
    with transaction.atomic():
        _one_at_a_time()
        applied: set[str] = set()
        for number, record in parsed:
            results[number] = result = _take_in(record)
            if result.status == "applied":
                applied.add(record.id)
        late = _apply_waiting(applied)
    for number, record in parsed:
        shown = results[number]
        if shown and shown.status == "waiting" and record.id in late:
            results[number] = late[record.id]
    return [result for result in results if result is not None]


def _parsed(raw: dict[str, Any]) -> Any:
    """The record of its type; Refused, with the first thing that is wrong with it."""
    kind = KINDS.get(raw["type"]) if isinstance(raw.get("type"), str) else None
    if kind is None:
        raise Refused(f"“type” is one of {', '.join(KINDS)}.")
    try:
        return kind.model_validate(raw)
    except ValidationError as reason:
        problem = reason.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise Refused(f"“{where}”: {problem['msg']}."[:300]) from reason


def _one_at_a_time() -> None:
    """Hold others up until the commit: a record must not miss the one that it waits for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _take_in(record: Any) -> ResultOut:
    """Keep a record, when it is news, and apply it."""
    known = FedRecord.objects.filter(kind=record.type, record_id=record.id).first()
    if known and known.updated_at > record.updated_at:
        return ResultOut(type=record.type, id=record.id, status="outdated")
    payload = record.model_dump(mode="json")
    same = known is not None and known.payload == payload
    if known and same and known.applied_at and not known.refusal:
        return ResultOut(type=record.type, id=record.id, status="unchanged")
    kept, _ = FedRecord.objects.update_or_create(
        kind=record.type,
        record_id=record.id,
        defaults={
            "updated_at": record.updated_at,
            "payload": payload,
            "needs": [],
            "refusal": "",
            "received_at": timezone.now(),
            "applied_at": None,
        },
    )
    return _apply(kept, record)


def _apply(kept: FedRecord, record: Any) -> ResultOut:
    """Write what a record says into our own tables, or say what it waits for or why it cannot."""
    named = Named.of(record)
    result = ResultOut(type=record.type, id=record.id, status="applied")
    if named.missing:
        result.status, result.waits_for = "waiting", named.missing
    else:
        try:
            with transaction.atomic():
                WRITERS[record.type](record, named)
        except Refused as reason:
            result.status, result.message = "refused", str(reason)
        except IntegrityError as reason:
            result.status, result.message = "refused", _conflict(reason)
    kept.needs, kept.refusal = result.waits_for, result.message or ""
    kept.applied_at = timezone.now() if result.status == "applied" else None
    kept.save(update_fields=["needs", "refusal", "applied_at"])
    return result


def try_again(pk: int) -> ResultOut | None:
    """Apply a record that is kept and not applied, and what waits for it; None if it is applied."""
    with transaction.atomic():
        _one_at_a_time()
        kept = FedRecord.objects.get(pk=pk)
        if kept.applied_at:
            return None
        result = _apply(kept, KINDS[kept.kind].model_validate(kept.payload))
        if result.status == "applied":
            _apply_waiting({kept.record_id})
    return result


def _conflict(reason: IntegrityError) -> str:
    said = str(reason)
    if "payment_charge_once" in said:
        return "Another payment has this charge_id."
    if "user_email_once" in said:
        return "Another user has this e-mail address."
    return "It contradicts what is known."


def _apply_waiting(applied: set[str]) -> dict[str, ResultOut]:
    """Apply what waited for these, and for those that come with it; answer them by id."""
    done: dict[str, ResultOut] = {}
    while applied:
        waiting = FedRecord.objects.filter(needs__overlap=sorted(applied)).order_by("pk")
        applied = set()
        for kept in waiting:
            record = KINDS[kept.kind].model_validate(kept.payload)
            done[kept.record_id] = result = _apply(kept, record)
            if result.status == "applied":
                applied.add(kept.record_id)
    return done


# ── Writing ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Named:
    """The rows that a record names, and the ids of those that are not there."""

    rows: dict[str, Any]
    missing: list[str]

    @classmethod
    def of(cls, record: Any) -> "Named":
        ids = [
            value
            for name, value in record.model_dump().items()
            if name.endswith("_id") and isinstance(value, str) and name[:-3] in NAMING
        ]
        ids += [member.user_id for member in getattr(record, "team", None) or ()]
        rows: dict[str, Any] = {}
        for prefix, known in MODELS.items():
            wanted = {one for one in ids if one.startswith(prefix)}
            if wanted:
                rows |= {row.public_id: row for row in known.filter(public_id__in=wanted)}
        return cls(rows, [one for one in dict.fromkeys(ids) if one not in rows])


NAMING = ("user", "account", "product", "membership")
"""The fields that name another record; a processor’s ids are none."""


def _save_user(record: UserIn, named: Named) -> None:
    email = record.email.strip().lower()
    try:
        validate_email(email)
    except Invalid:
        raise Refused("“email” is not an e-mail address.") from None
    try:
        ZoneInfo(record.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("“time_zone” is not a name such as Europe/Berlin.") from None
    known = User.objects.filter(public_id=record.id).first()
    if known and known.is_staff:
        raise Refused("This is a person of the platform’s own staff; they are not fed.")
    if known and erasure.erased([known.pk]):
        raise Refused("This person was erased, and stays so.")
    # Without a password, which no password matches; “unusable” would let nobody set a first one.
    user = known or User(public_id=record.id, password="")
    user.email, user.name, user.time_zone = email, record.name, record.time_zone
    user.save()


def _save_company(record: CompanyIn, named: Named) -> None:
    company, _ = Company.objects.update_or_create(
        public_id=record.id, defaults={"name": record.title}
    )
    if record.team is None:
        return
    roles = {named.rows[member.user_id].pk: member.role for member in record.team}
    company.members.exclude(user__in=roles).delete()
    for user_pk, role in roles.items():
        TeamMember.objects.update_or_create(
            company=company, user_id=user_pk, defaults={"role": role}
        )  # fmt: skip


def _save_product(record: ProductIn, named: Named) -> None:
    company = named.rows[record.account_id]
    known = Product.objects.filter(public_id=record.id).first()
    if known and known.company_id != company.pk:
        raise Refused("A product stays with its account.")
    Product.objects.update_or_create(
        public_id=record.id,
        defaults={
            "company": company,
            "name": record.title,
            "description": record.description,
            "price_minor": _minor(record.price, record.currency),
            "currency": record.currency.upper(),
            "interval": record.interval,
        },
    )


def _save_membership(record: MembershipIn, named: Named) -> None:
    user, product = named.rows[record.user_id], named.rows[record.product_id]
    known = Membership.objects.filter(public_id=record.id).first()
    if known and (known.user_id, known.product_id) != (user.pk, product.pk):
        raise Refused("A membership stays with its user and its product.")
    columns: dict[str, Any] = {
        "status": record.status,
        "started_at": record.started_at,
        "renews_at": record.renews_at,
        "ends_at": record.ends_at,
    }
    if known and known.status == Membership.Status.ENDED:
        # What ended with a refund, too, stays ended.
        columns = {"started_at": record.started_at}
    Membership.objects.update_or_create(
        public_id=record.id, defaults=columns, create_defaults={
            **columns, "user": user, "product": product
        },
    )  # fmt: skip


def _save_payment(record: PaymentIn, named: Named) -> None:
    """A new payment, or what may still be said of a known one: by what means it was paid.

    What is refunded is the provider’s to say. Of a payment that comes with refunds we take the sum
    as it is and then look; later we only look, and never lower or raise it.
    """
    amount = _minor(record.amount, record.currency)
    refunded = _minor(record.refunded_amount, record.currency)
    if amount == 0:
        raise Refused("“amount” is more than nothing.")
    if refunded > amount:
        raise Refused("“refunded_amount” is at most the amount.")
    if record.paid_at > clock.now():
        raise Refused("“paid_at” is in the future.")
    product = named.rows[record.product_id]
    membership = named.rows[record.membership_id] if record.membership_id else None
    terms: dict[str, Any] = {
        "buyer_id": named.rows[record.user_id].pk,
        "company_id": product.company_id,
        "product_id": product.pk,
        "processor": record.processor,
        "charge_id": record.charge_id,
        "amount_minor": amount,
        "currency": record.currency.upper(),
        "paid_at": record.paid_at.astimezone(UTC),
    }
    told: dict[str, Any] = {"method": record.method, "membership": membership}
    told |= {"order_id": record.order_id, "account": record.processor_account}
    known = Payment.objects.select_for_update(no_key=True).filter(public_id=record.id).first()
    if known is None:
        known = Payment.objects.create(
            public_id=record.id, refunded_minor=refunded, **terms, **told
        )  # fmt: skip
    else:
        changed = [name for name, value in terms.items() if getattr(known, name) != value]
        if changed:
            raise Refused(f"The {_outside(changed[0])} of a payment never changes.")
        told = {name: value for name, value in told.items() if value}
        if told:
            Payment.objects.filter(pk=known.pk).update(**told)
    if refunded and known.charge_id and known.processor in Payment.REVERSIBLE:
        ring("payments.tasks.look_at_payments", [known.pk])


def _outside(column: str) -> str:
    """What the feed calls a column."""
    names = {"buyer_id": "user_id", "company_id": "account", "amount_minor": "amount"}
    return names.get(column, column)


def _minor(amount: Decimal, currency: str) -> int:
    """An amount in minor units; Refused when it has more decimals than its currency."""
    scaled = amount.scaleb(exponent(currency.upper()))
    if scaled != scaled.to_integral_value():
        raise Refused(f"{currency.upper()} has no amount like {amount}.")
    return int(scaled)


WRITERS: dict[str, Callable[[Any, Named], None]] = {
    "user": _save_user,
    "company": _save_company,
    "product": _save_product,
    "membership": _save_membership,
    "payment": _save_payment,
}
