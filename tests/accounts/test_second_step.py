"""The second step of a login: asked for when there is one, and demanded of the staff."""

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from accounts import second_step, sessions
from api import tokens
from marketplace import sealed
from marketplace.models import User
from resolution.models import Attachment, Case
from tests.access.fuzz import BAD, encoded
from tests.accounts.conftest import code, forget_attempts, give_app, log_in, log_in_fully
from tests.people import make_user


def test_a_password_alone_is_not_enough_for_who_has_an_app(bea: User) -> None:
    give_app(bea)
    client = Client()

    first = log_in(client, bea, "/hub/cases/")
    halfway = client.get("/hub/")
    second = client.post("/login/second-step/", {"code": code()})

    assert (first["Location"], halfway["Location"]) == ("/login/second-step/", "/login/?next=/hub/")
    assert (second["Location"], client.get("/hub/").status_code) == ("/hub/cases/", 200)


def test_a_code_is_good_once(bea: User) -> None:
    give_app(bea)
    given, seen = code(), []

    for _ in range(2):
        client = Client()
        log_in(client, bea)
        client.post("/login/second-step/", {"code": given})
        seen.append("_auth_user_id" in client.session)

    assert seen == [True, False]


@pytest.mark.parametrize("wrong", ["", "000000", "abcdef", "1" * 400, "a\ud800b", "٣٣٣٣٣٣"])
def test_a_wrong_code_opens_nothing(bea: User, wrong: str) -> None:
    give_app(bea)
    client = Client()
    log_in(client, bea)

    sent = client.post("/login/second-step/", {"code": wrong.encode("utf-8", "replace")})

    assert (sent.status_code, "_auth_user_id" in client.session) == (200, False)


def test_whatever_is_sent_for_a_code_opens_nothing(bea: User) -> None:
    give_app(bea)
    client = Client()
    log_in(client, bea)
    kind, answers = "application/x-www-form-urlencoded", {}

    for name, value in BAD.items():
        for field in ("code", "credential"):
            forget_attempts()
            sent = encoded({field: value}).encode()
            answers[name, field] = client.post("/login/second-step/", sent, kind).status_code

    assert {what: status for what, status in answers.items() if status >= 400} == {}
    assert "_auth_user_id" not in client.session


def test_a_recovery_code_is_good_once(bea: User) -> None:
    [first, *_] = give_app(bea)
    seen = []

    for _ in range(2):
        client = Client()
        log_in(client, bea)
        client.post("/login/second-step/", {"code": first})
        seen.append("_auth_user_id" in client.session)

    assert seen == [True, False]


def test_codes_cannot_be_guessed_at_length(bea: User) -> None:
    give_app(bea)
    client = Client()
    log_in(client, bea)
    for _ in range(5):
        client.post("/login/second-step/", {"code": "000000"})

    sent = client.post("/login/second-step/", {"code": code()})

    assert "Too many attempts" in sent.content.decode()
    assert "_auth_user_id" not in client.session


def test_nothing_that_lets_one_in_stands_in_the_database_as_it_is(bea: User) -> None:
    give_app(bea)

    kept = str(list(Authenticator.objects.values_list("data", flat=True)))

    assert "JBSWY3DP" not in kept


def test_a_new_sealing_key_takes_nobodys_step_away(bea: User, settings: Settings) -> None:
    [first, *_] = give_app(bea)
    former = settings.SEALING_KEYS
    settings.SEALING_KEYS = ["another key that is long enough to seal", *former]

    resealed, again = sealed.reseal(), sealed.reseal()
    settings.SEALING_KEYS = settings.SEALING_KEYS[:1]

    assert (resealed, again) == (2, 0)  # the app's secret, and the seed of the recovery codes
    for given in (code(), first):
        forget_attempts()
        client = Client()
        log_in(client, bea)
        client.post("/login/second-step/", {"code": given})
        assert client.get("/hub/").status_code == 200
    settings.SEALING_KEYS = former
    with pytest.raises(sealed.CannotOpen):
        sealed.reseal()


# ── Setting it up ─────────────────────────────────────────────────────────────────────────────────


def set_up(client: Client) -> str:
    page = client.get("/account/security/app/").content.decode()
    found = re.search(r'value="([A-Z2-7]{32})"', page)
    assert found
    sent = client.post("/account/security/app/", {"code": code(secret=found[1])})
    return str(sent["Location"])


def test_anybody_can_set_up_an_app_and_gets_recovery_codes(
    bea: User, django_capture_on_commit_callbacks: Any
) -> None:
    client = log_in_fully(bea)

    with django_capture_on_commit_callbacks(execute=True):
        led_to = set_up(client)

    codes = re.findall(r"<li>(\d{8})</li>", client.get(led_to).content.decode())
    assert (second_step.is_set_up(bea), len(set(codes))) == (True, 10)
    assert [event.kind for event in bea.account_events.all()] == ["step_added"]


def test_a_code_that_is_wrong_sets_up_nothing(bea: User) -> None:
    client = log_in_fully(bea)
    client.get("/account/security/app/")

    client.post("/account/security/app/", {"code": "000000"})

    assert second_step.is_set_up(bea) is False


def test_removing_the_app_ends_the_sessions_elsewhere(bea: User) -> None:
    give_app(bea)
    here, elsewhere = log_in_fully(bea), log_in_fully(bea)

    here.post("/account/security/app/remove/")

    assert second_step.is_set_up(bea) is False
    assert [client.get("/hub/").status_code for client in (here, elsewhere)] == [200, 302]


def test_new_recovery_codes_make_the_old_ones_worthless(bea: User) -> None:
    [old, *_] = give_app(bea)
    log_in_fully(bea).post("/account/security/recovery-codes/")
    client = Client()
    log_in(client, bea)

    client.post("/login/second-step/", {"code": old})

    assert "_auth_user_id" not in client.session


# ── The staff ─────────────────────────────────────────────────────────────────────────────────────


def test_staff_without_it_are_led_to_set_it_up_and_can_do_nothing_else(
    sam: User, waiting_case: Case
) -> None:
    client = log_in_fully(sam)

    pages = [
        client.get(address, follow=True).redirect_chain[-1][0]
        for address in ("/admin/", f"/admin/resolution/case/{waiting_case.public_id}/change/")
    ]
    acted = client.post(f"/admin/resolution/case/{waiting_case.public_id}/note/", {"message": "Hm"})
    live = client.get(f"/admin/resolution/case/{waiting_case.public_id}/live/")

    assert [page.partition("?")[0] for page in pages] == ["/account/security/"] * 2
    assert acted["Location"].startswith("/admin/login/")
    assert (live.status_code, waiting_case.events.filter(step="note").count()) == (401, 0)


def test_staff_work_as_soon_as_it_is_set_up(sam: User) -> None:
    client = log_in_fully(sam)

    set_up(client)

    assert client.get("/admin/").status_code == 200


def test_staff_whose_session_is_from_before_take_it_now(sam: User) -> None:
    client = log_in_fully(sam)
    give_app(sam)

    led_to = client.get("/admin/", follow=True).redirect_chain[-1][0]
    by_password = client.post(led_to, {"confirm-of": "GET", "confirm-password": "pw-Sam Reyes"})
    refused = client.get("/admin/").status_code
    client.post(led_to, {"confirm-of": "GET", "confirm-code": code()})

    assert led_to.startswith("/account/confirm/")
    assert (by_password.status_code, refused) == (422, 302)
    assert client.get("/admin/").status_code == 200


def test_staff_cannot_do_without_it(sam: User) -> None:
    give_app(sam)
    client = log_in_fully(sam)

    client.post("/account/security/app/remove/")

    assert (second_step.is_set_up(sam), client.get("/admin/").status_code) == (True, 200)


def test_a_token_of_staff_without_it_opens_nothing(sam: User) -> None:
    _, secret = tokens.make(sam, "Mine", [tokens.READ_CASES])
    asks = {"authorization": f"Bearer {secret}"}

    before = Client().get("/api/v1/me", headers=asks).status_code
    give_app(sam)
    after = Client().get("/api/v1/me", headers=asks).status_code

    assert (before, after) == (401, 200)


def test_a_file_of_a_case_is_not_for_staff_without_it(
    sam: User, bea: User, waiting_case: Case
) -> None:
    file = Attachment.objects.create(
        event=waiting_case.events.get(step="open_case"), uploader=bea, filename="a.png",
        content_type="image/png", kind="image", size=3, sha256="0" * 64, file="a.png",
    )  # fmt: skip
    client = log_in_fully(sam)

    assert client.get(f"/files/{file.public_id}/").status_code == 404


def test_the_admins_own_login_is_no_way_around_it(sam: User) -> None:
    give_app(sam)
    client = Client()

    sent = client.post(
        "/admin/login/", {"username": sam.email, "password": "pw-Sam Reyes", "next": "/admin/"}
    )

    assert (sent.status_code, "_auth_user_id" in client.session) == (405, False)


def test_a_lost_phone_is_helped_by_a_command(sam: User) -> None:
    give_app(sam)
    client = log_in_fully(sam)

    call_command("reset_second_step", sam.email)

    assert (second_step.is_set_up(sam), client.get("/hub/").status_code) == (False, 302)
    assert [event.kind for event in sam.account_events.all()] == ["step_removed"]


def test_who_is_no_longer_staff_is_out_at_the_next_request(sam: User) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    before = client.get("/admin/").status_code

    User.objects.filter(pk=sam.pk).update(is_staff=False, staff_role="")

    assert (before, client.get("/admin/").status_code) == (200, 302)


def test_somebody_elses_sessions_are_nobodys(bea: User) -> None:
    log_in_fully(bea)
    stranger = make_user("Una Away")
    client = log_in_fully(stranger)
    row = UserSession.objects.get(user=bea)

    sent = client.post("/account/security/sessions/end/", {"place": row.pk})
    none = client.post("/account/security/sessions/end/", {"place": 2**40})

    assert (sent.status_code, none.status_code) == (404, 404)
    assert sessions.end(bea) == 1
