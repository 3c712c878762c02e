"""Auto-respond: which rule a case falls under, its limits, what it says, and changing rules.

A message is text with named variables, filled in by plain substitution: it is never template code.
A company's rules change one at a time, under a lock on the company, and each change is kept. What a
rule has spent is counted while the rule is locked, so that cases at once never exceed a limit.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import transaction
from django.db.models import Count, F, Max, Q, Sum, prefetch_related_objects
from django.db.models.functions import TruncDate
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.doorbell import ring
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications.models import Notification
from payments.models import Payment
from payments.money import exponent, format_money
from resolution.models import Case, Event, Rule, RuleChange, RuleUse
from resolution.terms import Actor, Party, State

DAY, MONTH = timedelta(days=1), timedelta(days=30)
DELAYS = (0, 1, 4, 24, 48, 72)
"""Hours that a rule may wait before it refunds; those shorter than the time to answer."""

VARIABLES: Mapping[str, str | Promise] = {
    "buyer_name": _lazy("the buyer’s full name"),
    "first_name": _lazy("the buyer’s first name"),
    "product": _lazy("the product"),
    "amount": _lazy("what is refunded"),
    "method": _lazy("where it goes back to"),
    "company": _lazy("your company"),
    "case_id": _lazy("the case’s number"),
}

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def unknown_variables(message: str) -> list[str]:
    """Names in `{{ … }}` that are no variables, in order of appearance."""
    return [name for name in PLACEHOLDER.findall(message) if name not in VARIABLES]


def fill_in(message: str, values: Mapping[str, str]) -> str:
    """The message with its variables replaced; what is put in is never looked at again."""
    return PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), message)


def values_for(case: Case, amount_minor: int) -> dict[str, str]:
    """What the variables stand for in this case."""
    return {
        "buyer_name": case.buyer.name,
        "first_name": case.buyer.first_name,
        "product": case.product.name,
        "amount": format_money(amount_minor, case.currency),
        "method": case.payment.way_back,
        "company": case.company.name,
        "case_id": case.public_id,
    }


class Covered(Protocol):
    """What rules look at in a case."""

    @property
    def company_id(self) -> int: ...
    @property
    def product_id(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def asked_minor(self) -> int: ...


def covers(rule: Rule, case: Covered, processor: str, membership_status: str) -> bool:
    """Whether a rule is on and covers such a case; its limits aside.

    `membership_status` is that of the payment's membership, "" where it has none.
    """
    ended = membership_status == Membership.Status.ENDED
    return (
        rule.enabled
        and rule.company_id == case.company_id
        and case.reason in rule.reasons
        and (not rule.product_ids or case.product_id in rule.product_ids)
        and rule.processor in ("", processor)
        and (not rule.maximums or case.asked_minor <= rule.maximums.get(case.currency, 0))
        and (
            rule.membership == Rule.Membership.ANY
            or (rule.membership == Rule.Membership.ENDED and ended)
            or (
                rule.membership == Rule.Membership.RUNNING and bool(membership_status) and not ended
            )
        )
    )


def first_match(case: Case, rules: Iterable[Rule]) -> Rule | None:
    """The rule that a new case falls under; `rules` come in their order. Its limits come after:
    a case that they turn away waits for the creator, and falls under no later rule.
    """
    held = case.payment.membership
    status = held.status if held else ""
    return next((r for r in rules if covers(r, case, case.payment.processor, status)), None)


def rules_by_company(company_ids: Iterable[int]) -> dict[int, list[Rule]]:
    """Every enabled rule of these companies, in order: one query for a whole batch of cases."""
    found: dict[int, list[Rule]] = {}
    rules = Rule.objects.filter(company_id__in=set(company_ids), enabled=True)
    for rule in rules.order_by("company_id", "position", "id"):
        found.setdefault(rule.company_id, []).append(rule)
    return found


# ── Limits ────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Used:
    """What a rule has given or promised: minor units of a currency in 24 hours and in 30 days, and
    how many refunds to a buyer in 30 days.
    """

    day: int = 0
    month: int = 0
    buyer: int = 0


def over_limit(rule: Rule, currency: str, amount_minor: int, used: Used) -> str:
    """The limit that this refund would exceed: buyer, day or month; "" when none."""
    if rule.buyer_limit is not None and used.buyer + 1 > rule.buyer_limit:
        return RuleUse.TurnedAway.BUYER
    day, month = rule.day_limits.get(currency), rule.month_limits.get(currency)
    if day is not None and used.day + amount_minor > day:
        return RuleUse.TurnedAway.DAY
    if month is not None and used.month + amount_minor > month:
        return RuleUse.TurnedAway.MONTH
    return ""


@dataclass(frozen=True)
class Ruling:
    """What a rule does about a case: give back `amount_minor`, unless a limit turns it away."""

    rule: Rule
    amount_minor: int
    turned_away: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What the timeline keeps of it."""
        named = {"id": self.rule.pk, "version": self.rule.version, "name": self.rule.name}
        return {"rule": named, "amount_minor": self.amount_minor}


def rulings(cases: Sequence[Case], now: datetime) -> dict[int, Ruling]:
    """What the rules say to these cases, in their order; nothing of a case that none covers.

    To be asked in the transaction of the step that follows, with the cases locked: the rules are
    held until it ends.
    """
    prefetch_related_objects([case.payment for case in cases], "membership")
    by_company: dict[int, list[Rule]] = {}
    for rule in sorted(
        hold(company__in={case.company_id for case in cases}, enabled=True), key=_place
    ):
        by_company.setdefault(rule.company_id, []).append(rule)
    found = {
        case.pk: first
        for case in cases
        if refundable(case) and (first := first_match(case, by_company.get(case.company_id, ())))
    }
    spent = _Spent(found.values(), [case.buyer_id for case in cases if case.pk in found], now)
    given = {}
    for case in cases:
        if (matched := found.get(case.pk)) is None:
            continue
        amount = refundable(case)
        away = over_limit(matched, case.currency, amount, spent.used(matched, case))
        if not away:
            spent.add(matched, case, amount)
        given[case.pk] = Ruling(matched, amount, away)
    return given


def planned_rulings(cases: Sequence[Case]) -> dict[int, Ruling]:
    """The refunds that rules have planned for these cases and that still stand.

    One does not when its rule was turned off, deleted, or changed so that it no longer covers the
    case. Its amount was counted when it was planned. To be asked as `rulings` is.
    """
    prefetch_related_objects([case.payment for case in cases], "membership")
    uses = dict(RuleUse.objects.filter(case__in=cases).values_list("case", "rule"))
    held = {rule.pk: rule for rule in hold(pk__in={pk for pk in uses.values() if pk})}
    found = {}
    for case in cases:
        rule = held.get(uses.get(case.pk) or 0)
        if rule and refundable(case) and first_match(case, [rule]):
            found[case.pk] = Ruling(rule, refundable(case))
    return found


def hold(**which: Any) -> list[Rule]:
    """These rules, locked in one order until the transaction ends."""
    return list(Rule.objects.select_for_update(no_key=True).filter(**which).order_by("pk"))


def refundable(case: Case) -> int:
    """What a rule would give back in this case, in minor units; 0 while the bank looks into it."""
    if case.payment.chargeback == Payment.Chargeback.OPEN:
        return 0
    return max(0, min(case.asked_minor, case.payment.refundable_minor))


def _place(rule: Rule) -> tuple[int, int]:
    return rule.position, rule.pk


class _Spent:
    """What rules have given so far, kept up while a batch of cases is gone through."""

    def __init__(self, rules: Iterable[Rule], buyers: Iterable[int], now: datetime) -> None:
        limited = {
            r.pk for r in rules if r.day_limits or r.month_limits or r.buyer_limit is not None
        }
        self.sums: dict[tuple[int, str], Used] = {}
        self.buyers: dict[tuple[int, int], int] = {}
        if not limited:
            return
        planned = Q(
            refunded_at=None, case__state=State.AWAITING_CREATOR, case__waiting_on=Party.SYSTEM
        )
        lately = RuleUse.objects.filter(
            planned | Q(refunded_at__gt=now - MONTH), rule__in=limited, turned_away=""
        ).order_by()
        today = planned | Q(refunded_at__gt=now - DAY)
        by_currency = lately.values_list("rule", "case__currency").annotate(
            day=Sum("amount_minor", filter=today, default=0), month=Sum("amount_minor")
        )
        for rule_id, currency, day, month in by_currency:
            self.sums[rule_id, currency] = Used(day, month)
        of_buyers = lately.filter(case__buyer__in=set(buyers))
        by_buyer = of_buyers.values_list("rule", "case__buyer").annotate(many=Count("pk"))
        for rule_id, buyer, many in by_buyer:
            self.buyers[rule_id, buyer] = many

    def used(self, rule: Rule, case: Case) -> Used:
        sums = self.sums.get((rule.pk, case.currency), Used())
        return replace(sums, buyer=self.buyers.get((rule.pk, case.buyer_id), 0))

    def add(self, rule: Rule, case: Case, amount_minor: int) -> None:
        sums = self.sums.setdefault((rule.pk, case.currency), Used())
        sums.day += amount_minor
        sums.month += amount_minor
        self.buyers[rule.pk, case.buyer_id] = self.buyers.get((rule.pk, case.buyer_id), 0) + 1


# ── Changing the rules ────────────────────────────────────────────────────────────────────────────


class RuleChanged(Exception):
    """Somebody else changed the rule since the page was made."""


def may_change(actor: Actor) -> bool:
    """Rules give money back without anybody looking: they are for the owner and the admins."""
    return actor.role in (TeamMember.Role.OWNER, TeamMember.Role.ADMIN)


def add(company: Company, *, by: User | None = None, **columns: Any) -> Rule:
    """A new rule of the company's, after all others."""
    with transaction.atomic():
        _hold_company(company.pk)
        last = company.rules.aggregate(last=Max("position"))["last"] or 0
        rule = Rule.objects.create(company=company, position=last + 1, **columns)
        _keep(rule, RuleChange.Act.ADDED, by)
    return rule


def change(rule: Rule, seen_version: int, *, by: User | None = None, **columns: Any) -> Rule:
    """Give the rule new contents and a new version; what is the same already changes nothing.

    Raises RuleChanged unless `seen_version` is the version it has now, and when it is gone.
    """
    with transaction.atomic():
        fresh = _fresh(rule, seen_version)
        moved = {name for name, value in columns.items() if getattr(fresh, name) != value}
        if not moved:
            return fresh
        _write(fresh, by, **columns)
    return fresh


def _write(rule: Rule, by: User | None, **columns: Any) -> RuleChange:
    switched = columns.get("enabled", rule.enabled) != rule.enabled
    for name, value in columns.items():
        setattr(rule, name, value)
    rule.version += 1
    rule.updated_at = clock.now()
    act = RuleChange.Act.CHANGED
    if switched:
        rule.switched_at = rule.updated_at
        if rule.enabled:
            rule.off_because = Rule.OffBecause.SOMEBODY
        if columns.keys() <= {"enabled", "off_because"}:
            act = RuleChange.Act.ON if rule.enabled else RuleChange.Act.OFF
    rule.save()
    return _keep(rule, act, by)


def remove(rule: Rule, seen_version: int, *, by: User | None = None) -> None:
    """Take the rule away; its history stays. Raises RuleChanged as `change` does."""
    with transaction.atomic():
        fresh = _fresh(rule, seen_version)
        _keep(fresh, RuleChange.Act.DELETED, by)
        fresh.delete()


def move(rule: Rule, *, up: bool, by: User | None = None) -> None:
    """Let the rule change places with the one before (or after) it; at the end nothing happens."""
    with transaction.atomic():
        _hold_company(rule.company_id)
        order = list(Rule.objects.filter(company=rule.company_id).order_by("position", "id"))
        place = next((n for n, other in enumerate(order) if other.pk == rule.pk), None)
        if place is None:
            raise RuleChanged
        other = place - 1 if up else place + 1
        if 0 <= other < len(order):
            one, two = order[place], order[other]
            one.position, two.position = two.position, one.position
            Rule.objects.bulk_update([one, two], ["position"])
            _keep(one, RuleChange.Act.MOVED, by)


CONTENTS = (
    *("name", "enabled", "off_because", "reasons", "product_ids", "processor", "membership"),
    *("maximums", "day_limits", "month_limits", "buyer_limit", "delay_hours", "message"),
)
"""The columns that somebody writes, and that the history keeps."""


def _keep(rule: Rule, act: RuleChange.Act, by: User | None) -> RuleChange:
    """Write down in the history how the rule stands now."""
    place = Rule.objects.filter(company=rule.company_id, position__lte=rule.position).count()
    return RuleChange.objects.create(
        company_id=rule.company_id,
        rule=rule,
        rule_number=rule.pk,
        version=rule.version,
        act=act,
        actor=by,
        columns={name: getattr(rule, name) for name in CONTENTS} | {"place": place},
        at=clock.now(),
    )


def _hold_company(company_id: int) -> None:
    """Let nobody else change this company's rules until the transaction ends."""
    Company.objects.select_for_update(no_key=True).get(pk=company_id)


def _fresh(rule: Rule, seen_version: int) -> Rule:
    _hold_company(rule.company_id)
    fresh = Rule.objects.filter(pk=rule.pk).first()
    if fresh is None or fresh.version != seen_version:
        raise RuleChanged
    return fresh


# ── Switched off by itself ────────────────────────────────────────────────────────────────────────

WATCHED = timedelta(days=7)
DAYS_AT_LIMIT, FAILED_REFUNDS = 3, 3
SWITCHED_OFF = "rule_off"
"""The kind of the notice that a rule was switched off; it is `about` the change."""


def switch_off_where_troubled(rule_ids: Iterable[int]) -> None:
    """Turn off the rules that no longer do what they were written for, and tell who runs them.

    That is a rule whose limits of 24 hours or 30 days turned cases away on three days of the last
    seven, or of whose refunds three failed for good in that time. What was before its latest change
    does not count. Safe to call at any time.
    """
    for pk, company_id in Rule.objects.filter(pk__in=set(rule_ids), enabled=True).values_list(
        "pk", "company"
    ):
        with transaction.atomic():
            _hold_company(company_id)
            rule = Rule.objects.filter(pk=pk, enabled=True).first()
            if rule and (why := _trouble(rule)):
                _tell(rule, _write(rule, None, enabled=False, off_because=why))


def _trouble(rule: Rule) -> str:
    """Why a rule ought to be off; "" when nothing speaks against it."""
    since = max(clock.now() - WATCHED, rule.updated_at)
    limits = (RuleUse.TurnedAway.DAY, RuleUse.TurnedAway.MONTH)
    turned = rule.uses.filter(turned_away__in=limits, taken_at__gt=since)
    days = turned.annotate(day=TruncDate("taken_at")).order_by().values("day").distinct().count()
    if days >= DAYS_AT_LIMIT:
        return Rule.OffBecause.LIMITS
    failed = Event.objects.filter(
        step="refund_failed", case__rule_use__rule=rule, created_at__gt=since
    )
    if failed.values("case").distinct().count() >= FAILED_REFUNDS:
        return Rule.OffBecause.REFUNDS
    return ""


def _tell(rule: Rule, change: RuleChange) -> None:
    """A notice, and an e-mail, to the owners and admins."""
    runs_it = TeamMember.objects.filter(
        company=rule.company_id,
        role__in=[TeamMember.Role.OWNER, TeamMember.Role.ADMIN],
        user__is_active=True,
    )
    about = f"change_{change.pk}"
    Notification.objects.bulk_create(
        Notification(
            key=f"{about}:{user}:email",
            recipient_id=user,
            kind=SWITCHED_OFF,
            about=about,
            thread=f"rule_{rule.pk}",
        )
        for user in runs_it.order_by("pk").values_list("user", flat=True)
    )
    ring("resolution.tasks.deliver")


# ── What rules did, and would say ─────────────────────────────────────────────────────────────────


def refunds_since(company: Company, since: datetime) -> dict[int, list[tuple[str, int, int]]]:
    """What each rule has refunded: by its id, (currency, how many cases, minor units) rows."""
    rows = (
        RuleUse.objects.filter(rule__company=company, refunded_at__gte=since, turned_away="")
        .values("rule", currency=F("case__currency"))
        .annotate(many=Count("pk"), total=Sum("amount_minor"))
        .order_by("currency")
    )
    found: dict[int, list[tuple[str, int, int]]] = {}
    for row in rows:
        found.setdefault(row["rule"], []).append((row["currency"], row["many"], row["total"]))
    return found


def example_values(
    company: Company, product: Product | None, maximums: Mapping[str, int]
) -> dict[str, str]:
    """What the variables could stand for, to show what a message reads like."""
    currency = next(iter(maximums), "USD")
    minor = 29 * 10 ** exponent(currency)
    if product:
        minor, currency = product.price_minor, product.currency
    minor = min(minor, maximums.get(currency, minor))
    return {
        "buyer_name": "Hana Suzuki",
        "first_name": "Hana",
        "product": product.name if product else _("your product"),
        "amount": format_money(minor, currency),
        "method": _("Visa ending 4242"),
        "company": company.name,
        "case_id": "reso_4F7k2MxQ9bTzLa",
    }
