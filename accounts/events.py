"""Noting what happens to an account, so that its owner is told by e-mail."""

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts.devices import address_of, agent_of
from accounts.models import AccountEvent
from marketplace.doorbell import ring
from marketplace.models import User
from notifications.models import Notification

PREFIX = "account_"
"""What the kinds of these messages begin with; they are `about` the event."""


def note(request: HttpRequest | None, user: User, kind: AccountEvent.Kind) -> AccountEvent:
    """Write it down, with the message that tells of it; it leaves with the outbox."""
    with transaction.atomic():
        event = AccountEvent.objects.create(
            user=user,
            kind=kind,
            ip=address_of(request) if request else None,
            agent=agent_of(request) if request else "",
        )
        Notification.objects.create(
            key=f"{event.public_id}:{user.public_id}:email",
            recipient=user,
            kind=PREFIX + kind,
            about=event.public_id,
            thread=event.public_id,
            read_at=timezone.now(),
        )
        ring("resolution.tasks.deliver")
    return event
