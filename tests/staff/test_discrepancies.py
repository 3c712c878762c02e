"""Differences with a provider: everybody here sees them, finance settles them with a note."""

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.models import User
from payments import tasks
from payments.admin.rows import ADVICE
from payments.models import Discrepancy, Payment
from tests.payments.conftest import sandbox, sandbox_process
from tests.payments.test_refunds import paid
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

__all__ = ["sandbox", "sandbox_process"]

LIST = "/admin/payments/discrepancy/"


@pytest.fixture
def row(payment: Payment) -> Discrepancy:
    return Discrepancy.objects.create(
        payment=payment, kind="missing", reference="re_1", detail="rfnd_1 is not listed there."
    )


def page_of(row: Discrepancy) -> str:
    return reverse("admin:payments_discrepancy_change", args=[row.pk])


def test_finance_settles_one_with_a_note(at_sams: Client, sam: User, row: Discrepancy) -> None:
    answer = at_sams.post(page_of(row), {"note": "Paid from the old account, see ticket 12."})

    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.is_open, row.settled_by, row.detail) == (False, sam, "rfnd_1 is not listed there.")
    assert row.note == "Paid from the old account, see ticket 12."


def test_without_a_note_it_stays_open(at_sams: Client, row: Discrepancy) -> None:
    answer = at_sams.post(page_of(row), {"note": "  "})

    assert answer.status_code == 200
    row.refresh_from_db()
    assert row.is_open


def test_only_the_note_is_taken(at_sams: Client, row: Discrepancy) -> None:
    at_sams.post(page_of(row), {"note": "Seen.", "detail": "Nothing.", "kind": "sums"})

    row.refresh_from_db()
    assert (row.kind, row.detail) == ("missing", "rfnd_1 is not listed there.")


def test_an_agent_sees_it_and_settles_nothing(at_abes: Client, row: Discrepancy) -> None:
    page = at_abes.get(page_of(row))
    answer = at_abes.post(page_of(row), {"note": "Mine."})

    assert (page.status_code, b"<textarea" in page.content) == (200, False)
    assert answer.status_code == 403
    row.refresh_from_db()
    assert row.is_open


def test_what_was_settled_is_not_settled_again(
    at_sams: Client, at_adas: Client, sam: User, row: Discrepancy
) -> None:
    at_sams.post(page_of(row), {"note": "First."})

    answer = at_adas.post(page_of(row), {"note": "Second."})

    assert answer.status_code == 403
    row.refresh_from_db()
    assert (row.note, row.settled_by) == ("First.", sam)


def test_the_list_shows_what_is_open(at_abes: Client, row: Discrepancy) -> None:
    asked: tuple[dict[str, str], ...] = (
        {},
        {"standing": "open"},
        {"standing": "settled"},
        {"standing": "gone"},
    )
    found = [at_abes.get(LIST, query) for query in asked]

    assert [b"rfnd_1" in page.content for page in found] == [True, True, False, False]


def test_what_was_settled_is_not_in_the_way(at_sams: Client, row: Discrepancy) -> None:
    at_sams.post(page_of(row), {"note": "Seen."})

    found = [at_sams.get(LIST, query) for query in ({}, {"standing": "all"})]

    assert [b"rfnd_1" in page.content for page in found] == [False, True]


def test_each_kind_says_what_to_do(at_abes: Client, row: Discrepancy) -> None:
    page = at_abes.get(page_of(row)).content.decode()

    assert set(ADVICE) == set(Discrepancy.Kind.values)
    assert str(ADVICE["missing"]) in page


def test_anybody_has_it_compared_again(
    at_abes: Client, make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    row = Discrepancy.objects.create(payment=payment, kind="sums", detail="It was so.")

    answer = at_abes.post(reverse("admin:payments_discrepancy_look_again", args=[row.pk]))
    tasks.look_at_payments([payment.pk])

    row.refresh_from_db()
    assert (answer.status_code, row.is_open) == (302, False)
