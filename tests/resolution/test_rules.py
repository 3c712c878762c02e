"""Auto-respond on real cases: which rule wins, how long it waits, how far it goes, when it ends."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications.models import Notification
from payments import refunds
from payments.gateways import RefundAnswer
from payments.models import Payment, Refund
from resolution import cases, dry_run, messages, rules, sweeps
from resolution.models import Case, Event, Rule, RuleUse
from resolution.rules import Used, covers, over_limit
from resolution.terms import Actor, Party, Reason, State
from tests.conftest import Later
from tests.people import MakePayment, make_user

Open = Callable[..., Case]


@pytest.fixture
def rule(company: Company) -> Rule:
    """A rule for what is not as described, without any limit."""
    return rules.add(
        company, name="All of it", reasons=["not_as_described"],
        message="Hi {{ first_name }}, {{ amount }} is on its way.",
    )  # fmt: skip


@pytest.fixture
def opened(make_payment: MakePayment, bea: User) -> Open:
    """A case of bea's for $64 that nobody has looked at yet, unless told otherwise."""

    def make(**fields: Any) -> Case:
        buyer = fields.pop("buyer", bea)
        paid_at = fields.pop("paid_at", clock.now() - timedelta(hours=1))
        payment = make_payment(buyer=buyer, paid_at=paid_at, **fields)
        return cases.open_case(
            payment, buyer, reason="not_as_described", message="No.",
            asked_minor=payment.amount_minor,
        )  # fmt: skip

    return make


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def steps(case: Case) -> list[str]:
    return list(case.events.values_list("step", flat=True))


def change(rule: Rule, **columns: Any) -> Rule:
    return rules.change(rule, Rule.objects.get(pk=rule.pk).version, **columns)


# ── Which cases a rule covers ─────────────────────────────────────────────────────────────────────


def covered(rule: Rule, **differs: Any) -> bool:
    values: dict[str, Any] = {
        "company_id": 1, "product_id": 7, "reason": "fraudulent", "currency": "USD",
        "asked_minor": 2500, "processor": "stripe", "membership": "active",
    } | differs  # fmt: skip
    processor, membership = values.pop("processor"), values.pop("membership")
    return covers(rule, SimpleNamespace(**values), processor, membership)


def unsaved(**columns: Any) -> Rule:
    return Rule(company_id=1, **({"reasons": ["fraudulent", "product_not_received"]} | columns))


@pytest.mark.parametrize(
    ("columns", "yes", "no"),
    [
        ({}, {}, {"reason": "not_as_described"}),
        ({}, {"currency": "KWD", "asked_minor": 10**9}, {"company_id": 2}),
        ({"product_ids": [7, 8]}, {"product_id": 8}, {"product_id": 9}),
        ({"processor": "stripe"}, {}, {"processor": "paypal"}),
        ({"maximums": {"USD": 2500}}, {}, {"asked_minor": 2501}),
        ({"maximums": {"EUR": 10**6, "USD": 2500}}, {"currency": "EUR"}, {"currency": "JPY"}),
        ({"membership": "ended"}, {"membership": "ended"}, {"membership": "canceled"}),
        ({"membership": "ended"}, {"membership": "ended"}, {"membership": ""}),
        ({"membership": "running"}, {"membership": "canceled"}, {"membership": "ended"}),
        ({"membership": "running"}, {}, {"membership": ""}),
    ],
)
def test_a_rule_covers_what_meets_every_condition(
    columns: dict[str, Any], yes: dict[str, Any], no: dict[str, Any]
) -> None:
    rule = unsaved(**columns)

    assert (covered(rule, **yes), covered(rule, **no)) == (True, False)


def test_a_rule_that_is_off_covers_nothing() -> None:
    assert not covered(unsaved(enabled=False))


currencies = st.sampled_from(["USD", "EUR", "JPY"])
amounts = st.integers(1, 10_000)
sums = st.dictionaries(currencies, amounts, max_size=3)
rule_columns = st.fixed_dictionaries({
    "reasons": st.lists(st.sampled_from(Reason.values), min_size=1, max_size=3, unique=True),
    "product_ids": st.lists(st.integers(1, 3), max_size=2, unique=True),
    "processor": st.sampled_from(["", "stripe", "paypal"]),
    "membership": st.sampled_from(Rule.Membership.values),
    "maximums": sums, "day_limits": sums, "month_limits": sums,
    "buyer_limit": st.none() | st.integers(1, 3),
    "enabled": st.booleans(),
})  # fmt: skip


@st.composite
def pasts(draw: st.DrawFn) -> list[dry_run.Past]:
    """Cases of a few buyers over some weeks, in the order in which they were opened."""
    at, made = clock.now(), []
    for number in range(draw(st.integers(1, 12))):
        at += timedelta(hours=draw(st.integers(0, 60)))
        made.append(
            dry_run.Past(
                number, f"reso_{number}", 1, draw(st.integers(1, 3)), "Bea",
                draw(st.integers(1, 3)), draw(st.sampled_from(Reason.values)), draw(currencies),
                draw(amounts), at, "closed", "", "", "", False,
                draw(st.sampled_from(["stripe", "paypal"])),
                draw(st.sampled_from([None, *Membership.Status.values])),
            )
        )  # fmt: skip
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rule_columns, min_size=1, max_size=3), pasts())
def test_the_first_match_wins_and_no_window_holds_more_than_its_limit(
    columns: list[dict[str, Any]], past: list[dry_run.Past]
) -> None:
    book = [unsaved(**values) for values in columns]
    outcomes = [dry_run.outcome(past, rule, book[:place]) for place, rule in enumerate(book)]

    taken = [[*found.refunds, *found.turned_away] for found in outcomes]
    for case in past:
        fits = [covers(rule, case, case.processor, case.membership or "") for rule in book]
        assert [case in cases for cases in taken] == [
            yes and not any(fits[:place]) for place, yes in enumerate(fits)
        ]
    for rule, found in zip(book, outcomes, strict=True):
        for last in found.refunds:
            before = found.refunds[: found.refunds.index(last) + 1]
            same = [case for case in before if case.currency == last.currency]
            for span, limits in ((1, rule.day_limits), (30, rule.month_limits)):
                since = last.opened_at - timedelta(days=span)
                given_out = sum(c.asked_minor for c in same if c.opened_at > since)
                assert given_out <= limits.get(last.currency, 10**9)
            since = last.opened_at - timedelta(days=30)
            theirs = [c for c in before if c.buyer_id == last.buyer_id and c.opened_at > since]
            assert len(theirs) <= (rule.buyer_limit or 99)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rule_columns, currencies, amounts, st.builds(Used, *[st.integers(0, 10_000)] * 3))
def test_a_limit_turns_away_exactly_what_would_exceed_it(
    columns: dict[str, Any], currency: str, amount: int, used: Used
) -> None:
    rule = unsaved(**columns)
    fits = (
        used.buyer < (rule.buyer_limit or 10**9)
        and used.day + amount <= rule.day_limits.get(currency, 10**9)
        and used.month + amount <= rule.month_limits.get(currency, 10**9)
    )

    assert (over_limit(rule, currency, amount, used) == "") == fits


def test_first_match_wins_and_moving_a_rule_changes_who_wins(rule: Rule, opened: Open) -> None:
    second = rules.add(rule.company, name="Second", reasons=["not_as_described"], message="Two.")
    before = opened()
    sweeps.advance([before.pk])
    rules.move(second, up=True)
    after = opened()
    sweeps.advance([after.pk])

    told = [case.events.get(step="auto_refund") for case in (before, after)]
    assert [event.data["rule"]["name"] for event in told] == ["All of it", "Second"]
    assert [event.message for event in told] == ["Hi Bea, $64.00 is on its way.", "Two."]


def test_the_timeline_keeps_the_version_and_the_message_as_sent(rule: Rule, opened: Open) -> None:
    change(rule, message="Version two, {{ first_name }}.")
    case = opened()
    sweeps.advance([case.pk])
    change(rule, message="Version three.")

    event = case.events.get(step="auto_refund")
    assert event.data["rule"] == {"id": rule.pk, "version": 2, "name": "All of it"}
    assert event.message == "Version two, Bea."


# ── A refund that waits ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def planned(rule: Rule, opened: Open) -> Case:
    """A case whose refund comes in a day."""
    change(rule, delay_hours=24)
    case = opened()
    sweeps.advance([case.pk])
    return now_at(case)


def test_a_rule_with_a_delay_shows_its_date_and_refunds_on_it(
    planned: Case, creator: Actor, buyer: Actor, later: Later
) -> None:
    waits = (planned.state, planned.waiting_on, Refund.objects.count())
    due = planned.due_at
    later(timedelta(hours=23, minutes=59))
    early = sweeps.sweep()
    later(timedelta(minutes=2))
    done = sweeps.sweep()

    case = now_at(planned)
    assert waits == (State.AWAITING_CREATOR, Party.SYSTEM, 0)
    assert due == planned.events.get(step="plan_refund").created_at + timedelta(days=1)
    assert (early, done) == (0, 1)
    assert (case.state, case.final, case.remedy_minor) == (State.DECIDED, True, 6400)
    assert steps(case) == ["open_case", "plan_refund", "auto_refund"]
    assert case.refund
    use = RuleUse.objects.get()
    assert (use.case, use.refunded_at, use.turned_away) == (
        case, case.events.get(step="auto_refund").created_at, "",
    )  # fmt: skip


def test_a_planned_refund_leaves_both_sides_what_they_could_do_before(
    planned: Case, creator: Actor, buyer: Actor
) -> None:
    assert set(cases.steps_for(planned, creator)) == {
        "accept", "deny", "request_info", "cancel_refund", "comment",
    }  # fmt: skip
    assert set(cases.steps_for(planned, buyer)) == {"withdraw", "comment"}


def test_canceling_makes_it_the_creators_turn_without_gaining_time(
    planned: Case, creator: Actor, later: Later
) -> None:
    later(timedelta(hours=20))
    cases.take_step(planned, "cancel_refund", creator)
    case = now_at(planned)
    later(timedelta(hours=5))
    sweeps.sweep()

    assert (case.state, case.waiting_on) == (State.AWAITING_CREATOR, Party.CREATOR)
    assert case.due_at == case.opened_at + timedelta(days=7)
    assert steps(case) == ["open_case", "plan_refund", "cancel_refund"]
    assert not Refund.objects.exists()
    with pytest.raises(cases.StepRefused):
        cases.take_step(case, "cancel_refund", creator)


@pytest.mark.parametrize("act", ["deny", "request_info", "withdraw"])
def test_who_answers_before_the_date_has_the_last_word(
    planned: Case, creator: Actor, buyer: Actor, later: Later, act: str
) -> None:
    actor = buyer if act == "withdraw" else creator
    cases.take_step(planned, act, actor, message="I looked.")
    later(timedelta(days=2))
    sweeps.sweep()

    assert steps(planned) == ["open_case", "plan_refund", act]
    assert not Refund.objects.exists()


def off(rule: Rule) -> None:
    change(rule, enabled=False)


def gone(rule: Rule) -> None:
    rules.remove(rule, Rule.objects.get(pk=rule.pk).version)


def narrower(rule: Rule) -> None:
    change(rule, maximums={"USD": 100})


@pytest.mark.parametrize("becomes", [off, gone, narrower])
def test_a_plan_whose_rule_no_longer_covers_the_case_goes_to_the_creator(
    planned: Case, rule: Rule, later: Later, becomes: Callable[[Rule], None]
) -> None:
    becomes(rule)
    later(timedelta(days=1, minutes=1))
    sweeps.advance([planned.pk])

    case = now_at(planned)
    assert (case.waiting_on, steps(case)[-1]) == (Party.CREATOR, "cancel_refund")
    assert case.events.last().party == Party.SYSTEM  # type: ignore[union-attr]
    assert not Refund.objects.exists()


def test_a_plan_waits_while_the_bank_looks_into_the_payment(planned: Case, later: Later) -> None:
    Payment.objects.update(chargeback="open")
    sweeps.notice_payment(planned.pk)
    later(timedelta(days=3))
    sweeps.sweep()
    Payment.objects.update(chargeback="won")
    sweeps.notice_payment(planned.pk)
    resumed = now_at(planned)
    later(timedelta(days=1, minutes=1))
    sweeps.sweep()

    assert resumed.due_at
    assert planned.due_at
    assert resumed.due_at >= planned.due_at + timedelta(days=3)
    assert steps(planned) == ["open_case", "plan_refund", "freeze", "resume", "auto_refund"]


# ── Limits ────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_limit_turns_away_waits_for_the_creator_and_says_so(
    rule: Rule, opened: Open, later: Later
) -> None:
    rules.add(rule.company, name="Next", reasons=["not_as_described"], message="Never reached.")
    change(rule, day_limits={"USD": 10_000}, month_limits={"USD": 19_200})
    found = []
    for hours in (0, 1, 24, 24, 48, 24 * 31):
        later(timedelta(hours=hours))
        case = opened()
        sweeps.advance([case.pk])
        event = case.events.last()
        assert event
        found.append((event.step, event.data.get("turned_away", "")))

    assert found == [
        ("auto_refund", ""), ("notify_creator", "day"), ("auto_refund", ""), ("auto_refund", ""),
        ("notify_creator", "month"), ("auto_refund", ""),
    ]  # fmt: skip
    assert list(RuleUse.objects.order_by("pk").values_list("turned_away", flat=True)) == [
        "", "day", "", "", "month", "",
    ]  # fmt: skip


def test_a_buyer_is_refunded_as_often_as_the_rule_says(rule: Rule, opened: Open) -> None:
    change(rule, buyer_limit=1)
    other = make_user("Otto Away")
    found = [opened(), opened(), opened(buyer=other)]
    sweeps.advance([case.pk for case in found])

    assert [steps(case)[-1] for case in found] == ["auto_refund", "notify_creator", "auto_refund"]


def test_a_planned_refund_counts_until_it_is_canceled(
    rule: Rule, opened: Open, creator: Actor
) -> None:
    change(rule, delay_hours=24, day_limits={"USD": 6400})
    first, second = opened(), opened()
    sweeps.advance([first.pk])
    sweeps.advance([second.pk])
    cases.take_step(now_at(first), "cancel_refund", creator)
    third = opened()
    sweeps.advance([third.pk])

    assert [steps(case)[1] for case in (first, second, third)] == [
        "plan_refund", "notify_creator", "plan_refund",
    ]  # fmt: skip


def test_limits_of_one_currency_say_nothing_of_another(
    rule: Rule, opened: Open, company: Company
) -> None:
    change(rule, day_limits={"USD": 6400})
    euro = Product.objects.create(company=company, name="Euro", price_minor=9000, currency="EUR")
    found = [opened(), opened(product=euro, currency="EUR", amount_minor=9000, membership=None)]
    sweeps.advance([case.pk for case in found])

    assert [steps(case)[-1] for case in found] == ["auto_refund", "auto_refund"]


@pytest.mark.django_db(transaction=True)
def test_cases_at_once_never_exceed_a_limit(rule: Rule, opened: Open) -> None:
    change(rule, day_limits={"USD": 3 * 6400}, buyer_limit=4)
    found = [opened() for _ in range(8)]
    together = Barrier(4)

    def sweep(part: list[Case]) -> None:
        together.wait()
        try:
            for case in part:
                sweeps.advance([case.pk])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(sweep, [found[n::4] for n in range(4)]))

    assert Refund.objects.aggregate(total=Sum("amount_minor"))["total"] == 3 * 6400
    assert sorted(steps(case)[-1] for case in found) == ["auto_refund"] * 3 + ["notify_creator"] * 5


# ── Switched off by itself ────────────────────────────────────────────────────────────────────────


def told_of(rule: Rule) -> list[tuple[str, str]]:
    rows = Notification.objects.filter(thread=f"rule_{rule.pk}").select_related("recipient")
    words = messages.compose(list(rows))
    return [(row.recipient.name, said.subject if (said := words[row.pk]) else "") for row in rows]


def test_a_rule_that_reaches_its_limit_on_three_days_is_switched_off(
    rule: Rule, opened: Open, later: Later, cleo: User
) -> None:
    TeamMember.objects.create(company=rule.company, user=make_user("Sue Port"), role="support")
    change(rule, day_limits={"USD": 6400})
    enabled = []
    for _ in range(3):
        for case in (opened(), opened(), opened()):
            sweeps.advance([case.pk])
        enabled.append(Rule.objects.get().enabled)
        later(timedelta(days=1))
    case = opened()
    sweeps.advance([case.pk])

    assert enabled == [True, True, False]
    assert Rule.objects.get().off_because == "limits"
    assert told_of(rule) == [("Cleo Park", "Your rule “All of it” was turned off")]
    assert steps(case)[-1] == "notify_creator"
    kept = rule.changes.first()
    assert kept
    assert (kept.act, kept.actor, kept.columns["off_because"]) == ("off", None, "limits")


def test_a_change_of_the_rule_gives_it_a_fresh_start(
    rule: Rule, opened: Open, later: Later
) -> None:
    change(rule, day_limits={"USD": 6400})
    for _ in range(4):
        for case in (opened(), opened()):
            sweeps.advance([case.pk])
        later(timedelta(days=1))
        change(rule, day_limits={"USD": Rule.objects.get().day_limits["USD"] + 1})

    assert Rule.objects.get().enabled


def test_a_rule_whose_refunds_fail_three_times_is_switched_off(rule: Rule, opened: Open) -> None:
    enabled = []
    for number in range(3):
        case = opened()
        sweeps.advance([case.pk])
        refund = now_at(case).refund
        assert refund
        refunds.settle(refund.pk, RefundAnswer(f"re_{number}", "failed"), token=None)
        sweeps.notice_refund(case.pk)
        enabled.append(Rule.objects.get().enabled)

    assert enabled == [True, True, False]
    assert Rule.objects.get().off_because == "refunds"
    assert len(told_of(rule)) == 1
    assert Event.objects.filter(step="refund_failed").count() == 3


def test_its_owner_is_told_in_their_language(rule: Rule, opened: Open, cleo: User) -> None:
    User.objects.filter(pk=cleo.pk).update(language="de")
    test_a_rule_whose_refunds_fail_three_times_is_switched_off(rule, opened)

    [(_, subject)] = told_of(rule)

    assert "Regel" in subject


def test_turned_on_again_there_is_nothing_left_to_tell(
    rule: Rule, opened: Open, later: Later
) -> None:
    test_a_rule_whose_refunds_fail_three_times_is_switched_off(rule, opened)
    change(rule, enabled=True)

    assert told_of(rule) == [("Cleo Park", "")]
    assert Rule.objects.get().off_because == ""
