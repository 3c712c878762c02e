"""One row for each message to a person, and what each person wants to get by e-mail."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.public_ids import PublicIdField
from notifications.endpoints import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = ["Notification", "Preferences", "WebhookAttempt", "WebhookDelivery", "WebhookEndpoint"]


class Notification(models.Model):
    """A message to one person: a notice in the app until they have read it, and an e-mail.

    It holds no words: `kind` and `about` name what happened, and the words are made when it leaves
    or is shown. `state` is how far the e-mail has come, and what the person wants of it may end it
    at "only in the app". Its public id is the e-mail's Message-ID: a repeat after an unclear answer
    is the same mail. Until it is first tried, `next_attempt_at` is a time of the business.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", _lazy("E-mail")

    class State(models.TextChoices):
        PENDING = "pending", _lazy("Waiting to leave")
        SENDING = "sending", _lazy("Leaving")
        SENT = "sent", _lazy("Sent")
        MUTED = "muted", _lazy("Only in the app")
        DEAD = "dead", _lazy("Given up")

    public_id = PublicIdField("msg_")
    key = models.CharField(max_length=160)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="notifications",
        db_index=False,
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
    read_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        recipient_id: int

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key"], name="notification_key_once"),)
        indexes = (
            models.Index(
                fields=["next_attempt_at", "id"],
                condition=models.Q(state__in=["pending", "sending"]),
                name="notification_to_send",
            ),
            models.Index(
                fields=["id"], condition=models.Q(state="dead"), name="notification_given_up"
            ),
            models.Index(fields=["recipient", "-id"], name="notification_of_person"),
            models.Index(
                fields=["recipient", "thread", "id"],
                condition=models.Q(read_at__isnull=True)
                | models.Q(state__in=["pending", "sending"]),
                name="notification_to_see",
            ),
        )

    def __str__(self) -> str:
        return self.key


class Preferences(models.Model):
    """What a person wants by e-mail and at which hours, and whether their address takes any.

    Somebody without a row gets everything at any hour. `muted` holds the groups of messages that
    stay in the app; what a message belongs to is said by whoever makes its words. The quiet hours
    are of the person's own time zone and may go over midnight. What is said of an address is about
    that address alone: who gets another one starts anew.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="mail"
    )
    muted: "ArrayField[Sequence[str], list[str]]" = ArrayField(
        models.CharField(max_length=20), default=list, blank=True
    )
    quiet_from = models.PositiveSmallIntegerField(null=True, blank=True)
    quiet_until = models.PositiveSmallIntegerField(null=True, blank=True)
    refused_address = models.EmailField(max_length=254, blank=True)
    refused_at = models.DateTimeField(null=True, blank=True)
    refused_why = models.CharField(max_length=200, blank=True)
    complained_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _lazy("e-mail preference")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | models.Q(
                    quiet_from__isnull=False,
                    quiet_until__isnull=False,
                    quiet_from__lte=23,
                    quiet_until__lte=23,
                ),
                name="preferences_quiet_hours_are_hours",
            ),
        )

    def __str__(self) -> str:
        return _("E-mail to {user}").format(user=self.user)
