"""What a webhook shows: a case or a refund as the API shows it to the creator, as it stood then."""

import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from api.money import STATUSES, refund_out
from api.shapes import READ_WITH, actions_for, case_out
from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications.models import WebhookDelivery
from payments.models import Payment, Refund
from resolution.announcements import STANDING
from resolution.models import Case
from resolution.terms import Actor, Money, Party, Reason, State

CREATOR = Actor(Party.CREATOR, role=TeamMember.Role.OWNER)
"""What is open to a company is what is open to its owner."""

COLUMNS: dict[str, Any] = {name: Case._meta.get_field(name) for name in STANDING}

BEFORE: dict[str, Refund.State] = {
    Money.REQUESTED: Refund.State.PENDING,
    Money.SENT: Refund.State.SUBMITTING,
    Money.ARRIVED: Refund.State.SUCCEEDED,
}
"""How a refund stood while its case said this of the money."""


def compose(deliveries: Sequence[WebhookDelivery]) -> dict[int, Mapping[str, Any] | None]:
    """What each message shows, by primary key; None where it is gone."""
    named = {delivery.resource for delivery in deliveries}
    cases = {
        case.public_id: case
        for case in Case.objects.filter(public_id__in=named).select_related(*READ_WITH)
    }
    refunds = {
        refund.public_id: refund
        for refund in Refund.objects.filter(public_id__in=named).select_related("payment__company")
    }
    shown: dict[int, Mapping[str, Any] | None] = {}
    for delivery in deliveries:
        facts = delivery.facts
        if delivery.resource in cases:
            case = cases[delivery.resource]
            now = case_shown(standing(case, facts["is"]))
            was = case_shown(standing(case, facts["was"])) if facts["was"] else None
        elif delivery.resource in refunds:
            refund = refunds[delivery.resource]
            now = refund_out(refund, facts["state"]).model_dump(mode="json")
            was = _refund_before(now, facts)
        else:
            shown[delivery.pk] = None
            continue
        shown[delivery.pk] = _content(delivery.type, now, was)
    return shown


def case_shown(case: Case) -> dict[str, Any]:
    """A case as its creator's programs see it, without the buyer's e-mail address."""
    actions = actions_for(case, [CREATOR], now=case.updated_at)
    return case_out(case, actions=actions, shows_email=False).model_dump(mode="json")


def standing(case: Case, columns: Mapping[str, Any]) -> Case:
    """The same case as it stood when these were its columns. Never saved."""
    then = copy.copy(case)
    for name, value in columns.items():
        then.__dict__[name] = COLUMNS[name].to_python(value)
    return then


def _refund_before(now: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any] | None:
    before = BEFORE.get((facts.get("was") or {}).get("money", ""))
    return {**now, "status": STATUSES[before]} if before else None


def _content(kind: str, now: dict[str, Any], was: dict[str, Any] | None) -> dict[str, Any]:
    """What is shown and, of an update, what of it was different before."""
    content: dict[str, Any] = {"data": now}
    if kind.endswith(".updated"):
        before = was or {}
        content["previous_attributes"] = {
            name: value for name, value in before.items() if now[name] != value
        }
    return content


# ── To try an endpoint out ────────────────────────────────────────────────────────────────────────


def sample(kind: str, company: Company) -> dict[str, Any]:
    """What an event of this kind shows of a case that never was."""
    now = clock.now()
    person = User(public_id="user_sample00000000", name="Sam Sample", email="sam@example.com")
    product = Product(
        public_id="prod_sample00000000", company=company, name="Sample product",
        price_minor=4900, currency="USD",
    )  # fmt: skip
    membership = Membership(public_id="mem_sample00000000", user=person, product=product)
    payment = Payment(
        public_id="pay_sample00000000", buyer=person, company=company, product=product,
        membership=membership, processor="stripe", currency="USD", amount_minor=4900,
        method="Visa ending 4242", paid_at=now - timedelta(days=3),
    )  # fmt: skip
    if kind.startswith("refund."):
        refund = Refund(
            public_id="rfnd_sample00000000", payment=payment, amount_minor=4900, currency="USD",
            state=Refund.State.PENDING, created_at=now,
        )  # fmt: skip
        shown = refund_out(refund).model_dump(mode="json")
        return _content(kind, shown, shown)
    case = Case(
        public_id="reso_sample00000000", payment=payment, buyer=person, company=company,
        product=product, reason=Reason.NOT_AS_DESCRIBED, asked_minor=4900, currency="USD",
        state=State.AWAITING_CREATOR, waiting_on=Party.CREATOR, opened_at=now, updated_at=now,
        due_at=now + timedelta(days=7),
    )  # fmt: skip
    if kind.endswith(".decided"):
        case.__dict__["state"] = State.DECIDED
        case.decided_by, case.outcome, case.decided_at = Party.CREATOR, "creator_won", now
    shown = case_shown(case)
    return _content(kind, shown, shown)
