"""Auto-respond: which rule a new case falls under, what it says to the buyer, and changing rules.

A message is text with named variables, filled in by plain substitution: it is never template code.
A company's rules change one at a time, under a lock on the company.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, Count, F, Max, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.models import Company, Product, TeamMember
from payments.money import exponent, format_money
from resolution.models import Case, Event, Rule
from resolution.terms import Actor, Party

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


def matches(rule: Rule, case: Case) -> bool:
    """Whether an enabled rule covers this case."""
    return (
        rule.enabled
        and rule.company_id == case.company_id
        and case.reason in rule.reasons
        and rule.product_id in (None, case.product_id)
        and (
            rule.maximum_minor is None
            or (rule.currency == case.currency and case.asked_minor <= rule.maximum_minor)
        )
    )


def first_match(case: Case, rules: Iterable[Rule]) -> Rule | None:
    """The rule that a new case falls under; `rules` come in their order."""
    return next((rule for rule in rules if matches(rule, case)), None)


def rules_by_company(company_ids: Iterable[int]) -> dict[int, list[Rule]]:
    """Every enabled rule of these companies, in order: one query for a whole batch of cases."""
    found: dict[int, list[Rule]] = {}
    rules = Rule.objects.filter(company_id__in=set(company_ids), enabled=True)
    for rule in rules.order_by("company_id", "position", "id"):
        found.setdefault(rule.company_id, []).append(rule)
    return found


# ── Changing the rules ────────────────────────────────────────────────────────────────────────────


class RuleChanged(Exception):
    """Somebody else changed the rule since the page was made."""


def may_change(actor: Actor) -> bool:
    """Rules give money back without anybody looking: they are for the owner and the admins."""
    return actor.role in (TeamMember.Role.OWNER, TeamMember.Role.ADMIN)


def add(company: Company, **columns: Any) -> Rule:
    """A new rule of the company's, after all others."""
    with transaction.atomic():
        _hold(company.pk)
        last = company.rules.aggregate(last=Max("position"))["last"] or 0
        return Rule.objects.create(company=company, position=last + 1, **columns)


def change(rule: Rule, seen_version: int, **columns: Any) -> Rule:
    """Give the rule new contents and a new version.

    Raises RuleChanged unless `seen_version` is the version it has now, and when it is gone.
    """
    with transaction.atomic():
        fresh = _fresh(rule, seen_version)
        for name, value in columns.items():
            setattr(fresh, name, value)
        fresh.version += 1
        fresh.updated_at = clock.now()
        fresh.save()
    return fresh


def remove(rule: Rule, seen_version: int) -> None:
    """Take the rule away. Raises RuleChanged as `change` does."""
    with transaction.atomic():
        _fresh(rule, seen_version).delete()


def move(rule: Rule, *, up: bool) -> None:
    """Let the rule change places with the one before (or after) it; at the end nothing happens."""
    with transaction.atomic():
        _hold(rule.company_id)
        order = list(Rule.objects.filter(company=rule.company_id).order_by("position", "id"))
        place = next((n for n, other in enumerate(order) if other.pk == rule.pk), None)
        if place is None:
            raise RuleChanged
        other = place - 1 if up else place + 1
        if 0 <= other < len(order):
            one, two = order[place], order[other]
            one.position, two.position = two.position, one.position
            Rule.objects.bulk_update([one, two], ["position"])


def _hold(company_id: int) -> None:
    """Let nobody else change this company's rules until the transaction ends."""
    Company.objects.select_for_update(no_key=True).get(pk=company_id)


def _fresh(rule: Rule, seen_version: int) -> Rule:
    _hold(rule.company_id)
    fresh = Rule.objects.filter(pk=rule.pk).first()
    if fresh is None or fresh.version != seen_version:
        raise RuleChanged
    return fresh


# ── What rules did, and would say ─────────────────────────────────────────────────────────────────


def refunds_since(company: Company, since: datetime) -> dict[int, list[tuple[str, int, int]]]:
    """What each rule has refunded: by its id, (currency, how many cases, minor units) rows."""
    rows = (
        Event.objects.filter(
            case__company=company,
            case__decided_by=Party.SYSTEM,
            case__decided_at__gte=since,
            step="auto_refund",
        )
        .values(rule=KT("data__rule__id"), currency=F("case__currency"))
        .annotate(many=Count("pk"), total=Sum(Cast(KT("data__amount_minor"), BigIntegerField())))
        .order_by("currency")
    )
    found: dict[int, list[tuple[str, int, int]]] = {}
    for row in rows:
        found.setdefault(int(row["rule"]), []).append((row["currency"], row["many"], row["total"]))
    return found


def example_values(
    company: Company, product: Product | None, maximum_minor: int | None, currency: str
) -> dict[str, str]:
    """What the variables could stand for, to show what a message reads like."""
    minor, paid_in = 29 * 10 ** exponent(currency), currency
    if product:
        minor, paid_in = product.price_minor, product.currency
    if maximum_minor and paid_in == currency:
        minor = min(minor, maximum_minor)
    return {
        "buyer_name": "Hana Suzuki",
        "first_name": "Hana",
        "product": product.name if product else _("your product"),
        "amount": format_money(minor, paid_in),
        "method": _("Visa ending 4242"),
        "company": company.name,
        "case_id": "reso_4F7k2MxQ9bTzLa",
    }
