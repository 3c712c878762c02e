"""The staff's queue: which cases wait, in which order, how many of each kind, and the next one.

Pages are found by the last row of the page before, never by counting rows from the start, and only
the waiting cases are counted: they are few, however many cases there ever were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from babel.numbers import list_currencies
from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, ExpressionWrapper, F, Min, Q, Value, When
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.models import Company, User
from payments.money import exponent, limit_in
from resolution.models import Assignment, Case
from resolution.terms import BOTH, Money, Party, ReviewReason, State

PAGE = 25
IN_REVIEW = (State.ESCALATED, State.APPEALED)

VIEWS = {
    "mine": _lazy("Mine"),
    "unassigned": _lazy("Unassigned"),
    "waiting": _lazy("All waiting"),
    "asked": _lazy("Waiting for an answer"),
    "decided": _lazy("Decided"),
}
COUNTED_VIEWS = ("mine", "unassigned", "waiting")

FREE = Q(assigned_to=None) | Q(state=State.APPEALED, assigned_to=F("first_decider"))
"""Cases that nobody works on. Whoever decided one first had it, and may not decide its appeal."""

WHY = {
    "denial": (_lazy("Buyer appealed a denial"), Q(review_reason=ReviewReason.DENIAL_APPEALED)),
    "creator-silent": (_lazy("Creator didn’t reply"), Q(review_reason=ReviewReason.CREATOR_SILENT)),
    "buyer-silent": (_lazy("Buyer didn’t reply"), Q(review_reason=ReviewReason.BUYER_SILENT)),
    "final": (_lazy("Final review"), Q(review_reason=ReviewReason.DECISION_APPEALED)),
    "refund": (_lazy("Refund failed"), Q(money=Money.FAILED)),
    "second": (_lazy("Needs a second person"), Q(proposed_by__isnull=False)),
}

BANDS = {
    "small": (_lazy("Under 50"), Q(units__lt=50)),
    "medium": (_lazy("50 to 250"), Q(units__gte=50, units__lte=250)),
    "large": (_lazy("Over 250"), Q(units__gt=250)),
}

FOUND_BY = {
    "reso_": "public_id",
    "pay_": "payment__public_id",
    "user_": "buyer__public_id",
    "biz_": "company__public_id",
    "prod_": "product__public_id",
    "mem_": "payment__membership__public_id",
}


@cache
def _scales() -> dict[int, list[str]]:
    """Currencies by how many of the smallest unit make a whole one, where that is not a hundred."""
    scales: dict[int, list[str]] = {}
    for code in sorted(list_currencies()):
        if exponent(code) != 2:
            scales.setdefault(10 ** exponent(code), []).append(code)
    return scales


def whole_units() -> ExpressionWrapper:
    """What is asked for in whole units of the case's own currency, so that sums can be banded."""
    scale = models.Case(
        *(When(currency__in=codes, then=Value(scale)) for scale, codes in _scales().items()),
        default=Value(100),
        output_field=models.IntegerField(),
    )
    return ExpressionWrapper(F("asked_minor") * 1.0 / scale, output_field=models.FloatField())


@dataclass(frozen=True)
class Looking:
    """What somebody looks for, read from the address; what makes no sense there is left out."""

    view: str = "waiting"
    why: str = ""
    band: str = ""
    text: str = ""
    after: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> "Looking":
        def known(name: str, choices: Any, default: str = "") -> str:
            value = query.get(name, "")
            return value if value in choices else default

        return cls(
            view=known("view", VIEWS, "waiting"),
            why=known("why", WHY),
            band=known("amount", BANDS),
            text=query.get("q", "").strip()[:200],
            after=query.get("after", ""),
        )

    @property
    def by_due(self) -> bool:
        """What waits is read by its date; what was decided, and what is found, newest first."""
        return not self.text and self.view != "decided"

    def address(self, **changes: str) -> str:
        """The address of this page with something else chosen, from its first row on."""
        chosen = {"view": self.view, "why": self.why, "amount": self.band, "q": self.text}
        kept = {name: value for name, value in (chosen | changes).items() if value}
        if kept.get("view") == "waiting":
            del kept["view"]
        return f"?{urlencode(kept)}"


@dataclass(frozen=True)
class Page:
    """One page of cases, and the mark to put behind it for the next one."""

    cases: Sequence[Case]
    next_mark: str


def page_of(looking: Looking, user: User) -> Page:
    """The cases on one page. One query."""
    rows = _chosen(looking, user)
    if looking.by_due:
        rows = _after_due(rows, looking.after).order_by("due_at", "pk")
    else:
        last = looking.after if looking.after.isascii() and looking.after.isdigit() else ""
        rows = (rows.filter(pk__lt=int(last[:18])) if last else rows).order_by("-pk")
    found = list(rows.select_related("buyer", "company", "assigned_to")[: PAGE + 1])
    page, mark = found[:PAGE], ""
    if len(found) > PAGE:
        last_case = page[-1]
        mark = str(last_case.pk)
        if looking.by_due and last_case.due_at:
            mark = f"{last_case.due_at.isoformat()}~{mark}"
    return Page(page, mark)


def _after_due(rows: "models.QuerySet[Case]", mark: str) -> "models.QuerySet[Case]":
    moment, _, number = mark.partition("~")
    due_at = _moment(moment)
    if due_at is None or not (number.isascii() and number.isdigit()):
        return rows
    return rows.filter(due_at__gte=due_at).exclude(due_at=due_at, pk__lte=int(number[:18]))


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _chosen(looking: Looking, user: User) -> "models.QuerySet[Case]":
    if looking.text:
        return _found(looking.text)
    if looking.view == "decided":
        return Case.objects.filter(decided_by=Party.STAFF, state__in=[State.DECIDED, State.CLOSED])
    if looking.view == "asked":
        rows = Case.objects.filter(state__in=IN_REVIEW, waiting_on__in=BOTH, due_at__isnull=False)
    else:
        rows = Case.objects.needs_staff()
    if looking.view == "mine":
        rows = rows.filter(_is_with(user))
    elif looking.view == "unassigned":
        rows = rows.filter(FREE)
    if looking.why:
        rows = rows.filter(WHY[looking.why][1])
    if looking.band:
        rows = rows.alias(units=whole_units()).filter(BANDS[looking.band][1])
    return rows


def _is_with(user: User) -> Q:
    return Q(assigned_to=user) & ~Q(state=State.APPEALED, first_decider=user)


def _found(text: str) -> "models.QuerySet[Case]":
    """Cases by an id, an e-mail address, or the beginning of a word in one of the two names."""
    for prefix, column in FOUND_BY.items():
        if text.startswith(prefix):
            return Case.objects.filter(**{column: text})
    if "@" in text:
        return Case.objects.filter(buyer__email=text.lower())
    named = Q(name__istartswith=text) | Q(name__icontains=f" {text}")
    return Case.objects.filter(
        Q(buyer__in=User.objects.filter(named).values("pk"))
        | Q(company__in=Company.objects.filter(named).values("pk"))
    )


def counts(user: User) -> dict[str, Any]:
    """How many cases wait, of each kind, and since when the oldest does. One query."""
    now = clock.now()
    of_kind = {f"why_{name}": Count("pk", filter=chosen) for name, (_, chosen) in WHY.items()}
    of_band = {f"band_{name}": Count("pk", filter=chosen) for name, (_, chosen) in BANDS.items()}
    return (
        Case.objects.needs_staff()
        .alias(units=whole_units())
        .aggregate(
            waiting=Count("pk"),
            mine=Count("pk", filter=_is_with(user)),
            unassigned=Count("pk", filter=FREE),
            late=Count("pk", filter=Q(due_at__lt=now)),
            oldest=Min("clock_started_at"),
            **of_kind,
            **of_band,
        )
    )


def take_next(user: User) -> Case | None:
    """Assign the next case that nobody has and that this person may see to; None for none.

    Two who press at once get two cases: whoever comes second finds the row no longer free.
    """
    rows = Case.objects.needs_staff().filter(FREE, frozen_at=None)
    rows = rows.exclude(buyer=user).exclude(company__members__user=user)
    rows = rows.exclude(state=State.APPEALED, first_decider=user).exclude(proposed_by=user)
    if user.staff_role != User.StaffRole.FINANCE:
        small = Q(pk__in=[])
        for currency in settings.AGENT_DECIDE_LIMIT:
            limit = limit_in(currency, settings.AGENT_DECIDE_LIMIT)
            small |= Q(currency=currency, asked_minor__lte=limit)
        rows = rows.filter(small, proposed_by=None).exclude(money=Money.FAILED)
    for case in rows.order_by("due_at", "pk")[:PAGE]:
        if assign(case, user, by=user, seen=case.assigned_to_id):
            return case
    return None


def assign(case: Case, to: User | None, *, by: User, seen: int | None) -> bool:
    """Assign a case, or nobody, unless it is not as seen any more: True when it was done.

    Who works on a case is no part of its life: no step, no version, no entry of the timeline; the
    audit tells of it.
    """
    with transaction.atomic():
        free = Case.objects.filter(pk=case.pk, assigned_to=seen)
        done = bool(free.update(assigned_to=to))
        if done:
            Assignment.objects.create(case=case, by=by, to=to)
    return done
