"""The creator's cases: the list of them, and the page of one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import clock
from marketplace.addresses import address
from marketplace.models import TeamMember, User
from marketplace.statements import Statement
from payments.money import currencies_by_exponent, format_money, to_decimal
from resolution import words
from resolution.actors import as_creator
from resolution.forms.case_list import CaseFilter
from resolution.lifecycle import refund_planned, runs_the_company
from resolution.models import Case, CaseQuerySet, Event
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Money, Outcome, Party, Reason, Remedy, State
from resolution.views import case_page
from resolution.views.desk import SHOWN, Desk, Tab, href, no_company, signed_in, tabs
from resolution.views.login import needs_login
from resolution.views.pace import paced
from resolution.views.spreadsheets import as_csv

PAGE = 25
PART = 1_000  # rows of an export that are read at once
LAST_DAYS = 2  # from here on a due date stands out

# ── The list ──────────────────────────────────────────────────────────────────────────────────────

COLUMNS = {"due": "due_at", "newest": "-opened_at", "amount": "-asked_minor"}
"""The column behind each order; due dates may be empty, and those come last."""

SALT = "resolution.case-list"


@dataclass(frozen=True)
class Page:
    """Some rows, and the tokens that lead to those before and after them."""

    cases: list[Case]
    before: str = ""
    after: str = ""


def page_of(cases: CaseQuerySet, column: str, *, before: str = "", after: str = "") -> Page:
    """25 cases by keyset: those beside the row that the token names, or else the first.

    A token holds the sorted value and the id of a row and is signed; one that is not ours, or that
    was made for another order, counts as none.
    """
    if after and (place := _read(after, column)):
        found = list(_told_of(_beyond(cases, column, place), column))
        if found:
            more = _token(found[PAGE - 1], column) if len(found) > PAGE else ""
            return Page(found[:PAGE], before=_token(found[0], column), after=more)
    if before and (place := _read(before, column)):
        back = _reversed(column)
        found = list(_told_of(_beyond(cases, back, place), back))
        if len(found) > PAGE:
            rows = found[:PAGE][::-1]
            return Page(rows, before=_token(rows[0], column), after=_token(rows[-1], column))
    return _first_of(list(_told_of(_ordered(cases, column)[: PAGE + 1], column)), column)


def _first_of(found: list[Case], column: str) -> Page:
    return Page(found[:PAGE], after=_token(found[PAGE - 1], column) if len(found) > PAGE else "")


def _reversed(column: str) -> str:
    return column.removeprefix("-") if column.startswith("-") else f"-{column}"


def _ordered(cases: CaseQuerySet, column: str) -> CaseQuerySet:
    """By the column and then by id, both in one direction; empty values are the greatest."""
    return cases.order_by(column, "-pk" if column.startswith("-") else "pk")


def _beyond(
    cases: CaseQuerySet, column: str, place: tuple[Any, int], many: int = PAGE + 1
) -> CaseQuerySet:
    """The rows that come after this place: as many as fit a page, and one more."""
    value, pk = place
    name = column.removeprefix("-")
    if column.startswith("-"):
        if value is None:
            rest = Q(**{f"{name}__isnull": False}) | Q(**{f"{name}__isnull": True, "pk__lt": pk})
        else:
            rest = Q(**{f"{name}__lte": value}) & (Q(**{f"{name}__lt": value}) | Q(pk__lt=pk))
    elif value is None:
        rest = Q(**{f"{name}__isnull": True, "pk__gt": pk})
    else:
        rest = Q(**{f"{name}__gte": value}) & (Q(**{f"{name}__gt": value}) | Q(pk__gt=pk))
        if name == "due_at":
            rest |= Q(due_at__isnull=True)
    return _ordered(cases.filter(rest), column)[:many]


def every_one(cases: CaseQuerySet, column: str) -> Iterator[Case]:
    """All of the cases in this order, read in parts by keyset: no more than one is in memory."""
    found = list(_ordered(cases, column)[:PART])
    while found:
        yield from found
        if len(found) < PART:
            return
        place = getattr(found[-1], column.removeprefix("-")), found[-1].pk
        found = list(_beyond(cases, column, place, PART))


def _token(case: Case, column: str) -> str:
    value = getattr(case, column.removeprefix("-"))
    told = value.isoformat() if isinstance(value, datetime) else value
    return signing.dumps([column, told, case.pk], salt=SALT)


def _read(token: str, column: str) -> tuple[Any, int] | None:
    try:
        made_for, told, pk = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError):
        return None
    if made_for != column:
        return None
    return (parse_datetime(told) if isinstance(told, str) else told), pk


@login_required
@require_safe
@never_cache
def case_list(request: HttpRequest) -> HttpResponse:
    """The cases of a person's companies, in lists by whose turn it is."""
    desk = Desk.of(signed_in(request), request.GET.get("company", ""), with_products=True)
    if not desk.places:
        return no_company(request)
    every = tabs()
    tab, form, column = _asked_for(request, desk, every)
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    if before or after or form.narrows:
        page = page_of(_narrowed(tab.of(desk.cases()), form), column, before=before, after=after)
    else:
        page = _first_page(desk, tab, column)
    query = desk.query() | {"view": tab.name} | form.query()
    now = clock.now()
    context = {
        "nav": desk.nav("cases"),
        "tab": tab,
        "tabs": _tab_links(every, tab, desk, form),
        "form": form,
        "rows": [_row(case, tab, now, with_company=desk.chosen is None) for case in page.cases],
        "headline": _headline(desk, every[0], now),
        "toolbar": _toolbar(
            form,
            tuple((desk.query() | {"view": tab.name}).items()),
            href("dash-cases", desk.query() | {"view": tab.name}),
        ),
        "empty": _empty(desk, tab, form),
        "newer_href": href("dash-cases", query | {"before": page.before}) if page.before else "",
        "older_href": href("dash-cases", query | {"after": page.after}) if page.after else "",
        "csv_href": href("dash-cases-csv", query),
        "rules_href": href("dash-rules", desk.query()),
        "response_days": settings.RESPONSE_DAYS,
    }
    return render(request, "dash/case_list.html", context)


def _asked_for(
    request: HttpRequest, desk: Desk, every: Sequence[Tab]
) -> tuple[Tab, CaseFilter, str]:
    """The list that an address names, what narrows it, and the column that it is sorted by."""
    tab = next((tab for tab in every if tab.name == request.GET.get("view")), every[0])
    asked = {name: request.GET[name] for name in CaseFilter.base_fields if name in request.GET}
    form = _filter(
        tuple(asked.items()), tuple(desk.products()), tab.sorts, tab.shows == "result",
        get_language(),
    )  # fmt: skip
    column = COLUMNS[form.sort_by]
    if tab.name == "closed" and form.sort_by == "newest":
        column = "-closed_at"
    return tab, form, column


@lru_cache(maxsize=256)
def _filter(
    asked: tuple[tuple[str, str], ...],
    products: tuple[tuple[str, str], ...],
    sorts: tuple[str, ...],
    with_result: bool,
    language: str,
) -> CaseFilter:
    """What an address asks for, read once: nothing changes a form that has been read."""
    return CaseFilter(dict(asked), products=products, sorts=sorts, with_result=with_result)


@lru_cache(maxsize=256)
def _toolbar(form: CaseFilter, hidden: tuple[tuple[str, str], ...], clear_href: str) -> str:
    context = {"form": form, "hidden": dict(hidden), "clear_href": clear_href}
    return render_to_string("dash/_toolbar.html", context)


@login_required
@require_safe
@never_cache
@paced
def case_list_csv(request: HttpRequest) -> HttpResponseBase:
    """A list as it is filtered, whole, for a spreadsheet."""
    desk = Desk.of(signed_in(request), request.GET.get("company", ""), with_products=True)
    if not desk.places:
        return no_company(request)
    tab, form, column = _asked_for(request, desk, tabs())
    cases = _narrowed(tab.of(desk.cases()), form)
    found = every_one(cases.select_related("buyer", "product", "company", "payment"), column)
    zone = timezone.get_current_timezone()
    rows = (_cells(case, zone) for case in found)
    day = timezone.localtime(clock.now()).date()
    return as_csv(f"cases-{tab.name}-{day}.csv", chain([HEADINGS], rows))


HEADINGS = (
    _lazy("Case"),
    _lazy("Company"),
    _lazy("Buyer"),
    _lazy("E-mail"),
    _lazy("Product"),
    _lazy("Payment"),
    _lazy("Reason"),
    _lazy("Currency"),
    _lazy("Asked for"),
    _lazy("Paid by the buyer"),
    _lazy("Status"),
    _lazy("Waiting for"),
    _lazy("Next date"),
    _lazy("Opened"),
    _lazy("Closed"),
    _lazy("You paid"),
)


def _cells(case: Case, zone: tzinfo) -> list[object]:
    """A case in a file: plain numbers, and moments as every program reads them."""

    def amount(minor: int) -> str:
        return str(to_decimal(minor, case.currency))

    def moment(at: datetime | None) -> str:
        return at.astimezone(zone).isoformat(" ", "minutes") if at else ""

    return [
        case.public_id,
        case.company.name,
        case.buyer.name,
        case.buyer.email,
        case.product.name,
        case.payment.public_id,
        case.get_reason_display(),
        case.currency,
        amount(case.asked_minor),
        amount(case.payment.amount_minor),
        words.pill(case, Party.CREATOR).label,
        Party(case.waiting_on).label,
        moment(case.due_at),
        moment(case.opened_at),
        moment(case.closed_at),
        amount(_paid_minor(case)),
    ]


def _narrowed(cases: CaseQuerySet, form: CaseFilter) -> CaseQuerySet:
    if sought := form.chosen("q"):
        cases = cases.filter(_sought(sought))
    if reason := form.chosen("reason"):
        cases = cases.filter(reason=reason)
    if product := form.chosen("product"):
        cases = cases.filter(product__public_id=product)
    if result := form.results.get(form.chosen("result")):
        cases = cases.filter(result.cases)
    if (least := form.amount("least")) is not None:
        cases = cases.filter(_asks("gte", least))
    if (most := form.amount("most")) is not None:
        cases = cases.filter(_asks("lte", most))
    return cases


def _asks(compared: str, units: Decimal) -> Q:
    """Which cases ask for at least, or at most, so many whole units of their own currency."""
    column = f"asked_minor__{compared}"
    unusual = currencies_by_exponent()
    found = ~Q(currency__in=[code for codes in unusual.values() for code in codes])
    found &= Q(**{column: units * 100})
    for digits, codes in unusual.items():
        found |= Q(**{"currency__in": codes, column: units.scaleb(digits)})
    return found


def _sought(text: str) -> Q:
    """A number is looked up as it is; anything else is a part of a buyer's name or address."""
    for prefix, column in (("reso_", "public_id"), ("pay_", "payment__public_id")):
        if text.startswith(prefix):
            return Q(**{column: text})
    return Q(buyer__name__icontains=text) | Q(buyer__email__icontains=text)


def _told_of(some: CaseQuerySet, column: str) -> CaseQuerySet:
    """Some cases, no more than fit a page, in order, with all that a row tells, in one query.

    Which ones they are is found first, on their own table alone; of the last event a row tells what
    the creator may see.
    """
    last = Event.objects.filter(case=OuterRef("pk"), staff_only=False).order_by("-seq")
    rows = (
        Case.objects.filter(pk__in=some.values("pk"))
        .select_related("buyer", "product", "company", "payment")
        .only(*TOLD)
        .annotate(
            last=Subquery(
                last.values(row=JSONObject(step="step", party="party", at="created_at"))[:1]
            )
        )
    )
    return _ordered(rows, column)


TOLD = (
    "public_id", "state", "waiting_on", "due_at", "clock_started_at", "frozen_at", "opened_at",
    "closed_at", "reason", "asked_minor", "currency", "decided_by", "outcome", "remedy",
    "remedy_minor", "money", "final", "buyer__name", "product__name", "company__name",
    "payment__amount_minor",
)  # fmt: skip
"""What a row of the list is made of."""


def _first_page(desk: Desk, tab: Tab, column: str) -> Page:
    """The page of a list that everybody begins with: nothing narrows it, nothing is before it."""
    if desk.chosen:
        asked = _first_rows(tab.name, column, of_one=True)
        return _first_of(asked(desk.user.pk, desk.chosen.pk), column)
    return _first_of(_first_rows(tab.name, column, of_one=False)(desk.user.pk), column)


@cache
def _first_rows(name: str, column: str, *, of_one: bool) -> Statement[Case]:
    """For a person, and for `of_one` company of theirs, the first cases of a list."""
    tab = next(tab for tab in tabs() if tab.name == name)

    def build(person: int, company: int = 0) -> CaseQuerySet:
        cases = tab.of(Case.objects.visible_to(as_creator(User(pk=person))))
        if of_one:
            cases = cases.filter(company=company)
        return _told_of(_ordered(cases, column)[: PAGE + 1], column)

    return Statement(build, *[int] * (2 if of_one else 1))


def _tab_links(
    every: Iterable[Tab], shown: Tab, desk: Desk, form: CaseFilter
) -> list[dict[str, Any]]:
    kept = {name: value for name, value in form.query().items() if name not in ("sort", "result")}
    return [
        {
            "label": tab.label,
            "href": href("dash-cases", desk.query() | {"view": tab.name} | kept),
            "current": tab == shown,
            "count": desk.counted(tab) if tab.counted else None,
            "turn": tab.name == "needs-reply",
        }
        for tab in every
    ]


def _headline(desk: Desk, tab: Tab, now: datetime) -> dict[str, str] | None:
    """How much there is to answer, and by when."""
    many, due = desk.count(tab), desk.first_due
    if not many or due is None:
        return None
    if many > SHOWN:
        need = _("More than {shown} cases need your reply.").format(shown=SHOWN)
    else:
        need = ngettext(
            "{cases} case needs your reply.", "{cases} cases need your reply.", many
        ).format(cases=many)
    if due <= now:
        said = ngettext("It is due now.", "The first is due now.", many)
    else:
        said = ngettext("It is due {date}.", "The first is due {date}.", many).format(
            date=when_text(due, "short", in_a_sentence=True)
        )
    return {"lead": need, "text": said}


def _row(case: Case, tab: Tab, now: datetime, *, with_company: bool) -> dict[str, Any]:
    """A case in a list: finished texts, so that the template has nothing to work out."""
    part = case.asked_minor < case.payment.amount_minor
    running = words.ticking(case, now)
    urgent = (
        tab.name == "needs-reply" and running is not None and running.day > running.days - LAST_DAYS
    )
    return {
        "href": address("dash-case", case.public_id),
        "buyer": case.buyer.name,
        "product": case.product.name,
        "company": case.company.name if with_company else "",
        "asked": format_money(case.asked_minor, case.currency),
        "of": format_money(case.payment.amount_minor, case.currency) if part else "",
        "reason": str(words.SHORT_REASONS[Reason(case.reason)]),
        "pill": words.pill(case, Party.CREATOR),
        "paid": format_money(_paid_minor(case), case.currency),
        "closed": when_text(case.closed_at, "date") if case.closed_at else "",
        "meter": running if case.waiting_on not in (Party.STAFF, Party.SYSTEM) else None,
        "tone": "turn" if urgent else "calm",
        "due": _due(case, now),
        "left": _left(case, running),
        "last": _last_update(case, now),
    }


def _due(case: Case, now: datetime) -> str:
    """The date that a case waits for; of the staff's a creator hears a day, while it is to come."""
    if case.due_at is None or (case.waiting_on == Party.SYSTEM and not refund_planned(case)):
        return ""
    if case.waiting_on == Party.STAFF:
        return when_text(case.due_at, "weekday") if case.due_at > now else ""
    return when_text(case.due_at, "short")


def _left(case: Case, running: words.Ticking | None) -> str:
    """How much time is left of it; a target of the staff's is a date and no more."""
    if case.frozen_at:
        return _("Paused")
    if running is None or case.waiting_on in (Party.STAFF, Party.SYSTEM):
        return ""
    return running.left


def _paid_minor(case: Case) -> int:
    """What a closed case has cost the creator: credits are the platform's."""
    refunded = case.remedy == Remedy.REFUND and case.outcome == Outcome.BUYER_WON
    return case.remedy_minor if refunded and case.money != Money.FAILED else 0


LAST_UPDATES = {
    ("open_case", Party.BUYER): _lazy("Opened"),
    ("notify_creator", Party.SYSTEM): _lazy("Opened"),
    ("request_info", Party.CREATOR): _lazy("You asked for details"),
    ("reply", Party.BUYER): _lazy("Answered"),
    ("reply", Party.CREATOR): _lazy("You answered"),
    ("comment", Party.BUYER): _lazy("Added a message"),
    ("comment", Party.CREATOR): _lazy("You added a message"),
    ("accept", Party.CREATOR): _lazy("You accepted"),
    ("deny", Party.CREATOR): _lazy("You denied"),
    ("appeal", Party.BUYER): _lazy("Appealed"),
    ("appeal", Party.CREATOR): _lazy("You appealed"),
    ("accept_decision", Party.BUYER): _lazy("Accepted the decision"),
    ("accept_decision", Party.CREATOR): _lazy("You accepted the decision"),
    ("withdraw", Party.BUYER): _lazy("Withdrew"),
    ("auto_refund", Party.SYSTEM): _lazy("Auto-refunded"),
    ("plan_refund", Party.SYSTEM): _lazy("Refund planned"),
    ("cancel_refund", Party.CREATOR): _lazy("You canceled the refund"),
    ("cancel_refund", Party.SYSTEM): _lazy("Refund called off"),
    ("escalate", Party.SYSTEM): _lazy("Went to review"),
    ("refund_sent", Party.SYSTEM): _lazy("Refund sent"),
    ("refund_arrived", Party.SYSTEM): _lazy("Refund arrived"),
    ("refund_failed", Party.SYSTEM): _lazy("Refund failed"),
    ("close", Party.SYSTEM): _lazy("Closed"),
}


def _last_update(case: Case, now: datetime) -> str:
    """`Answered, 1 hour ago`"""
    last: dict[str, str] | None = getattr(case, "last", None)
    if not last:
        return ""
    at = datetime.fromisoformat(last["at"])
    if last["party"] == Party.STAFF:
        did = _("{platform} wrote").format(platform=words.platform())
    else:
        did = str(LAST_UPDATES.get((last["step"], Party(last["party"])), _("Updated")))
    return _("{done}, {ago}").format(done=did, ago=_ago(at, now))


def _ago(moment: datetime, now: datetime) -> str:
    gone = now - moment
    if gone >= timedelta(days=7):
        return when_text(moment, "date")
    minutes = int(gone.total_seconds() // 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return ngettext("{days} day ago", "{days} days ago", days).format(days=days)
    if hours:
        return ngettext("{hours} hour ago", "{hours} hours ago", hours).format(hours=hours)
    if minutes:
        return ngettext("{minutes} minute ago", "{minutes} minutes ago", minutes).format(
            minutes=minutes
        )
    return _("just now")


def _empty(desk: Desk, tab: Tab, form: CaseFilter) -> dict[str, str]:
    if form.narrows:
        return {
            "icon": "search",
            "title": _("No cases match"),
            "text": _("Try another name, or look in the other lists."),
            "cta_label": _("Show all of this list"),
            "cta_href": href("dash-cases", desk.query() | {"view": tab.name}),
        }
    title, text = tab.nothing
    return {
        "icon": "checkc" if tab.name == "needs-reply" else "inbox",
        "title": title,
        "text": text,
    }


# ── One case ──────────────────────────────────────────────────────────────────────────────────────


@needs_login
@require_safe
@never_cache
def case(request: HttpRequest, public_id: str) -> HttpResponse:
    """One case, with what this person may do about it."""
    desk = Desk.of(signed_in(request))
    found = case_page.find(as_creator(desk.user), public_id)
    return case_page.show(request, _surface(desk), desk.actor(found.company_id), found)


@needs_login
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def act(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """One act on a case, and back to its page."""
    desk = Desk.of(signed_in(request))
    found = case_page.find(as_creator(desk.user), public_id)
    return case_page.act(request, _surface(desk), desk.actor(found.company_id), found, act)


@needs_login
@require_POST
@never_cache
def draft(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """What a person of the team has typed for an act and not sent."""
    return case_page.draft(request, DASH, as_creator(signed_in(request)), public_id, act)


@needs_login
@require_safe
@never_cache
def live(request: HttpRequest, public_id: str) -> HttpResponse:
    """Whether the case has moved on."""
    return case_page.live(request, DASH, as_creator(signed_in(request)), public_id)


def _surface(desk: Desk) -> case_page.Surface:
    """The dashboard, as the page of a case needs to know it."""

    def nav(request: HttpRequest, case: Case | None) -> Mapping[str, Any]:
        assert case, "the page of a case has one"
        of_company = replace(desk, chosen=case.company)
        tab = _tab_of(case)
        return of_company.nav("cases", reading=case.public_id) | {
            "back_label": tab.caption,
            "back_href": href("dash-cases", of_company.query() | {"view": tab.name}),
            "next_href": _next_href(case),
            **_only(desk.actor(case.company_id), case),
        }

    return replace(DASH, nav=nav)


def _only(actor: Actor, case: Case) -> dict[str, str]:
    """Why somebody of this role can do less than others of the team, and who can do it."""
    if case.state == State.CLOSED:
        return {}
    if actor.role == TeamMember.Role.VIEWER:
        return {
            "limit_lead": _("You can read this case, but not answer it."),
            "limit": _("Your role is viewer. Owners, admins and support can answer."),
        }
    if not runs_the_company(case, actor) and Party.CREATOR in case.who_could_appeal():
        return {
            "limit_lead": _("You can’t appeal this decision."),
            "limit": _("Owners and admins can appeal or accept it."),
        }
    return {}


def _tab_of(case: Case) -> Tab:
    """The list that the case is in."""
    by_name = {tab.name: tab for tab in tabs()}
    if case.state in (State.CLOSED, State.DECIDED):
        return by_name[case.state]
    if refund_planned(case):
        return by_name["decided"]
    waits = {Party.CREATOR: "needs-reply", Party.BUYER: "buyer"}
    return by_name[waits.get(Party(case.waiting_on), "whop")]


def _next_href(case: Case) -> str:
    """The next case of the company that needs a reply, if there is another."""
    following: str | None = getattr(case, "next_in_line", None)
    return address("dash-case", following) if following else ""


DASH = case_page.Surface(
    Party.CREATOR, "dash/case.html", "dash/confirm.html", "dash-case", "dash-act", "dash-draft",
    "dash-live", "dash-export", lambda request, case: {},
)  # fmt: skip
"""The dashboard without its menu, which depends on who looks."""
