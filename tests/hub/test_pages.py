"""The hub's pages, empty and full, and that they ask the database no more for many than for few."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketplace.models import Company, Membership, Product, User
from payments import credits as ledger
from resolution import cases
from resolution.models import Case
from resolution.terms import Actor, Remedy, Verdict
from tests.hub.conftest import Walk, page_of, text_of, words_of
from tests.people import make_user

Many = Callable[[int], None]


def queries(browser: Client, address: str) -> int:
    browser.get(address)  # reads what there is news of
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(address).status_code == 200
    return len(asked)


def test_an_empty_hub_says_what_shows_up_there(client: Client, bea: User) -> None:
    client.force_login(bea)

    home, mine, credits = (client.get(f"/hub/{page}") for page in ("", "cases/", "credits/"))

    assert text_of(home) == (
        "Your hub Memberships No memberships yet What you buy shows up here, with its payments."
    )
    assert "No cases Not happy with a payment?" in text_of(mine)
    assert "You have no credits." in text_of(credits)


def test_a_case_that_waits_for_the_buyer_comes_first(
    beas_browser: Client, take: Walk, creator: Actor, many_of_bea: Many
) -> None:
    many_of_bea(1)
    case = take(("request_info", creator))

    response = beas_browser.get("/hub/")

    said = text_of(response)
    assert said.startswith("Your hub Your cases Your turn Answer Loop & Lens by ")
    assert f'href="{page_of(case)}#reply"' in response.content.decode()
    assert words_of(response, r'(?s)<nav aria-label="Hub">.*?</nav>') == [
        "Memberships Cases 1 needs your reply"
    ]


def test_the_list_of_cases_goes_on_page_by_page(beas_browser: Client, many_of_bea: Many) -> None:
    many_of_bea(30)

    first = beas_browser.get("/hub/cases/")
    last = first.context["cases"][-1]["href"].split("/")[-2]
    second = beas_browser.get(f"/hub/cases/?after={last}")

    seen = [case["href"] for page in (first, second) for case in page.context["cases"]]
    assert [len(page.context["cases"]) for page in (first, second)] == [25, 5]
    assert len(set(seen)) == 30
    assert f'href="?after={last}"' in first.content.decode()


def test_a_page_after_somebody_elses_case_is_not_there(
    nias_browser: Client, waiting_case: Case
) -> None:
    response = nias_browser.get(f"/hub/cases/?after={waiting_case.public_id}")

    assert response.status_code == 404


def test_credits_are_shown_with_what_they_were_for(
    beas_browser: Client, bea: User, take: Walk, creator: Actor, buyer: Actor, staff: Actor
) -> None:
    case = take(("deny", creator), ("appeal", buyer))
    cases.take_step(
        case, "decide", staff, message="Both are right.", verdict=Verdict(Remedy.CREDIT, 6400)
    )
    cases.take_step(case, "accept_decision", buyer)

    home, credits = beas_browser.get("/hub/"), beas_browser.get("/hub/credits/")
    bea.language = "de"
    bea.save()
    in_german = beas_browser.get("/hub/credits/")

    assert "Whop Credits $64.00 to use on any product Statement" in text_of(home)
    assert "You have $64.00 to use on any product." in text_of(credits)
    assert f"Case {case.public_id}, Golden Hour presets" in text_of(credits)
    assert "+$64.00" in text_of(credits)
    assert f"Fall {case.public_id}, Golden Hour presets" in text_of(in_german)


def test_names_are_shown_as_text_whatever_is_in_them(client: Client, db: None) -> None:
    name = "<b>Ünï & עִבְרִית</b> " + "n" * 60
    user = make_user("Bea <script>alert(1)</script>")
    company = Company.objects.create(name=name)
    product = Product.objects.create(
        company=company, name=name, price_minor=100, currency="USD", interval="month"
    )
    Membership.objects.create(user=user, product=product)
    client.force_login(user)

    response = client.get("/hub/")

    assert "<script>alert" not in response.content.decode()
    assert "<b>Ünï" not in response.content.decode()
    assert name.split()[0] in text_of(response)


@pytest.mark.parametrize(("address", "most"), [("/hub/", 9), ("/hub/cases/", 6)])
def test_a_list_asks_as_much_for_thirty_as_for_three(
    beas_browser: Client, many_of_bea: Many, address: str, most: int
) -> None:
    many_of_bea(3)
    with_few = queries(beas_browser, address)
    many_of_bea(27)

    assert (queries(beas_browser, address), with_few <= most) == (with_few, True)


def test_a_membership_asks_as_much_for_thirty_payments_as_for_three(
    beas_browser: Client, membership: Membership, make_payment: Any
) -> None:
    address = reverse("hub-membership", args=[membership.public_id])
    for _ in range(3):
        make_payment()
    with_few = queries(beas_browser, address)
    for _ in range(27):
        make_payment()

    assert (queries(beas_browser, address), with_few <= 9) == (with_few, True)


def test_a_case_takes_five_queries_and_one_more_when_it_is_long(
    beas_browser: Client, take: Walk, buyer: Actor, creator: Actor
) -> None:
    case = take(*[("comment", buyer), ("comment", creator)] * 2)
    # session, person, case with drafts, events with files, menu
    with_few = queries(beas_browser, page_of(case))
    take(*[("comment", buyer), ("comment", creator)] * 27)

    assert (with_few, queries(beas_browser, page_of(case))) == (5, 6)


def test_credits_ask_as_much_for_many_entries_as_for_few(
    beas_browser: Client, bea: User, make_payment: Any
) -> None:
    def grant(many: int) -> None:
        for _ in range(many):
            payment = make_payment()
            key = f"{payment.public_id}:credit"
            ledger.grant(payment, 100, key=key, cause=key, note="For a case")

    grant(3)
    with_few = queries(beas_browser, "/hub/credits/")
    grant(20)

    assert (queries(beas_browser, "/hub/credits/"), with_few <= 8) == (with_few, True)


def test_what_is_kept_of_an_entry_is_each_readers_own(
    beas_browser: Client, cleos_browser: Client, waiting_case: Case, bea: User
) -> None:
    def entry(browser: Client, address: str) -> str:
        page = browser.get(address).content.decode()
        event = waiting_case.events.get(step="open_case").public_id
        return page[page.index(f'id="{event}"') :].partition("</article>")[0]

    hers = entry(beas_browser, page_of(waiting_case))
    theirs = entry(cleos_browser, reverse("dash-case", args=[waiting_case.public_id]))
    User.objects.filter(pk=bea.pk).update(time_zone="Asia/Tokyo")
    elsewhere = entry(beas_browser, page_of(waiting_case))

    assert ("<b>You</b>" in hers, "<b>You</b>" in theirs) == (True, False)
    assert "+09:00" in elsewhere
    assert "+09:00" not in hers
