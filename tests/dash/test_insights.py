"""Insights: each figure against cases that were counted by hand, and the page and file of them."""

import csv
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from marketplace import clock
from marketplace.models import Company, Product, User
from payments.models import Payment
from resolution.insights import Amount, Insights, Period, Week, insights_of
from resolution.models import Case, Event
from resolution.terms import Actor, Remedy, Verdict
from resolution.views.charts import columns, step_for
from tests.dash.conftest import MakeCases

PAGE = "/dash/resolution-center/insights/"
FILE = "/dash/resolution-center/insights.csv"
MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))
OVER = {"state": "closed", "waiting_on": "nobody", "due_at": None, "final": True}
WON = {"outcome": "buyer_won", "remedy": "refund", "remedy_minor": 6400, "money": "arrived", **OVER}
LOST = {"outcome": "creator_won", "remedy": "none", **OVER}
Take = Callable[..., Case]


def march(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def answered(make_cases: MakeCases) -> Callable[..., Case]:
    """A case opened on a day of March, and answered by the creator so many hours later."""

    def make(day: int, hours: float | None = None, step: str = "deny", **columns: Any) -> Case:
        at = march(day)
        closed = {"closed_at": clock.now()} if columns.get("state") == "closed" else {}
        case = make_cases(**(closed | columns), opened_at=at)[0]
        if hours is not None:
            Event.objects.create(
                case=case, seq=2, step=step, party="creator", state_after="decided", hash="1",
                created_at=at + timedelta(hours=hours),
            )  # fmt: skip
        Payment.objects.filter(pk=case.payment_id).update(paid_at=at - timedelta(days=1))
        return case

    return make


@pytest.fixture
def told(company: Company, answered: Callable[..., Case], product: Product) -> Insights:
    """March, with eight cases of every kind, and one each in the days right before and after."""
    answered(2, 1, "accept", **WON, decided_by="creator")
    answered(3, **WON, decided_by="system", reason="fraudulent")
    answered(3, 30, **(WON | {"remedy_minor": 3000}), decided_by="staff", denial_appealed=True)
    answered(4, 50, **LOST, decided_by="staff", denial_appealed=True)
    answered(16, 200, **LOST, decided_by="creator")
    answered(17, **(WON | {"remedy": "credit"}), decided_by="staff")
    answered(18, **OVER, outcome="withdrawn")
    answered(31)
    other = Product.objects.create(
        company=company, name="Untouched", price_minor=900, currency="EUR"
    )
    Payment.objects.create(
        buyer=User.objects.filter(payments__isnull=False)[0], company=company, product=other,
        processor="crypto", currency="EUR", amount_minor=900, paid_at=march(5),
    )  # fmt: skip
    for at in (march(1, 0) - timedelta(seconds=1), march(31, 0) + timedelta(days=1)):
        case = answered(1, 4)
        Case.objects.filter(pk=case.pk).update(opened_at=at)
        Payment.objects.filter(pk=case.payment_id).update(paid_at=at)
    return insights_of(company, MARCH)


def test_each_case_is_counted_once_and_by_how_it_ended(told: Insights) -> None:
    now = told.now

    assert (now.cases, now.ended, now.without_staff) == (8, 7, 4)
    assert now.by_ending == {
        "you-refunded": 1, "auto-refunded": 1, "staff-refunded": 1, "credits": 1, "no-refund": 2,
        "withdrawn": 1, "elsewhere": 0,
    }  # fmt: skip
    assert (now.denied, now.reviewed, now.overturned) == (3, 2, 1)
    assert told.before.cases == 1


def test_answers_are_counted_by_day_and_the_middle_one_is_typical(told: Insights) -> None:
    now = told.now

    assert now.by_day == (1, 1, 1, 0, 0, 0, 1)
    assert (now.answered, now.unanswered, now.waiting) == (4, 1, 1)
    assert now.median_answer == timedelta(hours=40)


def test_weeks_begin_on_monday_and_none_is_left_out(told: Insights) -> None:
    assert told.weeks == [
        Week(date(2026, 2, 23)),
        Week(date(2026, 3, 2), without_staff=2, by_staff=2),
        Week(date(2026, 3, 9)),
        Week(date(2026, 3, 16), without_staff=2, by_staff=1),
        Week(date(2026, 3, 23)),
        Week(date(2026, 3, 30), going_on=1),
    ]


def test_money_reasons_products_and_sales_add_up(told: Insights) -> None:
    first, second = told.products

    assert told.given_back == [Amount("USD", 15_800)]
    assert told.sold == [Amount("EUR", 900), Amount("USD", 8 * 6400)]
    assert told.sales == 9
    assert [(group.key, group.cases) for group in told.reasons[:2]] == [
        ("not_as_described", 7), ("fraudulent", 1),
    ]  # fmt: skip
    assert (first.cases, first.sales, first.amounts) == (8, 8, [Amount("USD", 15_800)])
    assert (second.name, second.cases, second.sales, second.top_reason) == (
        "Untouched", 0, 1, None,
    )  # fmt: skip


def test_a_denial_counts_as_changed_once_that_is_final(
    company: Company, waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor, take: Take
) -> None:
    def changed() -> tuple[int, int, int]:
        now = insights_of(company, Period.of_days(2)).now
        return now.denied, now.reviewed, now.overturned

    take(waiting_case, "deny", creator, message="No.")
    denied = changed()
    take(waiting_case, "appeal", buyer, message="But.")
    verdict = Verdict(Remedy.REFUND, waiting_case.asked_minor)
    take(waiting_case, "decide", staff, message="Yes.", verdict=verdict)
    decided = changed()
    take(waiting_case, "accept_decision", creator)

    assert (denied, decided, changed()) == ((1, 0, 0), (1, 0, 0), (1, 1, 1))


def test_days_begin_at_midnight_where_the_person_is() -> None:
    with timezone.override("Asia/Kolkata"):
        assert (MARCH.starts, MARCH.ends) == (
            datetime(2026, 2, 28, 18, 30, tzinfo=UTC), datetime(2026, 3, 31, 18, 30, tzinfo=UTC),
        )  # fmt: skip
    assert MARCH.before == Period(date(2026, 1, 29), date(2026, 2, 28))


def test_the_page_says_how_it_counts_and_draws_each_chart_beside_its_table(
    dash: Client, told: Insights
) -> None:
    with CaptureQueriesContext(connection) as queries:
        html = text_of(dash.get(PAGE, {"from": "2026-03-01", "to": "2026-03-31"}))

    figures = re.findall(
        r'<dt>([^<]+)</dt><dd class="fig">([^<]+?)(?: <small>([^<]+)</small>)?</dd>', html
    )
    assert figures == [
        ("Cases", "8", ""),
        ("Cases per 100 sales", "88.9", ""),
        ("First answer, typical", "40", "hours"),
        ("Settled without Whop", "57", "%"),
        ("Given back in cases", "$158.00", ""),
        ("Changed by Whop", "1", "of 2"),
    ]
    assert len(re.findall(r'<dd class="sub">[^<]+\.</dd>', html)) == 6
    assert "7 more than in the 31 days before" in html
    pictured = re.findall(r'role="img" aria-labelledby="(\S+)" aria-describedby="(\S+)"', html)
    for title, text in pictured:
        assert re.search(rf'<title id="{title}">[^<]+</title><desc id="{text}">[^<]+</desc>', html)
    assert (len(pictured), html.count("Show as a table"), html.count("<figure")) == (2, 4, 4)
    assert " style=" not in html
    assert len(queries) == 8  # session, person, teams with the menu's counts, five of figures


def test_figures_are_a_company_s_own(
    client: Client, nia: User, told: Insights, join: Callable[[str], User]
) -> None:
    period = {"from": "2026-03-01", "to": "2026-03-31"}
    client.force_login(nia)
    hers = text_of(client.get(PAGE, period))
    theirs = client.get(
        PAGE, period | {"company": Company.objects.get(name="Loop & Lens").public_id}
    )
    client.force_login(join("viewer"))
    viewers = text_of(client.get(PAGE, period))

    assert "Nothing in this period" in hers
    assert theirs.status_code == 404
    assert '<dd class="fig">8</dd>' in viewers


def test_a_period_without_cases_says_so_kindly(dash: Client, told: Insights) -> None:
    Payment.objects.update(paid_at=march(1))
    nothing = text_of(dash.get(PAGE, {"from": "2020-01-01", "to": "2020-01-31"}))
    Payment.objects.update(paid_at=datetime(2020, 1, 2, tzinfo=UTC))
    sold = text_of(dash.get(PAGE, {"from": "2020-01-01", "to": "2020-01-31"}))

    assert "Nothing in this period" in nothing
    assert "11 sales, and nobody asked for money back." in sold
    assert '<th scope="row"><bdi>Untouched</bdi></th><td class="r">1</td>' in sold


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"from": "yesterday"}, "Dates are written like 2026-03-31."),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "The first day comes after the last."),
        ({"from": "2020-03-02", "to": "2026-03-01"}, "Choose two years at most."),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "Choose two years at most."),
        ({"to": "9999-12-31"}, "Choose two years at most."),
        ({"days": "13"}, ""),
    ],
)
def test_a_period_that_cannot_be_is_the_usual_one(
    dash: Client, company: Company, query: dict[str, str], sentence: str
) -> None:
    html = text_of(dash.get(PAGE, query))

    assert sentence in html
    assert 'aria-current="page">Last 90 days</a>' in html


def test_the_file_holds_the_same_figures_without_formulas(
    dash: Client, told: Insights, product: Product
) -> None:
    Product.objects.filter(pk=product.pk).update(name="@SUM(A1)")

    answer: Any = dash.get(FILE, {"from": "2026-03-01", "to": "2026-03-31"})

    body = b"".join(answer.streaming_content).decode()
    rows = [tuple(row) for row in csv.reader(StringIO(body.removeprefix("\ufeff")))]
    assert body.startswith("\ufeffFigure,Of,Unit,Value")
    assert {
        ("Cases opened", "", "", "8"), ("Given back", "", "USD", "158.00"),
        ("First answer, median", "", "hours", "40.00"), ("Result", "Withdrawn", "", "1"),
        ("Cases by week", "2026-03-16", "", "3"), ("Cases by product", "'@SUM(A1)", "", "8"),
        ("Denials changed by Whop", "", "", "1"),
    } <= set(rows)  # fmt: skip
    assert 'filename="insights-2026-03-01-2026-03-31.csv"' in answer["Content-Disposition"]


@pytest.mark.parametrize(
    ("top", "step"), [(0, 1), (5, 1), (6, 2), (11, 5), (25, 5), (26, 10), (4999, 1000)]
)
def test_an_axis_has_round_steps_and_few_of_them(top: int, step: int) -> None:
    assert step_for(top) == step


def test_columns_stand_on_the_axis_and_one_upon_the_other() -> None:
    chart = columns("n", "Title", "Text.", [("a", (2, 3)), ("b", (0, 0))], width=234)

    lower, upper = chart.columns[0].parts
    assert (lower.css, lower.y, lower.height) == ("c1", "126", "68")
    assert (upper.css, upper.y, upper.height) == ("c2", "24", "102")
    assert chart.axis_y == "194"
    assert [(column.label, column.total) for column in chart.columns] == [("a", "5"), ("b", "")]
    assert list(chart.columns[1].parts) == []
