"""Messages that left, wait to leave, or were given up; and the webhooks of companies."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.admin import Looked, ReadOnlyAdmin, link_to
from notifications import outbox, preferences
from notifications.models import (
    Notification,
    Preferences,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """One row for each message to one person."""

    found_by: ClassVar[Mapping[str, str]] = {
        "msg_": "public_id", "revt_": "key__startswith", "@": "recipient__email",
        "user_": "recipient__public_id", "": "thread",
    }  # fmt: skip
    search_help_text = _lazy("A msg_, revt_, reso_ or user_ id, or the recipient’s e-mail address.")
    list_display = ("public_id", "kind", "told", "state", "attempts", "created_at", "sent_at")
    list_select_related = ("recipient",)
    list_filter = ("state",)
    fields = (
        "public_id", "kind", "told", "channel", "about", "thread", "state", "attempts",
        "next_attempt_at", "error", "created_at", "sent_at", "read_at",
    )  # fmt: skip

    @admin.display(description=_lazy("recipient"))
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
                messages.success(request, _("It leaves again within a minute."))
            else:
                messages.error(request, _("This message was not given up, so nothing was done."))
        return redirect("admin:notifications_notification_change", pk)


@admin.register(Preferences)
class PreferencesAdmin(ReadOnlyAdmin):
    """What people chose about e-mail, and whose address refuses it."""

    found_by: ClassVar[Mapping[str, str]] = {"user_": "user__public_id", "": "user__email"}
    search_help_text = _lazy("An e-mail address, or a user_ id.")
    list_display = ("user", "refused_address", "refused_at", "complained_at", "muted")
    list_select_related = ("user",)
    list_filter = (("refused_at", admin.EmptyFieldListFilter),)
    fields = (
        "whose", "muted", "quiet_from", "quiet_until", "refused_address", "refused_at",
        "refused_why", "complained_at",
    )  # fmt: skip

    @admin.display(description=_lazy("person"))
    def whose(self, chosen: Preferences) -> SafeString | str:
        return link_to(chosen.user)

    def get_urls(self) -> list[Any]:
        works = self.admin_site.admin_view(self.works_again)
        return [
            path("<int:pk>/works-again/", works, name="notifications_preferences_works_again"),
            *super().get_urls(),
        ]

    def works_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send e-mail to this person's address again."""
        chosen = get_object_or_404(Preferences, pk=pk)
        if request.method == "POST" and self.has_view_permission(request, chosen):
            preferences.mark_works(chosen.user)
            messages.success(request, _("E-mail goes to this address again."))
        return redirect("admin:notifications_preferences_change", pk)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Where companies let us tell their own programs, and how that goes. Secrets are not shown."""

    found_by: ClassVar[Mapping[str, str]] = {
        "hook_": "public_id", "biz_": "company__public_id", "": "company__name__istartswith",
    }  # fmt: skip
    search_help_text = _("A hook_ or biz_ id, or the beginning of a company’s name.")
    list_display = (
        "public_id", "url", "of", "enabled", "consecutive_failures", "failing_since",
    )  # fmt: skip
    list_select_related = ("company",)
    list_filter = ("enabled", "disabled_reason", ("failing_since", admin.EmptyFieldListFilter))
    fields = (
        "public_id", "of", "url", "events", "api_version_date", "enabled", "disabled_reason",
        "disabled_at", "consecutive_failures", "failing_since", "last_failure_at", "created_at",
        "links",
    )  # fmt: skip

    @admin.display(description=_("company"))
    def of(self, endpoint: WebhookEndpoint) -> SafeString | str:
        return link_to(endpoint.company)

    @admin.display(description=_("See also"))
    def links(self, endpoint: WebhookEndpoint) -> SafeString:
        sent = reverse("admin:notifications_webhookdelivery_changelist")
        return format_html('<a href="{}?q={}">{}</a>', sent, endpoint.public_id, _("Deliveries"))


class Attempts(Looked):
    """Each request that was made for a delivery, and its answer."""

    model = WebhookAttempt
    fields = ("public_id", "number", "sent_at", "response_code", "error", "seconds")
    show_change_link = False


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """One message to one endpoint, and how far it has come."""

    found_by: ClassVar[Mapping[str, str]] = {
        "biz_": "endpoint__company__public_id", "": "endpoint__public_id",
    }  # fmt: skip
    search_help_text = _("A hook_ or biz_ id.")
    list_display = ("message_id", "type", "to", "state", "attempts", "created_at", "settled_at")
    list_select_related = ("endpoint",)
    list_filter = ("state",)
    inlines = (Attempts,)
    fields = (
        "message_id", "to", "type", "about", "resource", "thread", "state", "attempts",
        "next_attempt_at", "error", "happened_at", "created_at", "settled_at", "body",
    )  # fmt: skip

    @admin.display(description=_("endpoint"))
    def to(self, delivery: WebhookDelivery) -> SafeString | str:
        return link_to(delivery.endpoint)
