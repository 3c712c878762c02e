"""What a company's cases say over a period: how many, about what, how fast, and how they ended.

Each figure is about the cases that were *opened* in the period, as they stand now, and comes from
the company's own rows in a handful of aggregate queries. What each counts is said beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import (
    Aggregate,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    Q,
    Sum,
)
from django.db.models.functions import TruncWeek
from django.utils import timezone
from django.utils.translation import gettext as _

from marketplace import clock
from marketplace.models import Company
from payments.models import Payment
from resolution import words
from resolution.lifecycle import IN_REVIEW
from resolution.models import Case
from resolution.terms import Money, Outcome, Party, Reason, Remedy, State

ANSWERS = ("accept", "deny", "request_info")
"""The steps by which a creator answers a new case."""

# ── How a case ended, as rows can be counted and filtered by ──────────────────────────────────────

WON = Q(outcome=Outcome.BUYER_WON)
ENDED = Q(state=State.CLOSED) | Q(final=True)
BY_STAFF = Q(outcome__in=[Outcome.BUYER_WON, Outcome.CREATOR_WON]) & (
    Q(decided_by=Party.STAFF) | Q(decided_by=Party.SYSTEM, remedy=Remedy.NONE)
)
"""Decided by staff, or by the rules of their review: an answer to them was not given in time."""
GIVEN_BACK = ENDED & WON & Q(remedy=Remedy.REFUND) & ~Q(money=Money.FAILED)
"""A refund that is final and that the creator paid; credits are the platform's."""
DENIED = Q(denial_appealed=True) | Q(outcome=Outcome.CREATOR_WON, decided_by=Party.CREATOR)
REVIEWED_DENIAL = ENDED & Q(denial_appealed=True) & BY_STAFF
"""A denial that was appealed and that staff have decided on for good."""


@dataclass(frozen=True)
class Ending:
    """One way in which cases end, in the creator's words; each ended case is in exactly one."""

    name: str
    label: str
    cases: Q


def endings() -> list[Ending]:
    """Every way in which a case ends."""
    them = words.platform()
    refunded = WON & Q(remedy=Remedy.REFUND)
    return [
        Ending("you-refunded", _("You refunded"), refunded & Q(decided_by=Party.CREATOR)),
        Ending("auto-refunded", _("Auto-refunded"), refunded & Q(decided_by=Party.SYSTEM)),
        Ending(
            "staff-refunded",
            _("{them} refunded").format(them=them),
            refunded & Q(decided_by=Party.STAFF),
        ),
        Ending(
            "credits", _("{them} paid credits").format(them=them), WON & Q(remedy=Remedy.CREDIT)
        ),
        Ending("no-refund", _("No refund"), Q(outcome=Outcome.CREATOR_WON)),
        Ending("withdrawn", _("Withdrawn"), Q(outcome=Outcome.WITHDRAWN)),
        Ending("elsewhere", _("Settled elsewhere"), Q(outcome=Outcome.VOID)),
    ]


# ── The period ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Period:
    """Whole days in a person's time zone, both included."""

    first: date
    last: date

    @classmethod
    def of_days(cls, days: int) -> "Period":
        """So many days up to today."""
        today = timezone.localtime(clock.now()).date()
        return cls(today - timedelta(days=days - 1), today)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> "Period":
        """As many days right before."""
        return Period(self.first - timedelta(days=self.days), self.first - timedelta(days=1))

    @property
    def starts(self) -> datetime:
        return _midnight(self.first)

    @property
    def ends(self) -> datetime:
        """The first moment that is no longer in it."""
        return _midnight(self.last + timedelta(days=1))

    def holds(self, column: str) -> Q:
        return Q(**{f"{column}__gte": self.starts, f"{column}__lt": self.ends})

    @property
    def weeks(self) -> list[date]:
        """The Mondays of the weeks that it touches."""
        monday = self.first - timedelta(days=self.first.weekday())
        return [monday + timedelta(weeks=n) for n in range((self.last - monday).days // 7 + 1)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())


# ── The figures ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Amount:
    """Money in one currency, in minor units."""

    currency: str
    minor: int


@dataclass(frozen=True)
class Week:
    """The cases opened in a week, by where they were settled."""

    monday: date
    without_staff: int = 0
    by_staff: int = 0
    going_on: int = 0

    @property
    def cases(self) -> int:
        return self.without_staff + self.by_staff + self.going_on


@dataclass
class Group:
    """The cases of one reason or of one product."""

    key: Any
    name: str
    cases: int = 0
    sales: int = 0
    given_back: dict[str, int] = field(default_factory=dict)
    by_reason: dict[str, int] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        self.cases += row["many"]
        self.by_reason[row["reason"]] = self.by_reason.get(row["reason"], 0) + row["many"]
        if row["back"]:
            before = self.given_back.get(row["currency"], 0)
            self.given_back[row["currency"]] = before + row["back"]

    @property
    def amounts(self) -> list[Amount]:
        return [Amount(currency, minor) for currency, minor in sorted(self.given_back.items())]

    @property
    def top_reason(self) -> Reason | None:
        """The reason of most of its cases."""
        if not self.by_reason:
            return None
        return Reason(max(self.by_reason, key=lambda name: (self.by_reason[name], name)))


@dataclass(frozen=True)
class Sums:
    """The figures that one query gives: those of a period, or of the one before it."""

    cases: int
    ended: int
    without_staff: int
    denied: int
    reviewed: int
    overturned: int
    answered: int
    unanswered: int
    waiting: int
    median_answer: timedelta | None
    by_day: tuple[int, ...]
    by_ending: dict[str, int]


@dataclass(frozen=True)
class Insights:
    """All that is told of a company's cases in a period."""

    period: Period
    now: Sums
    before: Sums
    weeks: list[Week]
    reasons: list[Group]
    products: list[Group]
    sales: int
    sold: list[Amount]
    given_back: list[Amount]


def insights_of(company: Company, period: Period) -> Insights:
    """Look at a company's cases and payments of a period: five queries."""
    cases = Case.objects.filter(period.holds("opened_at"), company=company)
    cube: list[Any] = list(
        cases.values("reason", "currency", "product_id", "product__name")
        .annotate(many=Count("pk"), back=Sum("remedy_minor", filter=GIVEN_BACK))
        .order_by()
    )
    payments: list[Any] = list(
        Payment.objects.filter(period.holds("paid_at"), company=company)
        .values("product_id", "product__name", "currency")
        .annotate(many=Count("pk"), total=Sum("amount_minor"))
        .order_by()
    )
    return Insights(
        period,
        now=_sums(company, period),
        before=_sums(company, period.before),
        weeks=_weeks(company, period),
        reasons=_by_reason(cube),
        products=_by_product(cube, payments),
        sales=sum(row["many"] for row in payments),
        sold=_amounts((row["currency"], row["total"]) for row in payments),
        given_back=_amounts((row["currency"], row["back"] or 0) for row in cube),
    )


class _Median(Aggregate):
    """The middle value; between the two in the middle when their number is even."""

    function = "PERCENTILE_CONT"
    name = "Median"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def _sums(company: Company, period: Period) -> Sums:
    """The figures of the cases opened in a period, in one pass over them."""
    answer = Q(events__party=Party.CREATOR, events__step__in=ANSWERS)
    took = ExpressionWrapper(
        Min("events__created_at", filter=answer) - F("opened_at"), output_field=DurationField()
    )
    days = range(1, settings.RESPONSE_DAYS + 1)
    unanswered = Q(took=None)
    reviewed = BY_STAFF | Q(state__in=IN_REVIEW)
    found = (
        Case.objects.filter(period.holds("opened_at"), company=company)
        .annotate(took=took)
        .aggregate(
            cases=Count("pk"),
            ended=Count("pk", filter=ENDED),
            without_staff=Count("pk", filter=ENDED & ~BY_STAFF),
            denied=Count("pk", filter=DENIED),
            reviewed=Count("pk", filter=REVIEWED_DENIAL),
            overturned=Count("pk", filter=REVIEWED_DENIAL & WON),
            answered=Count("took"),
            unanswered=Count("pk", filter=unanswered & reviewed),
            waiting=Count("pk", filter=unanswered & Q(state=State.AWAITING_CREATOR)),
            median_answer=_Median("took"),
            **{f"day_{day}": Count("pk", filter=_on_day(day, days[-1])) for day in days},
            **{
                f"ending_{number}": Count("pk", filter=ENDED & ending.cases)
                for number, ending in enumerate(endings())
            },
        )
    )
    return Sums(
        by_day=tuple(found.pop(f"day_{day}") for day in days),
        by_ending={
            ending.name: found.pop(f"ending_{number}") for number, ending in enumerate(endings())
        },
        **found,
    )


def _on_day(day: int, last: int) -> Q:
    """Answered on this day of the case; what came on a later one counts for the last."""
    from_then = Q(took__gte=timedelta(days=day - 1))
    return from_then if day == last else from_then & Q(took__lt=timedelta(days=day))


def _weeks(company: Company, period: Period) -> list[Week]:
    rows = (
        Case.objects.filter(period.holds("opened_at"), company=company)
        .annotate(week=TruncWeek("opened_at"))
        .values("week")
        .annotate(
            without_staff=Count("pk", filter=ENDED & ~BY_STAFF),
            by_staff=Count("pk", filter=ENDED & BY_STAFF),
            going_on=Count("pk", filter=~ENDED),
        )
        .order_by()
    )
    found = {}
    for row in rows:
        monday = row["week"].date()
        found[monday] = Week(monday, row["without_staff"], row["by_staff"], row["going_on"])
    return [found.get(monday, Week(monday)) for monday in period.weeks]


def _by_reason(cube: Iterable[dict[str, Any]]) -> list[Group]:
    """Every reason, the most frequent first, those without a case too."""
    found = {str(reason): Group(str(reason), str(reason.label)) for reason in Reason}
    for row in cube:
        found[row["reason"]].add(row)
    return sorted(found.values(), key=lambda group: -group.cases)


def _by_product(cube: Iterable[dict[str, Any]], payments: Iterable[dict[str, Any]]) -> list[Group]:
    """Every product with a case or a sale, the one with most cases first."""
    found: dict[int, Group] = {}

    def group(row: dict[str, Any]) -> Group:
        key = row["product_id"]
        return found.setdefault(key, Group(key, row["product__name"]))

    for row in cube:
        group(row).add(row)
    for row in payments:
        group(row).sales += row["many"]
    return sorted(found.values(), key=lambda one: (-one.cases, -one.sales, one.name))


def _amounts(pairs: Iterable[tuple[str, int]]) -> list[Amount]:
    """One amount for each currency with any, the largest first as written."""
    sums: dict[str, int] = {}
    for currency, minor in pairs:
        sums[currency] = sums.get(currency, 0) + minor
    return [Amount(currency, minor) for currency, minor in sorted(sums.items()) if minor]


def per_hundred(cases: int, sales: int) -> float | None:
    """Cases for every hundred sales; none without a sale."""
    return 100 * cases / sales if sales else None


def share(part: int, whole: int) -> int | None:
    """A part of the whole in per cent; none of nothing."""
    return round(100 * part / whole) if whole else None


def most(values: Sequence[int]) -> int:
    """The largest of some counts, and 0 of none."""
    return max(values, default=0)
