"""Messages that left, wait to leave, or were given up; the latter can be sent again."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.safestring import SafeString

from marketplace.admin import ReadOnlyAdmin, link_to
from notifications import outbox
from notifications.models import Notification


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """One row for each message to one person."""

    found_by: ClassVar[Mapping[str, str]] = {
        "msg_": "public_id", "revt_": "key__startswith", "@": "recipient__email",
        "user_": "recipient__public_id", "": "thread",
    }  # fmt: skip
    search_help_text = "A msg_, revt_, reso_ or user_ id, or the recipient’s e-mail address."
    list_display = ("public_id", "kind", "told", "state", "attempts", "created_at", "sent_at")
    list_select_related = ("recipient",)
    list_filter = ("state",)
    fields = (
        "public_id", "kind", "told", "channel", "about", "thread", "state", "attempts",
        "next_attempt_at", "error", "created_at", "sent_at",
    )  # fmt: skip

    @admin.display(description="recipient")
    def told(self, notification: Notification) -> SafeString | str:
        return link_to(notification.recipient)

    def get_urls(self) -> list[Any]:
        again = self.admin_site.admin_view(self.send_again)
        return [
            path("<int:pk>/send-again/", again, name="notifications_notification_send_again"),
            *super().get_urls(),
        ]

    def send_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let a message that was given up wait to leave once more."""
        notification = get_object_or_404(Notification, pk=pk)
        if request.method == "POST" and self.has_view_permission(request, notification):
            if outbox.resend(pk):
                messages.success(request, "It leaves again within a minute.")
            else:
                messages.error(request, "This message was not given up, so nothing was done.")
        return redirect("admin:notifications_notification_change", pk)
