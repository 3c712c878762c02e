"""Teams with every role, and any number of cases that wait for them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from marketplace import clock
from marketplace.models import Company, Product, TeamMember, User
from payments.models import Payment
from resolution import cases
from resolution.models import Case, Event
from tests.people import make_user, numbers

MakeCases = Callable[..., list[Case]]


@pytest.fixture
def dash(client: Client, cleo: User, company: Company) -> Client:
    """Cleo, who owns the company, logged in."""
    client.force_login(cleo)
    return client


@pytest.fixture
def join(company: Company) -> Callable[[str], User]:
    """A new member of cleo's team in a role."""

    def make(role: str) -> User:
        user = make_user(f"{role.title()} Member")
        TeamMember.objects.create(company=company, user=user, role=role)
        return user

    return make


@pytest.fixture
def second_company(cleo: User) -> Company:
    """Another company of cleo's."""
    other = Company.objects.create(name="Another Place")
    TeamMember.objects.create(company=other, user=cleo, role="admin")
    return other


@pytest.fixture
def make_cases(product: Product) -> MakeCases:
    """Cases in a given state, written as rows: the walk there is other tests' matter."""

    def make(many: int = 1, of: Product = product, buyer: str = "", **columns: Any) -> list[Case]:
        made = []
        now = clock.now()
        amount = columns.pop("amount_minor", 6400)
        for number in range(many):
            person = make_user(buyer or f"Buyer Number{number:03d}")
            payment = Payment.objects.create(
                buyer=person, company=of.company, product=of, processor="stripe",
                currency=of.currency, amount_minor=amount, charge_id=f"ch_dash_{next(numbers)}",
                method="Visa ending 4242", paid_at=now - timedelta(days=2),
            )  # fmt: skip
            values = {
                "state": "awaiting_creator",
                "waiting_on": "creator",
                "reason": "not_as_described",
                "asked_minor": amount,
                "clock_started_at": now - timedelta(minutes=number),
                "due_at": now + timedelta(days=7) - timedelta(minutes=number),
                "opened_at": now - timedelta(minutes=number),
            } | columns
            case = Case.objects.create(
                payment=payment, buyer=person, company=of.company, product=of,
                currency=of.currency, last_seq=1, **values,
            )  # fmt: skip
            Event.objects.create(
                case=case, seq=1, step="open_case", party="buyer", actor=person,
                state_after="open", message="Please.", created_at=values["opened_at"], hash="0",
            )  # fmt: skip
            made.append(case)
        return made

    return make


@pytest.fixture
def take() -> Callable[..., Case]:
    """Take a step by the door, on the case as it is now."""

    def step(case: Case, name: str, actor: Any, **more: Any) -> Case:
        cases.take_step(Case.objects.get(pk=case.pk), name, actor, **more)
        return Case.objects.get(pk=case.pk)

    return step
