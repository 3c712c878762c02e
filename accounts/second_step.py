"""The second step of a login: whether somebody has one, and whether this session has taken it.

A session has taken it when a code, a recovery code or a passkey was given in it. For the staff that
is required: without it they are people like all others, wherever they come from.
"""

from typing import Any

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from marketplace import sealed
from marketplace.models import User

STEPS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
"""What can be asked for at a login; recovery codes only stand in for these."""


def is_set_up(user: User) -> bool:
    """Whether a login of theirs asks for more than the password."""
    return Authenticator.objects.filter(user=user, type__in=STEPS).exists()


def is_taken(request: HttpRequest) -> bool:
    """Whether this session has taken it. Asks the database nothing."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is None or not isinstance(request.user, User):
        return False
    return any(
        record.get("method") == "mfa"
        for record in get_authentication_records(request, request.user)
    )


def note_taken(request: HttpRequest, user: User, kind: str) -> None:
    """A code or a passkey was shown to work while it was set up: that is the step taken."""
    record_authentication(request, user, "mfa", type=kind)


def lets_staff_work(request: HttpRequest) -> bool:
    """Whether whoever asks may act as one of the staff, as far as the second step is concerned."""
    return not settings.STAFF_TWO_FACTOR or is_taken(request)


def lets_program_work(user: Any) -> bool:
    """Whether a token of this person's is good: a member of the staff without the step has none."""
    return not (settings.STAFF_TWO_FACTOR and user.is_staff) or is_set_up(user)


def must_keep(user: User) -> bool:
    """Whether somebody may not go without the step."""
    return bool(settings.STAFF_TWO_FACTOR and user.is_staff)


def reseal(newest: str, limit: int) -> int:
    """Seal the secrets of steps with the newest key, whose mark this is; answer how many."""
    done = 0
    for kind, name in (
        (Authenticator.Type.TOTP, "secret"),
        (Authenticator.Type.RECOVERY_CODES, "seed"),
    ):
        column = f"data__{name}"
        old = Authenticator.objects.filter(type=kind, **{f"{column}__isnull": False})
        for step in old.exclude(**{f"{column}__startswith": newest})[:limit]:
            now = step.data | {name: sealed.seal(sealed.unseal(step.data[name]))}
            done += Authenticator.objects.filter(pk=step.pk, data=step.data).update(data=now)
    return done
