"""Making, finding and revoking the tokens that programs sign in with."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from accounts import second_step
from api.models import ApiToken
from marketplace.models import Company, TeamMember, User

PREFIX = "apik_"
USE_IS_NOTED_EVERY = timedelta(minutes=1)

READ_CASES = "payment:resolution_center_case:read"
MANAGE_CASES = "payment:resolution_center_case:manage"
ALL_OF_CASES = "payment:resolution_center"
READ_EMAIL = "member:email:read"
READ_PAYMENTS = "payment:basic:read"
MANAGE_WEBHOOKS = "developer:manage_webhook"

SCOPES = {
    READ_CASES: _lazy("Read cases and their timelines"),
    MANAGE_CASES: _lazy("Open cases, answer them, and add files"),
    ALL_OF_CASES: _lazy("Both of the above"),
    READ_EMAIL: _lazy("See buyers’ e-mail addresses"),
    READ_PAYMENTS: _lazy("Read payments and refunds"),
    MANAGE_WEBHOOKS: _lazy("Manage webhooks"),
}
"""Every scope, in the words of the page where a token is made."""

INCLUDED = {READ_CASES: (ALL_OF_CASES,), MANAGE_CASES: (ALL_OF_CASES,)}
"""Scopes that are good for another one as well."""

RUNS_THE_COMPANY = (TeamMember.Role.OWNER, TeamMember.Role.ADMIN)


class TokenRefused(Exception):
    """No such token can be made; the text says why, to the person who tried."""


def make(
    user: User,
    name: str,
    scopes: Sequence[str],
    *,
    company: Company | None = None,
    expires_at: datetime | None = None,
    secret: str = "",
) -> tuple[ApiToken, str]:
    """A new token and its secret, which can never be read again.

    `secret` is for the demo, whose tokens everybody may know. Raises TokenRefused for a scope that
    does not exist, and for a company that the person is neither an owner nor an admin of.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise TokenRefused(_("There is no scope “{name}”.").format(name=unknown[0]))
    if not scopes:
        raise TokenRefused(_("Choose at least one thing that the token may do."))
    if expires_at and expires_at <= timezone.now():
        raise TokenRefused(_("Choose a date in the future."))
    if company and not runs(user, company):
        raise TokenRefused(_("Only an owner or an admin can make tokens for a company."))
    secret = secret or PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        company=company,
        name=name,
        digest=digest_of(secret),
        ends_in=secret[-4:],
        scopes=list(dict.fromkeys(scopes)),
        expires_at=expires_at,
    )
    return token, secret


def runs(user: User, company: Company) -> bool:
    """Whether the person is an owner or an admin of the company."""
    places = TeamMember.objects.filter(user=user, company=company, role__in=RUNS_THE_COMPANY)
    return places.exists()


def digest_of(secret: str) -> str:
    """What is kept of a token. It is 256 bits of chance, so a plain hash will do."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def find(secret: str) -> ApiToken | None:
    """The token with this secret if it can be used now, noted as used.

    Those of staff without a second step are worth nothing until they have one.
    """
    token = (
        ApiToken.objects.select_related("user", "company").filter(digest=digest_of(secret)).first()
    )
    if token is None or not token.is_usable or not token.user.is_active:
        return None
    if not second_step.lets_program_work(token.user):
        return None
    _note_use(token)
    return token


def _note_use(token: ApiToken) -> None:
    """Write down when it was used, at most once a minute: reading must not cost a write."""
    now = timezone.now()
    before = now - USE_IS_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at < before:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)


def allows(token: ApiToken, scope: str) -> bool:
    """Whether the token has the scope, or one that includes it."""
    return any(good in token.scopes for good in (scope, *INCLUDED.get(scope, ())))


def revoke(token: ApiToken) -> None:
    """Make a token worthless from this moment on."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
