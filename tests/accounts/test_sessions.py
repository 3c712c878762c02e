"""Where somebody is logged in, and that what is ended is ended at the next request."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import devices, sessions
from api import tokens
from marketplace.models import Company, TeamMember, User
from resolution.models import Case
from tests.accounts.conftest import give_app, log_in_fully, password_of

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML,"
    " like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
END = "/account/security/sessions/end/"


def is_in(client: Client) -> bool:
    return client.get("/hub/").status_code == 200


def test_the_places_are_listed_with_this_one_first(bea: User) -> None:
    log_in_fully(bea, **{"user-agent": PHONE})
    here = log_in_fully(bea, **{"user-agent": FIREFOX})

    page = here.get("/account/security/")

    assert [(place.device, place.this_one) for place in page.context["places"]] == [
        ("Firefox on Windows", True), ("Safari on iPhone", False),
    ]  # fmt: skip


def test_one_place_is_ended_and_the_others_stay(bea: User) -> None:
    here, lost, other = (log_in_fully(bea) for _ in range(3))
    row = UserSession.objects.get(session_key=lost.session.session_key)

    here.post(END, {"place": row.pk})

    assert [is_in(client) for client in (here, lost, other)] == [True, False, True]


def test_all_others_are_ended_at_once(bea: User) -> None:
    here, lost, other = (log_in_fully(bea) for _ in range(3))

    here.post(END)

    assert [is_in(client) for client in (here, lost, other)] == [True, False, False]
    assert UserSession.objects.filter(user=bea).count() == 1


def test_a_new_password_ends_the_others_and_this_one_goes_on(bea: User) -> None:
    here, elsewhere = log_in_fully(bea), log_in_fully(bea)
    new = "a whole new secret"

    here.post(
        "/account/security/password/",
        {"old_password": password_of(bea), "new_password1": new, "new_password2": new},
    )

    assert [is_in(client) for client in (here, elsewhere)] == [True, False]
    assert len(sessions.places(here.get("/account/security/").wsgi_request, bea)) == 1
    assert [event.kind for event in bea.account_events.all()] == [
        "new_device", "new_password",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("q1W2e3R4t5", "too common"),
        ("Qwertyuiop", "too common"),
        ("123456789a", "too common"),
        ("3141592653589", "entirely numeric"),
        ("Bea-Lind-x", "too similar to the name"),
        ("xK9!vq2#m", "at least 10 characters"),
    ],
)
def test_a_password_that_others_would_try_is_refused(bea: User, new: str, why: str) -> None:
    here = log_in_fully(bea)

    answer = here.post(
        "/account/security/password/",
        {"old_password": password_of(bea), "new_password1": new, "new_password2": new},
    )

    assert (answer.status_code, why in answer.content.decode()) == (422, True)
    assert User.objects.get(pk=bea.pk).check_password(password_of(bea))


@pytest.mark.parametrize("new", ["äöü 漢字 🐙 with spaces", "x" * 40 + "y" * 88])
def test_long_ones_and_any_characters_do(bea: User, new: str) -> None:
    here = log_in_fully(bea)

    here.post(
        "/account/security/password/",
        {"old_password": password_of(bea), "new_password1": new, "new_password2": new},
    )

    assert User.objects.get(pk=bea.pk).check_password(new)


def test_a_new_password_takes_the_old_one(bea: User) -> None:
    client, new = log_in_fully(bea), "a whole new secret"

    sent = client.post(
        "/account/security/password/",
        {"old_password": "wrong", "new_password1": new, "new_password2": new},
    )

    bea.refresh_from_db()
    assert (sent.status_code, bea.check_password(new)) == (422, False)


def test_who_is_taken_off_a_team_is_out_at_the_next_request(
    cleo: User, company: Company, waiting_case: Case
) -> None:
    client, page = log_in_fully(cleo), f"/dash/resolution-center/cases/{waiting_case.public_id}/"
    _, secret = tokens.make(cleo, "Ours", [tokens.READ_CASES], company=company)
    asks = {"authorization": f"Bearer {secret}"}
    address = f"/api/v1/resolution_center_cases/{waiting_case.public_id}"
    before = (client.get(page).status_code, Client().get(address, headers=asks).status_code)

    TeamMember.objects.filter(user=cleo).delete()

    after = (client.get(page).status_code, Client().get(address, headers=asks).status_code)
    assert (before, after[0], after[1] in (401, 403, 404)) == ((200, 200), 404, True)


def test_a_changed_role_acts_at_the_next_request(
    cleo: User, company: Company, waiting_case: Case
) -> None:
    client = log_in_fully(cleo)
    before = client.get("/dash/resolution-center/developers/").status_code

    TeamMember.objects.filter(user=cleo).update(role="support")

    after = client.get("/dash/resolution-center/developers/").status_code
    assert (before, after) == (200, 403)


def test_a_closed_account_is_out_at_the_next_request(sam: User) -> None:
    give_app(sam)
    client = log_in_fully(sam)
    before = client.get("/admin/").status_code

    User.objects.filter(pk=sam.pk).update(is_active=False)

    assert (before, client.get("/admin/").status_code) == (200, 302)


def test_being_listed_costs_the_other_requests_nothing(bea: User) -> None:
    client = log_in_fully(bea)
    client.get("/account/")
    with CaptureQueriesContext(connection) as asked:
        client.get("/account/")

    about = [query["sql"] for query in asked if "usersession" in query["sql"]]
    assert about == []


def test_the_last_use_is_written_down_every_few_minutes(bea: User) -> None:
    client = log_in_fully(bea)
    session = client.session
    session["seen"] -= 301
    session.save()
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))

    client.get("/hub/")

    assert timezone.now() - UserSession.objects.get().last_seen_at < timedelta(minutes=1)


def test_what_is_over_is_removed(bea: User) -> None:
    log_in_fully(bea)
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    UserSession.objects.update(created_at=timezone.now() - timedelta(days=15))

    assert sessions.remove_ended() == 2
    assert (Session.objects.count(), UserSession.objects.count()) == (0, 0)


# ── New devices ───────────────────────────────────────────────────────────────────────────────────


def test_a_login_from_a_new_device_is_told_and_one_from_a_known_one_is_not(bea: User) -> None:
    first = log_in_fully(bea)
    told = [bea.account_events.count()]
    first.post("/logout/")
    first.post("/login/", {"username": bea.email, "password": password_of(bea)})
    told.append(bea.account_events.count())

    log_in_fully(bea, **{"user-agent": PHONE})

    told.append(bea.account_events.count())
    event = bea.account_events.get()
    assert (told, event.kind, event.ip) == ([0, 0, 1], "new_device", "127.0.0.1")
    assert devices.in_words(event.agent) == "Safari on iPhone"
