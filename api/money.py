"""Payments and refunds in Whop's words: read here, moved elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from django.conf import settings
from django.db.models import Q, QuerySet
from django.templatetags.static import static
from ninja import Query, Router, Schema
from pydantic import Field

from api import tokens
from api.auth import ApiRequest, Caller
from api.cases import OldestFirst, Timestamp
from api.errors import documented, not_found
from api.paging import Order, PageInfo, Window, page_of
from api.shapes import LineItemOut, MoneyOut, line_items_of, money, paid_with, timestamp
from marketplace.models import Product
from payments.models import Payment, Refund

router = Router(tags=["Payments and refunds"])

RefundStatus = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]

STATUSES: dict[str, RefundStatus] = {
    Refund.State.PENDING: "pending",
    Refund.State.SUBMITTING: "pending",
    Refund.State.REQUIRES_ACTION: "requires_action",
    Refund.State.SUCCEEDED: "succeeded",
    Refund.State.FAILED: "failed",
    Refund.State.CANCELED: "canceled",
}
"""What a decision that can still be appealed only promises is no refund yet, and is not shown."""

FAILURES = {
    "lost_or_stolen_card": "lost_or_stolen_card",
    "expired_or_canceled_card": "expired_or_canceled_card",
    "insufficient_funds": "insufficient_funds",
    "declined": "bank_declined",
    "charge_disputed": "charge_disputed",
    "charged_back": "charge_disputed",
    "TRANSACTION_DISPUTED": "charge_disputed",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "charge_disputed",
    "refunded_elsewhere": "not_refundable",
    "charge_already_refunded": "not_refundable",
    "CAPTURE_FULLY_REFUNDED": "not_refundable",
    "REFUND_TIME_LIMIT_EXCEEDED": "not_refundable",
}


class RefundOut(Schema):
    """A refund. `amount` is an exact decimal string in whole units."""

    id: str
    account_id: str
    payment_id: str
    amount: MoneyOut
    original_amount: MoneyOut
    status: RefundStatus
    reason: Literal["requested_by_customer"] | None
    provider: str
    provider_created_at: str | None
    failure_reason: str | None
    failure_message: str | None
    metadata: dict[str, Any] | None
    reference_status: Literal["available", "pending", "unavailable"] | None
    reference_type: str | None
    reference_value: str | None
    visa_rdr: bool
    created_at: str
    updated_at: str


class PictureOut(Schema):
    """A picture of a person: the same for everybody."""

    url: str


class PersonOut(Schema):
    """The buyer. Nobody has a user name here; `username` is their id."""

    id: str
    name: str | None
    username: str
    profile_picture: PictureOut


class SaleOut(Schema):
    """A payment. What this service does not know of it is null."""

    id: str
    account_id: str
    user: PersonOut
    customer_email: str | None
    customer_phone: None = None
    member_id: str | None
    membership_id: str | None
    product_id: str
    plan_id: None = None
    line_items: list[LineItemOut]
    status: Literal["paid"]
    substatus: str
    billing_reason: Literal["one_time", "subscription"]
    currency: str
    subtotal: MoneyOut
    total: MoneyOut
    presentment_total: MoneyOut
    usd_total: MoneyOut | None
    amount_after_fees: MoneyOut
    tax_amount: None = None
    tax_behavior: None = None
    tax_refunded_amount: MoneyOut
    refundable: bool
    refunded_amount: MoneyOut
    refunded_at: str | None
    auto_refunded: bool
    voidable: bool
    retryable: bool
    payments_failed: int
    payment_method_type: str | None
    payment_method_id: None = None
    payment_instrument: None = None
    card_brand: str | None
    card_last4: str | None
    holds: list[MoneyOut]
    payment_rule_matches: list[str]
    three_ds_verified: bool
    verification_checks: None = None
    billing_address: None = None
    shipping_address: None = None
    shipment_id: None = None
    needs_tracking: None = None
    checkout_configuration_id: None = None
    client_secret: None = None
    decline_code: None = None
    dispute_alerted_at: None = None
    failure_message: None = None
    financing_installments_count: None = None
    ip_address: None = None
    last_payment_attempt_at: None = None
    next_payment_attempt_at: None = None
    metadata: None = None
    promo_code_id: None = None
    quote_id: None = None
    recovery_url: None = None
    risk_score: None = None
    risk_signals: None = None
    settlement_time_at: None = None
    created_at: str
    paid_at: str
    updated_at: str


class RefundPage(Schema):
    """A page of refunds."""

    data: list[RefundOut]
    page_info: PageInfo


class SalePage(Schema):
    """A page of payments."""

    data: list[SaleOut]
    page_info: PageInfo


# ── Refunds ───────────────────────────────────────────────────────────────────────────────────────


def refund_out(refund: Refund, state: str = "") -> RefundOut:
    """A refund read with its payment's company; `state` is the one to show, if not the present."""
    shown = STATUSES[state or refund.state]
    ended_badly = shown in ("failed", "canceled")
    amount = money(refund.amount_minor, refund.currency)
    changed = refund.settled_at or refund.first_sent_at or refund.created_at
    sent = refund.first_sent_at if refund.provider_id and not refund.elsewhere else None
    return RefundOut(
        id=refund.public_id,
        account_id=refund.payment.company.public_id,
        payment_id=refund.payment.public_id,
        amount=amount,
        original_amount=amount,
        status=shown,
        reason=None if refund.elsewhere else "requested_by_customer",
        provider=refund.payment.processor,
        provider_created_at=timestamp(sent) if sent else None,
        failure_reason=FAILURES.get(refund.failure_code, "unknown") if ended_badly else None,
        failure_message=refund.failure_message or None if ended_badly else None,
        metadata=None,
        reference_status=None,
        reference_type=None,
        reference_value=None,
        visa_rdr=False,
        created_at=timestamp(refund.created_at),
        updated_at=timestamp(max(changed, refund.created_at)),
    )


class RefundQuery(Window):
    """Which refunds, and which part of the list."""

    account_id: str | None = Field(None, description="Only of this account (`biz_`).")
    payment_id: str | None = Field(None, description="Only of this payment (`pay_`).")
    user_id: str | None = Field(None, description="Only to this buyer (`user_`, `me`).")
    created_before: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")
    created_after: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")
    order: Literal["created_at"] = "created_at"
    direction: OldestFirst = "desc"

    def conditions(self, caller: Caller) -> Q:
        """The filter for the database."""
        wanted = Q()
        if self.account_id is not None:
            wanted &= Q(payment__company__public_id=self.account_id)
        if self.payment_id is not None:
            wanted &= Q(payment__public_id=self.payment_id)
        if self.user_id is not None:
            wanted &= Q(payment__buyer__public_id=_who(self.user_id, caller))
        if self.created_before is not None:
            wanted &= Q(created_at__lt=self.created_before)
        if self.created_after is not None:
            wanted &= Q(created_at__gt=self.created_after)
        return wanted


def _who(user_id: str, caller: Caller) -> str:
    return caller.user.public_id if user_id == "me" else user_id


def refunds_of(caller: Caller) -> "list[QuerySet[Refund]]":
    """The refunds that the caller sees, as lists: theirs, and those of each of their companies."""
    lifted = Q(state=Refund.State.CANCELED, failure_code="")
    shown = Refund.objects.exclude(Q(state=Refund.State.HELD) | lifted)
    mine = [shown.filter(payment__buyer=caller.user)] if caller.as_buyer() else []
    return mine + [shown.filter(payment__company=company_id) for company_id in caller.places]


@router.get("/refunds", response={200: RefundPage, **documented()}, operation_id="list_refunds")
def list_refunds(request: ApiRequest, query: Query[RefundQuery]) -> RefundPage:
    """List the refunds to you and those of the accounts you are a team member of."""
    caller = request.auth
    caller.needs(tokens.READ_PAYMENTS)
    wanted = query.conditions(caller)
    rows = Refund.objects.select_related("payment__company")
    order = Order("created_at", "created_at", query.direction == "desc")
    found, info = page_of([side.filter(wanted) for side in refunds_of(caller)], rows, order, query)
    return RefundPage(data=[refund_out(refund) for refund in found], page_info=info)


@router.get(
    "/refunds/{refund_id}",
    response={200: RefundOut, **documented(404)},
    operation_id="retrieve_refund",
)
def retrieve_refund(request: ApiRequest, refund_id: str) -> RefundOut:
    """Retrieve a refund."""
    caller = request.auth
    caller.needs(tokens.READ_PAYMENTS)
    rows = Refund.objects.select_related("payment__company")
    refund = _first(rows, refunds_of(caller), refund_id)
    if refund is None:
        raise not_found("refund", "id")
    return refund_out(refund)


def _first(rows: "QuerySet[Any]", sides: "Sequence[QuerySet[Any]]", public_id: str) -> Any:
    seen = Q(pk__in=[])
    for side in sides:
        seen |= Q(pk__in=side.filter(public_id=public_id).values("pk"))
    return rows.filter(seen).first()


# ── Payments ──────────────────────────────────────────────────────────────────────────────────────


def sale_out(payment: Payment, *, shows_email: bool) -> SaleOut:
    """A payment read with its company, buyer, product and membership."""
    currency = payment.currency
    total = money(payment.amount_minor, currency)
    membership = payment.membership.public_id if payment.membership else None
    changed = max(payment.paid_at, payment.looked_at or payment.paid_at)
    paid = paid_with(payment)
    once = payment.product.interval == Product.Interval.ONCE
    return SaleOut(
        id=payment.public_id,
        account_id=payment.company.public_id,
        user=PersonOut(
            id=payment.buyer.public_id,
            name=payment.buyer.name,
            username=payment.buyer.public_id,
            profile_picture=PictureOut(url=f"{settings.SITE_URL}{static('img/person.svg')}"),
        ),
        customer_email=payment.buyer.email if shows_email else None,
        member_id=membership,
        membership_id=membership,
        product_id=payment.product.public_id,
        line_items=line_items_of(payment, payment.product),
        status="paid",
        substatus=_substatus(payment),
        billing_reason="one_time" if once else "subscription",
        currency=currency.lower(),
        subtotal=total,
        total=total,
        presentment_total=total,
        usd_total=total if currency == "USD" else None,
        amount_after_fees=total,
        tax_refunded_amount=money(0, currency),
        refundable=_refundable(payment),
        refunded_amount=money(payment.refunded_minor, currency),
        refunded_at=_refunded_at(payment),
        auto_refunded=False,
        voidable=False,
        retryable=False,
        payments_failed=0,
        holds=[],
        payment_rule_matches=[],
        three_ds_verified=False,
        created_at=timestamp(payment.paid_at),
        paid_at=timestamp(payment.paid_at),
        updated_at=timestamp(changed),
        payment_method_type=paid["payment_method_type"],
        card_brand=paid["card_brand"],
        card_last4=paid["card_last4"],
    )


def _substatus(payment: Payment) -> str:
    bank = {"open": "open_dispute", "won": "dispute_won", "lost": "dispute_lost"}
    if payment.chargeback:
        return bank[payment.chargeback]
    if payment.refunded_minor == 0:
        return "succeeded"
    full = payment.refunded_minor == payment.amount_minor
    return "refunded" if full else "partially_refunded"


def _refundable(payment: Payment) -> bool:
    bank = payment.chargeback in (Payment.Chargeback.OPEN, Payment.Chargeback.LOST)
    return payment.processor in Payment.REVERSIBLE and payment.refundable_minor > 0 and not bank


def _refunded_at(payment: Payment) -> str | None:
    """When the last refund arrived; the refunds come with the payment."""
    arrived: list[datetime] = [
        refund.settled_at
        for refund in payment.refunds.all()
        if refund.state == Refund.State.SUCCEEDED and refund.settled_at
    ]
    return timestamp(max(arrived)) if arrived else None


class SaleQuery(Window):
    """Which payments, and which part of the list."""

    mode: Literal["account_sales", "user_sales"] | None = Field(
        None, description="`account_sales`: only those of your accounts."
    )
    account_id: str | None = Field(None, description="Only to this account (`biz_`).")
    user_id: str | None = Field(None, description="Only of this buyer (`user_`, `me`).")
    status: (
        Literal["open", "authorized", "paid", "pending", "uncollectible", "unresolved", "void"]
        | None
    ) = Field(None, description="All payments here are `paid`.")
    billing_reason: (
        Literal[
            "subscription_create",
            "subscription_cycle",
            "subscription_update",
            "one_time",
            "manual",
            "subscription",
        ]
        | None
    ) = None
    currency: str | None = Field(None, max_length=3)
    query: str | None = Field(None, max_length=100, description="An id, a name or a product.")
    member_id: str | None = Field(None, description="Only of this membership (`mem_`).")
    membership_id: str | None = Field(None, description="Only of this membership (`mem_`).")
    product_id: str | None = Field(None, description="Only for this product (`prod_`).")
    plan_id: str | None = Field(None, description="No payment here has one.")
    created_before: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")
    created_after: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")
    order: Literal["created_at", "paid_at"] = "created_at"
    direction: OldestFirst = "desc"

    def conditions(self, caller: Caller) -> Q:
        """The filter for the database."""
        named = {
            "company__public_id": self.account_id,
            "membership__public_id": self.membership_id,
            "product__public_id": self.product_id,
            "currency": self.currency.upper() if self.currency else None,
            "paid_at__lt": self.created_before,
            "paid_at__gt": self.created_after,
        }
        wanted = Q(**{name: value for name, value in named.items() if value is not None})
        if self.user_id is not None:
            wanted &= Q(buyer__public_id=_who(self.user_id, caller))
        if self.member_id is not None:
            wanted &= Q(membership__public_id=self.member_id)
        if self.query is not None:
            wanted &= (
                Q(public_id=self.query)
                | Q(buyer__name__icontains=self.query)
                | Q(product__name__icontains=self.query)
            )
        if self.billing_reason is not None:
            once = Q(product__interval=Product.Interval.ONCE)
            kinds = {"one_time": once, "subscription": ~once}
            wanted &= kinds.get(self.billing_reason, Q(pk__in=[]))
        if self.plan_id is not None or self.status not in (None, "paid"):
            wanted &= Q(pk__in=[])
        return wanted


def sales_of(caller: Caller, mode: str | None = None) -> "list[QuerySet[Payment]]":
    """The payments that the caller sees, as lists: made by them, and made to their companies."""
    mine = [Payment.objects.filter(buyer=caller.user)] if caller.as_buyer() and not mode else []
    if mode == "user_sales":
        return mine
    return mine + [Payment.objects.filter(company=company_id) for company_id in caller.places]


SALES = Payment.objects.select_related(
    "company", "buyer", "product", "membership"
).prefetch_related("refunds")  # fmt: skip


@router.get("/payments", response={200: SalePage, **documented()}, operation_id="list_payments")
def list_payments(request: ApiRequest, query: Query[SaleQuery]) -> SalePage:
    """List the payments you made and those to accounts you are a team member of."""
    caller = request.auth
    caller.needs(tokens.READ_PAYMENTS)
    wanted = query.conditions(caller)
    order = Order("paid_at", "paid_at", query.direction == "desc")
    sides = [side.filter(wanted) for side in sales_of(caller, query.mode)]
    found, info = page_of(sides, SALES.all(), order, query)
    shows_email = caller.may(tokens.READ_EMAIL)
    return SalePage(
        data=[sale_out(payment, shows_email=shows_email) for payment in found], page_info=info
    )


@router.get(
    "/payments/{payment_id}",
    response={200: SaleOut, **documented(404)},
    operation_id="retrieve_payment",
)
def retrieve_payment(request: ApiRequest, payment_id: str) -> SaleOut:
    """Retrieve a payment."""
    caller = request.auth
    caller.needs(tokens.READ_PAYMENTS)
    payment = _first(SALES.all(), sales_of(caller), payment_id)
    if payment is None:
        raise not_found("payment", "id")
    return sale_out(payment, shows_email=caller.may(tokens.READ_EMAIL))
