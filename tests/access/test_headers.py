"""Whatever is answered, the browser is told what it may do with it; no log tells on anybody."""

import json
import logging

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from config.logs import OneLine
from marketplace.models import User
from resolution.models import Case

FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CANARY = "canary6640"


def test_every_kind_of_answer_has_its_headers(
    client: Client, waiting_case: Case, bea: User
) -> None:
    client.force_login(bea)
    at = reverse("hub-act", args=[waiting_case.public_id, "comment"])
    other = Client(enforce_csrf_checks=True)
    answers = {
        "page": client.get("/hub/"),
        "redirect": Client().get("/hub/"),
        "404": client.get("/nothing/"),
        "405": client.put("/hub/"),
        "400": client.get("/hub/?q=%00"),
        "422": client.post(at, {"message": ""}),
        "csrf": other.post("/login/", {"username": "x", "password": "y"}),
        "health": client.get("/livez"),
        "api": client.get("/api/v1/resolution_center_cases"),
        "api 404": client.get("/api/v1/nothing"),
        "webhook": client.post("/webhooks/stripe/", b"{}", "application/json"),
        "csv": client.get("/dash/resolution-center/cases.csv"),
        "static": client.get("/static/css/app.css"),
    }
    missing = {
        kind: [name for name, value in FIXED.items() if answer.headers.get(name) != value]
        for kind, answer in answers.items()
        if kind != "static"  # served before there is a page
    }
    policies = {
        kind: answer.headers.get("Content-Security-Policy", "") for kind, answer in answers.items()
    }

    assert {kind: names for kind, names in missing.items() if names} == {}
    assert [kind for kind, policy in policies.items() if "default-src 'none'" not in policy] == []
    assert [kind for kind, policy in policies.items() if "unsafe" in policy] == []
    assert [kind for kind, answer in answers.items() if answer.status_code >= 500] == []


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
