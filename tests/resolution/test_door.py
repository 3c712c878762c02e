"""What the door promises: one winner, no trace of the refused, nothing twice, nothing lost."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from marketplace.models import Company, TeamMember, User
from notifications.models import Notification
from payments import refunds
from payments.gateways import RefundAnswer
from payments.models import CreditEntry, Payment, Refund
from resolution import cases, sweeps
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.cases import CaseChanged, NotAllowed, StepRefused
from resolution.models import Case, Event
from resolution.terms import SYSTEM, Actor, Party, Remedy, Verdict
from tests.conftest import Later
from tests.people import MakePayment, make_user

ALL = Verdict(Remedy.REFUND, 6400)
HALF = Verdict(Remedy.REFUND, 3200)
NOTHING = Verdict(Remedy.NONE)


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def denied(case: Case, creator: Actor) -> Case:
    cases.take_step(case, "deny", creator, message="No.")
    return now_at(case)


def decided(case: Case, creator: Actor, buyer: Actor, staff: Actor, verdict: Verdict) -> Case:
    denied(case, creator)
    cases.take_step(now_at(case), "appeal", buyer, message="But.")
    cases.take_step(now_at(case), "decide", staff, message="So.", verdict=verdict)
    return now_at(case)


def test_a_refused_step_leaves_no_trace(waiting_case: Case, buyer: Actor) -> None:
    before = list(waiting_case.events.values_list("step", flat=True))

    with pytest.raises(StepRefused):
        cases.take_step(waiting_case, "decide", buyer, message="Me!", verdict=ALL)

    assert list(now_at(waiting_case).events.values_list("step", flat=True)) == before
    assert not Refund.objects.exists()


def test_a_step_needs_its_words(waiting_case: Case, creator: Actor) -> None:
    with pytest.raises(StepRefused, match="Write a message first"):
        cases.take_step(waiting_case, "deny", creator, message="  ")

    assert now_at(waiting_case).state == "awaiting_creator"


def test_a_stale_page_is_told_so(waiting_case: Case, creator: Actor, buyer: Actor) -> None:
    seen = waiting_case.version
    cases.take_step(waiting_case, "request_info", creator, message="Which?")

    with pytest.raises(CaseChanged):
        cases.take_step(waiting_case, "withdraw", buyer, seen_version=seen)

    assert now_at(waiting_case).state == "more_info"


def test_a_comment_makes_no_page_stale(waiting_case: Case, creator: Actor, buyer: Actor) -> None:
    seen = waiting_case.version
    cases.take_step(waiting_case, "comment", buyer, message="One more thing.")

    cases.take_step(waiting_case, "accept", creator, seen_version=seen)

    assert now_at(waiting_case).state == "decided"


def test_the_same_form_twice_is_one_step(waiting_case: Case, creator: Actor) -> None:
    key = uuid.uuid4()

    first = cases.take_step(waiting_case, "accept", creator, form_key=key, seen_version=2)
    again = cases.take_step(waiting_case, "accept", creator, form_key=key, seen_version=2)

    assert first == again
    assert Refund.objects.count() == 1


def test_a_form_whose_words_are_not_kept_counts_once_too(
    waiting_case: Case, creator: Actor, buyer: Actor
) -> None:
    case, key = denied(waiting_case, creator), uuid.uuid4()

    def accept() -> Event:
        return cases.take_step(case, "accept_decision", buyer, message="Fine.", form_key=key)

    assert accept() == accept()
    assert Event.objects.filter(step="accept_decision").count() == 1


def test_a_case_opened_twice_by_the_same_form_is_one_case(payment: Payment, bea: User) -> None:
    key = uuid.uuid4()

    def open_it() -> Case:
        return cases.open_case(
            payment, bea, reason="fraudulent", message="Not me.", asked_minor=100, form_key=key
        )

    assert open_it() == open_it()
    assert Event.objects.filter(step="open_case").count() == 1


def test_the_seventh_day_ends_to_the_second(waiting_case: Case, later: Later) -> None:
    assert waiting_case.due_at
    later(waiting_case.due_at - datetime.now(UTC) - timedelta(seconds=5))
    sweeps.sweep()
    assert now_at(waiting_case).state == "awaiting_creator"

    later(timedelta(seconds=6))
    sweeps.sweep()

    assert now_at(waiting_case).state == "escalated"


def test_a_buyer_who_does_not_answer_staff_loses_and_may_appeal(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor, later: Later
) -> None:
    case = denied(waiting_case, creator)
    cases.take_step(case, "appeal", buyer, message="But.")
    cases.take_step(now_at(case), "ask_party", staff, message="When?", asks=Party.BUYER)
    later(timedelta(days=7, minutes=1))

    sweeps.sweep()

    case = now_at(case)
    assert (case.state, case.remedy, case.final) == ("decided", "none", False)
    assert "appeal" in cases.steps_for(case, buyer)


def test_a_creator_who_does_not_answer_staff_lets_the_review_go_on(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor, later: Later
) -> None:
    case = denied(waiting_case, creator)
    cases.take_step(case, "appeal", buyer, message="But.")
    cases.take_step(now_at(case), "ask_party", staff, message="When?", asks=Party.CREATOR)
    later(timedelta(days=7, minutes=1))

    sweeps.sweep()

    case = now_at(case)
    assert (case.state, case.waiting_on) == ("escalated", "staff")


def test_nobody_reviews_their_own_decision(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor, other_staff: Actor
) -> None:
    case = decided(waiting_case, creator, buyer, staff, HALF)
    cases.take_step(case, "appeal", creator, message="Too much.")

    with pytest.raises(NotAllowed):
        cases.take_step(now_at(case), "decide_final", staff, message="Again.", verdict=HALF)

    cases.take_step(now_at(case), "decide_final", other_staff, message="No.", verdict=NOTHING)
    assert Refund.objects.get().state == "canceled"
    assert now_at(case).waiting_on == "system"


def test_who_got_all_they_asked_for_cannot_appeal(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    case = decided(waiting_case, creator, buyer, staff, ALL)

    assert "appeal" not in cases.steps_for(case, buyer)
    assert "appeal" in cases.steps_for(case, creator)


def test_a_decision_is_final_when_nobody_is_left_to_appeal(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    case = decided(waiting_case, creator, buyer, staff, HALF)

    cases.take_step(case, "accept_decision", buyer)
    assert not now_at(case).final
    cases.take_step(now_at(case), "accept_decision", creator)

    assert now_at(case).final
    assert Refund.objects.get().state == "pending"


def test_a_party_to_the_case_is_not_its_judge(waiting_case: Case, company: Company) -> None:
    both = make_user("Both Sides", is_staff=True, staff_role="finance")
    TeamMember.objects.create(company=company, user=both, role="viewer")

    assert cases.steps_for(waiting_case, as_staff(both, waiting_case)) == {}


def test_team_roles_decide_who_answers(waiting_case: Case, company: Company) -> None:
    open_to = {}
    for role in ("owner", "admin", "support", "viewer"):
        user = make_user(f"R {role}")
        TeamMember.objects.create(company=company, user=user, role=role)
        open_to[role] = sorted(cases.steps_for(waiting_case, as_creator(user, company)))

    assert open_to == {
        "owner": ["accept", "comment", "deny", "request_info"],
        "admin": ["accept", "comment", "deny", "request_info"],
        "support": ["comment", "deny", "request_info"],
        "viewer": [],
    }


def test_agents_decide_up_to_their_limit(
    make_payment: MakePayment, bea: User, creator: Actor, buyer: Actor
) -> None:
    agent = as_staff(make_user("Al Agent", is_staff=True, staff_role="agent"))
    open_to = []
    for amount in (25000, 25001):
        payment = make_payment(amount_minor=amount)
        case = cases.open_case(
            payment, bea, reason="fraudulent", message="Not me.", asked_minor=amount
        )
        sweeps.advance([case.pk])
        denied(case, creator)
        cases.take_step(now_at(case), "appeal", buyer, message="But.")
        open_to.append("decide" in cases.steps_for(now_at(case), agent))

    assert open_to == [True, False]


def test_staff_award_at_most_what_is_left(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    denied(waiting_case, creator)
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="But.")
    too_much = Verdict(Remedy.REFUND, 6401)

    with pytest.raises(StepRefused, match=r"\$64\.00 at most"):
        cases.take_step(now_at(waiting_case), "decide", staff, message="So.", verdict=too_much)

    assert not Refund.objects.exists()


def test_a_refund_that_fails_comes_to_staff_and_can_become_credits(
    waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    cases.take_step(waiting_case, "accept", creator)
    refund = Refund.objects.get()
    refunds.settle(refund.pk, RefundAnswer("re_1", "failed", "expired_card"), token=None)
    sweeps.notice_refund(waiting_case.pk)
    case = now_at(waiting_case)
    assert (case.money, case.waiting_on) == ("failed", "staff")

    cases.take_step(case, "credit_instead", staff, message="The card is gone.")
    sweeps.sweep()

    case = now_at(case)
    assert (case.state, case.money) == ("closed", "arrived")
    amounts = CreditEntry.objects.order_by("-amount_minor").values_list("amount_minor", flat=True)
    assert list(amounts) == [6400, -6400]


def test_a_refund_that_fails_can_be_tried_again(
    waiting_case: Case, creator: Actor, staff: Actor
) -> None:
    cases.take_step(waiting_case, "accept", creator)
    first = Refund.objects.get()
    refunds.settle(first.pk, RefundAnswer("re_1", "failed"), token=None)
    sweeps.notice_refund(waiting_case.pk)

    cases.take_step(now_at(waiting_case), "retry_refund", staff)

    assert sorted(Refund.objects.values_list("state", flat=True)) == ["failed", "pending"]
    assert now_at(waiting_case).money == "requested"


def test_a_frozen_case_refunds_nothing_and_goes_on_where_it_stopped(
    waiting_case: Case, creator: Actor, later: Later
) -> None:
    due = waiting_case.due_at
    assert due
    cases.take_step(waiting_case, "freeze", SYSTEM)
    later(timedelta(days=30))
    sweeps.sweep()
    assert now_at(waiting_case).state == "awaiting_creator"
    with pytest.raises(StepRefused):
        cases.take_step(now_at(waiting_case), "accept", creator)

    cases.take_step(now_at(waiting_case), "resume", SYSTEM)

    resumed = now_at(waiting_case).due_at
    assert resumed
    assert timedelta(days=29, hours=23) < resumed - due < timedelta(days=30, hours=1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE resolution_event SET message = 'x'",
        "DELETE FROM resolution_event",
        "TRUNCATE resolution_event CASCADE",
        "DELETE FROM resolution_case",
        "UPDATE resolution_case SET asked_minor = 1",
    ],
)
def test_the_database_itself_refuses_to_rewrite_history(case: Case, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute(statement)

    assert Event.objects.get().message == "It is not what the page says."


def together(*acts: Callable[[], object]) -> list[str]:
    """Do all of this at the same moment; answer what became of each: ok, or the refusal's name."""
    start = threading.Barrier(len(acts))
    ends: list[str] = [""] * len(acts)

    def run(index: int, act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
            ends[index] = "ok"
        except StepRefused as refusal:
            ends[index] = type(refusal).__name__
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


@pytest.mark.django_db(transaction=True)
def test_of_accept_escalate_and_withdraw_at_once_one_wins(
    waiting_case: Case, creator: Actor, buyer: Actor, later: Later
) -> None:
    later(timedelta(days=7, minutes=1))
    seen = waiting_case.version

    ends = together(
        lambda: cases.take_step(waiting_case, "accept", creator, seen_version=seen),
        lambda: cases.take_step(waiting_case, "escalate", SYSTEM, seen_version=seen),
        lambda: cases.take_step(waiting_case, "withdraw", buyer, seen_version=seen),
    )

    assert sorted(ends) == ["CaseChanged", "CaseChanged", "ok"]
    case = now_at(waiting_case)
    assert [e.seq for e in case.events.all()] == list(range(1, case.last_seq + 1))
    assert case.last_seq == 3


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_escalate_each_case_once(
    make_payment: MakePayment, bea: User, company: Company, later: Later
) -> None:
    opened = [
        cases.open_case(make_payment(), bea, reason="fraudulent", message="x", asked_minor=100)
        for _ in range(12)
    ]
    sweeps.advance([case.pk for case in opened])
    later(timedelta(days=7, minutes=1))

    together(sweeps.sweep, sweeps.sweep, sweeps.sweep)
    sweeps.sweep()

    assert Event.objects.filter(step="escalate").count() == 12
    assert set(Case.objects.values_list("state", flat=True)) == {"escalated"}
    assert Notification.objects.filter(kind="escalate").count() == 24


@pytest.mark.django_db(transaction=True)
def test_a_double_click_on_accept_is_one_refund(waiting_case: Case, creator: Actor) -> None:
    key = uuid.uuid4()

    def accept() -> Event:
        return cases.take_step(waiting_case, "accept", creator, form_key=key, seen_version=2)

    ends = together(accept, accept, accept, accept)

    assert ends == ["ok"] * 4
    assert Refund.objects.count() == 1
    assert Event.objects.filter(step="accept").count() == 1


def test_a_batch_takes_the_same_rules_with_few_queries(
    make_payment: MakePayment, bea: User, company: Company, later: Later,
    django_assert_max_num_queries: Callable[..., object],
) -> None:  # fmt: skip
    opened = [
        cases.open_case(make_payment(), bea, reason="fraudulent", message="x", asked_minor=100).pk
        for _ in range(30)
    ]
    sweeps.advance(opened)
    later(timedelta(days=7, minutes=1))

    # Lock, update, teams, two COPYs; and the two of the savepoint that this test makes of it.
    with django_assert_max_num_queries(7):  # type: ignore[attr-defined]
        done = cases.take_step_on_all(opened, "escalate")

    assert len(done) == 30


def test_what_a_stranger_may_see_is_nothing(case: Case, nia: User) -> None:
    visible = [
        Case.objects.visible_to(as_buyer(nia)).count(),
        Case.objects.visible_to(as_creator(nia)).count(),
        Case.objects.visible_to(SYSTEM).count(),
    ]

    assert visible == [0, 0, 0]


@pytest.mark.parametrize(
    ("step", "message"), [("reply", "Not the first words."), ("comment", "The first words.")]
)
def test_a_form_that_comes_back_with_something_else_on_it_is_not_taken_for_the_first(
    waiting_case: Case, buyer: Actor, creator: Actor, step: str, message: str
) -> None:
    key = uuid.uuid4()
    cases.take_step(waiting_case, "request_info", creator, message="Which calls?")
    cases.take_step(waiting_case, "reply", buyer, message="The first words.", form_key=key)
    before = list(waiting_case.events.values_list("step", flat=True))

    with pytest.raises(cases.CaseChanged, match=r"^This page was sent before"):
        cases.take_step(waiting_case, step, buyer, message=message, form_key=key)

    assert list(now_at(waiting_case).events.values_list("step", flat=True)) == before


def test_two_people_cannot_share_a_form(waiting_case: Case, buyer: Actor, creator: Actor) -> None:
    key = uuid.uuid4()
    cases.take_step(waiting_case, "comment", buyer, message="Hello.", form_key=key)

    with pytest.raises(cases.CaseChanged):
        cases.take_step(waiting_case, "comment", creator, message="Hello.", form_key=key)

    assert waiting_case.events.filter(step="comment").count() == 1
