"""The creator's list: who sees which cases, in which order, page by page."""

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketplace import clock
from marketplace.models import Company, Product, User
from resolution.insights import endings
from resolution.models import Case
from resolution.terms import Actor, Remedy, State, Verdict
from resolution.views import dash as pages
from resolution.views import desk
from resolution.views.desk import LOOKED_AT, tabs
from tests.dash.conftest import MakeCases

LIST = "/dash/resolution-center/"


def page(client: Client, **query: Any) -> str:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return answer.content.decode()


def names(html: str) -> list[str]:
    return re.findall(r'class="row__link"[^>]*><bdi>(.*?)</bdi>', html)


def counts(html: str) -> list[int]:
    bar = html.split('aria-label="Case lists"')[1].split("</nav>")[0]
    return [int(number) for number in re.findall(r'class="count[^"]*">(\d+)<', bar)]


def link(html: str, label: str) -> str:
    found = re.search(
        rf'<a class="btn btn--2 btn--s" href="([^"]+)">(?:<svg.*?</svg>)?{label}', html
    )
    return found[1].replace("&amp;", "&") if found else ""


def test_each_case_is_in_the_list_of_whose_turn_it_is(dash: Client, make_cases: MakeCases) -> None:
    make_cases(buyer="Ann Reply")
    make_cases(buyer="Bob Asked", state="more_info", waiting_on="buyer")
    make_cases(buyer="Cat Staff", state="escalated", waiting_on="staff")
    make_cases(buyer="Dan Staffasks", state="appealed", waiting_on="creator")
    make_cases(buyer="Eve Denied", state="decided", waiting_on="buyer", decided_by="creator")
    make_cases(buyer="Fay Done", state="closed", closed_at=clock.now(), due_at=None)

    lists = {tab.name: sorted(names(page(dash, view=tab.name))) for tab in tabs()}

    assert lists == {
        "needs-reply": ["Ann Reply", "Dan Staffasks"],
        "buyer": ["Bob Asked"],
        "whop": ["Cat Staff"],
        "decided": ["Eve Denied"],
        "closed": ["Fay Done"],
        "all": ["Ann Reply", "Bob Asked", "Cat Staff", "Dan Staffasks", "Eve Denied", "Fay Done"],
    }
    assert counts(page(dash)) == [2, 1, 1, 1]


def test_what_needs_a_reply_is_what_the_lifecycle_says(make_cases: MakeCases) -> None:
    for state in State.values:
        for party in ("creator", "buyer", "staff", "system", "nobody"):
            closed_at = clock.now() if state == "closed" else None
            make_cases(state=state, waiting_on=party, closed_at=closed_at)

    listed = Case.objects.filter(tabs()[0].cases)

    assert set(listed) == set(Case.objects.all().needs_creator())


def test_the_one_due_first_comes_first(dash: Client, make_cases: MakeCases) -> None:
    make_cases(3)

    assert names(page(dash)) == ["Buyer Number002", "Buyer Number001", "Buyer Number000"]
    assert names(page(dash, sort="newest")) == [
        "Buyer Number000", "Buyer Number001", "Buyer Number002",
    ]  # fmt: skip


def test_the_largest_amount_comes_first_when_asked(dash: Client, make_cases: MakeCases) -> None:
    make_cases(buyer="Small One", amount_minor=500)
    make_cases(buyer="Large One", amount_minor=50_000)

    assert names(page(dash, sort="amount")) == ["Large One", "Small One"]


def test_a_person_sees_no_case_of_another_company(
    client: Client, nia: User, make_cases: MakeCases
) -> None:
    case = make_cases()[0]
    client.force_login(nia)

    assert names(page(client, view="all")) == []
    assert client.get(f"{LIST}cases/{case.public_id}/").status_code == 404
    assert client.post(f"{LIST}cases/{case.public_id}/respond/").status_code == 404
    assert client.get(LIST, {"company": case.company.public_id}).status_code == 404


def test_without_a_team_there_is_a_kind_page_and_no_case(client: Client, bea: User) -> None:
    client.force_login(bea)

    answer = client.get(LIST)

    assert answer.status_code == 404
    assert "You’re not on a company’s team" in answer.content.decode()


def test_without_a_login_there_is_nothing(client: Client) -> None:
    for path in (LIST, f"{LIST}cases/reso_1/", f"{LIST}auto-respond/", f"{LIST}auto-respond/1/"):
        assert client.get(path).url == f"/login/?next={path}"  # type: ignore[attr-defined]


def test_somebody_of_two_companies_sees_both_and_may_choose_one(
    dash: Client, make_cases: MakeCases, second_company: Company
) -> None:
    other = Product.objects.create(
        company=second_company, name="Other", price_minor=900, currency="EUR"
    )
    make_cases(buyer="First Buyer")
    make_cases(buyer="Other Buyer", of=other)

    html = page(dash)
    chosen = page(dash, company=second_company.public_id)

    assert sorted(names(html)) == ["First Buyer", "Other Buyer"]
    assert counts(html) == [2, 0, 0, 0]
    assert names(chosen) == ["Other Buyer"]
    assert counts(chosen) == [1, 0, 0, 0]
    assert f'name="company" value="{second_company.public_id}"' in chosen
    assert 'name="company"' not in html


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("theo", ["Theo Lindqvist"]),
        ("LINDQ", ["Theo Lindqvist"]),
        ("ana.ribeiro", ["Ana Ribeiro"]),
        ("100%", []),
        ("_", []),
        ("nobody", []),
    ],
)
def test_search_finds_buyers_by_name_and_address(
    dash: Client, make_cases: MakeCases, sought: str, found: list[str]
) -> None:
    make_cases(buyer="Theo Lindqvist")
    make_cases(buyer="Ana Ribeiro")

    assert names(page(dash, q=sought)) == found


def test_search_finds_a_case_by_its_number(dash: Client, make_cases: MakeCases) -> None:
    case = make_cases(2)[0]

    assert names(page(dash, q=f" {case.public_id} ")) == [case.buyer.name]
    assert names(page(dash, q=case.payment.public_id)) == [case.buyer.name]


def test_filters_narrow_and_stay_in_the_links(
    dash: Client, make_cases: MakeCases, product: Product
) -> None:
    other = Product.objects.create(
        company=product.company, name="Other", price_minor=900, currency="USD"
    )
    make_cases(buyer="Ann One")
    make_cases(buyer="Bob Two", reason="fraudulent")
    make_cases(buyer="Cat Three", of=other, reason="fraudulent")

    html = page(dash, reason="fraudulent", product=other.public_id)

    assert names(html) == ["Cat Three"]
    assert f"{LIST}?view=buyer&amp;reason=fraudulent&amp;product={other.public_id}" in html


@pytest.mark.parametrize(
    "query",
    [
        {"view": "nonsense"},
        {"sort": "'; drop table"},
        {"reason": "x"},
        {"product": "prod_other"},
        {"after": "garbage"},
        {"after": "WyIiXQ:1abc:def"},
        {"before": "…"},
        {"q": "x" * 300},
    ],
)
def test_nonsense_in_the_address_counts_as_nothing(
    dash: Client, make_cases: MakeCases, query: dict[str, str]
) -> None:
    make_cases(buyer="Ann One")

    assert names(page(dash, **query)) == ["Ann One"]


def test_a_character_that_no_text_has_is_refused(dash: Client) -> None:
    assert dash.get(LIST, {"q": "a\0b"}).status_code == 400


def test_a_company_that_is_not_there_is_not_found(dash: Client) -> None:
    assert dash.get(LIST, {"company": "biz_nothing"}).status_code == 404


@pytest.mark.parametrize("sort", ["due", "newest", "amount"])
@pytest.mark.parametrize("view", ["needs-reply", "all"])
def test_pages_lead_through_every_case_once_and_back(
    dash: Client, make_cases: MakeCases, sort: str, view: str
) -> None:
    make_cases(52)
    if view == "all":
        Case.objects.filter(pk__in=list(Case.objects.values_list("pk", flat=True)[:30])).update(
            due_at=None
        )

    first = page(dash, sort=sort, view=view)
    second = dash.get(link(first, "Next")).content.decode()
    third = dash.get(link(second, "Next")).content.decode()
    back = dash.get(link(third, "Previous")).content.decode()
    start = dash.get(link(back, "Previous")).content.decode()

    seen = names(first) + names(second) + names(third)
    assert [len(names(one)) for one in (first, second, third)] == [25, 25, 2]
    assert len(set(seen)) == 52
    assert link(third, "Next") == ""
    assert link(first, "Previous") == ""
    assert names(back) == names(second)
    assert names(start) == names(first)


@pytest.mark.parametrize("sort", ["due", "newest"])
def test_cases_of_the_same_moment_are_each_on_one_page(
    dash: Client, make_cases: MakeCases, sort: str
) -> None:
    make_cases(52)
    moment = clock.now() + timedelta(days=3)
    Case.objects.update(due_at=moment, opened_at=moment)

    seen, html = [], page(dash, sort=sort)
    while True:
        seen += names(html)
        if not (following := link(html, "Next")):
            break
        html = dash.get(following).content.decode()

    assert (len(seen), len(set(seen))) == (52, 52)


def test_a_case_that_comes_in_between_moves_no_page(dash: Client, make_cases: MakeCases) -> None:
    make_cases(30)
    first = page(dash)
    before = dash.get(link(first, "Next")).content.decode()

    make_cases(buyer="Very Urgent", due_at=clock.now() + timedelta(minutes=1))

    assert names(dash.get(link(first, "Next")).content.decode()) == names(before)
    assert names(page(dash))[0] == "Very Urgent"


def test_a_place_in_one_order_is_none_in_another(dash: Client, make_cases: MakeCases) -> None:
    make_cases(30)
    token = re.search(r"after=([^&\"]+)", page(dash))
    assert token

    elsewhere = dash.get(f"{LIST}?sort=amount&after={token[1]}").content.decode()

    assert names(elsewhere) == names(page(dash, sort="amount"))


@pytest.mark.parametrize("many", [3, 60])
@pytest.mark.parametrize("view", ["needs-reply", "closed", "all"])
def test_a_list_takes_four_queries_however_long_it_is(
    dash: Client, make_cases: MakeCases, many: int, view: str
) -> None:
    state = {"state": "closed", "closed_at": clock.now()} if view == "closed" else {}
    make_cases(many, **state)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        shown = names(page(dash, view=view))

    assert len(shown) == min(many, 25)
    assert len(queries) == 4  # session, person, teams with counts and products, cases


def test_counting_looks_at_no_closed_case_and_at_so_many_others(
    dash: Client, make_cases: MakeCases
) -> None:
    make_cases()

    with CaptureQueriesContext(connection) as queries:
        page(dash, view="closed")

    counting = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert len(counting) == 1
    assert """NOT (U0."state" = 'closed')""" in counting[0]
    assert f"LIMIT {LOOKED_AT})" in counting[0]
    assert not [query for query in queries if "OFFSET" in query["sql"]]


def test_the_closed_list_says_how_it_ended_and_what_it_cost(
    dash: Client, make_cases: MakeCases
) -> None:
    over = {"state": "closed", "waiting_on": "nobody", "due_at": None, "closed_at": clock.now()}
    won = {"outcome": "buyer_won", "remedy_minor": 6400, "money": "arrived", **over}
    make_cases(buyer="A", **won, remedy="refund", decided_by="creator")
    make_cases(buyer="B", **won, remedy="credit", decided_by="staff")
    make_cases(buyer="C", **over, outcome="withdrawn")
    make_cases(buyer="D", **(won | {"remedy_minor": 3200}), remedy="refund", decided_by="staff")

    html = page(dash, view="closed", sort="newest")

    cells = re.findall(r"<span>([^<]+)</span></span></td>\s*<td[^>]*><b>([^<]+)</b>", html)
    assert cells == [
        ("Whop refunded $32.00", "$32.00"),
        ("Withdrawn", "$0.00"),
        ("Whop paid credits", "$0.00"),
        ("You refunded $64.00", "$64.00"),
    ]


def test_an_empty_list_says_so_kindly(dash: Client) -> None:
    assert "Nothing needs your reply" in page(dash)
    assert "No cases match" in page(dash, q="somebody")
    assert "No cases match" not in page(dash, view="closed")


def test_names_are_text_and_never_markup(dash: Client, make_cases: MakeCases) -> None:
    hostile = "<script>alert(1)</script>"
    case = make_cases(buyer="<img src=x onerror=alert(1)>")[0]
    Product.objects.filter(pk=case.product_id).update(name=hostile)
    Company.objects.filter(pk=case.company_id).update(name=hostile)

    html = page(dash, q='"><script>alert(2)</script>', view="all")
    listed = page(dash)

    for shown in (html, listed):
        assert re.findall(r"<script(?! src=)", shown) == []
        assert re.findall(r"<img", shown) == []
    assert len(names(listed)) == 1


def test_a_row_says_what_happened_last(
    dash: Client, waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor,
    take: Callable[..., Case],
) -> None:  # fmt: skip
    take(waiting_case, "request_info", creator, message="Which one?")
    asked = page(dash, view="buyer")
    take(waiting_case, "reply", buyer, message="The second.")
    take(waiting_case, "note", staff, message="Watch this one.")
    answered = page(dash)

    assert "You asked for details, just now" in asked
    assert "Answered, just now" in answered


def test_decided_cases_tell_what_staff_decided(
    dash: Client, make_cases: MakeCases, staff: Actor, take: Callable[..., Case]
) -> None:
    case = make_cases(state="escalated", waiting_on="staff")[0]
    take(case, "decide", staff, message="Half.", verdict=Verdict(Remedy.REFUND, 3200))

    html = page(dash, view="decided")

    assert "Whop decided: $32.00 refund" in html


def test_the_head_says_how_many_and_by_when(dash: Client, make_cases: MakeCases) -> None:
    make_cases(due_at=clock.now() - timedelta(minutes=1))
    late = page(dash)
    make_cases()
    two = page(dash)

    assert "1 case needs your reply.</b> It is due now." in late
    assert "2 cases need your reply.</b> The first is due now." in two
    assert reverse("dash-rules") in two


def test_a_long_list_is_not_counted_to_its_end(
    dash: Client, make_cases: MakeCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_cases(4)
    make_cases(2, state="more_info", waiting_on="buyer")
    monkeypatch.setattr(desk, "SHOWN", 3)
    monkeypatch.setattr(pages, "SHOWN", 3)

    html = page(dash)

    bar = html.split('aria-label="Case lists"')[1].split("</nav>")[0]
    assert re.findall(r'class="count[^"]*">([^<]+)<', bar) == ["3+", "2", "0", "0"]
    assert "More than 3 cases need your reply.</b>" in html
    assert '3+<span class="vh"> need your reply</span>' in html


def test_amounts_are_in_each_case_s_own_currency(
    dash: Client, make_cases: MakeCases, product: Product
) -> None:
    yen = Product.objects.create(
        company=product.company, name="Yen", price_minor=900, currency="JPY"
    )
    make_cases(buyer="Cents Below", amount_minor=2499)
    make_cases(buyer="Cents Right", amount_minor=2550)
    make_cases(buyer="Yen Right", of=yen, amount_minor=26)
    make_cases(buyer="Yen Above", of=yen, amount_minor=2550)

    between = page(dash, least="25.00", most="25.50")
    above = page(dash, least="25.001", sort="newest")
    unread = page(dash, least="a lot", most="-1")

    assert sorted(names(between)) == ["Cents Right"]
    assert sorted(names(above)) == ["Cents Right", "Yen Above", "Yen Right"]
    assert f"{LIST}?view=buyer&amp;least=25.00&amp;most=25.50" in between
    assert len(names(unread)) == 4
    assert "Amounts are written like 25 or 25.50." in unread


def test_closed_cases_are_filtered_by_how_they_ended(dash: Client, make_cases: MakeCases) -> None:
    over = {"state": "closed", "waiting_on": "nobody", "due_at": None, "closed_at": clock.now()}
    won = {"outcome": "buyer_won", "remedy_minor": 6400, "money": "arrived", **over}
    make_cases(buyer="you-refunded", **won, remedy="refund", decided_by="creator")
    make_cases(buyer="auto-refunded", **won, remedy="refund", decided_by="system")
    make_cases(buyer="staff-refunded", **won, remedy="refund", decided_by="staff")
    make_cases(buyer="credits", **won, remedy="credit", decided_by="staff")
    make_cases(buyer="no-refund", **over, outcome="creator_won", decided_by="staff")
    make_cases(buyer="withdrawn", **over, outcome="withdrawn")
    make_cases(buyer="elsewhere", **over, outcome="void")

    shown = {
        ending.name: names(page(dash, view="closed", result=ending.name)) for ending in endings()
    }

    assert shown == {ending.name: [ending.name] for ending in endings()}
    assert len(names(page(dash, view="all", result="credits"))) == 7
    html = page(dash, view="closed", result="credits")
    assert "result=" not in html.split('aria-label="Case lists"')[1].split("</nav>")[0]


def test_a_list_can_be_taken_along_as_it_is_filtered(
    dash: Client, cleo: User, make_cases: MakeCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(pk=cleo.pk).update(time_zone="Asia/Kolkata")
    monkeypatch.setattr(pages, "PART", 2)
    make_cases(5, reason="fraudulent")
    make_cases(
        buyer="=HYPERLINK(1)", reason="fraudulent", opened_at=datetime(2026, 3, 1, tzinfo=UTC)
    )
    make_cases(buyer="Other Reason")
    html = page(dash, reason="fraudulent", sort="newest")
    found = re.search(r'href="([^"]+)" download', html)
    assert found

    answer: Any = dash.get(found[1].replace("&amp;", "&"))
    body = b"".join(answer.streaming_content)

    rows = list(csv.DictReader(StringIO(body.decode("utf-8-sig"))))
    assert body.startswith("\ufeff".encode())
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["Buyer"] for row in rows] == [
        *(f"Buyer Number00{n}" for n in range(5)), "'=HYPERLINK(1)",
    ]  # fmt: skip
    assert (rows[5]["Asked for"], rows[5]["Currency"]) == ("64.00", "USD")
    assert rows[5]["Opened"] == "2026-03-01 05:30+05:30"
