"""The e-mail to a company's owners and admins when an endpoint of theirs was disabled."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from notifications import company_letters, mail
from notifications.models import Notification, WebhookEndpoint
from notifications.outbox import Composed, one_line

DISABLED = "webhook_disabled"
"""The kind of these notifications; they are `about` the endpoint."""


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message of this kind; None where the endpoint is on again or gone."""
    told = [message for message in notifications if message.kind == DISABLED]
    if not told:
        return {}
    endpoints = WebhookEndpoint.objects.filter(
        public_id__in={message.about for message in told}, disabled_at__isnull=False
    ).select_related("company")
    return company_letters.compose(
        told, {endpoint.public_id: endpoint for endpoint in endpoints}, _letter
    )


def _letter(endpoint: WebhookEndpoint) -> Composed:
    last = endpoint.attempts.filter(success=False).order_by("-sent_at", "-pk").first()
    context = {
        "company": one_line(endpoint.company.name),
        "host": urlsplit(endpoint.url).hostname or "",
        "platform": settings.PLATFORM_NAME,
    }
    facts = [(_("Address"), endpoint.url)]
    if last:
        said = last.error or _("It answered {response_code}.").format(
            response_code=last.response_code
        )
        facts.append((_("Last attempt"), one_line(said)))
    return mail.render(
        f"{mail.FOLDER}/{DISABLED}.txt",
        context,
        mail.Around(
            button_href=f"{settings.SITE_URL.rstrip('/')}/dash/resolution-center/developers/"
            f"webhooks/{endpoint.public_id}/",
            why=company_letters.why(endpoint.company),
            facts=facts,
        ),
    )
