"""What the mail service reports after it took a message: who refuses e-mail, and who complains.

A report is JSON, signed with a secret that both sides know:

    POST /webhooks/email/
    Email-Signature: t=1790000000,v1=<HMAC-SHA256 of "1790000000." and the body, as hex digits>

    {"events": [{"type": "bounce", "permanent": true, "address": "bea@example.com",
                 "message_id": "<msg_…@host>", "reason": "550 5.1.1 no such user"},
                {"type": "complaint", "address": "bea@example.com"}]}

A bounce for good ends e-mail to the address until staff say that it works again; one that may pass
is noted with its message. Who complains gets no more than they need. All of it can come twice.
"""

import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from notifications import preferences
from notifications.models import Notification

LARGEST = 256 * 1024
"""Bytes of a report."""

TOLERANCE_SECONDS = 5 * 60
SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
TEXTS = {"address": 254, "message_id": 200, "reason": 200}
"""How long the texts of an event may be; what is longer is cut."""


class Refused(Exception):
    """The report is not the mail service's, or none at all."""


def take_in(body: bytes, signature: str) -> int:
    """Do what a report calls for and answer how many events it had. Raises Refused."""
    if len(body) > LARGEST:
        raise Refused("A report is not that large.")
    _check(body, signature)
    try:
        events = [_read(event) for event in json.loads(body)["events"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("The body is no report.") from None
    with transaction.atomic():
        for event in events:
            note(event)
    return len(events)


def _check(body: bytes, signature: str) -> None:
    found = SIGNATURE.fullmatch(signature)
    if not found or abs(time.time() - int(found[1])) > TOLERANCE_SECONDS:
        raise Refused("The signature is missing or too old.")
    secret = settings.EMAIL_WEBHOOK_SECRET.encode()
    right = hmac.new(secret, f"{found[1]}.".encode() + body, "sha256").hexdigest()
    if not hmac.compare_digest(right, found[2]):
        raise Refused("The signature is wrong.")


def _read(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event with texts that can be stored; TypeError or KeyError for anything else."""
    texts = {name: event.get(name, "") for name in TEXTS}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError
    clean = {
        name: re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", text)[: TEXTS[name]].strip()
        for name, text in texts.items()
    }
    return {"type": event["type"], "permanent": event.get("permanent") is True, **clean}


def note(event: Mapping[str, Any]) -> None:
    """Keep what one event says: its `type`, `address`, `permanent`, `message_id` and `reason`."""
    if event["type"] == "complaint":
        preferences.mark_complained(event["address"])
        return
    if event["type"] != "bounce":
        return
    reason = event["reason"] or "no reason was given"
    sent = Notification.objects.filter(
        public_id=event["message_id"].strip("<>").partition("@")[0],
        recipient__email=event["address"].lower(),
        state=Notification.State.SENT,
    )
    if event["permanent"]:
        preferences.mark_refused(event["address"], event["reason"])
        sent.update(state=Notification.State.DEAD, sent_at=None, error=f"Came back: {reason}")
    else:
        sent.update(error=f"Delayed: {reason}")
