"""What a person of a creator's team has on their desk: their companies, the lists, the menu.

A person sees the cases of every company on whose team they are, and narrows them to one by
`?company=`; nothing of that is remembered but in the address.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar, Literal, Protocol, Self, cast

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    ExpressionWrapper,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from marketplace.addresses import address
from marketplace.models import Company, Product, TeamMember, User
from marketplace.statements import Statement
from notifications import inbox
from resolution import words
from resolution.actors import as_creator
from resolution.lifecycle import IN_REVIEW
from resolution.models import Case, CaseQuerySet
from resolution.terms import Actor, Party, State


def signed_in(request: HttpRequest) -> User:
    """Who asks; the pages need a login before this."""
    assert isinstance(request.user, User)
    return request.user


PLANNED = Q(state=State.AWAITING_CREATOR, waiting_on=Party.SYSTEM)
"""Cases that a rule refunds by itself: the creator need not reply."""


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


def tabs() -> Sequence[Tab]:
    """The lists, in order; each case that is not closed is in exactly one before "all"."""
    return _tabs(words.platform(), get_language())


@cache
def _tabs(them: str, language: str | None) -> Sequence[Tab]:
    reviewed = Q(state__in=IN_REVIEW)
    usual = ("due", "newest", "amount")
    return [
        Tab(
            "needs-reply",
            _("Needs your reply"),
            Q(waiting_on=Party.CREATOR, state__in=[State.AWAITING_CREATOR, *IN_REVIEW]),
            _("Cases that need your reply"),
            _("Reply due"),
            "reason",
            usual,
            (
                _("Nothing needs your reply"),
                _("New cases show up here, the one that is due soonest first."),
            ),
        ),
        Tab(
            "buyer",
            _("With buyer"),
            Q(state=State.MORE_INFO) | reviewed & Q(waiting_on=Party.BUYER),
            _("Cases that wait for the buyer"),
            _("Answer due"),
            "reason",
            usual,
            (_("No case waits for a buyer"), _("When you ask for details, the case waits here.")),
        ),
        Tab(
            "whop",
            _("With {them}").format(them=them),
            Q(state=State.OPEN) | reviewed & Q(waiting_on=Party.STAFF),
            _("Cases that {them} looks at").format(them=them),
            _("Target"),
            "state",
            usual,
            (
                _("No case is with {them}").format(them=them),
                _("Cases that nobody answers in time are reviewed there."),
            ),
        ),
        Tab(
            "decided",
            _("Decided"),
            Q(state=State.DECIDED) | PLANNED,
            _("Decided cases that are not closed yet"),
            _("Open until"),
            "state",
            usual,
            (
                _("No case is waiting to close"),
                _("Decided cases stay here until nobody can appeal."),
            ),
        ),
        Tab(
            "closed",
            _("Closed"),
            Q(state=State.CLOSED),
            _("Closed cases"),
            _("Closed"),
            "result",
            ("newest", "amount"),
            (_("No case has been closed yet"), _("Cases that are over stay readable here.")),
        ),
        Tab(
            "all",
            _("All"),
            Q(),
            _("All cases"),
            _("Next date"),
            "state",
            ("newest", "due", "amount"),
            (_("No cases yet"), _("When a buyer opens a case, it shows up here.")),
        ),
    ]


LOOKED_AT = 5_000
"""How many open cases of a company are looked at to count them: the menu is on every page."""

SHOWN = 500
"""From here on a count says that there are more."""

PAGES_OF_ONE = {
    "rules": "dash-rules",
    "replies": "dash-replies",
    "insights": "dash-insights",
    "developers": "dash-developers",
}
"""By its name in the menu, the page of a section that shows one company at a time."""


class _Counts(Subquery):
    """How many rows have each of some marks, and the first date of those with the first mark."""

    template = "(SELECT JSONB_BUILD_OBJECT(%(told)s) FROM (%(subquery)s) AS looked_at)"

    @classmethod
    def of(cls, rows: Any, marks: Sequence[str]) -> "_Counts":
        told = ["'open', COUNT(*)", f"'first_due', MIN(due_at) FILTER (WHERE {marks[0]})"]
        told += [f"'{mark}', COUNT(*) FILTER (WHERE {mark})" for mark in marks]
        return cls(rows, output_field=JSONField(), told=", ".join(told))


@dataclass(frozen=True)
class Desk:
    """What a person answers for: their places in companies' teams, and the one they chose."""

    user: User
    places: Sequence[TeamMember]
    chosen: Company | None

    @classmethod
    def of(cls, user: User, company_id: str = "", *, with_products: bool = False) -> "Desk":
        """The desk of this person; a company that is not theirs is not there. One query."""
        places = _places(with_products)(user.pk)
        for place in places:
            place.user = user
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

    @property
    def runs_one(self) -> bool:
        """They own or administrate the chosen company, or any if none is chosen."""
        theirs = [place for place in self.places if self.chosen in (None, place.company)]
        return any(place.role in ("owner", "admin") for place in theirs)

    @property
    def answers_one(self) -> bool:
        """They answer cases of the chosen company, or of the first that a page of one shows."""
        theirs = [place for place in self.places if self.chosen in (None, place.company)]
        return bool(theirs) and theirs[0].role != TeamMember.Role.VIEWER

    def query(self, company: Company | None = None) -> dict[str, str]:
        """The part of an address that names the company, where there is a choice."""
        named = company or self.chosen
        return {"company": named.public_id} if named and self.several else {}

    def cases(self) -> CaseQuerySet:
        """The cases of the chosen company, or of all of them."""
        seen = Case.objects.visible_to(as_creator(self.user))
        return seen.filter(company=self.chosen) if self.chosen else seen

    def products(self) -> list[tuple[str, str]]:
        """Ids and names of what the chosen company sells, or all of them do: read `with_products`.

        By name; the database has put those of each company in order.
        """
        shown = [place for place in self.places if self.chosen in (None, place.company)]
        of_each = [
            [(sold["id"], sold["name"]) for sold in _said(place).products] for place in shown
        ]
        return of_each[0] if len(of_each) == 1 else sorted(chain(*of_each), key=itemgetter(1))

    @cached_property
    def counts(self) -> dict[int, dict[str, Any]]:
        """By company, how many cases are in each list, and when the first reply is due.

        Of each company no more than LOOKED_AT open cases are looked at, those due first.
        """
        told = {place.company_id: _said(place).open_cases for place in self.places}
        return {company_id: counts for company_id, counts in told.items() if counts["open"]}

    def _shown(self) -> list[dict[str, Any]]:
        return [
            row for pk, row in self.counts.items() if self.chosen is None or pk == self.chosen.pk
        ]

    def count(self, tab: Tab) -> int:
        return sum(row[f"in_{column_of(tab)}"] for row in self._shown())

    def counted(self, tab: Tab) -> int | str:
        """The count for people: of a very long list it says that there are more."""
        return at_most(self.count(tab))

    @property
    def first_due(self) -> datetime | None:
        """When the first reply is due, of those that are shown."""
        due = (parse_datetime(row["first_due"]) for row in self._shown() if row["first_due"])
        return min((moment for moment in due if moment), default=None)

    def _unread(self, reading: str) -> str:
        """How many notices the person has not read, once they have read those of this case."""
        unread = _said(self.places[0]).unread if self.places else []
        return inbox.count_of(inbox.opened(self.user, reading, unread) if reading else unread)

    def nav(self, tab: str, *, reading: str = "") -> dict[str, Any]:
        """The menu of the dashboard, for `dash/base.html`.

        `reading` is the public id of the case that is being looked at: what was told of it is read.
        """
        page = PAGES_OF_ONE.get(tab, "dash-cases")
        turn = f"in_{column_of(tabs()[0])}"
        companies: list[dict[str, Any]] = [
            {
                "name": company.name,
                "href": href(page, {"company": company.public_id}),
                "current": company == self.chosen,
                "turn_count": at_most(self.counts.get(company.pk, {}).get(turn, 0)),
            }
            for company in self.companies
        ]
        if page == "dash-cases" and self.several:
            every = {
                "name": _("All companies"),
                "href": address(page),
                "current": self.chosen is None,
            }
            companies.insert(0, every)
        return {
            "tab": tab,
            "cases_turn_count": self.counted(tabs()[0]),
            "company": {"name": self.chosen.name if self.chosen else _("All companies")},
            "companies": companies if self.several else [],
            "cases_href": href("dash-cases", self.query()),
            "rules_href": href("dash-rules", self.query()),
            "replies_href": href("dash-replies", self.query()) if self.answers_one else "",
            "insights_href": href("dash-insights", self.query()),
            "developers_href": href("dash-developers", self.query()) if self.runs_one else "",
            "hub_href": address("hub"),
            "notices_href": address("dash-notices"),
            "unread": self._unread(reading),
        }


class _Told(Protocol):
    """What is read with each of a person's places."""

    unread: list[str]
    open_cases: dict[str, Any]
    products: list[dict[str, str]]


def _said(place: TeamMember) -> _Told:
    return cast("_Told", place)


@cache
def _places(with_products: bool) -> Statement[TeamMember]:
    """A person's places, with what is unread, how many cases are open, and what is sold there."""

    def build(person: int) -> QuerySet[TeamMember]:
        listed = {f"in_{column_of(tab)}": tab.cases for tab in tabs() if tab.counted}
        looked_at = (
            Case.objects.filter(company=OuterRef("company_id"))
            .exclude(state=State.CLOSED)
            .annotate(**{name: ExpressionWrapper(q, BooleanField()) for name, q in listed.items()})
            .order_by("due_at", "pk")
            .values("due_at", *listed)[:LOOKED_AT]
        )
        places = (
            TeamMember.objects.filter(user=person)
            .select_related("company")
            .annotate(
                unread=inbox.unread_of("user"), open_cases=_Counts.of(looked_at, list(listed))
            )
            .order_by("company__name", "company_id")
        )
        if not with_products:
            return places
        sold = Product.objects.filter(company=OuterRef("company")).order_by("name", "pk")
        return places.annotate(
            products=ArraySubquery(sold.values(row=JSONObject(id="public_id", name="name")))
        )

    return Statement(build, int)


@dataclass(frozen=True)
class Office:
    """One company of a person's, on a page that shows one at a time.

    Whose office has rules of its own says so in `check`; `prefers` are the roles of the company
    that is shown where none is named.
    """

    desk: Desk
    company: Company
    prefers: ClassVar[Container[str]] = ()

    @classmethod
    def of(cls, user: User, company_id: str = "") -> Self | None:
        """That of the named company, or of one of theirs; None for who is on no team.

        Raises Http404 for a company that is not theirs, PermissionDenied for who may not be there.
        """
        desk = Desk.of(user, company_id)
        if not desk.places:
            return None
        first = next((p for p in desk.places if p.role in cls.prefers), desk.places[0])
        company = desk.chosen or first.company
        office = cls(replace(desk, chosen=company), company)
        office.check()
        return office

    @classmethod
    def asked(cls, request: HttpRequest) -> Self | None:
        """The one that the address names."""
        return cls.of(signed_in(request), request.GET.get("company", ""))

    def check(self) -> None:
        """Raise PermissionDenied for somebody of the team who has nothing to do here."""

    @property
    def place(self) -> TeamMember:
        """What the person is in the company."""
        return next(p for p in self.desk.places if p.company_id == self.company.pk)

    def href(self, name: str, *args: Any) -> str:
        return href(name, self.desk.query(self.company), *args)


def at_most(many: int) -> int | str:
    """A count for people."""
    return many if many <= SHOWN else f"{SHOWN}+"


def column_of(tab: Tab) -> str:
    return tab.name.replace("-", "_")


def href(name: str, query: Mapping[str, str], *args: Any) -> str:
    asked = urlencode({key: value for key, value in query.items() if value})
    return f"{address(name, *args)}{'?' if asked else ''}{asked}"


def no_company(request: HttpRequest) -> HttpResponse:
    """Somebody who is on no team has no cases to answer."""
    return render(request, "dash/no_company.html", status=404)
