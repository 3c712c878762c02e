"""How much support may give back and agents may award; how many downloads one person gets."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from marketplace.models import TeamMember, User
from payments.models import Refund
from resolution import cases, sweeps
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.models import Case, Reading
from resolution.terms import Actor, Remedy, Verdict
from resolution.views import pace
from tests.people import MakePayment, make_user


def _case(payment: Any, asked_minor: int) -> Case:
    case = cases.open_case(
        payment, payment.buyer, reason="not_as_described", message="It is another one.",
        asked_minor=asked_minor,
    )  # fmt: skip
    sweeps.advance([case.pk])
    return Case.objects.get(pk=case.pk)


def _escalated(case: Case, creator: Actor) -> Case:
    cases.take_step(case, "deny", creator, message="It is not.")
    cases.take_step(case, "appeal", as_buyer(case.buyer), message="It is.")
    return Case.objects.get(pk=case.pk)


@pytest.fixture
def agent(db: None) -> Actor:
    return as_staff(make_user("Abe Okoro", is_staff=True, staff_role="agent"))


@pytest.mark.parametrize(
    ("currency", "asked_minor", "may"),
    [
        ("USD", 50_00, True),
        ("USD", 50_01, False),
        ("JPY", 7_500, True),
        ("JPY", 7_501, False),
        ("KWD", 1, False),
    ],
)
def test_support_refunds_up_to_the_limit_of_the_currency(
    make_payment: MakePayment, creator: Actor, currency: str, asked_minor: int, may: bool
) -> None:
    support = make_user("Theo Sand")
    payment = make_payment(currency=currency, amount_minor=asked_minor)
    TeamMember.objects.create(company=payment.company, user=support, role="support")
    case = _case(payment, asked_minor)

    open_steps = cases.steps_for(case, as_creator(support, payment.company))

    assert ("accept" in open_steps, "deny" in open_steps) == (may, True)
    assert "accept" in cases.steps_for(case, creator)


@pytest.mark.parametrize(
    ("currency", "asked_minor", "may"),
    [("EUR", 250_00, True), ("JPY", 37_500, True), ("JPY", 37_501, False), ("KWD", 1, False)],
)
def test_agents_decide_up_to_the_limit_of_the_currency(
    make_payment: MakePayment, creator: Actor, agent: Actor, staff: Actor,
    currency: str, asked_minor: int, may: bool,
) -> None:  # fmt: skip
    payment = make_payment(currency=currency, amount_minor=asked_minor)
    case = _escalated(_case(payment, asked_minor), creator)

    assert ("decide" in cases.steps_for(case, agent)) == may
    assert "decide" in cases.steps_for(case, staff)


@pytest.mark.parametrize("remedy", [Remedy.REFUND, Remedy.CREDIT])
def test_an_agent_awards_no_more_than_they_may_decide_on(
    make_payment: MakePayment, creator: Actor, agent: Actor, staff: Actor, remedy: Remedy
) -> None:
    case = _escalated(_case(make_payment(amount_minor=900_00), 10_00), creator)

    with pytest.raises(cases.StepRefused, match=r"^\$250\.01 is more than an agent can award\."):
        cases.take_step(
            case, "decide", agent, message="All of it.", verdict=Verdict(remedy, 250_01)
        )

    assert (Case.objects.get(pk=case.pk).state, Refund.objects.count()) == ("escalated", 0)
    cases.take_step(case, "decide", staff, message="All.", verdict=Verdict(remedy, 250_01))
    assert Case.objects.get(pk=case.pk).remedy_minor == 250_01


def test_a_currency_without_a_limit_is_nobodys_small_sum(
    settings: Settings, make_payment: MakePayment, creator: Actor, agent: Actor
) -> None:
    settings.AGENT_DECIDE_LIMIT = {"EUR": 250}

    case = _escalated(_case(make_payment(amount_minor=1), 1), creator)

    assert "decide" not in cases.steps_for(case, agent)


def test_one_person_gets_so_many_downloads_in_an_hour(
    waiting_case: Case, cleo: User, sam: User, bea: User, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.DOWNLOADS_AN_HOUR = 3
    hour = pace.WINDOW * 500_000
    monkeypatch.setattr("time.time", lambda: hour + 600.5)
    number = waiting_case.public_id
    record = reverse("dash-export", args=[number])
    csv, figures = reverse("dash-cases-csv"), reverse("dash-insights-csv")
    sealed = reverse("admin:resolution_case_export", args=[number, "bank"])

    def statuses(user: User, *addresses: str) -> list[int]:
        client = Client()
        client.force_login(user)
        return [client.get(address).status_code for address in addresses]

    first = statuses(cleo, record, csv, figures, record, csv, figures)
    elsewhere = Client()
    elsewhere.force_login(cleo)
    refused = elsewhere.get(csv)
    others = statuses(bea, reverse("hub-export", args=[number])) + statuses(sam, *[sealed] * 4)
    monkeypatch.setattr("time.time", lambda: hour + pace.WINDOW + 1.0)

    assert first == [200, 200, 200, 429, 429, 429]
    assert (refused.status_code, refused["Retry-After"]) == (429, "3000")
    assert "Try again in 50 minutes." in refused.content.decode()
    assert others == [200, 200, 200, 200, 429]
    assert Reading.objects.filter(what=Reading.What.EXPORT).count() == 3
    assert statuses(cleo, record, csv) == [200, 200]
