"""An open page of a case in the administration hears of what others do, and is never exchanged."""

import re

import pytest
from django.test import Client

from marketplace.models import TeamMember, User
from resolution import cases
from resolution.models import Case
from resolution.terms import Actor
from tests.staff.conftest import LogIn, page_of

HTMX = {"HX-Request": "true"}


def live_on(browser: Client, case: Case) -> str:
    found = re.search(r'hx-get="([^"]+/live/[^"]+)"', browser.get(page_of(case)).content.decode())
    assert found, "the page asks for nothing"
    return found[1]


@pytest.mark.parametrize(
    ("step", "said"),
    [("note", "This case has moved on."), ("comment", "1 new message.")],
)
def test_staff_hear_of_each_others_acts_once(
    as_user: LogIn, sam: User, waiting_case: Case, other_staff: Actor, step: str, said: str
) -> None:
    browser = as_user(sam)
    address = live_on(browser, waiting_case)
    before = browser.get(address, headers=HTMX)

    cases.take_step(waiting_case, step, other_staff, message="Seen it.")
    told = browser.get(address, headers=HTMX)
    again = re.findall(r'hx-get="([^"]+)"', told.content.decode())[0].replace("&amp;", "&")

    assert (before.status_code, before.content) == (204, b"")
    assert f"{said} Open it in a new tab" in told.content.decode()
    assert 'target="_blank"' in told.content.decode()
    assert browser.get(again, headers=HTMX).status_code == 204


def test_who_is_a_party_hears_nothing_of_a_note(
    as_user: LogIn, sam: User, waiting_case: Case, other_staff: Actor
) -> None:
    TeamMember.objects.create(company=waiting_case.company, user=sam, role="admin")
    browser = as_user(sam)
    address = live_on(browser, waiting_case)

    cases.take_step(waiting_case, "note", other_staff, message="About Sam.")

    assert browser.get(address, headers=HTMX).status_code == 204


def test_who_is_logged_out_is_told_where_they_are(
    as_user: LogIn, sam: User, waiting_case: Case
) -> None:
    address = live_on(as_user(sam), waiting_case)

    answer = Client().get(address, headers=HTMX)

    assert answer.status_code == 401
    assert "You’re logged out." in answer.content.decode()
