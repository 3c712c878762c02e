"""The login as it is in production: the second step, fresh logins, and limits on guessing."""

import time
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.core.cache import caches
from django.test import Client
from pytest_django import Settings

from config import settings as product
from marketplace.models import User

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def _as_in_production(settings: Settings) -> None:
    settings.STAFF_TWO_FACTOR = True
    settings.FRESH_LOGIN_MINUTES = 30
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS
    forget_attempts()


def forget_attempts() -> None:
    """Count from nothing; other tests that run beside this one keep their counts."""
    caches["default"].key_prefix = uuid4().hex


def code(ahead: int = 0, secret: str = SECRET) -> str:
    """What the app shows; one that is `ahead` of now by half minutes."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + ahead))


def give_app(user: User) -> list[str]:
    """Set up an authenticator app for somebody, and answer their recovery codes."""
    TOTP.activate(user, SECRET)
    return RecoveryCodes.activate(user).get_unused_codes()


def password_of(user: User) -> str:
    return f"pw-{user.name}"


def log_in(client: Client, user: User, next_page: str = "") -> Any:
    return client.post(
        "/login/", {"username": user.email, "password": password_of(user), "next": next_page}
    )


def log_in_fully(user: User, **headers: str) -> Client:
    """A browser in which somebody has just taken both steps."""
    client = Client(headers=headers)
    log_in(client, user)
    if Authenticator.objects.filter(user=user).exists():
        forget_attempts()  # the code may have been used by another login of the test
        client.post("/login/second-step/", {"code": code()})
    assert "_auth_user_id" in client.session
    return client


def let_pass(client: Client, minutes: int) -> None:
    """Let the login of this browser be older."""
    session = client.session
    records = session["account_authentication_methods"]
    session["account_authentication_methods"] = [
        record | {"at": record["at"] - 60 * minutes} for record in records
    ]
    session.save()
