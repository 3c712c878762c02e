"""The e-mail to a company's owners when an endpoint of theirs was disabled."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.language import speaking_to
from marketplace.models import TeamMember
from notifications import mail
from notifications.models import Notification, WebhookEndpoint
from notifications.outbox import Composed, one_line

DISABLED = "webhook_disabled"
"""The kind of these notifications; they are `about` the endpoint."""

WHY = _lazy("You get this because you run {company} on {platform}.")


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message of this kind, by primary key.

    None when the endpoint is on again or gone, or the reader no longer runs the company.
    """
    told = [message for message in notifications if message.kind == DISABLED]
    if not told:
        return {}
    endpoints = {
        endpoint.public_id: endpoint
        for endpoint in WebhookEndpoint.objects.filter(
            public_id__in={message.about for message in told}, disabled_at__isnull=False
        ).select_related("company")
    }
    runs_it = set(
        TeamMember.objects.filter(
            company__in={endpoint.company_id for endpoint in endpoints.values()},
            user__in={message.recipient_id for message in told},
            role__in=[TeamMember.Role.OWNER, TeamMember.Role.ADMIN],
        ).values_list("company_id", "user_id")
    )
    words: dict[int, Composed | None] = {}
    for message in told:
        endpoint = endpoints.get(message.about)
        place = (endpoint.company_id, message.recipient_id) if endpoint else None
        with speaking_to(message.recipient):
            words[message.pk] = _letter(endpoint) if endpoint and place in runs_it else None
    return words


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
            why=WHY.format(**context),
            facts=facts,
        ),
    )
