"""What a person of a creator's team has on their desk: their companies, the lists, the menu.

A person sees the cases of every company on whose team they are, and narrows them to one by
`?company=`; nothing of that is remembered but in the address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from django.db.models import Count, Min, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from marketplace.models import Company, TeamMember, User
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
            .annotate(unread=inbox.unread_of("user"))
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

    @property
    def runs_one(self) -> bool:
        """They own or administrate the chosen company, or any if none is chosen."""
        theirs = [place for place in self.places if self.chosen in (None, place.company)]
        return any(place.role in ("owner", "admin") for place in theirs)

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
                **{column_of(tab): Count("pk", filter=tab.cases) for tab in lists},
            )
            .order_by()
        )
        return {row["company_id"]: dict(row) for row in rows}

    def _shown(self) -> list[dict[str, Any]]:
        return [
            row for pk, row in self.counts.items() if self.chosen is None or pk == self.chosen.pk
        ]

    def count(self, tab: Tab) -> int:
        return sum(row[column_of(tab)] for row in self._shown())

    @property
    def first_due(self) -> datetime | None:
        return min((row["first_due"] for row in self._shown() if row["first_due"]), default=None)

    def _unread(self, reading: str) -> str:
        """How many notices the person has not read, once they have read those of this case."""
        unread: list[str] = self.places[0].unread if self.places else []  # type: ignore[attr-defined]
        return inbox.count_of(inbox.opened(self.user, reading, unread) if reading else unread)

    def nav(self, tab: str, *, reading: str = "") -> dict[str, Any]:
        """The menu of the dashboard, for `dash/base.html`.

        `reading` is the public id of the case that is being looked at: what was told of it is read.
        """
        page = {"rules": "dash-rules", "developers": "dash-developers"}.get(tab, "dash-cases")
        turn = column_of(tabs()[0])
        companies = [
            {
                "name": company.name,
                "href": href(page, {"company": company.public_id}),
                "current": company == self.chosen,
                "turn_count": self.counts.get(company.pk, {}).get(turn, 0),
            }
            for company in self.companies
        ]
        if page == "dash-cases" and self.several:
            every = {"name": "All companies", "href": reverse(page), "current": self.chosen is None}
            companies.insert(0, every)
        return {
            "tab": tab,
            "cases_turn_count": self.count(tabs()[0]),
            "company": self.chosen or {"name": "All companies"},
            "companies": companies if self.several else [],
            "cases_href": href("dash-cases", self.query()),
            "rules_href": href("dash-rules", self.query()),
            "developers_href": href("dash-developers", self.query()) if self.runs_one else "",
            "hub_href": reverse("hub"),
            "notices_href": reverse("dash-notices"),
            "unread": self._unread(reading),
        }


def column_of(tab: Tab) -> str:
    return tab.name.replace("-", "_")


def href(name: str, query: Mapping[str, str], *args: Any) -> str:
    return reverse(name, args=args, query={key: value for key, value in query.items() if value})


def no_company(request: HttpRequest) -> HttpResponse:
    """Somebody who is on no team has no cases to answer."""
    return render(request, "dash/no_company.html", status=404)
