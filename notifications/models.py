"""One row for each message that has to leave, unique by event, recipient and channel."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from marketplace.public_ids import PublicIdField
from notifications.endpoints import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = ["Notification", "WebhookAttempt", "WebhookDelivery", "WebhookEndpoint"]


class Notification(models.Model):
    """A message to one person over one channel, and how far it has come.

    It holds no words: `kind` and `about` name what happened, and the words are made when it leaves.
    Its public id is the e-mail's Message-ID: a repeat after an unclear answer is the same mail.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"

    class State(models.TextChoices):
        PENDING = "pending", "Waiting to leave"
        SENDING = "sending", "Leaving"
        SENT = "sent", "Sent"
        DEAD = "dead", "Given up"

    public_id = PublicIdField("msg_")
    key = models.CharField(max_length=160)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.EMAIL)
    kind = models.CharField(max_length=40, help_text="The step that it tells of.")
    about = models.CharField(max_length=40, help_text="Public id of the event it tells of.")
    thread = models.CharField(max_length=40, help_text="Public id that its conversation shares.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key"], name="notification_key_once"),)
        indexes = (
            models.Index(
                fields=["next_attempt_at", "id"],
                condition=models.Q(state__in=["pending", "sending"]),
                name="notification_to_send",
            ),
        )

    def __str__(self) -> str:
        return self.key
