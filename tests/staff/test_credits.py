"""Credits are changed by hand: for a reason that the buyer reads, and a large sum by two people."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import override_settings
from django.urls import reverse

from marketplace.models import User
from payments import credits
from payments.models import CreditAccount, CreditAdjustment, CreditEntry, Payment
from tests.people import MakePayment, make_user
from tests.staff.conftest import LogIn

two_people_over_ten = override_settings(SECOND_APPROVAL_LIMIT={"USD": 10})


def page_of(user: User) -> str:
    return reverse("admin:payments_creditaccount_of", args=[user.public_id])


def settle(adjustment: CreditAdjustment, act: str) -> str:
    return reverse("admin:payments_creditaccount_settle", args=[adjustment.pk, act])


def typed(**changes: Any) -> dict[str, Any]:
    sent = {"form_key": str(uuid4()), "currency": "USD", "amount": "5.00", "reason": "A late start"}
    return sent | changes


def booked(user: User) -> list[tuple[str, int]]:
    rows = CreditEntry.objects.filter(account__user=user).order_by("pk")
    return list(rows.values_list("transfer__note", "amount_minor"))


@pytest.fixture
def wanted(payment: Payment, bea: User, sam: User) -> CreditAdjustment:
    """Sam wants to give bea more than one person may give."""
    with two_people_over_ten:
        return credits.adjust(bea, "USD", 5000, reason="The move", by=sam, form_key=uuid4())


def test_finance_give_credits_and_the_buyer_reads_why(
    at_sams: Client, bea: User, payment: Payment, as_user: LogIn
) -> None:
    answer = at_sams.post(page_of(bea), typed())
    again = as_user(bea).get("/hub/credits/").content.decode()

    assert answer.status_code == 302
    assert booked(bea) == [("A late start", 500)]
    assert ("A late start" in again, "+$5.00" in again) == (True, True)
    assert credits.balance(CreditAccount.objects.get(kind="goodwill")) == -500


def test_credits_are_taken_back_down_to_nothing_and_no_further(
    at_sams: Client, bea: User, payment: Payment
) -> None:
    at_sams.post(page_of(bea), typed())

    too_much = at_sams.post(page_of(bea), typed(amount="-5.01", reason="Given by mistake"))
    all_of_it = at_sams.post(page_of(bea), typed(amount="−5.00", reason="Given by mistake"))
    no_more = at_sams.post(page_of(bea), typed(amount="-0.01", reason="Given by mistake"))

    assert [a.status_code for a in (too_much, all_of_it, no_more)] == [422, 302, 422]
    assert "Enter up to $5.00." in too_much.content.decode()
    assert booked(bea) == [("A late start", 500), ("Given by mistake", -500)]


def test_the_same_form_counts_once(at_sams: Client, bea: User, payment: Payment) -> None:
    form = typed()

    answers = [at_sams.post(page_of(bea), form).status_code for _ in range(2)]

    assert answers == [302, 302]
    assert booked(bea) == [("A late start", 500)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"amount": ""}, "Enter an amount."),
        ({"amount": "0"}, "Enter an amount above zero"),
        ({"amount": "1e9"}, "Enter an amount above zero"),
        ({"amount": "1000000.01"}, "Enter up to $1,000,000.00."),
        ({"amount": "-1"}, "There are no credits to take back."),
        ({"reason": " \u200b "}, "Say why. The buyer reads it."),
        ({"reason": "a\u0000b"}, "Remove the unsupported character and try again."),
        ({"currency": "XXX"}, "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_booked(
    at_sams: Client, bea: User, payment: Payment, changes: dict[str, str], told: str
) -> None:
    answer = at_sams.post(page_of(bea), typed(**changes))

    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert booked(bea) == []


@two_people_over_ten
def test_a_large_sum_waits_for_a_second_person_of_finance(
    at_sams: Client, at_adas: Client, ada: User, bea: User, payment: Payment
) -> None:
    at_sams.post(page_of(bea), typed(amount="50.00"))
    [wanted] = CreditAdjustment.objects.all()
    before = booked(bea)

    at_sams.post(settle(wanted, "approve"))
    by_himself = booked(bea)
    at_adas.post(settle(wanted, "approve"))
    at_adas.post(settle(wanted, "approve"))

    assert (before, by_himself, booked(bea)) == ([], [], [("A late start", 5000)])
    wanted.refresh_from_db()
    assert (wanted.state, wanted.settled_by) == ("booked", ada)


@pytest.mark.django_db(transaction=True)
def test_two_who_approve_at_once_book_it_once(
    wanted: CreditAdjustment, ada: User, bea: User
) -> None:
    abi = make_user("Abi Stone", is_staff=True, staff_role="finance")
    start = threading.Barrier(2)

    def approve(by: User) -> str:
        start.wait()
        try:
            return credits.approve(wanted.pk, by).state
        except credits.AdjustmentRefused as refusal:
            return str(refusal)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        ends = sorted(pool.map(approve, [ada, abi]), key=len)

    assert ends[0] == "booked"
    assert ends[1].endswith("was faster: it is booked already.")
    assert booked(bea) == [("The move", 5000)]


def test_a_second_person_declines_and_says_why(
    at_adas: Client, wanted: CreditAdjustment, bea: User
) -> None:
    silent = at_adas.post(settle(wanted, "decline"), {"note": " "})
    at_adas.post(settle(wanted, "decline"), {"note": "She was paid by wire."})
    late = at_adas.post(settle(wanted, "approve"), follow=True)

    assert (silent.status_code, booked(bea)) == (422, [])
    assert "Ada Moss was faster: it is declined already. Nothing was changed." in (
        late.content.decode()
    )
    wanted.refresh_from_db()
    assert (wanted.state, wanted.note) == ("declined", "She was paid by wire.")


def test_what_waits_is_not_booked_below_nothing(
    at_adas: Client, bea: User, sam: User, payment: Payment
) -> None:
    credits.adjust(bea, "USD", 2000, reason="The move", by=sam, form_key=uuid4())
    with two_people_over_ten:
        taken = credits.adjust(bea, "USD", -2000, reason="A slip", by=sam, form_key=uuid4())
    credits.adjust(bea, "USD", -100, reason="A fee", by=sam, form_key=uuid4())

    answer = at_adas.post(settle(taken, "approve"), follow=True)

    assert "The buyer has $19.00 in credits: no more can be taken back." in answer.content.decode()
    assert booked(bea) == [("The move", 2000), ("A fee", -100)]


def test_only_finance_change_credits_and_nobody_their_own(
    at_abes: Client, at_sams: Client, bea: User, sam: User, payment: Payment,
    make_payment: MakePayment, wanted: CreditAdjustment,
) -> None:  # fmt: skip
    make_payment(buyer=sam)

    seen = at_abes.get(page_of(bea))
    answers = [
        at_abes.post(page_of(bea), typed()).status_code,
        at_abes.post(settle(wanted, "approve")).status_code,
        at_sams.post(page_of(sam), typed()).status_code,
    ]

    assert (seen.status_code, b"adjust-amount" in seen.content) == (200, False)
    assert answers == [403, 403, 422]
    assert (booked(bea), booked(sam)) == ([], [])


def test_the_statement_holds_running_balances_by_currency_and_is_paged(
    bea: User, sam: User, payment: Payment, as_user: LogIn
) -> None:
    for number in range(1, 27):
        credits.adjust(bea, "USD", number * 100, reason=f"R{number}", by=sam, form_key=uuid4())
    credits.adjust(bea, "EUR", 700, reason="Euro", by=sam, form_key=uuid4())

    rows = [(e.transfer.note, e.balance_minor) for e in credits.statement(bea)]
    first = as_user(bea).get("/hub/credits/").content.decode()
    last = CreditEntry.objects.filter(account__user=bea).order_by("-pk")[24]
    second = as_user(bea).get("/hub/credits/", {"after": last.pk}).content.decode()

    assert rows[:3] == [("Euro", 700), ("R26", 35100), ("R25", 32500)]
    assert (first.count("<tr>"), f"?after={last.pk}" in first) == (26, True)
    assert ("R2<" in second, "$3.00" in second, "Newer" in second) == (True, True, True)


@pytest.mark.parametrize("statement", ["amount_minor = 1", "reason = 'x'", "state = 'waiting'"])
def test_the_database_keeps_the_terms_of_an_adjustment(
    wanted: CreditAdjustment, ada: User, statement: str
) -> None:
    if statement.startswith("state"):
        credits.decline(wanted.pk, ada, "No.")

    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE payments_creditadjustment SET {statement}")

    wanted.refresh_from_db()
    assert (wanted.amount_minor, wanted.reason) == (5000, "The move")


def test_nobody_is_both_people_even_in_the_database(wanted: CreditAdjustment, sam: User) -> None:
    given = credits.adjust(
        make_user("Otto Away"), "USD", 100, reason="x", by=sam,
        form_key=UUID("00000000-0000-4000-8000-000000000001"),
    )  # fmt: skip

    with pytest.raises(IntegrityError, match="by_two_people"), transaction.atomic():
        CreditAdjustment.objects.filter(pk=wanted.pk).update(
            state="booked", settled_by=sam, settled_at=wanted.asked_at, transfer=given.transfer
        )
