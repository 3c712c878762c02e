"""What companies' own systems are told of a case: which news a step is, and how things stood.

An endpoint may be told minutes or days later, so the case's columns travel along, as they were
before the step and after it. How it is shown to the outside is made in `api/` when it leaves.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from marketplace import clock
from notifications import webhooks
from notifications.models import WebhookDelivery
from notifications.webhooks import News
from payments.models import Refund
from resolution.models import Case, Event
from resolution.terms import State

STANDING = (
    *("state", "waiting_on", "due_at", "info_requests", "review_reason", "decided_by", "outcome"),
    *("remedy", "remedy_minor", "money", "final", "appealed_by", "denial_appealed"),
    *("buyer_accepted", "creator_accepted", "frozen_at", "decided_at", "closed_at", "updated_at"),
)
"""The columns of a case that say how it stands; who proposes what among staff is nobody else’s."""

LATELY = timedelta(days=7)
"""Refunds from elsewhere are told of so long after; what was told is forgotten after a month."""


def standing(case: Case) -> Mapping[str, Any] | None:
    """How a case stands at this moment, for JSON; None when nobody listens."""
    if not case.heard:
        return None
    columns = ((name, getattr(case, name)) for name in STANDING)
    # To the microsecond, as the API shows it; Django's encoder would cut it to milliseconds.
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in columns}


def of_step(
    event: Event, case: Case, was: Mapping[str, Any] | None, refund: Refund | None
) -> Iterable[News]:
    """The news that a step on a case is: of the case and, where it has any, of its refund.

    `was` is how the case stood before, `refund` what the step lets go out. What only staff may see
    is no news.
    """
    if not case.heard or event.staff_only:
        return
    facts = {"is": standing(case), "was": was}
    yield _news(case, event, _kind(event), case.public_id, facts)
    if event.state_after == State.DECIDED != event.state_before:
        yield _news(case, event, "resolution_center_case.decided", case.public_id, facts)
    told_of = event.data.get("refund")
    if told_of and case.refund and case.refund.public_id == told_of:
        kind = "refund.created" if refund else "refund.updated"
        yield _news(case, event, kind, told_of, {"state": case.refund.state, "was": was})


def _kind(event: Event) -> str:
    opened = event.step == "open_case"
    return "resolution_center_case.created" if opened else "resolution_center_case.updated"


def _news(case: Case, event: Event, kind: str, resource: str, facts: Mapping[str, Any]) -> News:
    return News(
        company_id=case.company_id,
        type=kind,
        about=event.public_id,
        resource=resource,
        thread=case.payment.public_id,
        happened_at=event.created_at,
        facts=facts,
    )


def announce_elsewhere(payment_id: int) -> None:
    """Tell of refunds that were made at the provider without us. Safe to call at any time."""
    since = clock.now() - LATELY
    lately = Refund.objects.filter(payment=payment_id, elsewhere=True, created_at__gt=since)
    for refund in lately.select_related("payment"):
        told = WebhookDelivery.objects.filter(
            endpoint__company=refund.payment.company_id,
            key=f"{refund.public_id}:refund.created",
        ).first()
        if told is None:
            kind, about = "refund.created", refund.public_id
        elif told.facts["state"] != refund.state:
            kind, about = "refund.updated", f"{refund.public_id}:{refund.state}"
        else:
            continue
        webhooks.announce(
            [
                News(
                    company_id=refund.payment.company_id,
                    type=kind,
                    about=about,
                    resource=refund.public_id,
                    thread=refund.payment.public_id,
                    happened_at=refund.settled_at or refund.created_at,
                    facts={"state": refund.state},
                )
            ]
        )
