"""Who else is told: the addresses that companies gave us, what is sent there, and each attempt.

What is sent when and how is in webhooks.py.
"""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _lazy

from marketplace.models import Company
from marketplace.public_ids import PublicIdField, new_public_id
from marketplace.sealed import SealedField


def new_secret() -> str:
    """A signing secret. Its literal bytes are the key, prefix and all."""
    return "ws_" + secrets.token_hex(32)


class WebhookEndpoint(models.Model):
    """An address of a company's that is told of its cases and refunds.

    The secret signs every delivery, so it is kept, sealed; people see it once. `failing_since` is
    the first failure after the last success. After three days of nothing but failures we disable
    the endpoint and say so in `disabled_reason`; one that its owner turned off has no reason.
    """

    class DisabledReason(models.TextChoices):
        NONE = "", _lazy("Not disabled by us")
        DELIVERY_FAILURES = "delivery_failures", _lazy("Every delivery failed for three days")

    public_id = PublicIdField("hook_")
    company = models.ForeignKey(
        Company, on_delete=models.CASCADE, related_name="webhooks", db_index=False
    )
    url = models.CharField(max_length=2000)
    secret = SealedField(default=new_secret, editable=False)
    events: "ArrayField[Sequence[str], list[str]]" = ArrayField(models.CharField(max_length=60))
    api_version_date = models.CharField(max_length=20, blank=True)
    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(
        max_length=20, choices=DisabledReason.choices, default=DisabledReason.NONE, blank=True
    )
    consecutive_failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(
        null=True, blank=True, help_text="When a message was last given up."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    if TYPE_CHECKING:
        company_id: int

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(disabled_at__isnull=True, disabled_reason="")
                | Q(disabled_at__isnull=False, enabled=False) & ~Q(disabled_reason=""),
                name="webhook_disabled_for_a_reason",
            ),
        )
        indexes = (
            models.Index(fields=["company", "-created_at", "-id"], name="webhook_of_company"),
            models.Index(fields=["company"], condition=Q(enabled=True), name="webhook_listening"),
        )

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One message to one endpoint, and how far it has come.

    Like a notification it is written with what it tells of, in one transaction, and holds no words:
    `body` is made when it leaves for the first time, and stays the same at every attempt after
    that. Messages of one `thread` reach an endpoint one after the other, in the order of their ids.
    """

    class State(models.TextChoices):
        PENDING = "pending", _lazy("Waiting to leave")
        SENDING = "sending", _lazy("Leaving")
        SENT = "sent", _lazy("Accepted")
        DEAD = "dead", _lazy("Given up")

    WAITING: ClassVar = (State.PENDING, State.SENDING)

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    message_id = models.CharField(max_length=40, default=partial(new_public_id, "msg_"))
    key = models.CharField(max_length=120)
    type = models.CharField(max_length=60)
    about = models.CharField(max_length=40, help_text="Public id of the event it tells of.")
    resource = models.CharField(max_length=40, help_text="Public id of what it shows.")
    thread = models.CharField(max_length=40, help_text="Public id that its order is kept by.")
    facts = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    happened_at = models.DateTimeField()
    body = models.TextField(blank=True, help_text="JSON, as it is signed.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        endpoint_id: int

    class Meta:
        verbose_name_plural = _lazy("webhook deliveries")
        constraints = (
            models.UniqueConstraint(fields=["endpoint", "key"], name="webhook_delivery_once"),
        )
        indexes = (
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"],
                condition=Q(state__in=["pending", "sending"]),
                name="webhook_to_send",
            ),
            models.Index(
                fields=["endpoint", "thread", "id"],
                condition=Q(state__in=["pending", "sending"]),
                name="webhook_in_order",
            ),
            models.Index(fields=["endpoint"], condition=Q(state="sending"), name="webhook_leaving"),
            models.Index(
                fields=["settled_at"],
                condition=Q(settled_at__isnull=False),
                name="webhook_delivery_by_age",
            ),
        )

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"


class WebhookAttempt(models.Model):
    """One request to an endpoint and its answer, as its owner sees them in the log."""

    public_id = PublicIdField("whdel_")
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="attempts", db_index=False
    )
    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="log", null=True
    )
    replayed_from = models.ForeignKey(
        "self", on_delete=models.SET_NULL, related_name="+", null=True, db_index=False
    )
    number = models.PositiveIntegerField(default=1, help_text="Which attempt at its message.")
    type = models.CharField(max_length=60)
    resource = models.CharField(max_length=40, blank=True)
    request_body = models.TextField()
    response_code = models.PositiveSmallIntegerField(
        default=0, help_text="0 when there was no answer."
    )
    response_body = models.TextField(blank=True, help_text="The beginning of it.")
    error = models.CharField(max_length=300, blank=True)
    success = models.BooleanField()
    seconds = models.FloatField()
    sent_at = models.DateTimeField(default=timezone.now)

    if TYPE_CHECKING:
        endpoint_id: int

    class Meta:
        indexes = (
            models.Index(fields=["endpoint", "-sent_at", "-id"], name="webhook_attempt_log"),
            models.Index(fields=["sent_at"], name="webhook_attempt_by_age"),
        )

    def __str__(self) -> str:
        return self.public_id
