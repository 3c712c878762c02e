"""Every field of every form against everything that is bad: `make fuzz`.

The forms are found, not listed: each address of the policy table is sent what its form takes, as
somebody who may, and the forms that its view looks at are noted with their fields. Then each field
in turn gets each bad value, the others being as they were, and some get files that lie. Whatever is
done is undone. Prints one line of JSON; fails when an answer is an error of ours, when a script
comes back as one, or when a form of ours is looked at by no address.

`ROLES=all` sends everything as each kind of person that may, otherwise as the first of them.
"""

import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pytest
from django import forms
from django.db import transaction
from django.forms.forms import BaseForm
from django.test import Client
from django.urls import reverse

from tests.access.test_policy import NAMELESS, PEOPLE, World, addresses, log_in, row_of
from tests.evidence.hostile import huge_png, polyglot

SCRIPT = "<script>alert(1)</script>"
BAD: dict[str, Any] = {
    "nul": "a\0b",
    "lone surrogate": "a\ud800b",
    "huge whole": str(2**63),
    "huge below zero": str(-(2**63) - 1),
    "a lot": "9" * 400,
    "infinite": "1e309",
    "no number": "NaN",
    "endless": "Infinity",
    "below zero": "-1",
    "zero": "0",
    "decimals": "1.0000000000000001",
    "exponent": "1e-400",
    "other digits": "٣٤",
    "hexadecimal": "0x10",
    "script": SCRIPT,
    "unknown": "frobnicate",
    "long": "x" * 20_000,
    "zero width": "\u200b\u200d\ufeff",
    "white space": " \t\r\n\u00a0\u3000",
    "template": "{{7*7}} {% now 'Y' %} {x.__class__} {0} {} %s %(x)s %",
    "right to left": "abc\u202egnp.exe",
    "line ends": "a\r\nBcc: everyone@example.com",
    "control": "a\x01\x1b[31m\x7f\x85b",
    "combining": "a" + "\u0301" * 3000,
    "no character": "\uffff\ufdd0\U0010ffff",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "nothing": "",
    "a path": "../../etc/passwd",
    "an id that is long": "reso_" + "a" * 300,
    "an id of another kind": "user_0000000000000X",
    "an address": "https://user:pw@[::1/",
    "a date": "0000-13-32T25:61:61+99:99",
    "a far date": "99999-01-01",
    "json": '{"a": [1, {"b": null}]}',
    "many": ["1", "2", "3"],
    "many odd": ["", "\0", "frobnicate"],
}
"""What a field may be sent. A list is sent as a field that comes several times."""

LIES: dict[str, tuple[str, bytes, str]] = {
    "no file": ("a.png", b"", "image/png"),
    "html": ("a.png", b"<html><script>alert(1)</script>", "image/png"),
    "too many pixels": ("a.png", huge_png(), "image/png"),
    "half": ("a.png", polyglot()[:40], "image/png"),
    "two in one": ("a.png", polyglot(), "image/png"),
    "a name with line ends": ("a\r\nX: y.png", polyglot(), "image/png"),
    "a name that is a path": ("..\\..\\..\\x.png", polyglot(), "image/png"),
    "a name that is long": ("x" * 300 + ".png", polyglot(), "image/png"),
    "a type that is none": ("a.png", polyglot(), "no\x00type"),
}
"""What a field of files may be sent, and any other field as well: a file where a text should be."""


class Lie(io.BytesIO):
    """A file whose name and type are sent as they are said."""

    name = content_type = ""


@dataclass(frozen=True)
class Target:
    """What an address takes from somebody who may: the fields of the forms that look at it."""

    label: str
    method: str
    people: tuple[str, ...]
    forms: frozenset[type[BaseForm]]
    base: dict[str, Any]
    """What would be taken, by the names of the fields."""


@contextmanager
def looked_at() -> Iterator[list[BaseForm]]:
    """The forms that look at what was sent, while this lasts."""
    seen: list[BaseForm] = []
    clean = BaseForm.full_clean

    def full_clean(form: BaseForm) -> None:
        if form.is_bound:
            seen.append(form)
        clean(form)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseForm, "full_clean", full_clean)
        yield seen


def fitting(field: forms.Field) -> Any:
    """Something that a field like this may take, so that the others are looked at in earnest."""
    if isinstance(field, forms.ChoiceField | forms.ModelChoiceField):
        choices: Any = field.choices
        values = [str(value) for value, label in choices if not isinstance(label, list | tuple)]
        return next((value for value in values if value), "")
    if isinstance(field, forms.BooleanField):
        return "on"
    if isinstance(field, forms.IntegerField):
        return "1"
    if isinstance(field, forms.EmailField):
        return "a@example.com"
    if isinstance(field, forms.URLField):
        return "https://93.184.216.34/"
    return "" if isinstance(field, forms.FileField) else "So be it."


MORE = {
    "admin:resolution_case_act propose-retry": "agent",
    "admin:resolution_case_act propose-credits": "agent",
    "dash-webhook-act test": "owner",
}
"""Acts of an address that has a row for other acts, and who sends them."""

ELSEWHERE = {
    "accounts.forms.StepForm": "half of a login: tests/accounts/test_second_step.py",
    "accounts.forms.ConfirmForm": "after a while: tests/accounts/test_fresh.py",
    "payments.admin.looked_up.LookUpForm": "for a lost refund: tests/staff/test_looked_up.py",
}
"""Forms that are only shown on the way somewhere, and where they get what is bad."""

STOCK_PAGES = ("_changelist", "_change", "_history", "_delete", "_add")
"""Pages of the administration that all look at the same forms."""

REFUSED = {"in", "401", "403", "404", "405"}
"""What the policy table says of who may not send something."""


class Range:
    """The world, and everybody's browser in it, as it was at the beginning of each shot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._browsers: dict[str, tuple[Client, str]] = {}

    def send(
        self, label: str, method: str, person: str, fields: dict[str, Any], *, files: bool = False
    ) -> Any:
        """Send this as somebody. Whatever was done is undone."""
        name = label.partition(" ")[0]
        address = NAMELESS.get(name) or reverse(name, args=self.world.args(label))
        client = self._browser(person)
        with transaction.atomic():
            if method == "GET":
                answer = client.get(f"{address}?{encoded(fields)}")
            elif files:
                answer = client.post(address, fields)
            else:
                kind = "application/x-www-form-urlencoded"
                answer = client.post(address, encoded(fields).encode(), kind)
            transaction.set_rollback(True)
        return answer

    def _browser(self, person: str) -> Client:
        """Theirs, in the session that they had: what a shot did to it is undone."""
        user = self.world.people[person]
        if person not in self._browsers:
            client = Client(raise_request_exception=False)
            if user:
                log_in(client, user)
            cookie = client.cookies.get("session")
            self._browsers[person] = client, cookie.value if cookie else ""
        client, session = self._browsers[person]
        client.cookies.clear()
        if session:
            client.cookies["session"] = session
        return client

    def targets(self, *, every: bool) -> Iterator[Target]:
        """Every address whose view looks at a form, with what that form would take.

        Or, of those that look at the same forms, the first; staff's searches are left out then.
        """
        seen: set[tuple[str, frozenset[type[BaseForm]]]] = set()
        for target in self._all_targets(every):
            kind = (target.method, target.forms)
            if every or kind not in seen:
                yield target
            seen.add(kind)

    def _all_targets(self, every: bool) -> Iterator[Target]:
        for label, person in MORE.items():
            yield from self._target(label, "POST", [person])
        for name in dict.fromkeys(addresses()):
            searches = every or not name.endswith(STOCK_PAGES)
            for method in ("POST", "GET") if searches else ("POST",):
                for act, cells in row_of(method, name):
                    may = [
                        person
                        for person, cell in zip(PEOPLE, cells.split(), strict=True)
                        if (cell == "ok" if method == "GET" else cell not in REFUSED)
                    ]
                    if may:
                        yield from self._target(f"{name} {act}".strip(), method, may)

    def _target(self, label: str, method: str, people: Sequence[str]) -> Iterator[Target]:
        sent = self.world.data(label) if method == "POST" else {}
        with looked_at() as seen:
            self.send(label, method, people[0], sent or {"nothing": "of note"})
        base = {
            form.add_prefix(name): fitting(field)
            for form in seen
            for name, field in form.fields.items()
        }
        if seen:
            kinds = frozenset(kind for form in seen for kind in type(form).__mro__)
            yield Target(label, method, tuple(people), kinds, base | sent)

    def shoot(self, target: Target, person: str, field: str, kind: str) -> str:
        """One bad value in one field; answers what is wrong with what came back, if anything is."""
        value: Any = BAD.get(kind)
        if value is None:
            name, content, content_type = LIES[kind]
            value = Lie(content)
            value.name, value.content_type = name, content_type
        sent = target.base | {field: value}
        answer = self.send(target.label, target.method, person, sent, files=kind in LIES)
        what = f"{target.method} {target.label} as {person}: {field} = {kind}"
        if answer.status_code >= 500:
            return f"{what} is answered with {answer.status_code}"
        if SCRIPT.encode() in getattr(answer, "content", b""):
            return f"{what} comes back as it was"
        return ""


def encoded(fields: dict[str, Any]) -> str:
    """As a browser that was told to misbehave sends it: every byte escaped, surrogates too."""
    return "&".join(
        f"{name}=" + "".join(f"%{byte:02X}" for byte in str(one).encode("utf-8", "surrogatepass"))
        for name, value in fields.items()
        for one in (value if isinstance(value, list) else [value])
    )


def every_shot(targets: Iterable[Target]) -> Iterator[tuple[Target, str, str]]:
    for target in targets:
        lies = LIES if target.method == "POST" else ()
        for field in target.base:
            for kind in (*BAD, *lies):
                yield target, field, kind


def few_shots(targets: Iterable[Target], of_each: int) -> Iterator[tuple[Target, str, str]]:
    """So many for each field, in turn, so that all the fields together have seen everything."""
    kinds = cycle(BAD)
    for target in targets:
        for field in target.base:
            for kind in islice(kinds, of_each):
                yield target, field, kind


OURS = ("accounts", "api", "config", "marketplace", "notifications", "payments", "resolution")


def forms_of_ours(kind: type[BaseForm] = BaseForm) -> set[type[BaseForm]]:
    """Every form that is written here."""
    found = {kind} if kind.__module__.partition(".")[0] in OURS else set()
    return found.union(*(forms_of_ours(below) for below in kind.__subclasses__()))


def forgotten(targets: Iterable[Target]) -> list[str]:
    """The forms of ours that no address has looked at."""
    seen = frozenset[type[BaseForm]]().union(*(target.forms for target in targets))
    unseen = {f"{kind.__module__}.{kind.__qualname__}" for kind in forms_of_ours() - seen}
    return sorted(unseen - ELSEWHERE.keys())


def test_everything_in_every_field(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    range_ = Range(world)
    targets = list(range_.targets(every=True))
    everybody = os.environ.get("ROLES") == "all"
    shots = 0
    wrong: list[str] = []

    for target, field, kind in every_shot(targets):
        for person in target.people if everybody else target.people[:1]:
            shots += 1
            wrong += filter(None, [range_.shoot(target, person, field, kind)])

    with capsys.disabled():
        print(  # noqa: T201
            json.dumps(
                {
                    "sound": not wrong and not forgotten(targets),
                    "addresses": len(targets),
                    "fields": sum(len(target.base) for target in targets),
                    "requests": shots,
                    "wrong": wrong,
                    "forgotten": forgotten(targets),
                    "seconds": round(time.monotonic() - began, 1),
                }
            )
        )
    assert (wrong, forgotten(targets)) == ([], [])
