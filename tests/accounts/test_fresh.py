"""Acts that ask again who it is: nothing is done before the answer, and nothing typed is lost."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.administration import HARMLESS
from api.models import ApiToken
from marketplace.models import Company, User
from payments import credits
from payments.models import CreditAdjustment, Payment
from tests.access.fuzz import BAD, encoded
from tests.accounts.conftest import (
    code,
    forget_attempts,
    give_app,
    let_pass,
    log_in_fully,
    password_of,
)  # fmt: skip

FORM = "application/x-www-form-urlencoded"


def hidden(page: Any) -> dict[str, str]:
    """What the page that asks carries along."""
    found = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode())
    return {unescape(name): unescape(value) for name, value in found}


@pytest.fixture
def adjustment(bea: User, payment: Payment) -> tuple[str, dict[str, str]]:
    """What finance sends to give a buyer a dollar."""
    credits.grant(payment, 100, key="k", cause="c", note="Sorry")
    return f"/admin/payments/creditaccount/of/{bea.public_id}/", {
        "form_key": str(uuid4()), "currency": "USD", "amount": "1", "note": "",
        "reason": 'Sorry for the "wait" & the <b>noise</b>.',
    }  # fmt: skip


def test_money_asks_again_and_goes_on_with_what_was_typed(
    sam: User, adjustment: tuple[str, dict[str, str]]
) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 31)
    forget_attempts()
    address, typed = adjustment

    asked = client.post(address, typed)
    before = CreditAdjustment.objects.count()
    carried = hidden(asked)
    wrong = client.post(address, carried | {"confirm-password": "wrong"})
    still = hidden(wrong)
    done = client.post(address, still | {"confirm-password": password_of(sam)})

    assert (asked.status_code, before, wrong.status_code) == (403, 0, 422)
    assert {name: still.get(name) for name in typed} == typed
    assert done.status_code == 302
    assert [row.reason for row in CreditAdjustment.objects.all()] == [typed["reason"]]


def test_a_fresh_login_is_not_asked_again(
    sam: User, adjustment: tuple[str, dict[str, str]]
) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 29)
    address, typed = adjustment

    assert client.post(address, typed).status_code == 302


def test_an_answer_lasts_for_what_comes_next(sam: User, adjustment: Any) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 31)
    forget_attempts()
    address, typed = adjustment

    client.post(address, hidden(client.post(address, typed)) | {"confirm-code": code()})
    more = client.post(address, typed | {"form_key": str(uuid4())})

    assert (more.status_code, CreditAdjustment.objects.count()) == (302, 2)


def test_somebody_elses_password_is_no_answer(
    sam: User, ada: User, adjustment: tuple[str, dict[str, str]]
) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 31)
    address, typed = adjustment

    client.post(address, typed | {"confirm-of": "POST", "confirm-password": password_of(ada)})

    assert CreditAdjustment.objects.count() == 0


def test_the_answer_cannot_be_guessed_at_length(sam: User, adjustment: Any) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 31)
    address, typed = adjustment
    for _ in range(5):
        client.post(address, typed | {"confirm-of": "POST", "confirm-password": "wrong"})

    client.post(address, typed | {"confirm-of": "POST", "confirm-password": password_of(sam)})

    assert CreditAdjustment.objects.count() == 0


@pytest.mark.parametrize(
    "page",
    ["/account/security/app/", "/account/security/passkeys/new/",
     "/account/security/recovery-codes/", "/account/security/app/remove/"],
)  # fmt: skip
def test_what_guards_the_account_is_not_even_shown(bea: User, page: str) -> None:
    if "new" not in page and page != "/account/security/app/":
        give_app(bea)
    client = log_in_fully(bea)
    let_pass(client, 31)
    forget_attempts()

    asked = client.get(page)
    shown = client.post(page, hidden(asked) | {"confirm-password": password_of(bea)})

    assert (asked.status_code, asked.templates[0].name) == (403, "accounts/confirm.html")
    assert (shown.status_code, shown["Location"]) == (302, page)
    assert client.get(page).status_code == 200


def test_a_token_is_not_made_by_a_login_of_long_ago(cleo: User, company: Company) -> None:
    client = log_in_fully(cleo)
    let_pass(client, 31)
    typed = {"name": "Reports", "scopes": "payment:resolution_center_case:read", "lifetime": "90"}

    opened = client.get("/hub/tokens/new/")
    asked = client.post("/hub/tokens/new/", typed)
    none = ApiToken.objects.count()
    client.post("/hub/tokens/new/", hidden(asked) | {"confirm-password": password_of(cleo)})

    assert (opened.status_code, asked.status_code, none) == (200, 403, 0)
    assert [token.name for token in ApiToken.objects.all()] == ["Reports"]


@pytest.mark.parametrize("act", ["secret", "delete", "off"])
def test_a_webhook_is_not_changed_by_a_login_of_long_ago(
    cleo: User, company: Company, act: str
) -> None:
    hook = company.webhooks.create(url="https://shop.example/", events=["refund.created"])
    client = log_in_fully(cleo)
    let_pass(client, 31)

    asked = client.post(f"/dash/resolution-center/developers/webhooks/{hook.public_id}/{act}/")

    assert asked.status_code == 403
    assert company.webhooks.get().secret == hook.secret


def test_what_is_harmless_is_named(sam: User) -> None:
    assert {name for name, _ in HARMLESS} == {
        "logout", "resolution_case_take_next", "resolution_case_assign", "resolution_case_act",
    }  # fmt: skip


def test_a_stranger_is_sent_to_the_login(db: None) -> None:
    answer = Client().post("/account/security/app/", {"confirm-of": "POST"})

    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/account/security/app/")


def test_whatever_is_shown_instead_of_oneself_is_refused(
    sam: User, adjustment: tuple[str, dict[str, str]]
) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    let_pass(client, 31)
    address, typed = adjustment
    answers = {}

    for kind, value in BAD.items():
        for field in ("password", "code", "credential"):
            forget_attempts()
            sent = typed | {"confirm-of": "POST", f"confirm-{field}": value}
            answers[kind, field] = client.post(address, encoded(sent).encode(), FORM).status_code

    assert {what: status for what, status in answers.items() if status != 422} == {}
    assert CreditAdjustment.objects.count() == 0
