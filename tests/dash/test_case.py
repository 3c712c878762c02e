"""The page of one case as a creator's team sees it, and what each role may do there."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image

from marketplace.models import Company, Membership, User
from payments.models import Refund
from resolution.models import Case
from resolution.terms import Actor, Party, Remedy, Verdict
from tests.dash.conftest import MakeCases

Take = Callable[..., Case]


def picture(name: str) -> SimpleUploadedFile:
    content = BytesIO()
    Image.new("RGB", (2, 2), "teal").save(content, "PNG")
    return SimpleUploadedFile(name, content.getvalue(), "image/png")


def address(case: Case, act: str = "") -> str:
    return f"/dash/resolution-center/cases/{case.public_id}/{f'{act}/' if act else ''}"


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def typed(case: Case, action: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"version": case.version, "action": action, "do": action,
            f"{action}_message": message} | more  # fmt: skip


def offers(html: str) -> list[tuple[str, str]]:
    return re.findall(r'<input type="radio" name="action" value="([a-z_]+)"( checked)?', html)


def test_the_page_says_whose_turn_it_is_and_what_each_answer_does(
    dash: Client, waiting_case: Case
) -> None:
    html = text_of(dash.get(address(waiting_case)))

    assert "<bdi>Bea Lind</bdi> asks for $64.00 back" in html
    assert "Your turn" in html
    assert offers(html) == [("accept", ""), ("request_info", ""), ("deny", "")]
    buttons = re.findall(
        r'<button class="btn[^"]*" type="submit" name="do" value="(\w+)">([^<]+)', html
    )
    assert buttons == [
        ("accept", "Refund $64.00 and close"),
        ("request_info", "Request details"),
        ("deny", "Deny the request"),
    ]


def test_accepting_refunds_once_however_often_it_is_sent(dash: Client, waiting_case: Case) -> None:
    key = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    form = typed(waiting_case, "accept", "Sorry about that.", form_key=key)

    first = dash.post(address(waiting_case, "respond"), form)
    second = dash.post(address(waiting_case, "respond"), form)

    event = waiting_case.events.get(step="accept")
    assert [answer.url for answer in (first, second)] == [  # type: ignore[attr-defined]
        f"{address(waiting_case)}#{event.public_id}"
    ] * 2
    assert event.message == "Sorry about that."
    assert Refund.objects.values_list("amount_minor", "state").get() == (6400, "pending")


@pytest.mark.parametrize("ends", [True, False])
def test_an_acceptance_ends_the_membership_only_when_asked_to(
    dash: Client, waiting_case: Case, ends: bool
) -> None:
    shown = text_of(dash.get(address(waiting_case)))

    form = typed(waiting_case, "accept", **({"ends_membership": "on"} if ends else {}))
    dash.post(address(waiting_case, "respond"), form)

    assert "End the membership too" in shown
    assert "Access to Golden Hour presets ends at once" in shown
    membership = now_at(waiting_case).payment.membership
    assert membership
    assert membership.status == ("ended" if ends else "active")


def test_a_membership_that_is_over_cannot_be_ended(dash: Client, waiting_case: Case) -> None:
    Membership.objects.update(status="ended")

    shown = text_of(dash.get(address(waiting_case)))
    dash.post(address(waiting_case, "respond"), typed(waiting_case, "accept", ends_membership="on"))

    assert "End the membership too" not in shown
    assert "membership_ended" not in waiting_case.events.get(step="accept").data


def test_denying_takes_a_reason_and_files(dash: Client, waiting_case: Case) -> None:
    proof = picture("proof.png")
    without = dash.post(address(waiting_case, "respond"), typed(waiting_case, "deny"))

    sent = dash.post(
        address(waiting_case, "respond"),
        typed(waiting_case, "deny", "It is as the page says.", files=[proof]),
    )

    assert (without.status_code, sent.status_code) == (422, 302)
    assert "Write why you deny it." in text_of(without)
    event = waiting_case.events.get(step="deny")
    assert [file.filename for file in event.attachments.all()] == ["proof.png"]
    assert (now_at(waiting_case).state, now_at(waiting_case).waiting_on) == ("decided", "buyer")


def test_asking_for_details_moves_the_days_to_the_buyer(dash: Client, waiting_case: Case) -> None:
    dash.post(address(waiting_case, "respond"), typed(waiting_case, "request_info", "Which one?"))

    case = now_at(waiting_case)
    assert (case.state, case.waiting_on) == ("more_info", "buyer")
    assert "Waiting for Bea" in text_of(dash.get(address(case)))


def test_a_button_that_contradicts_the_choice_does_nothing(
    dash: Client, waiting_case: Case
) -> None:
    answer = dash.post(
        address(waiting_case, "respond"), typed(waiting_case, "deny", "No.", do="accept")
    )

    assert answer.status_code == 422
    assert now_at(waiting_case).state == "awaiting_creator"
    assert not Refund.objects.exists()


def test_an_answer_that_comes_too_late_keeps_its_text(
    dash: Client, waiting_case: Case, buyer: Actor, take: Take
) -> None:
    take(waiting_case, "withdraw", buyer)

    answer = dash.post(
        address(waiting_case, "respond"), typed(waiting_case, "deny", "My long explanation.")
    )

    html = text_of(answer)
    assert answer.status_code == 409
    assert "This case has changed" in html
    assert "My long explanation." in html
    assert now_at(waiting_case).outcome == "withdrawn"


@pytest.mark.parametrize(
    ("role", "options", "said"),
    [
        ("owner", ["accept", "request_info", "deny"], []),
        ("admin", ["accept", "request_info", "deny"], []),
        ("support", ["request_info", "deny"], ["You can’t accept this one."]),
        ("viewer", [], ["You can read this case, but not answer it."]),
    ],
)
def test_each_role_is_offered_what_it_may_do_and_told_why_not_more(
    client: Client, join: Callable[[str], User], waiting_case: Case, role: str,
    options: list[str], said: list[str],
) -> None:  # fmt: skip
    client.force_login(join(role))

    html = text_of(client.get(address(waiting_case)))
    accepted = client.post(address(waiting_case, "respond"), typed(waiting_case, "accept"))

    assert [value for value, _ in offers(html)] == options
    assert re.findall(r"<b>(You can.*?)</b>", html) == said
    assert ("<textarea" in html) == bool(options)
    assert accepted.status_code == (302 if "accept" in options else 403)
    assert Refund.objects.exists() == ("accept" in options)


def test_support_accepts_up_to_its_limit(
    client: Client, join: Callable[[str], User], make_cases: MakeCases
) -> None:
    small = make_cases(amount_minor=5000)[0]
    client.force_login(join("support"))

    html = text_of(client.get(address(small)))

    assert [value for value, _ in offers(html)] == ["accept", "request_info", "deny"]
    assert "You can’t accept this one." not in html


def test_a_question_of_staffs_is_answered(
    dash: Client, make_cases: MakeCases, staff: Actor, take: Take
) -> None:
    case = make_cases(state="escalated", waiting_on="staff")[0]
    take(case, "ask_party", staff, message="Can you show the schedule?", asks=Party.CREATOR)
    asked = text_of(dash.get(address(case)))

    dash.post(address(case, "reply"), {"version": now_at(case).version, "message": "Here it is."})

    assert "Answer Whop by" in asked
    assert "Can you show the schedule?" in asked
    assert case.events.get(step="reply").message == "Here it is."
    assert now_at(case).waiting_on == "staff"


@pytest.fixture
def decided(make_cases: MakeCases, staff: Actor, take: Take) -> Case:
    """Staff gave half of it to the buyer."""
    case = make_cases(state="escalated", waiting_on="staff")[0]
    return take(case, "decide", staff, message="Half.", verdict=Verdict(Remedy.REFUND, 3200))


def test_a_decision_is_appealed_with_a_file(dash: Client, decided: Case) -> None:
    proof = picture("invite.png")

    dash.post(
        address(decided, "appeal"),
        {"version": decided.version, "message": "It took place.", "files": [proof]},
    )

    event = decided.events.get(step="appeal")
    assert [file.filename for file in event.attachments.all()] == ["invite.png"]
    assert (now_at(decided).state, now_at(decided).appealed_by) == ("appealed", "creator")


def test_a_decision_is_accepted_after_one_more_question(dash: Client, decided: Case) -> None:
    asked = text_of(dash.get(address(decided, "accept-decision")))
    before = now_at(decided).creator_accepted

    dash.post(address(decided, "accept-decision"), {"version": decided.version})

    assert "Accept the decision?" in asked
    assert (before, now_at(decided).creator_accepted) == (False, True)


def test_support_reads_who_can_appeal(
    client: Client, join: Callable[[str], User], decided: Case
) -> None:
    client.force_login(join("support"))

    html = text_of(client.get(address(decided)))
    tried = client.post(address(decided, "appeal"), {"version": decided.version, "message": "No!"})

    assert "You can’t appeal this decision.</b> Owners and admins can" in html
    assert tried.status_code == 403
    assert now_at(decided).state == "decided"


def test_a_comment_reaches_the_timeline(dash: Client, waiting_case: Case) -> None:
    dash.post(address(waiting_case, "comment"), {"message": "We are on it."})

    assert waiting_case.events.get(step="comment").message == "We are on it."
    assert "We are on it." in text_of(dash.get(address(waiting_case)))


def test_a_closed_case_is_read_and_nothing_more(
    dash: Client, waiting_case: Case, buyer: Actor, take: Take
) -> None:
    take(waiting_case, "withdraw", buyer)

    html = text_of(dash.get(address(waiting_case)))

    assert "<textarea" not in html
    assert "<bdi>Bea Lind</bdi> asked for $64.00 back" in html


def test_the_next_case_is_the_one_due_first(dash: Client, make_cases: MakeCases) -> None:
    soonest, later = make_cases(2)[::-1]

    first = text_of(dash.get(address(soonest)))
    second = text_of(dash.get(address(later)))
    Case.objects.filter(pk=later.pk).update(waiting_on="staff")
    alone = text_of(dash.get(address(soonest)))

    assert f'href="{address(later)}">Next case' in first
    assert f'href="{address(soonest)}">Next case' in second
    assert "Next case" not in alone


def test_a_note_of_staffs_is_for_staff_alone(
    dash: Client, waiting_case: Case, staff: Actor, take: Take
) -> None:
    take(waiting_case, "note", staff, message="Looks like a pattern.")

    assert "Looks like a pattern." not in text_of(dash.get(address(waiting_case)))


def test_a_message_is_text_and_never_markup(
    dash: Client, waiting_case: Case, buyer: Actor, take: Take
) -> None:
    take(waiting_case, "comment", buyer, message="<script>alert(1)</script>{{ 7 }}")

    html = text_of(dash.get(address(waiting_case)))

    assert re.findall(r"<script(?! src=)", html) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7 }}" in html


@pytest.mark.parametrize("act", ["respond", "reply", "comment", "appeal", "accept-decision"])
def test_strangers_act_on_nothing(client: Client, nia: User, waiting_case: Case, act: str) -> None:
    client.force_login(nia)
    events = waiting_case.events.count()

    answer = client.post(address(waiting_case, act), typed(waiting_case, "accept", message="x"))

    assert answer.status_code == 404
    assert waiting_case.events.count() == events


def test_the_buyer_has_no_way_in_here(client: Client, bea: User, waiting_case: Case) -> None:
    client.force_login(bea)

    assert client.get(address(waiting_case)).status_code == 404
    assert (
        client.post(address(waiting_case, "respond"), typed(waiting_case, "accept")).status_code
        == 404
    )


def test_an_act_that_there_is_none_of_is_not_found(dash: Client, waiting_case: Case) -> None:
    for act in ("withdraw-all", "decide", "auto_refund"):
        assert dash.post(address(waiting_case, act), {"message": "x"}).status_code == 404


@pytest.mark.parametrize("comments", [1, 30])
def test_a_case_takes_six_queries_however_long_it_is(
    dash: Client, waiting_case: Case, buyer: Actor, take: Take, make_cases: MakeCases,
    company: Company, comments: int,
) -> None:  # fmt: skip
    make_cases()
    for number in range(comments):
        take(waiting_case, "comment", buyer, message=f"Remark {number}.")
    dash.get(address(waiting_case))  # reads what there is news of

    with CaptureQueriesContext(connection) as queries:
        html = text_of(dash.get(address(waiting_case)))

    assert html.count("Remark ") == comments
    # session, person, teams with counts, case with drafts and the next one, events with files
    assert len(queries) == 5
