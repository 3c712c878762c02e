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
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace import clock
from marketplace.models import Company
from payments.money import format_money, to_decimal
from resolution import words
from resolution.forms.insights import PRESETS, PeriodForm
from resolution.insights import Amount, Group, Insights, endings, insights_of, per_hundred, share
from resolution.templatetags.rc import (
    and_list,
    day_name,
    decimal,
    per_cent,
    short_day_name,
    whole,
)
from resolution.views.charts import bars, columns
from resolution.views.desk import Desk, href, no_company, signed_in
from resolution.views.pace import paced
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
    if period.first == period.last:
        return first
    return _("{first} to {last}").format(first=first, last=last)


def _empty(told: Insights) -> dict[str, str] | None:
    """What stands there instead of charts when there was no case."""
    if told.now.cases:
        return None
    if told.sales:
        text = ngettext(
            "{sales} sale, and nobody asked for money back. Well done.",
            "{sales} sales, and nobody asked for money back. Well done.",
            told.sales,
        )
        return {
            "icon": "checkc",
            "title": _("No cases in this period"),
            "text": text.format(sales=whole(told.sales)),
        }
    return {
        "icon": "inbox",
        "title": _("Nothing in this period"),
        "text": _("There were no sales and no cases. Try a longer period."),
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
            _("Cases"),
            whole(now.cases),
            "",
            _more(now.cases - before.cases, told),
            "",
            _("Opened in this period, however they ended."),
        ),
        Figure(
            _("Cases per 100 sales"),
            NOTHING if per is None else decimal(per),
            "",
            "",
            "",
            _(
                "Cases opened for every 100 of the {whole} payments made in this period. A "
                "case may be about a payment made before it."
            ).format(whole=whole(told.sales)),
        ),
        Figure(
            _("First answer, typical"),
            value,
            unit,
            *_faster(told),
            _(
                "Half of your first answers (accept, deny or ask) came sooner after the "
                "case was opened, half later. Automatic refunds are left out."
            ),
        ),
        Figure(
            _("Settled without {them}").format(them=them),
            NOTHING if alone is None else str(alone),
            "" if alone is None else "%",
            _points(alone, alone_before),
            "",
            _(
                "Of the {whole} cases that are decided for good: those that {them} did not "
                "have to decide."
            ).format(whole=whole(now.ended), them=them),
        ),
        Figure(
            _("Given back in cases"),
            _money(told.given_back) or NOTHING,
            "",
            _of_sales(told),
            "",
            _(
                "Refunds of these cases that are final and yours to pay. Credits cost you "
                "nothing, and refunds that failed are left out."
            ),
        ),
        Figure(
            _("Changed by {them}").format(them=them),
            str(now.overturned) if now.reviewed else NOTHING,
            _("of {whole}").format(whole=whole(now.reviewed)) if now.reviewed else "",
            _share_of_denials(told),
            "",
            _(
                "You denied {whole}. Of those that buyers appealed and {them} has decided "
                "for good: how many gave the buyer something after all."
            ).format(whole=whole(now.denied), them=them),
        ),
    ]


def _more(more: int, told: Insights) -> str:
    """`12 more than the 90 days before`"""
    days = told.period.days
    if not told.before.cases:
        return ""
    if not more:
        said = ngettext(
            "As many as in the day before", "As many as in the {days} days before", days
        )
    elif more > 0:
        said = ngettext(
            "{cases} more than in the day before",
            "{cases} more than in the {days} days before",
            days,
        )
    else:
        said = ngettext(
            "{cases} fewer than in the day before",
            "{cases} fewer than in the {days} days before",
            days,
        )
    return said.format(cases=whole(abs(more)), days=days)


def _faster(told: Insights) -> tuple[str, str]:
    now, before = told.now.median_answer, told.before.median_answer
    if now is None or before is None:
        return ("" if told.now.answered else _("No answer yet")), ""
    value, unit = _span(abs(now - before))
    if value == "0":
        return _("As fast as before"), ""
    if now < before:
        return _("{value} {unit} faster").format(value=value, unit=unit), "good"
    return _("{value} {unit} slower").format(value=value, unit=unit), ""


def _points(now: int | None, before: int | None) -> str:
    if now is None or before is None:
        return ""
    if now == before:
        return _("As before")
    points = abs(now - before)
    if now > before:
        return ngettext("{points} point more", "{points} points more", points).format(points=points)
    return ngettext("{points} point less", "{points} points less", points).format(points=points)


def _of_sales(told: Insights) -> str:
    """`1.3% of sales`, where all of it is in one currency."""
    if len(told.given_back) != 1 or len(told.sold) != 1:
        return ""
    back, sold = told.given_back[0], told.sold[0]
    if back.currency != sold.currency:
        return ""
    return _("{per_cent} of sales").format(per_cent=per_cent(100 * back.minor / sold.minor, 1))


def _share_of_denials(told: Insights) -> str:
    changed = share(told.now.overturned, told.now.reviewed)
    return (
        ""
        if changed is None
        else _("{per_cent} of those it decided on").format(per_cent=per_cent(changed))
    )


def _span(length: timedelta | None) -> tuple[str, str]:
    """A length of time as people say it: 35 minutes, 9 hours, 2.5 days."""
    if length is None:
        return NOTHING, ""
    minutes = round(length.total_seconds() / 60)
    if minutes < 60:
        return str(minutes), ngettext("minute", "minutes", minutes)
    hours = round(minutes / 60)
    if hours < 48:
        return str(hours), ngettext("hour", "hours", hours)
    days = round(hours / 24, 1)
    return (str(int(days)) if days == int(days) else decimal(days)), _("days")


def _money(amounts: Iterable[Amount]) -> str:
    """`$148.00 and €20.00`"""
    return and_list([format_money(amount.minor, amount.currency) for amount in amounts])


# ── Charts, each with its table ───────────────────────────────────────────────────────────────────


def _weeks(told: Insights) -> dict[str, Any]:
    them = words.platform()
    rows = [
        (_short(week.monday), (week.without_staff, week.by_staff, week.going_on))
        for week in told.weeks
    ]
    title = _("Cases opened each week")
    return {
        "weeks": columns(
            "weeks",
            title,
            _(
                "Stacked columns for {rows} weeks: settled without {them}, decided by "
                "{them}, still open. The same numbers are in the table below."
            ).format(rows=len(rows), them=them),
            rows,
            width=860,
        ),
        "weeks_table": {
            "label": title,
            "heads": (
                _("Week of"),
                _("Settled without {them}").format(them=them),
                _("{them} decided").format(them=them),
                _("Still open"),
                _("All"),
            ),
            "rows": [[label, *counts, sum(counts)] for label, counts in rows],
        },
    }


def _short(day: Any) -> str:
    """`Apr 13`"""
    return short_day_name(day)


def _reasons(told: Insights) -> dict[str, Any]:
    found = [(group.name, group.cases, _money(group.amounts)) for group in told.reasons]
    return {
        "reasons": bars(found),
        "reasons_table": {
            "label": _("Cases by reason"),
            "heads": (_("Reason"), _("Cases"), _("Share"), _("Given back")),
            "rows": [
                [name, count, per_cent(share(count, told.now.cases) or 0), back or NOTHING]
                for name, count, back in found
            ],
        },
    }


def _answers(told: Insights) -> dict[str, Any]:
    them, days = words.platform(), settings.RESPONSE_DAYS
    named = [_("Day {day}").format(day=day) for day in range(1, days + 1)]
    short = [named[0], *(str(day) for day in range(2, days + 1)), _("None")]
    counts = [*told.now.by_day, told.now.unanswered]
    title = _("Time to your first answer")
    drawn: list[tuple[str, tuple[int, ...]]] = [
        (label, (count,)) for label, count in zip(short[:-1], counts[:-1], strict=True)
    ]
    drawn.append((short[-1], (0, counts[-1])))
    return {
        "answers": columns(
            "answers",
            title,
            _(
                "Columns for each of the {days} days, and one for cases that went to "
                "{them} without an answer. The same numbers are in the table below."
            ).format(days=days, them=them),
            drawn,
            width=420,
            name_all=True,
        ),
        "answers_table": {
            "label": title,
            "heads": (_("First answer"), _("Cases")),
            "rows": [
                list(row)
                for row in zip(
                    [*named, _("None, went to {them}").format(them=them)], counts, strict=True
                )
            ],
        },
        "waiting": told.now.waiting,
    }


def _endings(told: Insights) -> dict[str, Any]:
    found = [(ending.label, told.now.by_ending[ending.name], "") for ending in endings()]
    found.append((_("Not decided for good yet"), told.now.cases - told.now.ended, ""))
    return {
        "endings": bars(found),
        "endings_table": {
            "label": _("How the cases ended"),
            "heads": (_("Result"), _("Cases"), _("Share")),
            "rows": [
                [name, count, per_cent(share(count, told.now.cases) or 0)]
                for name, count, _ in found
            ],
        },
    }


def _products(told: Insights) -> dict[str, Any]:
    return {
        "products": [
            {
                "name": group.name,
                "sales": whole(group.sales),
                "cases": whole(group.cases),
                "per_hundred": _per(group),
                "back": _money(group.amounts) or NOTHING,
                "reason": str(words.SHORT_REASONS[group.top_reason]) if group.top_reason else "",
            }
            for group in told.products[:PRODUCTS]
        ],
        "more_products": max(0, len(told.products) - PRODUCTS),
    }


def _per(group: Group) -> str:
    per = per_hundred(group.cases, group.sales)
    return NOTHING if per is None else decimal(per)


# ── The same as a file ────────────────────────────────────────────────────────────────────────────


@login_required
@require_safe
@never_cache
@paced
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
    yield _("Figure"), _("Of"), _("Unit"), _("Value")
    yield _("Period"), _("From"), "", told.period.first
    yield _("Period"), _("To"), "", told.period.last
    yield _("Cases opened"), "", "", now.cases
    yield _("Sales"), "", "", told.sales
    for amount in told.sold:
        yield _("Sold"), "", amount.currency, to_decimal(amount.minor, amount.currency)
    for amount in told.given_back:
        yield _("Given back"), "", amount.currency, to_decimal(amount.minor, amount.currency)
    if now.median_answer is not None:
        hours = now.median_answer.total_seconds() / 3600
        yield _("First answer, median"), "", _("hours"), f"{hours:.2f}"
    yield _("Decided for good"), "", "", now.ended
    yield _("Settled without {them}").format(them=them), "", "", now.without_staff
    yield _("Denied by you"), "", "", now.denied
    yield _("Denials decided by {them}").format(them=them), "", "", now.reviewed
    yield _("Denials changed by {them}").format(them=them), "", "", now.overturned
    for ending in endings():
        yield _("Result"), ending.label, "", now.by_ending[ending.name]
    for day, count in enumerate(now.by_day, 1):
        yield _("First answer"), _("Day {day}").format(day=day), "", count
    yield _("First answer"), _("None, went to {them}").format(them=them), "", now.unanswered
    for week in told.weeks:
        yield _("Cases by week"), week.monday, "", week.cases
    cases_by = {"reason": _("Cases by reason"), "product": _("Cases by product")}
    back_by = {"reason": _("Given back by reason"), "product": _("Given back by product")}
    for kind, groups in (("reason", told.reasons), ("product", told.products)):
        for group in groups:
            yield cases_by[kind], group.name, "", group.cases
            if kind == "product":
                yield _("Sales by product"), group.name, "", group.sales
            for amount in group.amounts:
                value = to_decimal(amount.minor, amount.currency)
                yield back_by[kind], group.name, amount.currency, value
