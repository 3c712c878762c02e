"""The e-mails that tell somebody what happened to their account."""

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from accounts import devices
from accounts.events import PREFIX
from accounts.models import AccountEvent
from marketplace.language import speaking_to
from marketplace.models import User
from marketplace.time_zone import zone_of
from notifications import mail
from notifications.models import Notification
from notifications.outbox import Composed


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message about an account, by primary key; None when it is closed."""
    told = [message for message in notifications if message.kind.startswith(PREFIX)]
    if not told:
        return {}
    found = AccountEvent.objects.filter(public_id__in=[message.about for message in told])
    events = {event.public_id: event for event in found.select_related("user")}
    letters: dict[int, Composed | None] = {}
    for message in told:
        event = events.get(message.about)
        letters[message.pk] = None
        if event and event.user.is_active:
            with speaking_to(event.user):
                letters[message.pk] = _letter(event)
    return letters


def _letter(event: AccountEvent) -> Composed:
    user = event.user
    site = settings.SITE_URL.rstrip("/")
    asked = event.kind == AccountEvent.Kind.RESET_ASKED
    at = timezone.localtime(event.at, zone_of(user))
    facts = [(_("When"), f"{at:%Y-%m-%d %H:%M} ({zone_of(user)})")]
    if event.agent:
        facts.append((_("Where"), f"{devices.in_words(event.agent)}, {event.ip}"))
    return mail.render(
        f"{mail.FOLDER}/account/{event.kind}.txt",
        {"platform": settings.PLATFORM_NAME, "name": user.first_name},
        mail.Around(
            button_href=_link_of(user) if asked else site + reverse("mfa_index"),
            why=_("You get this because you have an account at %(platform)s.")
            % {"platform": settings.PLATFORM_NAME},
            facts=facts,
        ),
    )


def _link_of(user: User) -> str:
    """Where a new password can be chosen, once, for an hour from now."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    place = reverse("password_reset_confirm", args=[uid, token])
    return settings.SITE_URL.rstrip("/") + place
