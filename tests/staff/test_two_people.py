"""What one person may not decide or pay alone is proposed, and somebody else says yes or no."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from marketplace.models import User
from payments import credits
from resolution.models import Case
from tests.staff.conftest import (
    QUEUE,
    WHY,
    MakeWaiting,
    act_of,
    decision,
    now_at,
    page_of,
    steps,
    words_for,
)

RETRY_WHY = "The card works again, she wrote."


@pytest.fixture(autouse=True)
def _small_limits(settings: Settings) -> None:
    """Agents decide on 20 dollars, one person alone on 50."""
    settings.AGENT_DECIDE_LIMIT = {"USD": 20}
    settings.SECOND_APPROVAL_LIMIT = {"USD": 50}


@pytest.fixture
def failed_large(settings: Settings, request: pytest.FixtureRequest) -> Case:
    """The provider refused 64 dollars for good, more than one person may settle by now."""
    settings.SECOND_APPROVAL_LIMIT = {"USD": 1000}
    case: Case = request.getfixturevalue("failed")
    settings.SECOND_APPROVAL_LIMIT = {"USD": 50}
    return case


def proposed(case: Case) -> tuple[str, str, int]:
    case = now_at(case)
    return case.proposed_step, case.proposed_remedy, case.proposed_minor


def answer_to(case: Case, **fields: Any) -> dict[str, Any]:
    """What the form to approve sends: the proposal that its page showed."""
    event = case.events.filter(step="propose").last()
    shown = event.public_id if event else ""
    return words_for(case, **{"proposal": shown, "message": WHY, **fields})


def test_an_agent_proposes_and_finance_approves_in_the_same_words(
    at_abes: Client, abe: User, at_sams: Client, escalated: Case
) -> None:
    sent = decision(escalated, do="propose", note="She has screenshots.")
    before = at_abes.get(page_of(escalated)).content.decode()
    answers = [at_abes.post(act_of(escalated, "propose"), sent).status_code for _ in range(2)]
    waiting = at_sams.get(page_of(escalated))

    at_sams.post(act_of(escalated, "approve"), answer_to(escalated))

    assert ("Propose this" in before, "and tell both" in before) == (True, False)
    assert answers == [302, 302]
    told = waiting.context["proposal"]
    assert (told["who"], told["what"], told["note"]) == (
        abe.name, "Refund $64.00", "She has screenshots.",
    )  # fmt: skip
    assert waiting.context["forms"]["approve"]["message"].value() == WHY
    case = now_at(escalated)
    decided = case.events.get(step="decide")
    assert (case.state, case.remedy_minor, case.proposed_step) == ("decided", 6400, "")
    assert (decided.message, decided.data["looked_at"], decided.data["proposed_by"]) == (
        WHY, ["The payment", "The product’s page"], abe.public_id,
    )  # fmt: skip
    assert steps(escalated)[-3:] == ["propose", "note", "decide"]


def test_one_of_finance_alone_is_told_to_propose_and_loses_nothing(
    at_sams: Client, at_adas: Client, escalated: Case
) -> None:
    alone = at_sams.post(act_of(escalated, "decide"), decision(escalated))
    at_sams.post(act_of(escalated, "propose"), decision(escalated, do="propose"))
    own = at_sams.get(page_of(escalated))
    himself = at_sams.post(act_of(escalated, "approve"), answer_to(escalated))
    before = now_at(escalated).state
    at_adas.post(act_of(escalated, "approve"), answer_to(escalated))

    text = alone.content.decode()
    assert alone.status_code == 422
    assert "$64.00 takes two people. Propose it" in text
    assert (WHY in text, "Propose it instead" in text) == (True, True)
    assert (own.context["proposal"]["mine"], own.context["forms"]["approve"]) == (True, None)
    assert (himself.status_code, before) == (403, "escalated")
    assert now_at(escalated).state == "decided"


def test_a_proposal_is_declined_with_a_reason_and_can_be_made_anew(
    at_abes: Client, at_sams: Client, escalated: Case
) -> None:
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose"))

    silent = at_sams.post(act_of(escalated, "decline"), words_for(escalated, message=" "))
    at_sams.post(act_of(escalated, "decline"), words_for(escalated, message="Half will do."))
    page = at_abes.get(page_of(escalated))

    assert silent.status_code == 422
    assert (proposed(escalated), now_at(escalated).state) == (("", "", 0), "escalated")
    assert (page.context["proposal"], page.context["decision"]["proposes"]) == (None, True)
    assert "Half will do." in page.content.decode()


def test_an_agent_takes_back_what_they_proposed_but_approves_nothing(
    at_abes: Client, escalated: Case
) -> None:
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose"))

    page = at_abes.get(page_of(escalated))
    approved = at_abes.post(act_of(escalated, "approve"), answer_to(escalated))
    at_abes.post(act_of(escalated, "decline"), words_for(escalated, message="I misread it."))

    assert page.context["decision"] is None
    assert approved.status_code == 403
    assert proposed(escalated) == ("", "", 0)


def test_another_proposal_than_the_page_showed_is_not_approved(
    at_abes: Client, at_sams: Client, escalated: Case
) -> None:
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose"))
    shown = answer_to(escalated)
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose", amount="60"))

    answer = at_sams.post(act_of(escalated, "approve"), shown)

    assert answer.status_code == 409
    assert (now_at(escalated).state, proposed(escalated)[2]) == ("escalated", 6000)


def test_finance_decide_otherwise_on_their_own_up_to_the_limit(
    at_abes: Client, at_sams: Client, escalated: Case
) -> None:
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose"))

    at_sams.post(act_of(escalated, "decide"), decision(escalated, amount="32.00"))

    case = now_at(escalated)
    assert (case.state, case.remedy_minor, case.proposed_by) == ("decided", 3200, None)


def test_a_final_review_is_proposed_and_approved_too(
    at_abes: Client, at_adas: Client, appealed: Case
) -> None:
    at_abes.post(act_of(appealed, "propose"), decision(appealed, do="propose"))

    at_adas.post(act_of(appealed, "approve"), answer_to(appealed))

    case = now_at(appealed)
    assert (case.state, case.final, case.remedy_minor) == ("decided", True, 6400)


def test_a_preview_of_a_proposal_shows_the_decision(at_abes: Client, escalated: Case) -> None:
    answer = at_abes.post(act_of(escalated, "propose"), decision(escalated, do="preview"))

    assert answer.context["previews"][0][1]["title"] == "Decision: refund $64.00"
    assert proposed(escalated) == ("", "", 0)


@pytest.mark.parametrize(
    ("act", "typed", "agreed", "left"),
    [
        ("retry", {"message": RETRY_WHY}, {}, ("requested", 0)),
        ("credits", {"message": WHY}, {"message": WHY}, ("arrived", 6400)),
        (
            "paid",
            {"message": WHY, "reference": "SEPA 4711"},
            {"message": WHY, "reference": "SEPA 4711"},
            ("by_hand", 0),
        ),
    ],
)
def test_settling_a_large_failed_refund_takes_two(
    at_sams: Client,
    at_adas: Client,
    bea: User,
    failed_large: Case,
    act: str,
    typed: dict[str, str],
    agreed: dict[str, str],
    left: tuple[str, int],
) -> None:
    case = failed_large
    page = at_sams.get(page_of(case))
    alone = at_sams.post(act_of(case, act), words_for(case, **typed))
    at_sams.post(act_of(case, f"propose-{act}"), words_for(case, **typed))
    untouched = now_at(case).money
    form = at_adas.get(page_of(case)).context["forms"]["approve"]

    prefilled = {name: form[name].value() for name in agreed}
    at_adas.post(act_of(case, "approve"), answer_to(case, **agreed))

    assert (page.context["money"]["mine"], page.context["money"]["proposes"]) == (False, True)
    assert (alone.status_code, untouched) == (422, "failed")
    assert prefilled == agreed
    assert (now_at(case).money, dict(credits.balances(bea)).get("USD", 0)) == left


def test_the_queue_counts_what_needs_a_second_person(
    at_abes: Client, at_sams: Client, make_waiting: MakeWaiting
) -> None:
    first, _ = make_waiting(), make_waiting()
    at_abes.post(act_of(first, "propose"), decision(first, do="propose"))

    page = at_sams.get(QUEUE, {"why": "second"})
    at_abes.post(f"{QUEUE}take-next/")
    at_sams.post(f"{QUEUE}take-next/")

    rows = [(row.case.pk, row.pill.label) for row in page.context["rows"]]
    assert rows == [(first.pk, "Needs a second person")]
    assert page.context["counts"]["why_second"] == 1
    taken = now_at(first).assigned_to
    assert taken is not None
    assert taken.name == "Sam Reyes"


def test_a_form_of_nonsense_approves_nothing(
    at_abes: Client, at_sams: Client, escalated: Case
) -> None:
    at_abes.post(act_of(escalated, "propose"), decision(escalated, do="propose"))

    answers = [
        at_sams.post(act_of(escalated, "approve"), answer_to(escalated, **wrong)).status_code
        for wrong in ({"proposal": ""}, {"proposal": str(uuid4())}, {"message": " "})
    ]

    assert answers == [409, 409, 422]
    assert now_at(escalated).state == "escalated"
