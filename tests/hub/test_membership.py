"""A membership's page says of each payment, in words, whether a case can be opened, or why not."""

import pytest
from django.test import Client
from django.urls import reverse

from marketplace import clock
from marketplace.models import Membership, User
from payments.models import Payment
from resolution import eligibility, words
from resolution.models import Case
from resolution.templatetags.rc import when_text
from tests.hub.conftest import long_ago, text_of, words_of
from tests.people import MakePayment


def sentences(beas_browser: Client, membership: Membership) -> list[str]:
    """What is said of each payment, with the label of its button."""
    response = beas_browser.get(reverse("hub-membership", args=[membership.public_id]))
    assert response.status_code == 200
    return words_of(response, r'(?s)<div class="pay__elig">(.*?)</div>')


def window(payment: Payment) -> str:
    until = eligibility.filing_ends_at(payment)
    left = words.time_left(until - clock.now())
    return f"until {when_text(until, 'weekday')} ({left})"


def test_a_recent_payment_can_have_a_case(
    beas_browser: Client, membership: Membership, payment: Payment
) -> None:
    told = sentences(beas_browser, membership)

    on = f"{when_text(payment.paid_at, 'day')}, $64.00"
    assert told == [f"You can open a case {window(payment)}. Open a case for {on}"]


def test_a_partly_refunded_payment_can_have_one_for_the_rest(
    beas_browser: Client, membership: Membership, make_payment: MakePayment
) -> None:
    payment = make_payment(refunded_minor=1400)

    told = sentences(beas_browser, membership)

    assert [sentence.split(" Open a case for")[0] for sentence in told] == [
        f"Partly refunded. You can open a case {window(payment)} for the other $50.00."
    ]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"refunded_minor": 6400}, "This payment was already refunded in full."),
        ({"reserved_minor": 6400}, "All of this payment is already on its way back to you."),
        (
            {"processor": "crypto", "charge_id": ""},
            "Crypto payments can’t be reversed, so a case can’t refund them.",
        ),
        (
            {"processor": "coinbase", "charge_id": ""},
            "Coinbase Commerce payments can’t be reversed, so a case can’t refund them.",
        ),
        (
            {"chargeback": "open"},
            "Your bank is already looking into this payment, so it decides.",
        ),
        ({"chargeback": "lost"}, "Your bank already returned this payment to you."),
    ],
)
def test_any_other_payment_says_why_it_cannot(
    beas_browser: Client,
    membership: Membership,
    make_payment: MakePayment,
    fields: dict[str, str],
    sentence: str,
) -> None:
    make_payment(**fields)

    assert sentences(beas_browser, membership) == [sentence]


def test_a_payment_of_more_than_thirty_days_ago_cannot(
    beas_browser: Client, membership: Membership, make_payment: MakePayment
) -> None:
    make_payment(paid_at=long_ago(days=30, minutes=1))

    assert sentences(beas_browser, membership) == [
        "The 30 days to open a case for this payment are over."
    ]


def test_a_payment_with_a_case_leads_to_it(
    beas_browser: Client, membership: Membership, waiting_case: Case
) -> None:
    response = beas_browser.get(reverse("hub-membership", args=[membership.public_id]))

    on = when_text(waiting_case.payment.paid_at, "day")
    assert words_of(response, r'(?s)<div class="pay__elig">(.*?)</div>') == [
        f"Case open. Waiting for Loop & Lens View case for {on}"
    ]
    assert f'href="/hub/cases/{waiting_case.public_id}/"' in response.content.decode()


def test_a_membership_without_payments_says_so(
    beas_browser: Client, membership: Membership
) -> None:
    response = beas_browser.get(reverse("hub-membership", args=[membership.public_id]))

    assert "No payments yet" in text_of(response)


def test_somebody_elses_membership_looks_like_none(
    nias_browser: Client, membership: Membership, bea: User
) -> None:
    theirs = nias_browser.get(reverse("hub-membership", args=[membership.public_id]))
    none = nias_browser.get(reverse("hub-membership", args=["mem_00000000000000"]))

    assert (theirs.status_code, none.status_code) == (404, 404)
    assert theirs.content == none.content
