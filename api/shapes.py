"""Our cases in Whop's words: the one place where a creator is a merchant and a buyer a customer."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict, get_args

from django.db.models import Q
from ninja import Schema

from marketplace.models import Product
from payments.models import Payment
from payments.money import exponent, to_decimal
from resolution import cases
from resolution.lifecycle import IN_REVIEW
from resolution.models import Case, Event
from resolution.terms import BOTH, Actor, Outcome, Party, Remedy, State

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party

StatusName = Literal["awaiting_merchant", "awaiting_customer", "under_review", "closed"]
OutcomeName = Literal["customer_won", "merchant_won", "withdrawn"]
RefundName = Literal["none", "merchant", "platform"]
ReasonName = Literal[
    "fraudulent",
    "product_not_received",
    "not_as_described",
    "product_unacceptable",
    "subscription_canceled",
]
ActionName = Literal["accept", "deny", "request_info", "reply", "appeal", "withdraw"]
ReporterName = Literal["merchant", "customer", "platform", "system"]
EventName = Literal[
    "created",
    "responded",
    "accepted",
    "denied",
    "appealed",
    "withdrew",
    "requested_more_info",
    "escalated",
    "dispute_opened",
    "dispute_customer_won",
    "dispute_merchant_won",
]

PARTIES: dict[str, ReporterName] = {
    BUYER: "customer",
    CREATOR: "merchant",
    STAFF: "platform",
    SYSTEM: "system",
}
REASONS: dict[str, ReasonName] = {name: name for name in get_args(ReasonName)}
OUTCOMES: dict[str, OutcomeName] = {
    Outcome.BUYER_WON: "customer_won",
    Outcome.CREATOR_WON: "merchant_won",
    Outcome.WITHDRAWN: "withdrawn",
    Outcome.VOID: "customer_won",  # the money went back, by another way
}
REMEDIES: dict[str, Literal["refund", "credits", "none"]] = {
    Remedy.REFUND: "refund",
    Remedy.CREDIT: "credits",
    Remedy.NONE: "none",
}
BALANCES: dict[str, RefundName] = {
    Remedy.REFUND: "merchant",
    Remedy.CREDIT: "platform",
    Remedy.NONE: "none",
}

STATUSES: dict[StatusName, Q] = {
    "awaiting_merchant": Q(state__in=[State.OPEN, State.AWAITING_CREATOR])
    | Q(state__in=IN_REVIEW, waiting_on=CREATOR),
    "awaiting_customer": Q(state=State.MORE_INFO) | Q(state__in=IN_REVIEW, waiting_on=BUYER),
    "under_review": Q(state__in=IN_REVIEW) & ~Q(waiting_on__in=BOTH),
    "closed": Q(state__in=[State.DECIDED, State.CLOSED]),
}
"""The cases of each status; `status_of` says the same of one."""

ACTIONS: tuple[ActionName, ...] = (
    "accept",
    "deny",
    "request_info",
    "reply",
    "appeal",
    "withdraw",
)

# The events that have a name at Whop. What the case went through besides is in its columns.
EVENTS: dict[str, EventName] = {
    "open_case": "created",
    "auto_refund": "accepted",
    "accept": "accepted",
    "deny": "denied",
    "request_info": "requested_more_info",
    "ask_party": "requested_more_info",
    "reply": "responded",
    "comment": "responded",
    "escalate": "escalated",
    "withdraw": "withdrew",
    "appeal": "appealed",
    "decide": "accepted",
    "decide_final": "accepted",
    "decide_final_alone": "accepted",
    "decide_unanswered": "denied",
    "credit_instead": "responded",
    "mark_paid": "responded",
    "freeze": "dispute_opened",
    "resume": "dispute_merchant_won",
    "void": "dispute_customer_won",
}
DECISIONS = ("decide", "decide_final", "decide_final_alone")

# ── Shapes ────────────────────────────────────────────────────────────────────────────────────────


class AccountOut(Schema):
    """The company that the case is against."""

    id: str
    title: str


class MoneyOut(Schema):
    """An amount as an exact decimal string, in whole units."""

    amount: str
    currency: str
    decimals: int
    display_decimals: int


class LineItemOut(Schema):
    """What the payment was for."""

    id: str | None
    label: str | None
    plan_id: str | None
    plan_title: str | None
    product_id: str | None
    product_title: str | None
    quantity: float
    sku: str | None
    subtotal: MoneyOut | None


class BuyerOut(Schema):
    """Who opened the case; `email` only with the scope `member:email:read`."""

    user_id: str | None
    member_id: str | None
    name: str | None
    username: str | None
    email: str | None


class PaymentOut(Schema):
    """The payment, as its buyer knows it."""

    id: str
    card_brand: str | None
    card_last4: str | None
    payment_method_type: str | None
    created_at: str


class DecisionOut(Schema):
    """The latest decision; `amount` is what it gives, in whole units of the case's currency."""

    by: ReporterName
    outcome: OutcomeName
    remedy: Literal["refund", "credits", "none"]
    amount: float
    final: bool
    decided_at: str


class AppealOut(Schema):
    """An appeal: by whom, and against whose decision."""

    by: ReporterName
    against: ReporterName


class CaseOut(Schema):
    """A resolution center case. `amount` is what the buyer asks for, in whole units."""

    id: str
    account: AccountOut | None
    amount: float
    currency: str | None
    available_actions: list[ActionName]
    buyer: BuyerOut
    payment: PaymentOut
    line_items: list[LineItemOut]
    plan_id: str | None
    product_id: str | None
    reason: ReasonName
    status: StatusName
    outcome: OutcomeName | None
    refund: RefundName | None
    escalated: bool
    customer_appealed: bool
    merchant_appealed: bool
    decision: DecisionOut | None
    appeals: list[AppealOut]
    response_due_at: str | None
    created_at: str
    updated_at: str


class AttachmentOut(Schema):
    """A file of a message; `url` gives its bytes for some minutes."""

    id: str
    filename: str | None
    content_type: str | None
    url: str | None


class EventOut(Schema):
    """One entry of a case's timeline."""

    id: str
    action: EventName
    reporter_type: ReporterName
    details: str | None
    attachments: list[AttachmentOut]
    viewable_by_customer: bool
    viewable_by_merchant: bool
    created_at: str


# ── Cases ─────────────────────────────────────────────────────────────────────────────────────────

READ_WITH = ("payment__membership", "buyer", "company", "product")
"""What `case_out` reads besides the case itself."""


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole_units(minor: int, currency: str) -> float:
    return float(to_decimal(minor, currency))


def money(minor: int, currency: str) -> MoneyOut:
    digits = exponent(currency)
    return MoneyOut(
        amount=str(to_decimal(minor, currency)),
        currency=currency.lower(),
        decimals=digits,
        display_decimals=digits,
    )


def status_of(case: Case) -> StatusName:
    """Who the case waits for."""
    if case.state in (State.DECIDED, State.CLOSED):
        return "closed"
    if case.state in IN_REVIEW:
        turns: dict[str, StatusName] = {
            CREATOR: "awaiting_merchant",
            BUYER: "awaiting_customer",
        }
        return turns.get(case.waiting_on, "under_review")
    return "awaiting_customer" if case.state == State.MORE_INFO else "awaiting_merchant"


def refund_of(case: Case) -> RefundName | None:
    """Off whose balance money goes back; None while nothing is decided."""
    if case.outcome == Outcome.OPEN:
        return None
    if case.outcome == Outcome.VOID:
        return "merchant"
    return BALANCES[case.remedy]


def actions_for(case: Case, actors: Iterable[Actor], *, now: datetime) -> list[ActionName]:
    """The calls that are open to whoever stands before the case in these capacities."""
    steps = {step for actor in actors for step in cases.steps_for(case, actor, now=now)}
    return [action for action in ACTIONS if action in steps]


def case_out(case: Case, *, actions: Sequence[ActionName], shows_email: bool) -> CaseOut:
    """A case read with READ_WITH, in Whop's words."""
    payment, product, buyer = case.payment, case.product, case.buyer
    return CaseOut(
        id=case.public_id,
        account=AccountOut(id=case.company.public_id, title=case.company.name),
        amount=whole_units(case.asked_minor, case.currency),
        currency=case.currency.lower(),
        available_actions=list(actions),
        buyer=BuyerOut(
            user_id=buyer.public_id,
            member_id=payment.membership.public_id if payment.membership else None,
            name=buyer.name,
            username=None,
            email=buyer.email if shows_email else None,
        ),
        payment=PaymentOut(
            id=payment.public_id, created_at=timestamp(payment.paid_at), **paid_with(payment)
        ),
        line_items=line_items_of(payment, product),
        plan_id=None,
        product_id=product.public_id,
        reason=REASONS[case.reason],
        status=status_of(case),
        outcome=OUTCOMES.get(case.outcome),
        refund=refund_of(case),
        escalated=case.state in IN_REVIEW,
        customer_appealed=case.denial_appealed or case.appealed_by == BUYER,
        merchant_appealed=case.appealed_by == CREATOR,
        decision=decision_of(case),
        appeals=appeals_of(case),
        response_due_at=timestamp(case.due_at) if case.due_at else None,
        created_at=timestamp(case.opened_at),
        updated_at=timestamp(case.updated_at),
    )


def line_items_of(payment: Payment, product: Product) -> list[LineItemOut]:
    """What a payment was for: one product, once."""
    return [
        LineItemOut(
            id=None,
            label=product.name,
            plan_id=None,
            plan_title=None,
            product_id=product.public_id,
            product_title=product.name,
            quantity=1,
            sku=None,
            subtotal=money(payment.amount_minor, payment.currency),
        )
    ]


class PaidWith(TypedDict):
    """How somebody paid, as far as a program wants to know."""

    card_brand: str | None
    card_last4: str | None
    payment_method_type: str | None


CARD = re.compile(r"(.+) ending (?:in )?(\d{4})")


def paid_with(payment: Payment) -> PaidWith:
    """The card out of a method such as `Visa ending 4242`, and the kind of it."""
    card = CARD.fullmatch(payment.method)
    if card:
        brand = card[1].strip().lower().replace(" ", "_")
        return {"card_brand": brand, "card_last4": card[2], "payment_method_type": "card"}
    kind: str = payment.processor
    if payment.processor == Payment.Processor.STRIPE and payment.method:
        kind = payment.method.lower().replace(" ", "_")
    return {"card_brand": None, "card_last4": None, "payment_method_type": kind}


def decision_of(case: Case) -> DecisionOut | None:
    """The latest decision, whether it is final, appealed, or neither."""
    if not case.decided_by or case.decided_at is None:
        return None
    return DecisionOut(
        by=PARTIES[case.decided_by],
        outcome="merchant_won" if case.remedy == Remedy.NONE else "customer_won",
        remedy=REMEDIES[case.remedy],
        amount=whole_units(case.remedy_minor, case.currency),
        final=case.final,
        decided_at=timestamp(case.decided_at),
    )


def appeals_of(case: Case) -> list[AppealOut]:
    """Every appeal there was, the first one first."""
    first = [AppealOut(by="customer", against="merchant")] if case.denial_appealed else []
    if not case.appealed_by:
        return first
    return [*first, AppealOut(by=PARTIES[case.appealed_by], against="platform")]


# ── Events ────────────────────────────────────────────────────────────────────────────────────────


def event_out(event: Event, attachments: Sequence[AttachmentOut]) -> EventOut:
    """An event that has a name at Whop. What only staff may see is none of the API's."""
    return EventOut(
        id=event.public_id,
        action=_action_of(event.step, event.data),
        reporter_type=PARTIES[event.party],
        details=event.message or None,
        attachments=list(attachments),
        viewable_by_customer=not event.staff_only,
        viewable_by_merchant=not event.staff_only,
        created_at=timestamp(event.created_at),
    )


def _action_of(step: str, data: dict[str, Any]) -> EventName:
    if step in DECISIONS and data.get("remedy") == Remedy.NONE:
        return "denied"
    if step == "void" and data.get("why") == "refunded":
        return "accepted"
    return EVENTS[step]
