"""What e-mail providers report through django-anymail, which checks and reads their webhooks.

Their addresses are below /webhooks/anymail/, once ANYMAIL has a WEBHOOK_SECRET. A signal is all
that anymail hands on what it has read by; what happens here is a translation.
"""

import re
from typing import Any

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.db import transaction

from notifications import bounces

FOR_GOOD = (RejectReason.INVALID, RejectReason.BOUNCED)
"""The reasons for which an address refuses what comes later as well."""

CAME_BACK = (EventType.BOUNCED, EventType.REJECTED, EventType.DEFERRED)
UNWANTED = (EventType.COMPLAINED, EventType.UNSUBSCRIBED)


def _is_for_good(event: AnymailTrackingEvent) -> bool:
    """The address refuses whatever comes; some call what may pass soft, for the same reason."""
    may_pass = re.search(r"soft|temporar|transient", event.description or "", re.IGNORECASE)
    refused = event.event_type != EventType.DEFERRED and event.reject_reason in FOR_GOOD
    return refused and not may_pass


def listen() -> None:
    """Hear of every report."""
    tracking.connect(take_in, dispatch_uid="notifications.providers")


def take_in(sender: Any, event: AnymailTrackingEvent, **_: Any) -> None:
    """Do what one report calls for; it may come twice."""
    if event.event_type not in (*CAME_BACK, *UNWANTED):
        return
    with transaction.atomic():
        bounces.note(
            {
                "type": "complaint" if event.event_type in UNWANTED else "bounce",
                "address": event.recipient or "",
                "permanent": _is_for_good(event),
                "message_id": (event.metadata or {}).get("message", ""),
                "reason": (event.mta_response or event.description or "")[:200],
            }
        )
