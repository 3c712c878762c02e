"""What is said when the project is started with settings it cannot use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from config.env import Env, environment

HERE = Path(__file__).resolve().parent.parent.parent
ENOUGH = {
    "SECRET_KEY": "x" * 60,
    "SEALING_KEY": "y" * 40,
    "SITE_URL": "https://resolution.example",
    "EMAIL_URL": "smtp://mail.resolution.example",
    "DATABASE_URL": "postgres://app@localhost/resolution",
    "REDIS_URL": "redis://localhost",
    "STRIPE_API_KEY": "sk_live_0",
    "PAYPAL_CLIENT_ID": "id",
    "PAYPAL_CLIENT_SECRET": "secret",
    "STRIPE_WEBHOOK_SECRET": "whsec_0",
    "PAYPAL_WEBHOOK_ID": "WH-0",
}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Start the project as an installation would, with these variables and no others."""
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=HERE,
        env={"PATH": os.environ["PATH"], "VAR_DIR": "/nonexistent", **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "SEALING_KEY",
        "SITE_URL",
        "EMAIL_URL",
        "STRIPE_API_KEY",
    ],
)
def test_a_missing_setting_stops_the_start_with_a_sentence_that_names_it(name: str):
    given = {key: value for key, value in ENOUGH.items() if key != name}

    started = start(**given)

    assert started.returncode == 1
    assert started.stdout == ""
    assert started.stderr.splitlines()[1:] == []
    assert started.stderr.startswith(f"manage.py: {name} is not set")


def test_a_malformed_setting_stops_the_start_with_a_sentence_that_names_it():
    started = start(**ENOUGH, RESPONSE_DAYS="seven")

    assert (started.returncode, started.stderr) == (
        1,
        "manage.py: RESPONSE_DAYS must be a whole number of at least 1, not 'seven'.\n",
    )


def test_with_all_that_it_needs_it_starts():
    started = start(**ENOUGH)

    assert (started.returncode, started.stdout) == (
        0,
        "System check identified no issues (0 silenced).\n",
    )


@pytest.mark.django_db
def test_a_transaction_that_stands_idle_is_rolled_back_before_long():
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("15s",)


def test_what_the_environment_asks_of_postgresql_is_asked_for_as_well():
    asked = {"PGOPTIONS": "-c lock_timeout=10s", "IDLE_TRANSACTION_SECONDS": "4"}
    told = subprocess.run(
        [sys.executable, "-c", "from config.settings import DATABASES as all_of_them; "
         "print(all_of_them['default']['OPTIONS']['options'])"],
        cwd=HERE, env={"PATH": os.environ["PATH"], **ENOUGH, **asked},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    assert told.stdout == "-c lock_timeout=10s -c idle_in_transaction_session_timeout=4s\n"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("mysql://a/b", "DB must be an address like postgres://user:password@host:5432/name."),
        ("postgres://a", "DB must be an address like postgres://user:password@host:5432/name."),
        ("postgres://u:geheim@h:port/d", "DB is not a valid address."),
    ],
)
def test_an_unusable_database_is_refused_without_showing_its_password(value: str, sentence: str):
    with pytest.raises(ImproperlyConfigured) as refusal:
        Env({"DB": value}).database("DB")

    assert str(refusal.value) == sentence


def test_an_address_says_everything_about_a_database():
    found = Env({"DB": "postgresql://me:p%40ss@db:6432/cases?sslmode=require"}).database("DB")

    assert found == {
        "NAME": "cases",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("flag", "maybe"),
        ("whole", "-1"),
        ("whole", "1.5"),
        ("url", "example.com"),
        ("url", "https://"),
        ("url", "https://example.com:port"),
        ("redis", "http://localhost"),
        ("mail", "imap://localhost"),
        ("mail", "smtp://localhost:port"),
    ],
)
def test_a_malformed_value_is_refused_by_name(read: str, value: str):
    defaults: dict[str, list[object]] = {"flag": [False], "whole": [1], "mail": [None]}

    with pytest.raises(ImproperlyConfigured, match=r"^THIS "):
        getattr(Env({"THIS": value}), read)("THIS", *defaults.get(read, []))


def test_a_command_by_hand_finds_the_demo_of_its_checkout(monkeypatch, tmp_path: Path):
    (tmp_path / "demo.env").write_text(json.dumps({"DEMO": "1", "SITE_URL": "http://localhost:1"}))
    for name in ("DEMO", "SECRET_KEY", "DATABASE_URL", "SITE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path))

    found = environment(tmp_path)

    assert (found.flag("DEMO", False), found.text("SITE_URL")) == (True, "http://localhost:1")


def test_an_environment_that_says_what_to_talk_to_never_finds_a_demo(monkeypatch, tmp_path: Path):
    (tmp_path / "demo.env").write_text(json.dumps({"SITE_URL": "http://localhost:1"}))
    for name in ("DEMO", "DATABASE_URL", "SITE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRET_KEY", "said")
    monkeypatch.setenv("VAR_DIR", str(tmp_path))

    found = environment(tmp_path)

    assert found.has("SITE_URL") is False


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("USD 250, EUR 230, JPY 37500", {"USD": 250, "EUR": 230, "JPY": 37500}),
        ("250", {"USD": 250}),
        ("0", {"USD": 0}),
    ],
)
def test_a_limit_is_set_by_currency_and_a_plain_number_is_dollars(
    value: str, found: dict[str, int]
):
    assert Env({"LIMIT": value}).amounts("LIMIT", "USD 1") == found


@pytest.mark.parametrize(
    "value", ["250 USD", "USD -1", "USD 2.50", "usd 2", "USD 2,000", "USD 1, USD 2", "much", "1,"]
)
def test_a_malformed_limit_is_refused_by_name(value: str):
    with pytest.raises(ImproperlyConfigured, match=r"^LIMIT must be amounts in whole units"):
        Env({"LIMIT": value}).amounts("LIMIT", "USD 1")
