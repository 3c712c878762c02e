"""What happened to somebody's account. Sessions and second steps are rows of allauth's."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from marketplace.public_ids import PublicIdField


class AccountEvent(models.Model):
    """Something that only its owner should have done, told to them by e-mail."""

    class Kind(models.TextChoices):
        NEW_DEVICE = "new_device", _("Login from a new device")
        RESET_ASKED = "reset_asked", _("A new password was asked for")
        NEW_PASSWORD = "new_password", _("New password")
        STEP_ADDED = "step_added", _("Second step set up")
        STEP_REMOVED = "step_removed", _("Second step removed")
        NEW_CODES = "new_codes", _("New recovery codes")
        LINKED = "linked", _("Single sign-on linked")

    public_id = PublicIdField("acct_")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account_events"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    ip = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(default=timezone.now)

    if TYPE_CHECKING:
        user_id: int

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.user}"
