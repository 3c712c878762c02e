"""Whatever is answered, people learn what to do and browsers what they may; no log tells tales."""

import json
import logging
import re
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from config import views
from config.logs import OneLine
from marketplace.models import User
from resolution.models import Attachment, Case

FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload",
}
CANARY = "canary6640"


class Browser(Client):
    """One that comes by TLS, reads a language, and is shown the page for an error of ours."""

    def __init__(self, user: User | None = None, language: str = "en", **more: Any) -> None:
        super().__init__(raise_request_exception=False, HTTP_ACCEPT_LANGUAGE=language, **more)
        if user:
            self.force_login(user)

    def generic(self, *args: Any, **kwargs: Any) -> Any:
        return super().generic(*args, **kwargs | {"secure": True})


@pytest.fixture
def _behind_tls(settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 2 * 365 * 24 * 60 * 60
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True


def breaks() -> bool:
    raise ZeroDivisionError


def loses_the_database() -> bool:
    raise OperationalError("the connection is closed")


@pytest.fixture
def removed(bea: User) -> str:
    """The address of a file of bea's in which there was a virus."""
    file = Attachment.objects.create(
        uploader=bea, filename="a.png", content_type="image/png", kind="image", size=3,
        sha256="0" * 64, state="infected",
    )  # fmt: skip
    return reverse("attachment", args=[file.public_id])


def broken_page(monkeypatch: pytest.MonkeyPatch, language: str, how: Any) -> Any:
    monkeypatch.setitem(views.READINESS, "database", how)
    return Browser(language=language).get("/readyz")


CSV = "/dash/resolution-center/cases.csv"
TOO_MUCH = {"email": "x" * 3_000_000}
PAGES = {
    "400": ("We couldn’t read that", "Das konnten wir nicht lesen"),
    "403": ("You can’t open this", "Das können Sie nicht öffnen"),
    "403 token": ("This page was open for too long", "Diese Seite war zu lange offen"),
    "404": ("There is nothing here", "Hier ist nichts"),
    "405": ("That can’t be done at this address", "Das geht unter dieser Adresse nicht"),
    "410": ("This file was removed", "Diese Datei wurde entfernt"),
    "413": ("That is too large", "Das ist zu groß"),
    "429": ("Too many downloads", "Zu viele Downloads"),
    "500": ("Something went wrong on our side", "Something went wrong on our side"),
    "503": ("We can’t answer right now", "We can’t answer right now"),
}
"""What each refusal is called, in English and in German; the last two are in both at once."""


@pytest.mark.usefixtures("_behind_tls")
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_refusal_is_a_page_that_helps(
    bea: User, cleo: User, sam: User, removed: str, settings: Settings,
    monkeypatch: pytest.MonkeyPatch, company: object, language: str,
) -> None:  # fmt: skip
    stranger = Browser(language=language)
    at_beas = Browser(bea, language)
    settings.DOWNLOADS_AN_HOUR = 0
    answers = {
        "400": at_beas.get("/hub/?q=%00"),
        "403": Browser(sam, language).get("/admin/autocomplete/"),
        "403 token": Browser(language=language, enforce_csrf_checks=True).post("/login/"),
        "404": at_beas.get("/nothing/"),
        "405": at_beas.get("/hub/notices/read/"),
        "410": at_beas.get(removed),
        "413": stranger.post("/login/", TOO_MUCH),
        "429": Browser(cleo, language).get(CSV),
        "500": broken_page(monkeypatch, language, breaks),
        "503": broken_page(monkeypatch, language, loses_the_database),
    }
    pages = {kind: answer.content.decode() for kind, answer in answers.items()}
    titles = {kind: re.findall(r"<h1>(.*?)</h1>", page) for kind, page in pages.items()}

    assert titles == {kind: [called[language == "de"]] for kind, called in PAGES.items()}
    assert {kind: answer.status_code for kind, answer in answers.items()} == {
        kind: int(kind[:3]) for kind in PAGES
    }
    without = {kind for kind, page in pages.items() if 'href="/"' not in page}
    assert without == set()
    assert answers["405"]["Allow"] == "POST"
    assert [0 < int(answers[kind]["Retry-After"]) <= 3600 for kind in ("429", "503")] == [True] * 2
    _have_their_headers(answers)


def _have_their_headers(answers: dict[str, Any]) -> None:
    missing = {
        kind: [name for name, value in FIXED.items() if answer.headers.get(name) != value]
        for kind, answer in answers.items()
    }
    policies = {
        kind: answer.headers.get("Content-Security-Policy", "") for kind, answer in answers.items()
    }
    permissions = {
        kind: answer.headers.get("Permissions-Policy", "") for kind, answer in answers.items()
    }

    assert {kind: names for kind, names in missing.items() if names} == {}
    assert [kind for kind, policy in policies.items() if "default-src 'none'" not in policy] == []
    assert [kind for kind, policy in policies.items() if "unsafe" in policy] == []
    assert [kind for kind, policy in permissions.items() if "camera=()" not in policy] == []


@pytest.mark.usefixtures("_behind_tls")
def test_every_other_kind_of_answer_has_its_headers(waiting_case: Case, bea: User) -> None:
    client = Browser(bea)
    at = reverse("hub-act", args=[waiting_case.public_id, "comment"])
    _have_their_headers(
        {
            "page": client.get("/hub/"),
            "redirect": Browser().get("/hub/"),
            "slash": client.get("/hub"),
            "422": client.post(at, {"message": ""}),
            "health": client.get("/livez"),
            "metrics": client.get("/metrics"),
            "api": client.get("/api/v1/resolution_center_cases"),
            "api 404": client.get("/api/v1/nothing"),
            "api document": client.get("/api/v1/openapi.json"),
            "webhook": client.post("/webhooks/stripe/", b"{}", "application/json"),
            "csv": client.get(CSV),
            "export": client.get(reverse("hub-export", args=[waiting_case.public_id])),
            "static": client.get("/static/css/app.css"),
            "no such static": client.get("/static/css/none.css"),
        }
    )


def test_a_host_that_is_not_ours_learns_nothing_and_may_do_nothing() -> None:
    answer = Browser().get("/login/", HTTP_HOST="evil.example")

    assert answer.status_code == 400
    assert (
        answer.headers.items()
        >= {
            name: value for name, value in FIXED.items() if name != "Strict-Transport-Security"
        }.items()
    )
    assert "evil.example" not in answer.content.decode()


def test_a_program_is_refused_in_its_own_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(kind: str) -> tuple[int, str, str, str]:
        answer = answers[kind]
        error = answer.json()["error"]
        assert sorted(error) == ["code", "message", "param", "type"]
        return answer.status_code, error["type"], error["message"], answer.get("Retry-After", "")

    program = Browser()
    answers = {
        "404": program.get("/api/v1/nothing"),
        "405": program.put("/api/v1/resolution_center_cases"),
        "400": program.get("/api/v1/resolution_center_cases?q=%00"),
    }
    for status, how in (("500", breaks), ("503", loses_the_database)):
        monkeypatch.setattr("api.auth.tokens.find", lambda _token, how=how: how())
        answers[status] = program.get("/api/v1/me", headers={"Authorization": "Bearer apik_x"})

    assert {kind: refused(kind) for kind in answers} == {
        "404": (404, "not_found", "There is nothing at this address.", ""),
        "405": (405, "method_not_allowed", "This address does not take this method.", ""),
        "400": (400, "bad_request", "The request can’t be read.", ""),
        "500": (500, "api_error", "Something went wrong on our side. Try again.", ""),
        "503": (
            503, "service_unavailable",
            "Something that we need does not answer. Try again in half a minute.", "30",
        ),
    }  # fmt: skip
    assert sorted(answers["405"]["Allow"].split(", ")) == ["GET", "POST"]


def test_a_log_line_holds_neither_the_request_nor_what_was_typed() -> None:
    request = RequestFactory().post("/login/", {"password": CANARY}, headers={"cookie": CANARY})
    record = logging.makeLogRecord(
        {"msg": "Bad Request: %s", "args": ("/login/",), "request": request, "data": CANARY}
    )

    line = OneLine().format(record)

    assert CANARY not in line
    assert json.loads(line)["message"] == "Bad Request: /login/"


@pytest.mark.parametrize("address", ["/login/", "/password-reset/"])
def test_nobodys_address_or_password_reaches_the_log(
    client: Client, bea: User, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("django", "marketplace", "resolution", "config"):
        caplog.set_level(logging.DEBUG, logger=name)

    client.post(address, {"username": bea.email, "email": bea.email, "password": CANARY})

    lines = "\n".join(OneLine().format(r) for r in caplog.records if r.name != "django.db.backends")
    assert (bea.email in lines, CANARY in lines) == (False, False)
