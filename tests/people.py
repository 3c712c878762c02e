"""The people of the tests: bea buys, cleo created the product, sam is staff, nia is a stranger."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from payments.models import Payment
from resolution import cases, sweeps
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.models import Case
from resolution.terms import Actor

numbers = count(1)


def make_user(name: str, **fields: Any) -> User:
    return User.objects.create_user(
        f"{name.lower().replace(' ', '.')}.{next(numbers)}@example.com", "pw-" + name, name=name,
        **fields,
    )  # fmt: skip


@pytest.fixture
def bea(db: None) -> User:
    """She buys."""
    return make_user("Bea Lind")


@pytest.fixture
def cleo(db: None) -> User:
    """She owns the company."""
    return make_user("Cleo Park")


@pytest.fixture
def sam(db: None) -> User:
    """He is staff, in finance."""
    return make_user("Sam Reyes", is_staff=True, staff_role="finance")


@pytest.fixture
def ada(db: None) -> User:
    """She is staff too, in finance: the second pair of eyes."""
    return make_user("Ada Moss", is_staff=True, staff_role="finance")


@pytest.fixture
def nia(db: None) -> User:
    """A stranger, with a company of her own."""
    user = make_user("Nia Cole")
    other = Company.objects.create(name="Nia’s Night School")
    TeamMember.objects.create(company=other, user=user, role="owner")
    return user


@pytest.fixture
def company(cleo: User) -> Company:
    company = Company.objects.create(name="Loop & Lens")
    TeamMember.objects.create(company=company, user=cleo, role="owner")
    return company


@pytest.fixture
def product(company: Company) -> Product:
    return Product.objects.create(
        company=company, name="Golden Hour presets", price_minor=6400, currency="USD"
    )


@pytest.fixture
def membership(bea: User, product: Product) -> Membership:
    return Membership.objects.create(user=bea, product=product)


MakePayment = Callable[..., Payment]


@pytest.fixture
def make_payment(bea: User, product: Product, membership: Membership) -> MakePayment:
    """A payment of bea's for cleo's product, paid a day ago by Stripe, unless told otherwise."""

    def make(**fields: Any) -> Payment:
        defaults: dict[str, Any] = {
            "buyer": bea,
            "company": product.company,
            "product": product,
            "membership": membership,
            "processor": "stripe",
            "currency": "USD",
            "amount_minor": 6400,
            "charge_id": f"ch_test_{next(numbers)}",
            "method": "Visa ending 4242",
            "paid_at": clock.now() - timedelta(days=1),
        }
        return Payment.objects.create(**(defaults | fields))

    return make


@pytest.fixture
def payment(make_payment: MakePayment) -> Payment:
    return make_payment()


@pytest.fixture
def case(payment: Payment, bea: User) -> Case:
    """A case of bea's against cleo's company that nobody has looked at yet."""
    opened = cases.open_case(
        payment, bea, reason="not_as_described", message="It is not what the page says.",
        asked_minor=payment.amount_minor,
    )  # fmt: skip
    return Case.objects.get(pk=opened.pk)


@pytest.fixture
def waiting_case(case: Case) -> Case:
    """A case that waits for cleo's answer."""
    sweeps.advance([case.pk])
    return Case.objects.get(pk=case.pk)


@pytest.fixture
def buyer(bea: User) -> Actor:
    return as_buyer(bea)


@pytest.fixture
def creator(cleo: User, company: Company) -> Actor:
    return as_creator(cleo, company)


@pytest.fixture
def staff(sam: User) -> Actor:
    return as_staff(sam)


@pytest.fixture
def other_staff(ada: User) -> Actor:
    return as_staff(ada)
