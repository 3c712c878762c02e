"""Guessing is slowed down, with Redis and without; no answer says who has an account."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client
from pytest_django import Settings

from accounts.cache import SharedCache
from marketplace.models import User
from notifications.models import Notification
from tests.accounts.conftest import log_in
from tests.people import make_user


def guess(client: Client, email: str, times: int) -> list[str]:
    said = []
    for number in range(times):
        page = client.post("/login/", {"username": email, "password": f"wrong {number}"})
        said.append(str(page.context["form"].non_field_errors()))
    return said


def test_after_five_wrong_passwords_the_right_one_has_to_wait(bea: User) -> None:
    guess(Client(), bea.email, 5)
    client = Client()

    answer = log_in(client, bea)

    assert "Too many attempts" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_others_are_not_held_up(bea: User) -> None:
    guess(Client(), bea.email, 6)

    assert log_in(Client(), make_user("Una Calm")).status_code == 302


def test_wrong_passwords_are_counted_alike_for_who_has_no_account(bea: User) -> None:
    known, unknown = (guess(Client(), email, 7) for email in (bea.email, "nobody@example.com"))

    assert known == unknown


def test_one_address_may_only_try_so_often(db: None) -> None:
    statuses = [
        Client().post("/login/", {"username": f"{number}@example.com", "password": "x"}).status_code
        for number in range(31)
    ]

    assert statuses == [200] * 30 + [429]


def test_a_proxy_says_who_tries_and_nobody_else_can(settings: Settings, db: None) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1

    def tried(said: str) -> int:
        form = {"username": "a@example.com", "password": ""}
        return Client(headers={"x-forwarded-for": said}).post("/login/", form).status_code

    mine = [tried(f"10.0.0.{number}, 192.0.2.7") for number in range(31)]

    assert (mine[-1], tried("192.0.2.7, 192.0.2.8")) == (429, 200)


def test_a_new_password_is_asked_for_at_most_five_times_an_hour(bea: User) -> None:
    answers = {
        Client().post("/password-reset/", {"email": bea.email})["Location"] for _ in range(7)
    }

    assert answers == {"/password-reset/sent/"}
    assert Notification.objects.filter(recipient=bea).count() == 5


def test_asking_for_a_password_takes_no_mail_server(bea: User, settings: Settings) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "192.0.2.1", 25
    began = time.monotonic()

    answer = Client().post("/password-reset/", {"email": bea.email})

    assert (answer.status_code, time.monotonic() - began < 2) == (302, True)


# ── Without Redis ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def frozen() -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize("trouble", ["gone", "frozen"])
def test_without_redis_people_log_in_and_guessing_is_still_slow(
    bea: User, frozen: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = frozen if trouble == "frozen" else "redis://127.0.0.1:9/0"
    monkeypatch.setattr(caches._connections, "default", SharedCache(address, {}))  # type: ignore[attr-defined]
    began = time.monotonic()

    let_in = log_in(Client(), make_user("Una Calm"))
    guess(Client(), bea.email, 5)
    held_up = log_in(Client(), bea)

    assert let_in.status_code == 302
    assert "Too many attempts" in held_up.content.decode()
    assert time.monotonic() - began < 20


def test_what_is_counted_is_data_and_never_code(db: None) -> None:
    cache: Any = caches["default"]

    cache.set("counted", [1.5, 2], 60)

    client = cache._cache.get_client(None)
    assert client.get(cache.make_key("counted")) == b"[1.5, 2]"
    assert cache.get("counted") == [1.5, 2]
