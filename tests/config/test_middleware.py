"""Addresses that no page should have to look at."""

import pytest
from django.test import Client

from marketplace.models import User


@pytest.mark.parametrize(
    "address", ["/hub/cases/reso_%00/", "/hub/cases/?after=%00", "/admin/?q=a%00b", "/%00"]
)
def test_a_nul_in_an_address_is_refused(client: Client, bea: User, address: str) -> None:
    client.force_login(bea)

    assert client.get(address).status_code == 400
