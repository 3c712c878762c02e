"""Passkeys in Chromium with an authenticator of its own, and every page of an account's safety.

`UI_SHOTS=folder` also saves pictures of the pages.
"""

import re
from typing import Any

import pytest
from pytest_django import Settings

from accounts import second_step
from marketplace.models import User
from tests.accounts.conftest import code, forget_attempts, password_of
from tests.ui.test_in_the_browser import WIDTHS, look, save_picture, violations, window

__all__ = ["look", "window"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(live_server: Any, settings: Settings) -> str:
    """Where passkeys are made for: browsers take them over plain HTTP at localhost only."""
    settings.SITE_URL = live_server.url
    address: str = live_server.url
    return address


def with_authenticator(page: Any) -> None:
    """Give the browser a fingerprint reader that always says yes."""
    tools = page.context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    tools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True,
            }
        },
    )  # fmt: skip


def enter(page: Any, site: str, user: User) -> None:
    page.goto(f"{site}/login/?next=/account/security/")
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(password_of(user))
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_load_state()


def check(page: Any, name: str, found: list[str]) -> None:
    """Look at a page in both themes and widths, and note what is wrong with it."""
    for theme in ("light", "dark"):
        for width in WIDTHS.values():
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 900})
            save_picture(page, f"accounts-{name}-{width}-{theme}")
            found += violations(page, all_rules=(theme, width) == ("light", 1280))
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"{name} is too wide at {width}")


def test_a_passkey_from_the_first_to_the_last(
    site: str, look: Any, sam: User, settings: Settings
) -> None:
    page, found = look(f"{site}/login/", 1280, "light"), list[str]()
    with_authenticator(page)

    check(page, "login", found)
    enter(page, site, sam)
    check(page, "held-up", found)
    page.get_by_role("link", name="Add a passkey").click()
    check(page, "passkey", found)
    page.get_by_label("Name").fill("My laptop, the one at the office with the very long name")
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url("**/recovery-codes/")
    check(page, "codes", found)
    page.get_by_role("link", name="I have kept them").click()
    check(page, "security", found)
    page.goto(f"{site}/admin/")
    at_work = page.title()

    page.context.clear_cookies()
    page.goto(f"{site}/login/?next=/account/security/")
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url(f"{site}/account/security/")  # the login's own address ends like it

    page.context.clear_cookies()
    enter(page, site, sam)
    check(page, "second-step", found)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_load_state()
    check(page, "second-step-refused", found)
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(f"{site}/account/security/")

    settings.FRESH_LOGIN_MINUTES = 1 / 60_000
    page.get_by_role("link", name="Show the recovery codes").click()
    check(page, "confirm", found)
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_load_state()
    check(page, "confirm-refused", found)
    settings.FRESH_LOGIN_MINUTES = 30
    page.goto(f"{site}/account/security/")

    assert "Administration" in at_work
    assert second_step.is_set_up(sam) is True
    assert found == []
    assert [said for said in page.complaints if "Security Policy" in said] == []


def test_an_app_is_set_up_and_the_password_changed(site: str, look: Any, bea: User) -> None:
    page, found = look(f"{site}/login/", 1280, "light"), list[str]()
    enter(page, site, bea)

    page.get_by_role("link", name="Set up an authenticator app").click()
    check(page, "app", found)
    secret = page.get_by_label("Or enter this key").input_value()
    page.get_by_label("Then enter the code it shows").fill("123")
    page.get_by_role("button", name="Set it up").click()
    page.wait_for_load_state()
    check(page, "app-refused", found)
    same = page.get_by_label("Or enter this key").input_value()
    forget_attempts()
    page.get_by_label("Then enter the code it shows").fill(code(secret=secret))
    page.get_by_role("button", name="Set it up").click()
    page.wait_for_url("**/recovery-codes/")
    page.goto(f"{site}/account/security/app/remove/")
    check(page, "no-app", found)
    page.goto(f"{site}/account/security/password/")
    page.get_by_role("button", name="Change your password").click()
    page.wait_for_load_state()
    check(page, "password-refused", found)

    assert re.fullmatch(r"[A-Z2-7]{32}", secret)
    assert (same, second_step.is_set_up(bea)) == (secret, True)
    assert found == []
