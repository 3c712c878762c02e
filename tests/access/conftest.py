"""The world of the tests that try every address."""

import pytest

from marketplace.models import Company, Membership, User
from resolution.terms import Actor
from tests.access.test_policy import World
from tests.people import MakePayment


@pytest.fixture
def world(
    bea: User, cleo: User, nia: User, sam: User, company: Company, make_payment: MakePayment,
    membership: Membership, buyer: Actor, creator: Actor, staff: Actor,
) -> World:  # fmt: skip
    return World(bea, cleo, nia, sam, company, make_payment, membership, buyer, creator, staff)
