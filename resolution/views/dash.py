"""The creator's pages: the list of cases, one case, and the auto-respond rules.

A person sees the cases of every company on whose team they are, and narrows them to one by
`?company=`; nothing of that is remembered but in the address.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, Min, OuterRef, Q, Subquery
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import clock
from marketplace.models import Company, Product, TeamMember, User
from payments.money import currency_symbol, format_money
from resolution import rules as auto_respond
from resolution import words
from resolution.actors import as_creator
from resolution.forms.case_list import CaseFilter
from resolution.forms.rules import RuleActForm, RuleForm
from resolution.lifecycle import IN_REVIEW, runs_the_company
from resolution.models import Case, CaseQuerySet, Event, Rule
from resolution.rules import RuleChanged
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Money, Outcome, Party, Reason, Remedy, State
from resolution.views import case_page

PAGE = 25
LAST_DAYS = 2  # from here on a due date stands out
STATISTICS_DAYS = 90
DEFAULT_MESSAGE = (
    "Hi {{ first_name }}, sorry about this. I’ve sent {{ amount }} back to your {{ method }}. "
    "No need to reply."
)

# ── Whose cases ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Tab:
    """One of the lists: which cases are in it, and what is told of them."""

    name: str
    label: str
    cases: Q
    caption: str
    date: str
    shows: Literal["reason", "state", "result"]
    sorts: tuple[str, ...]
    nothing: tuple[str, str]

    def of(self, cases: CaseQuerySet) -> CaseQuerySet:
        """Those of the cases that are in this list; where none is closed, the database is told."""
        found = cases.filter(self.cases)
        return found.exclude(state=State.CLOSED) if self.counted else found

    @property
    def counted(self) -> bool:
        """Closed cases only ever grow in number and are not counted."""
        return self.name not in ("closed", "all")


def tabs() -> list[Tab]:
    """The lists, in order; each case that is not closed is in exactly one before "all"."""
    them = words.platform()
    reviewed = Q(state__in=IN_REVIEW)
    usual = ("due", "newest", "amount")
    return [
        Tab(
            "needs-reply",
            "Needs your reply",
            Q(waiting_on=Party.CREATOR, state__in=[State.AWAITING_CREATOR, *IN_REVIEW]),
            "Cases that need your reply",
            "Reply due",
            "reason",
            usual,
            (
                "Nothing needs your reply",
                "New cases show up here, the one that is due soonest first.",
            ),
        ),
        Tab(
            "buyer",
            "With buyer",
            Q(state=State.MORE_INFO) | reviewed & Q(waiting_on=Party.BUYER),
            "Cases that wait for the buyer",
            "Answer due",
            "reason",
            usual,
            ("No case waits for a buyer", "When you ask for details, the case waits here."),
        ),
        Tab(
            "whop",
            f"With {them}",
            Q(state=State.OPEN) | reviewed & Q(waiting_on=Party.STAFF),
            f"Cases that {them} looks at",
            "Target",
            "state",
            usual,
            (f"No case is with {them}", "Cases that nobody answers in time are reviewed there."),
        ),
        Tab(
            "decided",
            "Decided",
            Q(state=State.DECIDED),
            "Decided cases that are not closed yet",
            "Open until",
            "state",
            usual,
            ("No case is waiting to close", "Decided cases stay here until nobody can appeal."),
        ),
        Tab(
            "closed",
            "Closed",
            Q(state=State.CLOSED),
            "Closed cases",
            "Closed",
            "result",
            ("newest", "amount"),
            ("No case has been closed yet", "Cases that are over stay readable here."),
        ),
        Tab(
            "all",
            "All",
            Q(),
            "All cases",
            "Next date",
            "state",
            ("newest", "due", "amount"),
            ("No cases yet", "When a buyer opens a case, it shows up here."),
        ),
    ]


@dataclass(frozen=True)
class Desk:
    """What a person answers for: their places in companies' teams, and the one they chose."""

    user: User
    places: Sequence[TeamMember]
    chosen: Company | None

    @classmethod
    def of(cls, user: User, company_id: str = "") -> "Desk":
        """The desk of this person; a company that is not theirs is not there."""
        places = list(
            TeamMember.objects.filter(user=user)
            .select_related("company")
            .order_by("company__name", "company_id")
        )
        chosen = None
        if len(places) == 1:
            chosen = places[0].company
        if company_id:
            chosen = next((p.company for p in places if p.company.public_id == company_id), None)
            if chosen is None:
                raise Http404("No such company.")
        return cls(user, places, chosen)

    def actor(self, company_id: int) -> Actor:
        """The person as one of this company's team."""
        role = next((place.role for place in self.places if place.company_id == company_id), "")
        return Actor(Party.CREATOR, self.user, role=role)

    @property
    def companies(self) -> list[Company]:
        return [place.company for place in self.places]

    @property
    def several(self) -> bool:
        return len(self.places) > 1

    def query(self, company: Company | None = None) -> dict[str, str]:
        """The part of an address that names the company, where there is a choice."""
        named = company or self.chosen
        return {"company": named.public_id} if named and self.several else {}

    def cases(self) -> CaseQuerySet:
        """The cases of the chosen company, or of all of them."""
        seen = Case.objects.visible_to(as_creator(self.user))
        return seen.filter(company=self.chosen) if self.chosen else seen

    @cached_property
    def counts(self) -> dict[int, dict[str, Any]]:
        """By company, how many cases are in each list, and when the first reply is due."""
        lists = [tab for tab in tabs() if tab.counted]
        rows = (
            Case.objects.visible_to(as_creator(self.user))
            .exclude(state=State.CLOSED)
            .values("company_id")
            .annotate(
                first_due=Min("due_at", filter=lists[0].cases),
                **{_column(tab): Count("pk", filter=tab.cases) for tab in lists},
            )
            .order_by()
        )
        return {row["company_id"]: dict(row) for row in rows}

    def _shown(self) -> list[dict[str, Any]]:
        return [
            row for pk, row in self.counts.items() if self.chosen is None or pk == self.chosen.pk
        ]

    def count(self, tab: Tab) -> int:
        return sum(row[_column(tab)] for row in self._shown())

    @property
    def first_due(self) -> datetime | None:
        return min((row["first_due"] for row in self._shown() if row["first_due"]), default=None)

    def nav(self, tab: str) -> dict[str, Any]:
        """The menu of the dashboard, for `dash/base.html`."""
        page = "dash-rules" if tab == "rules" else "dash-cases"
        turn = _column(tabs()[0])
        companies = [
            {
                "name": company.name,
                "href": _href(page, {"company": company.public_id}),
                "current": company == self.chosen,
                "turn_count": self.counts.get(company.pk, {}).get(turn, 0),
            }
            for company in self.companies
        ]
        if tab != "rules" and self.several:
            every = {"name": "All companies", "href": reverse(page), "current": self.chosen is None}
            companies.insert(0, every)
        return {
            "tab": tab,
            "cases_turn_count": self.count(tabs()[0]),
            "company": self.chosen or {"name": "All companies"},
            "companies": companies if self.several else [],
            "cases_href": _href("dash-cases", self.query()),
            "rules_href": _href("dash-rules", self.query()),
            "hub_href": reverse("hub"),
        }


def _column(tab: Tab) -> str:
    return tab.name.replace("-", "_")


def _href(name: str, query: Mapping[str, str], *args: Any) -> str:
    return reverse(name, args=args, query={key: value for key, value in query.items() if value})


def no_company(request: HttpRequest) -> HttpResponse:
    """Somebody who is on no team has no cases to answer."""
    return render(request, "dash/no_company.html", status=404)


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
        found = _beyond(cases, column, place)
        if found:
            more = _token(found[PAGE - 1], column) if len(found) > PAGE else ""
            return Page(found[:PAGE], before=_token(found[0], column), after=more)
    if before and (place := _read(before, column)):
        found = _beyond(cases, _reversed(column), place)
        if len(found) > PAGE:
            rows = found[:PAGE][::-1]
            return Page(rows, before=_token(rows[0], column), after=_token(rows[-1], column))
    found = list(_ordered(cases, column)[: PAGE + 1])
    return Page(found[:PAGE], after=_token(found[PAGE - 1], column) if len(found) > PAGE else "")


def _reversed(column: str) -> str:
    return column.removeprefix("-") if column.startswith("-") else f"-{column}"


def _ordered(cases: CaseQuerySet, column: str) -> CaseQuerySet:
    """By the column and then by id, both in one direction; empty values are the greatest."""
    return cases.order_by(column, "-pk" if column.startswith("-") else "pk")


def _beyond(cases: CaseQuerySet, column: str, place: tuple[Any, int]) -> list[Case]:
    """The rows that come after this place, and one more than fit a page."""
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
    return list(_ordered(cases.filter(rest), column)[: PAGE + 1])


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
    desk = Desk.of(_user(request), request.GET.get("company", ""))
    if not desk.places:
        return no_company(request)
    every = tabs()
    tab = next((tab for tab in every if tab.name == request.GET.get("view")), every[0])
    products = Product.objects.filter(company__in=desk.companies).order_by("name", "pk")
    if desk.chosen:
        products = products.filter(company=desk.chosen)
    form = CaseFilter(request.GET, products=products, sorts=tab.sorts)
    column = COLUMNS[form.sort_by]
    if tab.name == "closed" and form.sort_by == "newest":
        column = "-closed_at"
    page = page_of(
        _narrowed(_told_of(tab.of(desk.cases())), form),
        column,
        before=request.GET.get("before", ""),
        after=request.GET.get("after", ""),
    )
    query = desk.query() | {"view": tab.name} | form.query()
    now = clock.now()
    context = {
        "nav": desk.nav("cases"),
        "tab": tab,
        "tabs": _tab_links(every, tab, desk, form),
        "form": form,
        "rows": [_row(case, tab, now, with_company=desk.chosen is None) for case in page.cases],
        "headline": _headline(desk, every[0], now),
        "hidden": desk.query() | {"view": tab.name},
        "empty": _empty(desk, tab, form),
        "newer_href": _href("dash-cases", query | {"before": page.before}) if page.before else "",
        "older_href": _href("dash-cases", query | {"after": page.after}) if page.after else "",
        "rules_href": _href("dash-rules", desk.query()),
        "response_days": settings.RESPONSE_DAYS,
    }
    return render(request, "dash/case_list.html", context)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _narrowed(cases: CaseQuerySet, form: CaseFilter) -> CaseQuerySet:
    if sought := form.chosen("q"):
        cases = cases.filter(_sought(sought))
    if reason := form.chosen("reason"):
        cases = cases.filter(reason=reason)
    if product := form.chosen("product"):
        cases = cases.filter(product__public_id=product)
    return cases


def _sought(text: str) -> Q:
    """A number is looked up as it is; anything else is a part of a buyer's name or address."""
    for prefix, column in (("reso_", "public_id"), ("pay_", "payment__public_id")):
        if text.startswith(prefix):
            return Q(**{column: text})
    return Q(buyer__name__icontains=text) | Q(buyer__email__icontains=text)


def _told_of(cases: CaseQuerySet) -> CaseQuerySet:
    """With all that a row tells, and the last event that the creator may see, in one query."""
    last = Event.objects.filter(case=OuterRef("pk"), staff_only=False).order_by("-seq")
    return cases.select_related("buyer", "product", "company", "payment").annotate(
        last=Subquery(last.values(row=JSONObject(step="step", party="party", at="created_at"))[:1])
    )


def _tab_links(
    every: Iterable[Tab], shown: Tab, desk: Desk, form: CaseFilter
) -> list[dict[str, Any]]:
    kept = {name: value for name, value in form.query().items() if name != "sort"}
    return [
        {
            "label": tab.label,
            "href": _href("dash-cases", desk.query() | {"view": tab.name} | kept),
            "current": tab == shown,
            "count": desk.count(tab) if tab.counted else None,
            "turn": tab.name == "needs-reply",
        }
        for tab in every
    ]


def _headline(desk: Desk, tab: Tab, now: datetime) -> dict[str, str] | None:
    """How much there is to answer, and by when."""
    many, due = desk.count(tab), desk.first_due
    if not many or due is None:
        return None
    need = "1 case needs your reply." if many == 1 else f"{many} cases need your reply."
    which = "It" if many == 1 else "The first"
    said = f"{which} is due {_in_a_sentence(due)}." if due > now else f"{which} is due now."
    return {"lead": need, "text": said}


def _in_a_sentence(moment: datetime) -> str:
    """`tomorrow, 9:12 AM`, `Thu, July 16, 2:40 PM`"""
    said = when_text(moment, "short")
    near = ("Today", "Tomorrow", "Yesterday")
    return said[:1].lower() + said[1:] if said.startswith(near) else said


def _row(case: Case, tab: Tab, now: datetime, *, with_company: bool) -> dict[str, Any]:
    """A case in a list: finished texts, so that the template has nothing to work out."""
    part = case.asked_minor < case.payment.amount_minor
    running = words.ticking(case, now)
    urgent = (
        tab.name == "needs-reply" and running is not None and running.day > running.days - LAST_DAYS
    )
    return {
        "href": reverse("dash-case", args=[case.public_id]),
        "buyer": case.buyer.name,
        "product": case.product.name,
        "company": case.company.name if with_company else "",
        "asked": format_money(case.asked_minor, case.currency),
        "of": format_money(case.payment.amount_minor, case.currency) if part else "",
        "reason": words.SHORT_REASONS[Reason(case.reason)],
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
    if case.due_at is None or case.waiting_on == Party.SYSTEM:
        return ""
    if case.waiting_on == Party.STAFF:
        return when_text(case.due_at, "weekday") if case.due_at > now else ""
    return when_text(case.due_at, "short")


def _left(case: Case, running: words.Ticking | None) -> str:
    """How much time is left of it; a target of the staff's is a date and no more."""
    if case.frozen_at:
        return "Paused"
    if running is None or case.waiting_on in (Party.STAFF, Party.SYSTEM):
        return ""
    return running.left


def _paid_minor(case: Case) -> int:
    """What a closed case has cost the creator: credits are the platform's."""
    refunded = case.remedy == Remedy.REFUND and case.outcome == Outcome.BUYER_WON
    return case.remedy_minor if refunded and case.money != Money.FAILED else 0


LAST_UPDATES = {
    ("open_case", Party.BUYER): "Opened",
    ("notify_creator", Party.SYSTEM): "Opened",
    ("request_info", Party.CREATOR): "You asked for details",
    ("reply", Party.BUYER): "Answered",
    ("reply", Party.CREATOR): "You answered",
    ("comment", Party.BUYER): "Added a message",
    ("comment", Party.CREATOR): "You added a message",
    ("accept", Party.CREATOR): "You accepted",
    ("deny", Party.CREATOR): "You denied",
    ("appeal", Party.BUYER): "Appealed",
    ("appeal", Party.CREATOR): "You appealed",
    ("accept_decision", Party.BUYER): "Accepted the decision",
    ("accept_decision", Party.CREATOR): "You accepted the decision",
    ("withdraw", Party.BUYER): "Withdrew",
    ("auto_refund", Party.SYSTEM): "Auto-refunded",
    ("escalate", Party.SYSTEM): "Went to review",
    ("refund_sent", Party.SYSTEM): "Refund sent",
    ("refund_arrived", Party.SYSTEM): "Refund arrived",
    ("refund_failed", Party.SYSTEM): "Refund failed",
    ("close", Party.SYSTEM): "Closed",
}


def _last_update(case: Case, now: datetime) -> str:
    """`Answered, 1 hour ago`"""
    last: dict[str, str] | None = getattr(case, "last", None)
    if not last:
        return ""
    at = datetime.fromisoformat(last["at"])
    if last["party"] == Party.STAFF:
        did = f"{words.platform()} wrote"
    else:
        did = LAST_UPDATES.get((last["step"], Party(last["party"])), "Updated")
    return f"{did}, {_ago(at, now)}"


def _ago(moment: datetime, now: datetime) -> str:
    gone = now - moment
    if gone >= timedelta(days=7):
        return when_text(moment, "date")
    for name, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        many = int(gone.total_seconds() // seconds)
        if many:
            return f"{many} {name}{'' if many == 1 else 's'} ago"
    return "just now"


def _empty(desk: Desk, tab: Tab, form: CaseFilter) -> dict[str, str]:
    if form.narrows:
        return {
            "icon": "search",
            "title": "No cases match",
            "text": "Try another name, or look in the other lists.",
            "cta_label": "Show all of this list",
            "cta_href": _href("dash-cases", desk.query() | {"view": tab.name}),
        }
    title, text = tab.nothing
    return {
        "icon": "checkc" if tab.name == "needs-reply" else "inbox",
        "title": title,
        "text": text,
    }


# ── One case ──────────────────────────────────────────────────────────────────────────────────────


@login_required
@require_safe
@never_cache
def case(request: HttpRequest, public_id: str) -> HttpResponse:
    """One case, with what this person may do about it."""
    desk = Desk.of(_user(request))
    found = case_page.find(as_creator(desk.user), public_id)
    return case_page.show(request, _surface(desk), desk.actor(found.company_id), found)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def act(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """One act on a case, and back to its page."""
    desk = Desk.of(_user(request))
    found = case_page.find(as_creator(desk.user), public_id)
    return case_page.act(request, _surface(desk), desk.actor(found.company_id), found, act)


def _surface(desk: Desk) -> case_page.Surface:
    """The dashboard, as the page of a case needs to know it."""

    def nav(request: HttpRequest, case: Case | None) -> Mapping[str, Any]:
        assert case, "the page of a case has one"
        of_company = replace(desk, chosen=case.company)
        tab = _tab_of(case)
        return of_company.nav("cases") | {
            "back_label": tab.caption,
            "back_href": _href("dash-cases", of_company.query() | {"view": tab.name}),
            "next_href": _next_href(of_company, case),
            **_only(desk.actor(case.company_id), case),
        }

    return case_page.Surface(
        Party.CREATOR, "dash/case.html", "dash/confirm.html", "dash-case", "dash-act", nav
    )


def _only(actor: Actor, case: Case) -> dict[str, str]:
    """Why somebody of this role can do less than others of the team, and who can do it."""
    if case.state == State.CLOSED:
        return {}
    if actor.role == TeamMember.Role.VIEWER:
        return {
            "limit_lead": "You can read this case, but not answer it.",
            "limit": "Your role is viewer. Owners, admins and support can answer.",
        }
    if not runs_the_company(case, actor) and Party.CREATOR in case.who_could_appeal():
        return {
            "limit_lead": "You can’t appeal this decision.",
            "limit": "Owners and admins can appeal or accept it.",
        }
    return {}


def _tab_of(case: Case) -> Tab:
    """The list that the case is in."""
    by_name = {tab.name: tab for tab in tabs()}
    if case.state in (State.CLOSED, State.DECIDED):
        return by_name[case.state]
    waits = {Party.CREATOR: "needs-reply", Party.BUYER: "buyer"}
    return by_name[waits.get(Party(case.waiting_on), "whop")]


def _next_href(desk: Desk, case: Case) -> str:
    """The next case of the company that needs a reply, if there is another."""
    needing = tabs()[0]
    if desk.count(needing) <= (1 if _tab_of(case) == needing else 0):
        return ""
    others = desk.cases().needs_creator().exclude(pk=case.pk).order_by("due_at", "pk")
    following = others.values_list("public_id", flat=True).first()
    return reverse("dash-case", args=[following]) if following else ""


# ── Auto-respond ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Rulebook:
    """One company's rules, and whether this person may change them."""

    desk: Desk
    company: Company
    may_change: bool
    role: str

    @classmethod
    def of(cls, user: User, company_id: str = "") -> "Rulebook | None":
        """The rules of the named company of theirs, or of the first; None for who is on no team."""
        desk = Desk.of(user, company_id)
        if not desk.places:
            return None
        company = desk.chosen or desk.places[0].company
        place = next(place for place in desk.places if place.company_id == company.pk)
        role = place.get_role_display().lower()
        return cls(
            replace(desk, chosen=company),
            company,
            auto_respond.may_change(desk.actor(company.pk)),
            role,
        )

    def check(self) -> None:
        if not self.may_change:
            raise PermissionDenied(self.refusal)

    @property
    def refusal(self) -> str:
        return (
            f"Only owners and admins of {self.company.name} can change its rules. "
            f"Your role is {self.role}."
        )

    def products(self) -> list[Product]:
        return list(self.company.products.order_by("name", "pk"))

    def href(self, name: str, *args: Any) -> str:
        return _href(name, self.desk.query(self.company), *args)


def _rulebook(request: HttpRequest) -> Rulebook:
    book = Rulebook.of(_user(request), request.GET.get("company", ""))
    if book is None:
        raise Http404("On no team.")
    return book


def _rulebook_with(request: HttpRequest, pk: int) -> tuple[Rulebook, Rule]:
    """The rule with its book, for those on its company's team; for others there is none."""
    rule = (
        Rule.objects.select_related("company", "product")
        .filter(pk=pk, company__members__user=_user(request))
        .first()
    )
    if rule is None:
        raise Http404("No such rule.")
    book = Rulebook.of(_user(request), rule.company.public_id)
    assert book, "whoever sees a rule is on the company's team"
    return book, rule


@login_required
@require_safe
@never_cache
def rules(request: HttpRequest) -> HttpResponse:
    """A company's rules in their order, with what each has refunded lately."""
    book = Rulebook.of(_user(request), request.GET.get("company", ""))
    if book is None:
        return no_company(request)
    return _show_rules(request, book)


def _show_rules(
    request: HttpRequest, book: Rulebook, *, late: str = "", status: int = 200
) -> HttpResponse:
    since = clock.now() - timedelta(days=STATISTICS_DAYS)
    refunds = auto_respond.refunds_since(book.company, since)
    found = list(book.company.rules.select_related("product").order_by("position", "id"))
    context = {
        "nav": book.desk.nav("rules"),
        "book": book,
        "late": late,
        "rules": [
            {
                "id": rule.pk,
                "name": rule.name,
                "number": number,
                "version": rule.version,
                "enabled": rule.enabled,
                "says": _in_words(rule),
                "refunds": _refunds_in_words(refunds.get(rule.pk, [])),
                "is_first": number == 1,
                "is_last": number == len(found),
                "edit_href": reverse("dash-rule", args=[rule.pk]),
            }
            for number, rule in enumerate(found, 1)
        ],
        "new_href": book.href("dash-rule-new"),
        "days": STATISTICS_DAYS,
    }
    return render(request, "dash/rules.html", context, status=status)


def _in_words(rule: Rule) -> SafeString:
    """When a rule applies, as a sentence with what was chosen marked in it."""
    if set(rule.reasons) >= set(Reason.values):
        reasons = format_html("is <mark>{}</mark>", "any of them")
    else:
        short = [(words.SHORT_REASONS[Reason(name)].lower(),) for name in rule.reasons]
        reasons = format_html("is {}", format_html_join(" or ", "<mark>{}</mark>", short))
    up_to = "any amount"
    if rule.maximum_minor is not None:
        up_to = f"up to {format_money(rule.maximum_minor, rule.currency)}"
    product = format_html(" for <mark><bdi>{}</bdi></mark>", rule.product) if rule.product else ""
    return format_html(
        "When the reason {} and the buyer asks for <mark>{}</mark>{}, refund it and send your "
        "message.",
        reasons,
        up_to,
        product,
    )


def _refunds_in_words(rows: Sequence[tuple[str, int, int]]) -> str:
    """`9 refunds, $148.00 and €20.00`"""
    if not rows:
        return "no refunds"
    many = sum(row[1] for row in rows)
    sums = " and ".join(format_money(total, currency) for currency, _, total in rows)
    return f"{many} refund{'' if many == 1 else 's'}, {sums}"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rule_new(request: HttpRequest) -> HttpResponse:
    """Write a rule."""
    book = _rulebook(request)
    book.check()
    products = book.products()
    if request.method != "POST":
        form = RuleForm(
            company=book.company, products=products, initial={"message": DEFAULT_MESSAGE}
        )
        return _show_form(request, book, form)
    form = RuleForm(request.POST, company=book.company, products=products)
    if not form.is_valid():
        return _show_form(request, book, form, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form)
    rule = auto_respond.add(book.company, **form.columns())
    return _saved(request, book, rule)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a rule. When somebody else was faster nothing is saved, and nothing typed is lost."""
    try:
        book, rule = _rulebook_with(request, pk)
    except Http404:
        return _show_deleted(request)
    book.check()
    products, initial = book.products(), RuleForm.initial_of(rule)
    if request.method != "POST":
        form = RuleForm(company=book.company, products=products, initial=initial)
        return _show_form(request, book, form, rule)
    form = RuleForm(request.POST, company=book.company, products=products, initial=initial)
    if not form.is_valid():
        return _show_form(request, book, form, rule, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form, rule)
    try:
        rule = auto_respond.change(rule, form.cleaned_data["version"] or 0, **form.columns())
    except RuleChanged:
        return _show_late(request, book, form, pk)
    return _saved(request, book, rule)


def _saved(request: HttpRequest, book: Rulebook, rule: Rule) -> HttpResponse:
    messages.success(request, f"“{rule.name}” is saved.")
    return redirect(f"{book.href('dash-rules')}#rule-{rule.pk}")


def _show_late(request: HttpRequest, book: Rulebook, form: RuleForm, pk: int) -> HttpResponse:
    """What was typed, beside the rule as it is now; without it, to be saved as a new one."""
    fresh = Rule.objects.select_related("product").filter(pk=pk).first()
    form.renew(fresh.version if fresh else 0)
    return _show_form(request, book, form, fresh, late=True, status=409)


def _show_deleted(request: HttpRequest) -> HttpResponse:
    """What was typed for a rule that is gone, to be saved as a new one of the form's company."""
    company_id = request.POST.get("company", "")
    book = Rulebook.of(_user(request), company_id) if company_id else None
    if book is None:
        raise Http404("No such rule.")
    book.check()
    form = RuleForm(request.POST, company=book.company, products=book.products())
    return _show_form(request, book, form, late=True, status=409)


def _show_form(
    request: HttpRequest,
    book: Rulebook,
    form: RuleForm,
    rule: Rule | None = None,
    *,
    late: bool = False,
    status: int = 200,
) -> HttpResponse:
    single = form.currencies[0] if len(form.currencies) == 1 else ""
    context = {
        "nav": book.desk.nav("rules"),
        "book": book,
        "form": form,
        "rule": rule,
        "title": f"Edit “{rule.name}”" if rule else "New rule",
        "action": reverse("dash-rule", args=[rule.pk]) if rule else book.href("dash-rule-new"),
        "back_href": book.href("dash-rules"),
        "sign": currency_symbol(single) if single else "",
        "preview": form.preview(),
        "late": late,
        "now_says": _in_words(rule) if late and rule else "",
    }
    return render(request, "dash/rule_form.html", context, status=status)


@login_required
@require_POST
@never_cache
def rule_act(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """Switch a rule on or off, move it up or down, or delete it."""
    book, rule = _rulebook_with(request, pk)
    book.check()
    if act not in RULE_ACTS:
        raise Http404("No such act.")
    form = RuleActForm(request.POST)
    if not form.is_valid():
        raise BadRequest("The form of a rule names its version.")
    try:
        said = RULE_ACTS[act](rule, form.cleaned_data["version"])
    except RuleChanged:
        sentence = f"“{rule.name}” has changed meanwhile. Nothing was done. Here is how it is now."
        return _show_rules(request, book, late=sentence, status=409)
    if said:
        messages.success(request, said)
    anchor = "" if act == "delete" else f"#rule-{rule.pk}"
    return redirect(book.href("dash-rules") + anchor)


def _switch(rule: Rule, version: int, *, on: bool) -> str:
    auto_respond.change(rule, version, enabled=on)
    if on:
        return f"“{rule.name}” is on. It refunds matching cases from now on."
    return f"“{rule.name}” is off. New cases wait for you instead."


def _move(rule: Rule, *, up: bool) -> str:
    auto_respond.move(rule, up=up)
    return ""


def _delete(rule: Rule, version: int) -> str:
    auto_respond.remove(rule, version)
    return f"“{rule.name}” is deleted. New cases wait for you instead."


RULE_ACTS: Mapping[str, Callable[[Rule, int], str]] = {
    "on": lambda rule, version: _switch(rule, version, on=True),
    "off": lambda rule, version: _switch(rule, version, on=False),
    "up": lambda rule, version: _move(rule, up=True),
    "down": lambda rule, version: _move(rule, up=False),
    "delete": _delete,
}
