"""Reads settings from the environment, and names the variable that is wrong."""

import json
import os
import re
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
DEMO_FILE = "demo.env"
ACCOUNTS_FILE = "demo.accounts"
SAYS_WHAT_TO_TALK_TO = ("DEMO", "SECRET_KEY", "DATABASE_URL")


class Env:
    """Typed reads of one mapping of variables. An empty value counts as unset.

    Every read without a default raises ImproperlyConfigured when the variable is unset; every read
    raises it when the value is malformed.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def has(self, name: str) -> bool:
        return bool(self.variables.get(name, "").strip())

    def text(self, name: str, default: str | None = None, *, hint: str = "") -> str:
        value = self.variables.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set{f': {hint}' if hint else ''}.")
        return default

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, "").lower()
        if not value:
            return default
        if value not in YES | NO:
            raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")
        return value in YES

    def whole(self, name: str, default: int, *, least: int = 0) -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit()) or int(value) < least:
            raise ImproperlyConfigured(
                f"{name} must be a whole number of at least {least}, not {value!r}."
            )
        return int(value)

    def wholes(self, name: str, default: list[int], *, least: int = 0) -> list[int]:
        """Whole numbers separated by commas, the largest first."""
        parts = self.names(name, [str(number) for number in default])
        if not all(part.isascii() and part.isdigit() and int(part) >= least for part in parts):
            raise ImproperlyConfigured(
                f"{name} must be whole numbers of at least {least}, like 3, 1; not {parts!r}."
            )
        return sorted({int(part) for part in parts}, reverse=True)

    def amounts(self, name: str, default: str) -> dict[str, int]:
        """Whole units by currency, written `USD 250, JPY 37500`; a plain number is in USD."""
        found: dict[str, int] = {}
        for part in self.text(name, default).split(","):
            amount = re.fullmatch(r"(?:([A-Z]{3}) )?([0-9]{1,12})", part.strip())
            currency = (amount and amount[1]) or "USD"
            if amount is None or currency in found:
                raise ImproperlyConfigured(
                    f"{name} must be amounts in whole units, each currency once, like"
                    f" 'USD 250, JPY 37500'; {part.strip()!r} is not right."
                )
            found[currency] = int(amount[2])
        return found

    def names(self, name: str, default: list[str]) -> list[str]:
        """A list separated by commas."""
        values = [part.strip() for part in self.text(name, "").split(",")]
        return [value for value in values if value] or default

    def url(self, name: str, default: str | None = None) -> str:
        """An http(s) address, without a slash at its end."""
        value = self.text(name, default).rstrip("/")
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise ImproperlyConfigured(
                f"{name} must be an address like https://example.com, not {value!r}."
            )
        return value

    def redis(self, name: str) -> str:
        """An address of Redis or Valkey, such as redis://host:6379/0 or unix:///run/valkey.sock."""
        value = self.text(name)
        if urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            raise ImproperlyConfigured(f"{name} must be an address like redis://host:6379/0.")
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object such as {"POSTMARK_SERVER_TOKEN": "…"}; an empty one when it is unset."""
        try:
            value = json.loads(self.text(name, "{}"))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ImproperlyConfigured(f"{name} must be a JSON object.")
        return value

    def broker(self, name: str, default: str) -> str:
        """An address of Redis, Valkey or RabbitMQ, such as amqp://user:password@host:5672/."""
        value = self.text(name, default)
        if urlsplit(value).scheme not in {"redis", "rediss", "unix", "amqp", "amqps"}:
            raise ImproperlyConfigured(
                f"{name} must be an address like redis://host:6379/0 or amqp://host:5672/."
            )
        return value

    def socket(self, name: str, port: int) -> tuple[str, int] | str | None:
        """A host and port of `tcp://host:port`, the path of `unix:///path`, or None when unset."""
        value = self.text(name, "")
        if not value:
            return None
        try:
            parts = urlsplit(value)
            if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/"):
                return parts.hostname, parts.port or port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return parts.path
        raise ImproperlyConfigured(
            f"{name} must be an address like tcp://host:{port} or unix:///run/a.socket."
        )

    def key(self, name: str) -> bytes | None:
        """32 bytes in base64, or None when unset. The value is never part of the error."""
        value = self.text(name, "")
        if not value:
            return None
        try:
            key = b64decode(value, validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ImproperlyConfigured(f"{name} must be 32 bytes in base64.")
        return key

    def database(self, name: str) -> dict[str, Any]:
        """Django's description of the PostgreSQL database at an address.

        The query may hold any libpq option; `host` there is a folder with a Unix socket. The
        address is never part of the error: it holds a password.
        """
        try:
            parts = urlsplit(self.text(name))
            options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            port = parts.port
        except ValueError:
            raise ImproperlyConfigured(f"{name} is not a valid address.") from None
        if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
            raise ImproperlyConfigured(
                f"{name} must be an address like postgres://user:password@host:5432/name."
            )
        return {
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
            "PORT": str(port or ""),
            "OPTIONS": options,
        }

    def mail(self, name: str, default: str | None) -> dict[str, Any]:
        """Django's EMAIL_… settings for smtp://, smtp+tls:// (STARTTLS) or smtps:// addresses."""
        try:
            parts = urlsplit(self.text(name, default))
            port = parts.port
        except ValueError:
            raise ImproperlyConfigured(f"{name} is not a valid address.") from None
        usual_port = {"smtp": 25, "smtp+tls": 587, "smtps": 465}.get(parts.scheme)
        if usual_port is None or not parts.hostname:
            raise ImproperlyConfigured(
                f"{name} must be an address like smtp+tls://user:password@host:587."
            )
        return {
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": port or usual_port,
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
            "EMAIL_USE_SSL": parts.scheme == "smtps",
        }


def environment(base_dir: Path) -> Env:
    """The process's variables, over those of the demo of this checkout if there is one.

    A demo leaves what its parts need to find each other in a file, so that a command run by
    hand talks to it. It is not read once the environment says what to talk to.
    """
    variables = dict(os.environ)
    if not any(variables.get(name) for name in SAYS_WHAT_TO_TALK_TO):
        left_by_the_demo = Path(variables.get("VAR_DIR") or base_dir / "var") / DEMO_FILE
        if left_by_the_demo.exists():
            variables = json.loads(left_by_the_demo.read_text()) | variables
    return Env(variables)
