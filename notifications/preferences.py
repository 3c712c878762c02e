"""What a person wants of e-mail, what their address takes, and the link that ends it in one click.

Groups of messages are names that whoever makes the words gives; here nothing is known of them.
"""

from datetime import datetime, timedelta

from django.core import signing
from django.db import transaction

from marketplace import clock
from marketplace.models import User
from marketplace.time_zone import zone_of
from notifications.models import Preferences

SWITCHED_OFF = "They chose not to get messages like this one by e-mail."
COMPLAINED = "They reported such messages as unwanted."
REFUSED = "Their address refuses e-mail: {why}"
SALT = "notifications.stop"


class BadLink(Exception):
    """The link was not made by us, or is about somebody who is gone."""


def why_only_in_app(person: User, group: str) -> str:
    """Why a message of this group is not to be sent to this person; "" when it is."""
    chosen: Preferences | None = getattr(person, "mail", None)
    if chosen is None:
        return ""
    if chosen.refused_at and chosen.refused_address == person.email:
        return REFUSED.format(why=chosen.refused_why or "no reason was given")
    if group and chosen.complained_at:
        return COMPLAINED
    return SWITCHED_OFF if group in chosen.muted else ""


def waits_until(person: User, group: str, now: datetime) -> datetime | None:
    """When the person's quiet hours end, if a message that can wait would disturb them now."""
    chosen: Preferences | None = getattr(person, "mail", None)
    if chosen is None or not group or chosen.quiet_from is None or chosen.quiet_until is None:
        return None
    local = now.astimezone(zone_of(person))
    first, last = chosen.quiet_from, chosen.quiet_until
    within = first <= local.hour < last if first <= last else not last <= local.hour < first
    return next_time(local, last) if within else None


def next_time(local: datetime, hour: int) -> datetime:
    """The next time that it is this hour by the clock of a local moment."""
    then = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    return then if then > local else then + timedelta(days=1)


def choose(user: User, **fields: object) -> None:
    """Keep what a person has chosen; what is not named stays."""
    Preferences.objects.update_or_create(user=user, defaults=fields)


def stop_token(user: User, group: str) -> str:
    """What stands in the link that mutes a group for a person. It is good for ever."""
    return signing.Signer(salt=SALT).sign(f"{user.public_id}.{group}")


def read_stop_token(token: str) -> tuple[User, str]:
    """Whom a link is about, and which group. Raises BadLink."""
    try:
        public_id, _, group = signing.Signer(salt=SALT).unsign(token).partition(".")
        return User.objects.get(public_id=public_id, is_active=True), group
    except (signing.BadSignature, User.DoesNotExist):
        raise BadLink from None


def mute(user: User, *groups: str) -> None:
    """Keep these groups in the app from now on. Doing it again changes nothing."""
    with transaction.atomic():
        chosen, _ = Preferences.objects.select_for_update().get_or_create(user=user)
        chosen.muted = sorted({*chosen.muted, *groups})
        chosen.save(update_fields=["muted"])


def unmute(user: User, group: str) -> None:
    """Send this group by e-mail again."""
    with transaction.atomic():
        chosen, _ = Preferences.objects.select_for_update().get_or_create(user=user)
        chosen.muted = [name for name in chosen.muted if name != group]
        chosen.save(update_fields=["muted"])


def mark_refused(address: str, why: str) -> None:
    """Send nothing more to an address that refuses for good; staff see it, the app goes on."""
    for user in User.objects.filter(email=address.strip().lower()):
        choose(
            user, refused_address=user.email, refused_at=clock.now(), refused_why=why[:200].strip()
        )


def mark_complained(address: str) -> None:
    """Send an address only what its owner needs, until they choose something else themselves."""
    for user in User.objects.filter(email=address.strip().lower()):
        choose(user, complained_at=clock.now())


def mark_works(user: User) -> None:
    """Send to the person's address again."""
    choose(user, refused_address="", refused_at=None, refused_why="")
