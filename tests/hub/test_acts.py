"""A buyer’s acts on a case: each counts once, none is lost, none is taken that is not theirs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.models import TeamMember, User
from resolution import cases, sweeps
from resolution.models import Attachment, Case
from resolution.terms import Actor, Remedy, Verdict
from tests.conftest import Later
from tests.hub.conftest import Walk, act_on, page_of, picture, text_of
from tests.people import make_user

HALF = Verdict(Remedy.REFUND, 3200)


def steps(case: Case) -> list[str]:
    return list(case.events.values_list("step", flat=True))


def state(case: Case) -> str:
    return Case.objects.get(pk=case.pk).state


def send(browser: Client, case: Case, act: str, **fields: Any) -> Any:
    """Send the form of an act, as the page of the case as it stands now would."""
    now = Case.objects.get(pk=case.pk)
    data = {"version": now.version, "form_key": str(uuid4())} | fields
    return browser.post(act_on(case, act), data)


# ── What a buyer may do ───────────────────────────────────────────────────────────────────────────


def test_a_question_is_answered_with_words_and_files(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    case = take(("request_info", creator))

    response = send(beas_browser, case, "reply", message="Nine of forty.", files=[picture()])

    event = case.events.get(step="reply")
    assert response.headers["Location"] == f"{page_of(case)}#{event.public_id}"
    assert (event.message, state(case)) == ("Nine of forty.", "awaiting_creator")
    assert [file.filename for file in event.attachments.all()] == ["listing.png"]


def test_a_message_is_added_without_moving_the_case(
    beas_browser: Client, waiting_case: Case
) -> None:
    send(beas_browser, waiting_case, "comment", message="One thing more.")

    after = Case.objects.get(pk=waiting_case.pk)
    assert steps(after)[-1] == "comment"
    assert (after.state, after.due_at) == ("awaiting_creator", waiting_case.due_at)


def test_a_denial_is_appealed_with_files(beas_browser: Client, take: Walk, creator: Actor) -> None:
    case = take(("deny", creator))

    send(beas_browser, case, "appeal", message="Look at the page.", files=[picture(), picture()])

    assert state(case) == "escalated"
    assert case.events.get(step="appeal").attachments.count() == 2


def test_a_case_is_withdrawn_after_one_more_question(
    beas_browser: Client, waiting_case: Case
) -> None:
    asked = beas_browser.get(act_on(waiting_case, "withdraw"))
    answered = send(beas_browser, waiting_case, "withdraw")

    assert "Withdraw this case?" in text_of(asked)
    assert "The case closes for good, without a refund." in text_of(asked)
    assert answered.status_code == 302
    after = Case.objects.get(pk=waiting_case.pk)
    assert (after.state, after.outcome) == ("closed", "withdrawn")


def test_a_decision_is_accepted_after_one_more_question(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    case = take(("deny", creator))

    shown = beas_browser.get(page_of(case))
    sent_there = send(beas_browser, case, "appeal", do="accept_decision")
    asked = beas_browser.get(act_on(case, "accept-decision"))
    send(beas_browser, case, "accept-decision")

    assert "Close the case without a refund" in text_of(shown)
    assert sent_there.headers["Location"] == act_on(case, "accept-decision")
    assert "You give up your appeal, and the case closes for good." in text_of(asked)
    assert steps(case)[-1] == "accept_decision"


def test_a_partial_refund_is_accepted(
    beas_browser: Client, take: Walk, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    case = take(("deny", creator), ("appeal", buyer))
    cases.take_step(case, "decide", staff, message="Half is fair.", verdict=HALF)

    asked = beas_browser.get(act_on(case, "accept-decision"))
    send(beas_browser, case, "accept-decision")

    assert "You get $32.00 back. You give up your appeal." in text_of(asked)
    assert Case.objects.get(pk=case.pk).buyer_accepted


# ── Once ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("act", "step"),
    [
        ("reply", "reply"),
        ("comment", "comment"),
        ("appeal", "appeal"),
        ("withdraw", "withdraw"),
        ("accept-decision", "accept_decision"),
    ],
)
def test_a_form_that_is_sent_twice_counts_once(
    beas_browser: Client, take: Walk, creator: Actor, act: str, step: str
) -> None:
    before = {"reply": "request_info", "appeal": "deny", "accept-decision": "deny"}.get(act)
    case = take((before, creator)) if before else take()
    fields = {"version": case.version, "form_key": str(uuid4()), "message": "Once."}

    first = beas_browser.post(act_on(case, act), fields)
    second = beas_browser.post(act_on(case, act), fields)

    assert (first.status_code, second.status_code) == (302, 302)
    assert first.headers["Location"] == second.headers["Location"]
    assert steps(case).count(step) == 1


def test_a_message_with_files_that_is_sent_twice_counts_once(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    case = take(("request_info", creator))
    beas_browser.post(act_on(case, "reply"), {"message": "", "files": [picture()]})
    fields = {
        "version": case.version, "form_key": str(uuid4()), "message": "Once.",
        "uploads": [Attachment.objects.get().public_id],
    }  # fmt: skip

    answers = [beas_browser.post(act_on(case, "reply"), fields) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert case.events.get(step="reply").attachments.count() == 1


# ── Nothing is lost ───────────────────────────────────────────────────────────────────────────────


def test_an_empty_answer_is_refused_and_its_file_kept(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    case = take(("request_info", creator))

    response = send(beas_browser, case, "reply", message=" ", files=[picture()])

    html = response.content.decode()
    assert response.status_code == 422
    assert "<title>Error: " in html
    assert "Write a message first." in text_of(response)
    assert f'name="uploads" value="{Attachment.objects.get().public_id}"' in html
    assert steps(case)[-1] == "request_info"


def test_an_answer_to_a_page_that_is_out_of_date_keeps_its_text_and_can_be_sent_again(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    stale = take(("request_info", creator))
    case = take(("request_info", creator))

    late = send(
        beas_browser, case, "reply", version=stale.version, message="To the first.",
        files=[picture()],
    )  # fmt: skip

    html = late.content.decode()
    assert late.status_code == 409
    assert "This case has changed. Here is where it stands now." in text_of(late)
    assert ">\nTo the first.</textarea>" in html
    assert f'name="version" value="{case.version}"' in html
    assert "listing.png" in text_of(late)
    assert steps(case).count("reply") == 0
    assert send(beas_browser, case, "reply", message="To the first.").status_code == 302


def test_an_appeal_that_comes_too_late_keeps_its_text(
    beas_browser: Client, take: Walk, creator: Actor, later: Later
) -> None:
    case = take(("deny", creator))
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()

    response = send(beas_browser, case, "appeal", message="I have only now seen this.")

    said = text_of(response)
    assert response.status_code == 409
    assert "This case is closed and can’t be reopened." in said
    assert "I have only now seen this." in said
    assert state(case) == "closed"


def test_a_withdrawal_of_a_page_that_is_out_of_date_is_not_taken(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    stale = take()
    case = take(("request_info", creator))

    response = send(beas_browser, case, "withdraw", version=stale.version)

    assert (response.status_code, state(case)) == (409, "more_info")


# ── What a buyer may not do ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("act", ["accept", "deny", "respond", "decide", "void", "note", "nonsense"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_acts_of_others_are_not_there(
    beas_browser: Client, waiting_case: Case, act: str, method: str
) -> None:
    response = getattr(beas_browser, method)(act_on(waiting_case, act), {"message": "Mine now."})

    assert response.status_code == 404
    assert steps(waiting_case) == ["open_case", "notify_creator"]


@pytest.mark.parametrize("act", ["reply", "appeal", "accept-decision"])
def test_an_act_before_its_time_is_refused(
    beas_browser: Client, waiting_case: Case, act: str
) -> None:
    response = send(beas_browser, waiting_case, act, message="Too early.")

    assert response.status_code == 409
    assert steps(waiting_case) == ["open_case", "notify_creator"]


@pytest.mark.parametrize("act", ["reply", "comment", "appeal", "withdraw", "accept-decision"])
def test_an_address_of_an_act_that_is_opened_leads_to_the_case(
    beas_browser: Client, take: Walk, creator: Actor, buyer: Actor, act: str
) -> None:
    case = take(("withdraw", buyer))

    shown_at = f"#{act}" if act in ("reply", "comment", "appeal") else ""
    assert beas_browser.get(act_on(case, act)).headers["Location"] == page_of(case) + shown_at


@pytest.mark.parametrize("act", ["reply", "comment", "appeal", "withdraw", "accept-decision"])
def test_somebody_elses_case_looks_like_none(
    nias_browser: Client, cleos_browser: Client, waiting_case: Case, act: str
) -> None:
    none = reverse("hub-act", args=["reso_00000000000000", act])

    for browser in (nias_browser, cleos_browser):
        for theirs, missing in [
            (browser.get(page_of(waiting_case)), browser.get("/hub/cases/reso_00000000000000/")),
            (browser.get(act_on(waiting_case, act)), browser.get(none)),
            (send(browser, waiting_case, act, message="Hello."), browser.post(none)),
        ]:
            assert (theirs.status_code, missing.status_code) == (404, 404)
            assert theirs.content == missing.content
    assert steps(waiting_case) == ["open_case", "notify_creator"]


@pytest.mark.parametrize("address", ["/hub/", "/hub/cases/", "/hub/credits/"])
def test_the_hub_asks_who_is_there(client: Client, address: str, db: None) -> None:
    assert client.get(address).headers["Location"] == f"/login/?next={address}"


def test_a_case_asks_who_is_there(client: Client, waiting_case: Case) -> None:
    address = page_of(waiting_case)

    assert client.get(address).headers["Location"] == f"/login/?next={address}"


# ── Files in the timeline ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def team(company: Any) -> Callable[[], Client]:
    """Somebody of the creator's support, logged in."""

    def log_in() -> Client:
        user: User = make_user("Theo Brandt")
        TeamMember.objects.create(company=company, user=user, role="support")
        browser = Client()
        browser.force_login(user)
        return browser

    return log_in


def test_a_file_of_either_side_opens_for_both_and_for_nobody_else(
    beas_browser: Client,
    nias_browser: Client,
    team: Callable[[], Client],
    take: Walk,
    creator: Actor,
) -> None:
    case = take()
    theos_browser = team()
    send(beas_browser, case, "comment", message="See.", files=[picture("from-bea.png")])
    theos_browser.post(
        reverse("dash-act", args=[case.public_id, "comment"]),
        {"message": "See too.", "files": [picture("from-theo.png")]},
    )

    for file in Attachment.objects.all():
        address = reverse("attachment", args=[file.public_id])
        for browser, page in [
            (beas_browser, page_of(case)),
            (theos_browser, reverse("dash-case", args=[case.public_id])),
        ]:
            shown = browser.get(page)
            assert f'class="file" href="{address}"' in shown.content.decode()
            assert file.filename in text_of(shown)
            assert browser.get(address, follow=True).status_code == 200
        assert nias_browser.get(address).status_code == 404
    assert Attachment.objects.count() == 2


# ── Sent without leaving the page ─────────────────────────────────────────────────────────────────


def test_a_form_that_the_page_sends_by_itself_comes_back_or_leads_on(
    beas_browser: Client, take: Walk, creator: Actor
) -> None:
    case = take(("request_info", creator))
    sent = {"version": Case.objects.get(pk=case.pk).version, "form_key": str(uuid4())}
    by_itself = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page_of(case)}"}

    def reply(**fields: Any) -> Any:
        return beas_browser.post(act_on(case, "reply"), sent | fields, headers=by_itself)

    empty, taken = reply(message=""), reply(message="Nine of forty.")

    event = case.events.get(step="reply")
    assert empty.status_code == 422
    assert ["data-focus" in part for part in empty.content.decode().split('id="case"')] == [
        False, True,
    ]  # fmt: skip
    assert (taken.status_code, taken.content) == (200, b"")
    assert taken["HX-Redirect"] == f"{page_of(case)}#{event.public_id}"
    assert taken["HX-Refresh"] == "true"
