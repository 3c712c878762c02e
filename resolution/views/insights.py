"""A company's insights: figures and charts over a period, and the same as a file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace import clock
from marketplace.models import Company
from payments.money import format_money, to_decimal
from resolution import words
from resolution.forms.insights import PRESETS, PeriodForm
from resolution.insights import Amount, Group, Insights, endings, insights_of, per_hundred, share
from resolution.templatetags.rc import day_name, short_day_name
from resolution.views.charts import bars, columns
from resolution.views.desk import Desk, href, no_company, signed_in
from resolution.views.spreadsheets import as_csv

PRODUCTS = 50
NOTHING = "–"


def _of(request: HttpRequest) -> tuple[Desk, Company] | None:
    """The desk and the company that was chosen, or the first; None for who is on no team."""
    desk = Desk.of(signed_in(request), request.GET.get("company", ""))
    if not desk.places:
        return None
    company = desk.chosen or desk.places[0].company
    return replace(desk, chosen=company), company


@login_required
@require_safe
@never_cache
def insights(request: HttpRequest) -> HttpResponse:
    """How a company's cases went over a period."""
    found = _of(request)
    if found is None:
        return no_company(request)
    desk, company = found
    form = PeriodForm(request.GET)
    told = insights_of(company, form.period)
    context = {
        "nav": desk.nav("insights"),
        "company": company,
        "form": form,
        "period": _in_words(form),
        "presets": [
            {
                "label": label,
                "href": href("dash-insights", desk.query() | {"days": str(days)}),
                "current": days == form.preset,
                "count": None,
            }
            for days, label in PRESETS.items()
        ],
        "hidden": desk.query(),
        "csv_href": href("dash-insights-csv", desk.query() | form.query()),
        "empty": _empty(told),
        "figures": _figures(told),
        "platform": words.platform(),
        **_weeks(told),
        **_reasons(told),
        **_answers(told),
        **_endings(told),
        **_products(told),
    }
    return render(request, "dash/insights.html", context)


def _in_words(form: PeriodForm) -> str:
    """`April 15 to July 14`"""
    year = timezone.localtime(clock.now()).year
    period = form.period
    both = {period.first.year, period.last.year} != {year}
    first, last = (day_name(day, year, both) for day in (period.first, period.last))
    return first if period.first == period.last else f"{first} to {last}"


def _empty(told: Insights) -> dict[str, str] | None:
    """What stands there instead of charts when there was no case."""
    if told.now.cases:
        return None
    if told.sales:
        sales = "1 sale" if told.sales == 1 else f"{told.sales:,} sales"
        return {
            "icon": "checkc",
            "title": "No cases in this period",
            "text": f"{sales}, and nobody asked for money back. Well done.",
        }
    return {
        "icon": "inbox",
        "title": "Nothing in this period",
        "text": "There were no sales and no cases. Try a longer period.",
    }


# ── Figures ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Figure:
    """A number that stands for much: what it is, how it compares, and how it is counted."""

    label: str
    value: str
    unit: str
    compared: str
    tone: str
    counted: str


def _figures(told: Insights) -> list[Figure]:
    now, before, them = told.now, told.before, words.platform()
    per = per_hundred(now.cases, told.sales)
    alone, alone_before = share(now.without_staff, now.ended), share(
        before.without_staff, before.ended
    )  # fmt: skip
    value, unit = _span(now.median_answer)
    return [
        Figure(
            "Cases", f"{now.cases:,}", "", _more(now.cases - before.cases, told), "",
            "Opened in this period, however they ended.",
        ),
        Figure(
            "Cases per 100 sales", NOTHING if per is None else f"{per:.1f}", "", "", "",
            f"Cases opened for every 100 of the {told.sales:,} payments made in this period. "
            "A case may be about a payment made before it.",
        ),
        Figure(
            "First answer, typical", value, unit, *_faster(told),
            "Half of your first answers (accept, deny or ask) came sooner after the case was "
            "opened, half later. Automatic refunds are left out.",
        ),
        Figure(
            f"Settled without {them}", NOTHING if alone is None else str(alone),
            "" if alone is None else "%", _points(alone, alone_before), "",
            f"Of the {now.ended:,} cases that are decided for good: those that {them} did not "
            "have to decide.",
        ),
        Figure(
            "Given back in cases", _money(told.given_back) or NOTHING, "", _of_sales(told), "",
            "Refunds of these cases that are final and yours to pay. Credits cost you nothing, "
            "and refunds that failed are left out.",
        ),
        Figure(
            f"Changed by {them}", str(now.overturned) if now.reviewed else NOTHING,
            f"of {now.reviewed:,}" if now.reviewed else "", _share_of_denials(told), "",
            f"You denied {now.denied:,}. Of those that buyers appealed and {them} has decided for "
            "good: how many gave the buyer something after all.",
        ),
    ]  # fmt: skip


def _more(more: int, told: Insights) -> str:
    """`12 more than the 90 days before`"""
    than = f"the {told.period.days} days before" if told.period.days > 1 else "the day before"
    if not told.before.cases:
        return ""
    if not more:
        return f"As many as in {than}"
    return f"{abs(more):,} {'more' if more > 0 else 'fewer'} than in {than}"


def _faster(told: Insights) -> tuple[str, str]:
    now, before = told.now.median_answer, told.before.median_answer
    if now is None or before is None:
        return ("" if told.now.answered else "No answer yet"), ""
    value, unit = _span(abs(now - before))
    if value == "0":
        return "As fast as before", ""
    return (
        f"{value} {unit} {'faster' if now < before else 'slower'}",
        "good" if now < before else "",
    )


def _points(now: int | None, before: int | None) -> str:
    if now is None or before is None:
        return ""
    if now == before:
        return "As before"
    points = abs(now - before)
    return f"{points} point{'' if points == 1 else 's'} {'more' if now > before else 'less'}"


def _of_sales(told: Insights) -> str:
    """`1.3% of sales`, where all of it is in one currency."""
    if len(told.given_back) != 1 or len(told.sold) != 1:
        return ""
    back, sold = told.given_back[0], told.sold[0]
    if back.currency != sold.currency:
        return ""
    return f"{100 * back.minor / sold.minor:.1f}% of sales"


def _share_of_denials(told: Insights) -> str:
    changed = share(told.now.overturned, told.now.reviewed)
    return "" if changed is None else f"{changed}% of those it decided on"


def _span(length: timedelta | None) -> tuple[str, str]:
    """A length of time as people say it: 35 minutes, 9 hours, 2.5 days."""
    if length is None:
        return NOTHING, ""
    minutes = round(length.total_seconds() / 60)
    if minutes < 60:
        return str(minutes), "minute" if minutes == 1 else "minutes"
    hours = round(minutes / 60)
    if hours < 48:
        return str(hours), "hour" if hours == 1 else "hours"
    return f"{hours / 24:.1f}".removesuffix(".0"), "days"


def _money(amounts: Iterable[Amount]) -> str:
    """`$148.00 and €20.00`"""
    return " and ".join(format_money(amount.minor, amount.currency) for amount in amounts)


# ── Charts, each with its table ───────────────────────────────────────────────────────────────────


def _weeks(told: Insights) -> dict[str, Any]:
    them = words.platform()
    rows = [
        (_short(week.monday), (week.without_staff, week.by_staff, week.going_on))
        for week in told.weeks
    ]
    title = "Cases opened each week"
    return {
        "weeks": columns(
            "weeks", title,
            f"Stacked columns for {len(rows)} weeks: settled without {them}, decided by {them}, "
            "still open. The same numbers are in the table below.",
            rows, width=860,
        ),
        "weeks_table": {
            "label": title,
            "heads": ("Week of", f"Settled without {them}", f"{them} decided", "Still open", "All"),
            "rows": [[label, *counts, sum(counts)] for label, counts in rows],
        },
    }  # fmt: skip


def _short(day: Any) -> str:
    """`Apr 13`"""
    return short_day_name(day)


def _reasons(told: Insights) -> dict[str, Any]:
    found = [(group.name, group.cases, _money(group.amounts)) for group in told.reasons]
    return {
        "reasons": bars(found),
        "reasons_table": {
            "label": "Cases by reason",
            "heads": ("Reason", "Cases", "Share", "Given back"),
            "rows": [
                [name, count, f"{share(count, told.now.cases) or 0}%", back or NOTHING]
                for name, count, back in found
            ],
        },
    }


def _answers(told: Insights) -> dict[str, Any]:
    them, days = words.platform(), settings.RESPONSE_DAYS
    named = [f"Day {day}" for day in range(1, days + 1)]
    short = [named[0], *(str(day) for day in range(2, days + 1)), "None"]
    counts = [*told.now.by_day, told.now.unanswered]
    title = "Time to your first answer"
    drawn: list[tuple[str, tuple[int, ...]]] = [
        (label, (count,)) for label, count in zip(short[:-1], counts[:-1], strict=True)
    ]
    drawn.append((short[-1], (0, counts[-1])))
    return {
        "answers": columns(
            "answers", title,
            f"Columns for each of the {days} days, and one for cases that went to {them} without "
            "an answer. The same numbers are in the table below.",
            drawn, width=420, name_all=True,
        ),
        "answers_table": {
            "label": title,
            "heads": ("First answer", "Cases"),
            "rows": [
                list(row) for row in zip([*named, f"None, went to {them}"], counts, strict=True)
            ],
        },
        "waiting": told.now.waiting,
    }  # fmt: skip


def _endings(told: Insights) -> dict[str, Any]:
    found = [(ending.label, told.now.by_ending[ending.name], "") for ending in endings()]
    found.append(("Not decided for good yet", told.now.cases - told.now.ended, ""))
    return {
        "endings": bars(found),
        "endings_table": {
            "label": "How the cases ended",
            "heads": ("Result", "Cases", "Share"),
            "rows": [
                [name, count, f"{share(count, told.now.cases) or 0}%"] for name, count, _ in found
            ],
        },
    }


def _products(told: Insights) -> dict[str, Any]:
    return {
        "products": [
            {
                "name": group.name,
                "sales": f"{group.sales:,}",
                "cases": f"{group.cases:,}",
                "per_hundred": _per(group),
                "back": _money(group.amounts) or NOTHING,
                "reason": words.SHORT_REASONS[group.top_reason] if group.top_reason else "",
            }
            for group in told.products[:PRODUCTS]
        ],
        "more_products": max(0, len(told.products) - PRODUCTS),
    }


def _per(group: Group) -> str:
    per = per_hundred(group.cases, group.sales)
    return NOTHING if per is None else f"{per:.1f}"


# ── The same as a file ────────────────────────────────────────────────────────────────────────────


@login_required
@require_safe
@never_cache
def insights_csv(request: HttpRequest) -> HttpResponseBase:
    """All figures of a period, one a row."""
    found = _of(request)
    if found is None:
        return no_company(request)
    form = PeriodForm(request.GET)
    told = insights_of(found[1], form.period)
    first, last = form.period.first, form.period.last
    return as_csv(f"insights-{first}-{last}.csv", list(_rows(told)))


def _rows(told: Insights) -> Iterator[tuple[object, ...]]:
    """Figure, of what, in which currency or unit, how much."""
    now, them = told.now, words.platform()
    yield "Figure", "Of", "Unit", "Value"
    yield "Period", "From", "", told.period.first
    yield "Period", "To", "", told.period.last
    yield "Cases opened", "", "", now.cases
    yield "Sales", "", "", told.sales
    for amount in told.sold:
        yield "Sold", "", amount.currency, to_decimal(amount.minor, amount.currency)
    for amount in told.given_back:
        yield "Given back", "", amount.currency, to_decimal(amount.minor, amount.currency)
    if now.median_answer is not None:
        hours = now.median_answer.total_seconds() / 3600
        yield "First answer, median", "", "hours", f"{hours:.2f}"
    yield "Decided for good", "", "", now.ended
    yield f"Settled without {them}", "", "", now.without_staff
    yield "Denied by you", "", "", now.denied
    yield f"Denials decided by {them}", "", "", now.reviewed
    yield f"Denials changed by {them}", "", "", now.overturned
    for ending in endings():
        yield "Result", ending.label, "", now.by_ending[ending.name]
    for day, count in enumerate(now.by_day, 1):
        yield "First answer", f"Day {day}", "", count
    yield "First answer", f"None, went to {them}", "", now.unanswered
    for week in told.weeks:
        yield "Cases by week", week.monday, "", week.cases
    for kind, groups in (("reason", told.reasons), ("product", told.products)):
        for group in groups:
            yield f"Cases by {kind}", group.name, "", group.cases
            if kind == "product":
                yield "Sales by product", group.name, "", group.sales
            for amount in group.amounts:
                value = to_decimal(amount.minor, amount.currency)
                yield f"Given back by {kind}", group.name, amount.currency, value
