"""A typed text survives a crash, an ended session, another login, an act that comes too late."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.models import TeamMember, User
from payments.models import Payment
from resolution import drafts
from resolution.evidence import accept
from resolution.models import Case, Draft
from resolution.terms import Actor
from tests.conftest import Later
from tests.hub.conftest import OpeningForm, Walk, act_on, form_of, page_of, picture, text_of
from tests.people import MakePayment, make_user

HTMX = {"HX-Request": "true"}


def draft_of(case: Case, act: str) -> str:
    return reverse("hub-draft", args=[case.public_id, act])


def hidden(browser: Client, address: str, act: str) -> dict[str, str]:
    """The hidden fields of an act's form on a page."""
    html = browser.get(address).content.decode()
    form = html.split(f'action="{address}{act}/"')[1].split("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def typed_on(browser: Client, case: Case, act: str = "reply") -> str:
    """What stands in the text box of an act."""
    html = browser.get(page_of(case)).content.decode()
    found = re.search(rf'<textarea[^>]*id="{act}_message"[^>]*>\s*([^<]*)</textarea>', html)
    assert found, "there is no such text box"
    return found[1]


def log_in(browser: Client, user: User) -> None:
    browser.post("/login/", {"username": user.email, "password": "pw-" + user.name})


@pytest.fixture
def asked(take: Walk, creator: Actor) -> Case:
    """A case in which bea is asked for details."""
    return take(("request_info", creator))


def test_what_is_typed_is_kept_and_there_again(beas_browser: Client, asked: Case) -> None:
    files = [accept(picture(), asked.buyer).public_id]

    said = beas_browser.post(
        draft_of(asked, "reply"), {"message": "Half a sen", "uploads": files}, headers=HTMX
    )
    page = beas_browser.get(page_of(asked))

    assert text_of_part(said) == "Saved. Not sent yet."
    assert typed_on(beas_browser, asked) == "Half a sen"
    assert f'name="uploads" value="{files[0]}"' in page.content.decode()
    assert re.search(r"From \w+ \d+, \d+:\d\d [AP]M\. Not sent yet\.", text_of(page))
    assert [event.step for event in asked.events.all()][-1] == "request_info"


def text_of_part(answer: Any) -> str:
    return re.sub(r"<[^>]+>", "", answer.content.decode()).strip()


def test_what_is_sent_is_no_draft_any_more_even_when_its_last_saving_arrives_late(
    beas_browser: Client, asked: Case
) -> None:
    form = hidden(beas_browser, page_of(asked), "reply") | {"message": "All of it."}
    beas_browser.post(draft_of(asked, "reply"), form, headers=HTMX)

    sent = beas_browser.post(act_on(asked, "reply"), form)
    between = list(Draft.objects.all())
    beas_browser.post(draft_of(asked, "reply"), form, headers=HTMX)

    assert (sent.status_code, between, list(Draft.objects.all())) == (302, [], [])


def test_a_text_that_is_taken_back_is_not_kept(beas_browser: Client, asked: Case) -> None:
    beas_browser.post(draft_of(asked, "reply"), {"message": "No, wait"}, headers=HTMX)

    said = beas_browser.post(draft_of(asked, "reply"), {"message": "  "}, headers=HTMX)

    assert (text_of_part(said), list(Draft.objects.all())) == ("", [])


def test_a_text_that_no_form_takes_is_not_kept_and_said_so(
    beas_browser: Client, asked: Case
) -> None:
    beas_browser.post(draft_of(asked, "reply"), {"message": "Before."}, headers=HTMX)

    said = beas_browser.post(draft_of(asked, "reply"), {"message": "a" * 20_001}, headers=HTMX)

    assert text_of_part(said) == "This is too long to be saved. Shorten it."
    assert typed_on(beas_browser, asked) == "Before."


@pytest.mark.parametrize("odd", ["a\0b", "a\ud83d", "<script>", "{{ 7 }}"])
def test_any_text_can_be_kept(beas_browser: Client, asked: Case, odd: str) -> None:
    message = odd.encode("utf-8", "surrogatepass")

    said = beas_browser.post(draft_of(asked, "reply"), {"message": message}, headers=HTMX)

    assert (said.status_code, beas_browser.get(page_of(asked)).status_code) == (200, 200)
    assert Draft.objects.count() == 1


def test_a_draft_is_its_writers_alone(
    cleos_browser: Client, waiting_case: Case, cleo: User, company: Any
) -> None:
    colleague = make_user("Theo Brandt")
    TeamMember.objects.create(company=company, user=colleague, role="admin")
    other = Client()
    other.force_login(colleague)
    page = reverse("dash-case", args=[waiting_case.public_id])
    address = reverse("dash-draft", args=[waiting_case.public_id, "respond"])

    cleos_browser.post(address, {"action": "deny", "deny_message": "Not yet."}, headers=HTMX)

    seen = [browser.get(page).content.decode() for browser in (cleos_browser, other)]
    assert ["Not yet." in html for html in seen] == [True, False]
    assert ['value="deny" checked' in html for html in seen] == [True, False]


def test_an_ended_session_loses_nothing(beas_browser: Client, asked: Case, bea: User) -> None:
    form = hidden(beas_browser, page_of(asked), "reply") | {"message": "Typed too slowly."}
    beas_browser.logout()

    turned_away = beas_browser.post(act_on(asked, "reply"), form)
    log_in(beas_browser, bea)
    back = beas_browser.get(act_on(asked, "reply"))

    assert turned_away.headers["Location"] == f"/login/?next={act_on(asked, 'reply')}"
    assert back.headers["Location"] == f"{page_of(asked)}#reply"
    assert "What you wrote is still here: look it over" in text_of(beas_browser.get("/hub/cases/"))
    assert typed_on(beas_browser, asked) == "Typed too slowly."
    assert not asked.events.filter(step="reply").exists()


@pytest.mark.parametrize("forged", [{"writer": ""}, {"writer": "user_x:abc:def"}])
def test_a_text_without_its_writers_mark_is_nobodys(
    beas_browser: Client, asked: Case, bea: User, forged: dict[str, str]
) -> None:
    beas_browser.logout()

    beas_browser.post(act_on(asked, "reply"), {"message": "From whom?"} | forged)
    log_in(beas_browser, bea)

    assert typed_on(beas_browser, asked) == ""


def test_a_text_waits_for_its_writer_and_not_for_who_logs_in_instead(
    beas_browser: Client, asked: Case, nia: User
) -> None:
    form = hidden(beas_browser, page_of(asked), "reply") | {"message": "Mine, not Nia’s."}
    beas_browser.logout()
    beas_browser.post(act_on(asked, "reply"), form)

    log_in(beas_browser, nia)
    beas_browser.get("/hub/cases/")
    beas_browser.get(page_of(asked))

    assert not Draft.objects.exists()


@pytest.mark.parametrize("about", ["reso_00000000000000", "x" * 60, "of another"])
def test_nothing_is_kept_about_what_is_not_the_writers(
    bea: User, nia: User, make_payment: MakePayment, about: str
) -> None:
    others = make_payment(buyer=nia)
    about = others.public_id if about == "of another" else about
    browser = Client()
    form = {"message": "Mine?", "description": "Mine?", "writer": drafts.mark_of(bea)}
    for address in (
        reverse("hub-act", args=[about, "reply"]), reverse("hub-act", args=[about, "x" * 40]),
        reverse("hub-open-case", args=[about]),
    ):  # fmt: skip
        browser.post(address, form)
        log_in(browser, bea)

        assert browser.get("/hub/cases/").status_code == 200
        assert browser.post(address, form).status_code == 404
        browser.logout()

    assert not Draft.objects.exists()


def test_a_page_from_before_another_login_keeps_its_text_and_sends_nothing(
    asked: Case, bea: User, nia: User
) -> None:
    def send(browser: Client, writer: str) -> Any:
        return browser.post(act_on(asked, "reply"), {"message": "Still here.", "writer": writer})

    beas, nias = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    beas.force_login(bea)
    nias.force_login(nia)

    refused = [send(beas, ""), send(beas, drafts.mark_of(nia)), send(nias, drafts.mark_of(bea))]
    before = list(Draft.objects.all())
    kept = send(beas, drafts.mark_of(bea))

    saved = beas.post(
        draft_of(asked, "comment"), {"message": "And", "writer": drafts.mark_of(bea)}, headers=HTMX
    )

    assert ([answer.status_code for answer in refused], before) == ([403, 403, 403], [])
    assert text_of_part(saved) == "Saved. Not sent yet."
    assert kept.headers["Location"] == act_on(asked, "reply")
    assert typed_on(beas, asked) == "Still here."
    assert not asked.events.filter(step="reply").exists()


def test_an_answer_that_came_too_late_stays_until_it_is_given_up(
    beas_browser: Client, asked: Case, creator: Actor, take: Walk
) -> None:
    form = hidden(beas_browser, page_of(asked), "reply") | {"message": "My long answer."}
    take(("deny", creator))

    late = beas_browser.post(act_on(asked, "reply"), form)
    again = beas_browser.get(page_of(asked))
    beas_browser.post(draft_of(asked, "reply"), {"discard": "yes"})

    for page in (late, again):
        assert "What you wrote It was not sent. Copy it if you still need it." in text_of(page)
        assert "My long answer." in text_of(page)
    assert "My long answer." not in text_of(beas_browser.get(page_of(asked)))


def test_the_form_that_opens_a_case_is_kept_whole_until_it_is_sent(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    form = opening(ask="part", amount="12.50", description="The page says forty presets, and")
    address = reverse("hub-open-draft", args=[payment.public_id])

    beas_browser.post(address, form, headers=HTMX)
    shown = beas_browser.get(form_of(payment)).content.decode()
    beas_browser.post(form_of(payment), form)
    beas_browser.post(address, form, headers=HTMX)

    assert [part in shown for part in (
        'value="not_as_described" checked', 'value="part"', 'value="12.50"',
        "The page says forty presets, and</textarea>",
    )] == [True] * 4  # fmt: skip
    assert (Case.objects.count(), Draft.objects.count()) == (1, 0)


def test_a_refused_form_is_a_draft_too(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    beas_browser.post(form_of(payment), opening(description="Too short."))

    assert "Too short.</textarea>" in beas_browser.get(form_of(payment)).content.decode()


def test_drafts_that_nobody_touches_go(beas_browser: Client, asked: Case, later: Later) -> None:
    beas_browser.post(draft_of(asked, "reply"), {"message": "Some day"}, headers=HTMX)
    later(timedelta(days=29))
    beas_browser.post(draft_of(asked, "comment"), {"message": "Later"}, headers=HTMX)
    later(timedelta(days=1))

    removed = drafts.remove_old()

    assert (removed, [draft.act for draft in Draft.objects.all()]) == (1, ["comment"])


def test_who_is_logged_out_is_told_and_not_sent_elsewhere(client: Client, asked: Case) -> None:
    said = client.post(draft_of(asked, "reply"), {"message": "Hello?"}, headers=HTMX)

    assert said.status_code == 401
    assert "when you send it you log in first" in text_of_part(said)


@pytest.fixture
def send(beas_browser: Client) -> Callable[..., Any]:
    return lambda case, **fields: beas_browser.post(act_on(case, "reply"), fields)


def test_a_form_that_does_not_say_what_its_page_showed_counts_as_stale(
    send: Callable[..., Any], asked: Case
) -> None:
    refused = send(asked, message="Blind.", form_key=str(uuid4()))

    assert refused.status_code == 409
    assert "This case has changed." in text_of(refused)
    assert not asked.events.filter(step="reply").exists()
