"""Sums that one person may not move alone, and a membership that ends with its refund."""

from typing import Any

import pytest
from django.test.utils import override_settings

from marketplace.models import Company, Membership
from payments import refunds
from payments.gateways import RefundAnswer
from resolution import cases, sweeps, timeline
from resolution.actors import as_staff
from resolution.models import Case
from resolution.terms import Actor, Party, Remedy, Verdict
from tests.people import make_user

ALL = Verdict(Remedy.REFUND, 6400)
PART = Verdict(Remedy.REFUND, 6300)
SMALL = Verdict(Remedy.REFUND, 900)
over_limit = override_settings(SECOND_APPROVAL_LIMIT={"USD": 10}, AGENT_DECIDE_LIMIT={"USD": 5})


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


@pytest.fixture
def agent(db: None) -> Actor:
    return as_staff(make_user("Priya Shah", is_staff=True, staff_role="agent"))


@pytest.fixture
def escalated(waiting_case: Case, creator: Actor, buyer: Actor) -> Case:
    cases.take_step(waiting_case, "deny", creator, message="No.")
    cases.take_step(waiting_case, "appeal", buyer, message="Yes.")
    return now_at(waiting_case)


@over_limit
def test_what_an_agent_proposes_somebody_of_finance_approves(
    escalated: Case, agent: Actor, staff: Actor
) -> None:
    cases.take_step(escalated, "propose", agent, message="It never came.", verdict=ALL)
    proposed = now_at(escalated)
    event = cases.take_step(escalated, "decide", staff, message="It never came.", verdict=ALL)

    assert (proposed.state, proposed.waiting_on, proposed.version) == (
        escalated.state, Party.STAFF, escalated.version,
    )  # fmt: skip
    assert (proposed.proposed_step, proposed.proposed_remedy) == ("decide", Remedy.REFUND)
    assert event.data["proposed_by"] == agent.user.public_id  # type: ignore[union-attr]
    decided = now_at(escalated)
    assert (decided.state, decided.remedy_minor, decided.proposed_by) == ("decided", 6400, None)
    told = [e.step for e in timeline.events_of(decided, Party.BUYER)]
    assert "propose" not in told


@over_limit
def test_over_the_limit_one_person_is_not_enough(
    escalated: Case, staff: Actor, other_staff: Actor
) -> None:
    why = "It never came."

    with pytest.raises(cases.StepRefused, match=r"^\$64\.00 takes two people\. Propose it"):
        cases.take_step(escalated, "decide", staff, message=why, verdict=ALL)
    cases.take_step(escalated, "propose", staff, message=why, verdict=ALL)
    with pytest.raises(cases.StepRefused, match=r"^You proposed this yourself"):
        cases.take_step(escalated, "decide", staff, message=why, verdict=ALL)
    with pytest.raises(cases.StepRefused, match="what is proposed is something else"):
        cases.take_step(escalated, "decide", other_staff, message=why, verdict=PART)
    cases.take_step(escalated, "decide", staff, message=why, verdict=SMALL)

    assert now_at(escalated).remedy_minor == 900


@over_limit
def test_a_declined_proposal_approves_nothing(escalated: Case, agent: Actor, staff: Actor) -> None:
    cases.take_step(escalated, "propose", agent, message="It never came.", verdict=ALL)

    cases.take_step(escalated, "decline_proposal", staff, message="Look at the second file.")

    with pytest.raises(cases.StepRefused, match="takes two people"):
        cases.take_step(escalated, "decide", staff, message="It never came.", verdict=ALL)
    assert now_at(escalated).proposed_by is None


def test_nobody_proposes_the_final_review_of_their_own_decision(
    escalated: Case, staff: Actor, other_staff: Actor, buyer: Actor
) -> None:
    cases.take_step(escalated, "decide", staff, message="Half.", verdict=SMALL)
    cases.take_step(escalated, "appeal", buyer, message="Too little.")

    with pytest.raises(cases.NotAllowed):
        cases.take_step(escalated, "propose", staff, message="As before.", verdict=SMALL)
    cases.take_step(escalated, "propose", other_staff, message="More.", verdict=ALL)

    assert now_at(escalated).proposed_step == "decide_final"


@over_limit
def test_settling_a_failed_refund_over_the_limit_takes_two(
    waiting_case: Case, creator: Actor, staff: Actor, other_staff: Actor
) -> None:
    cases.take_step(waiting_case, "accept", creator)
    refund = now_at(waiting_case).refund
    assert refund
    refunds.settle(refund.pk, RefundAnswer("re_1", "failed", "expired"), token=None)
    sweeps.notice_refund(waiting_case.pk)
    paid: dict[str, Any] = {"message": "By wire.", "reference": "W-17"}

    with pytest.raises(cases.StepRefused, match="takes two people"):
        cases.take_step(waiting_case, "mark_paid", staff, **paid)
    cases.take_step(waiting_case, "propose", staff, message="By wire.", proposes="mark_paid")
    with pytest.raises(cases.StepRefused, match="what is proposed is something else"):
        cases.take_step(waiting_case, "credit_instead", other_staff, message="Credits.")
    cases.take_step(waiting_case, "mark_paid", other_staff, **paid)

    assert (now_at(waiting_case).money, now_at(waiting_case).proposed_step) == ("by_hand", "")


def test_an_acceptance_can_end_the_membership(
    waiting_case: Case, creator: Actor, membership: Membership
) -> None:
    event = cases.take_step(waiting_case, "accept", creator, ends_membership=True)

    membership.refresh_from_db()
    assert (membership.status, membership.ends_at) == ("ended", event.created_at)
    entry = timeline.entries(now_at(waiting_case), [event], Party.BUYER)[0]
    assert entry.text == " $64.00 goes back to you. Your membership has ended."


def test_no_other_step_ends_a_membership(
    waiting_case: Case, creator: Actor, membership: Membership, company: Company
) -> None:
    with pytest.raises(cases.StepRefused, match="ends only when"):
        cases.take_step(waiting_case, "deny", creator, message="No.", ends_membership=True)

    membership.refresh_from_db()
    assert (membership.status, now_at(waiting_case).state) == ("active", "awaiting_creator")


def test_a_page_tells_no_more_than_its_case_knows(waiting_case: Case, creator: Actor) -> None:
    read = now_at(waiting_case)
    cases.take_step(waiting_case, "comment", creator, message="We are looking.")

    assert [event.step for event in timeline.events_of(read, Party.BUYER)] == [
        "open_case", "notify_creator",
    ]  # fmt: skip
