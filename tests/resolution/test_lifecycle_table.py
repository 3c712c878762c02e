"""The table as it is meant to be, told a second time: by step, by state, and by side."""

from dataclasses import dataclass, field
from datetime import timedelta
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from marketplace import clock
from marketplace.models import User
from payments.models import Payment
from resolution import cases
from resolution.management.commands.lifecycle import steps
from resolution.models import Case
from resolution.terms import BOTH, Act, Actor, Money, Party, Remedy, State, Verdict

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party
OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED, DECIDED, APPEALED, CLOSED = State
NEW = ""
REVIEW = (ESCALATED, APPEALED)
NOT_CLOSED = (OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED, DECIDED, APPEALED)
ENDED = (DECIDED, CLOSED)
ANSWERING = (AWAITING_CREATOR, MORE_INFO)

DUE = {"due_at": clock.now() - timedelta(hours=1)}
NOT_DUE = {"due_at": clock.now() + timedelta(days=1)}
HALF_BACK = {"decided_by": STAFF, "remedy": Remedy.REFUND, "remedy_minor": 3200}
FAILED = {"money": Money.FAILED}


@dataclass(frozen=True)
class Row:
    """A step, whose it is, where it leads from and to, and a case on which all its guards hold."""

    name: str
    parties: tuple[Party, ...]
    leads: dict[str, str]
    case: dict[str, Any] = field(default_factory=dict)
    waits_for_actor: bool = False


def stays(*states: str) -> dict[str, str]:
    return {state: state for state in states}


def to(target: str, *states: str) -> dict[str, str]:
    return dict.fromkeys(states, target)


TABLE = [
    Row("open_case", (BUYER,), to(OPEN, NEW)),
    Row(
        "auto_refund", (SYSTEM,), to(DECIDED, OPEN, AWAITING_CREATOR), DUE | {"waiting_on": SYSTEM}
    ),
    Row("plan_refund", (SYSTEM,), to(AWAITING_CREATOR, OPEN)),
    Row("cancel_refund", (CREATOR, SYSTEM), stays(AWAITING_CREATOR), {"waiting_on": SYSTEM}),
    Row("notify_creator", (SYSTEM,), to(AWAITING_CREATOR, OPEN)),
    Row("accept", (CREATOR,), to(DECIDED, *ANSWERING)),
    Row("deny", (CREATOR,), to(DECIDED, *ANSWERING)),
    Row("request_info", (CREATOR,), to(MORE_INFO, *ANSWERING)),
    Row("reply", BOTH, to(AWAITING_CREATOR, MORE_INFO) | stays(*REVIEW), waits_for_actor=True),
    Row("escalate", (SYSTEM,), to(ESCALATED, *ANSWERING), DUE | {"waiting_on": CREATOR}),
    Row("withdraw", (BUYER,), to(CLOSED, OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED)),
    Row("ask_party", (STAFF,), stays(*REVIEW)),
    Row("decide_unanswered", (SYSTEM,), to(DECIDED, ESCALATED), DUE | {"waiting_on": BUYER}),
    Row("resume_review", (SYSTEM,), stays(*REVIEW), DUE | {"waiting_on": CREATOR}),
    Row("decide", (STAFF,), to(DECIDED, ESCALATED)),
    Row("appeal", BOTH, to(APPEALED, DECIDED), NOT_DUE | HALF_BACK),
    Row("decide_final", (STAFF,), to(DECIDED, APPEALED)),
    Row("decide_final_alone", (STAFF,), to(DECIDED, APPEALED), {"first_decider_id": 3}),
    Row("accept_decision", BOTH, stays(DECIDED), HALF_BACK),
    Row("finalize", (SYSTEM,), stays(DECIDED), DUE),
    Row("close", (SYSTEM,), to(CLOSED, DECIDED), {"final": True}),
    Row("refund_sent", (SYSTEM,), stays(*ENDED)),
    Row("refund_arrived", (SYSTEM,), stays(*ENDED)),
    Row("refund_failed", (SYSTEM,), stays(*ENDED)),
    Row("retry_refund", (STAFF,), stays(*ENDED), FAILED),
    Row("credit_instead", (STAFF,), stays(*ENDED), FAILED),
    Row("mark_paid", (STAFF,), stays(*ENDED), FAILED),
    Row("propose", (STAFF,), stays(*REVIEW, *ENDED), FAILED),
    Row("decline_proposal", (STAFF,), stays(*REVIEW, *ENDED), {"proposed_by_id": 3}),
    Row("void", (SYSTEM,), to(CLOSED, *NOT_CLOSED)),
    Row("freeze", (SYSTEM,), stays(*NOT_CLOSED)),
    Row("resume", (SYSTEM,), stays(*NOT_CLOSED), {"frozen_at": clock.now()}),
    Row("comment", (BUYER, CREATOR, STAFF), stays(*NOT_CLOSED)),
    Row("refuse_file", (SYSTEM,), stays(*NOT_CLOSED, CLOSED)),
    Row("remove_files", (SYSTEM,), stays(*NOT_CLOSED, CLOSED)),
    Row("note", (STAFF,), stays(*NOT_CLOSED, CLOSED)),
]
EVERYBODY = [
    Actor(BUYER, User(pk=1)),
    Actor(CREATOR, User(pk=2), role="owner"),
    Actor(STAFF, User(pk=3), role="finance"),
    Actor(SYSTEM),
    Actor(NOBODY),
]


def case_at(state: str, row: Row, actor: Actor) -> Case:
    """A case in that state on which every guard of the row holds."""
    facts = {"currency": "USD", "asked_minor": 6400, **row.case}
    if row.waits_for_actor:
        facts["waiting_on"] = actor.party
    return Case(state=state, payment=Payment(amount_minor=6400), **facts)


def test_the_table_has_exactly_these_steps() -> None:
    assert [step.name for step in steps()] == [row.name for row in TABLE]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_step_is_open_in_its_states_to_its_sides_and_to_nobody_else(row: Row) -> None:
    expected = {(state, party) for state in row.leads for party in row.parties}

    found = {
        (state, actor.party)
        for state in (NEW, *State)
        for actor in EVERYBODY
        if row.name in cases.steps_for(case_at(state, row, actor), actor)
    }

    assert found == expected


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_step_leads_where_the_table_says(row: Row) -> None:
    found = {}

    for state in row.leads:
        actor = next(actor for actor in EVERYBODY if actor.party in row.parties)
        case = case_at(state, row, actor)
        case.as_of = clock.now()
        verdict = Verdict(Remedy.REFUND, 6400)
        getattr(case, row.name)(Act(actor, verdict=verdict, asks=BUYER))
        found[state] = case.state

    assert found == row.leads


def test_an_appeal_of_a_creators_denial_goes_to_staff() -> None:
    buyer = EVERYBODY[0]
    case = Case(state=DECIDED, decided_by=CREATOR, asked_minor=6400, **NOT_DUE)
    case.as_of = clock.now()

    case.appeal(Act(buyer))

    assert (case.state, case.review_reason) == ("escalated", "denial_appealed")


def test_every_step_and_every_guard_says_what_it_is() -> None:
    silent = [
        named.__name__
        for step in steps()
        for named in (*step.guards, *step.facts)
        if not getdoc(named)
    ]

    assert silent == []
    assert [step.name for step in steps() if not step.doc] == []


def test_the_page_on_the_lifecycle_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("lifecycle", check=True)

    assert capsys.readouterr().out == "docs/lifecycle.md is current.\n"


def test_a_page_that_is_not_current_is_refused_until_it_is_written(
    settings: Settings, tmp_path: Path
) -> None:
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match=r"docs/lifecycle\.md is not current"):
        call_command("lifecycle", check=True)

    call_command("lifecycle")
    call_command("lifecycle", check=True)

    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["lifecycle.md"]
