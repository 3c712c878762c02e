"""The staff at their desks: who is logged in, and cases that wait for them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.models import User
from payments import refunds
from payments.gateways import RefundAnswer
from resolution import cases, sweeps
from resolution.models import Case
from resolution.terms import Actor, Remedy, Verdict
from tests.conftest import Later
from tests.people import MakePayment, make_user

QUEUE = "/admin/resolution/case/"
WHY = "The page promises twelve presets, and the file holds six."


def page_of(case: Case) -> str:
    return reverse("admin:resolution_case_change", args=[case.public_id])


def act_of(case: Case, act: str) -> str:
    return reverse("admin:resolution_case_act", args=[case.public_id, act])


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def steps(case: Case) -> list[str]:
    return list(now_at(case).events.values_list("step", flat=True))


def decision(case: Case, **changes: Any) -> dict[str, Any]:
    """What the decision form sends: all of it back, unless told otherwise."""
    sent = {
        "form_key": str(uuid4()), "version": now_at(case).version, "outcome": "refund",
        "amount": "64.00", "credits": "", "why": WHY, "note": "", "do": "refund",
        "looked_at": ["The payment", "The product’s page"],
    }  # fmt: skip
    return sent | changes


def words_for(case: Case, **fields: Any) -> dict[str, Any]:
    return {"form_key": str(uuid4()), "version": now_at(case).version, **fields}


LogIn = Callable[[User], Client]


@pytest.fixture
def as_user() -> LogIn:
    """A browser of its own for anybody."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def at_sams(sam: User, as_user: LogIn) -> Client:
    return as_user(sam)


@pytest.fixture
def at_adas(ada: User, as_user: LogIn) -> Client:
    return as_user(ada)


@pytest.fixture
def abe(db: None) -> User:
    """He is staff, an agent: he decides on small sums."""
    return make_user("Abe Okoro", is_staff=True, staff_role="agent")


@pytest.fixture
def at_abes(abe: User, as_user: LogIn) -> Client:
    return as_user(abe)


@pytest.fixture
def escalated(waiting_case: Case, buyer: Actor, creator: Actor) -> Case:
    """Cleo denied it, bea appealed: staff decide."""
    cases.take_step(waiting_case, "deny", creator, message="It is as the page says.")
    cases.take_step(waiting_case, "appeal", buyer, message="Count them.")
    return now_at(waiting_case)


@pytest.fixture
def appealed(escalated: Case, staff: Actor, buyer: Actor) -> Case:
    """Sam decided on nothing, bea appealed: a final review by somebody else."""
    cases.take_step(
        escalated, "decide", staff, message="They are twelve.", verdict=Verdict(Remedy.NONE)
    )
    cases.take_step(escalated, "appeal", buyer, message="Six of them are the same.")
    return now_at(escalated)


@pytest.fixture
def failed(escalated: Case, staff: Actor, later: Later) -> Case:
    """Sam ordered a refund, nobody appealed, and the provider refused it for good."""
    cases.take_step(escalated, "decide", staff, message=WHY, verdict=Verdict(Remedy.REFUND, 6400))
    later(timedelta(days=8))
    sweeps.sweep()
    refund = now_at(escalated).refund
    assert refund
    answer = RefundAnswer("", "failed", failure_code="expired", failure_message="Card expired.")
    refunds.settle(refund.pk, answer, token=None)
    sweeps.notice_refund(escalated.pk)
    return now_at(escalated)


MakeWaiting = Callable[..., Case]


@pytest.fixture
def make_waiting(make_payment: MakePayment, bea: User, creator: Actor, buyer: Actor) -> MakeWaiting:
    """Cases of bea's that wait for staff, as many as asked for."""

    def make(**fields: Any) -> Case:
        payment = make_payment(**fields)
        case = cases.open_case(
            payment, bea, reason="not_as_described", message="It is not what the page says.",
            asked_minor=payment.amount_minor,
        )  # fmt: skip
        sweeps.advance([case.pk])
        cases.take_step(case, "deny", creator, message="It is.")
        cases.take_step(case, "appeal", buyer, message="It is not.")
        return now_at(case)

    return make
