"""Auto-respond: which rule a new case falls under, and the message that it sends.

A message is text with named variables, filled in by plain substitution: it is never template code.
"""

import re
from collections.abc import Iterable, Mapping

from payments.money import format_money
from resolution.models import Case, Rule

VARIABLES: Mapping[str, str] = {
    "buyer_name": "the buyer’s full name",
    "first_name": "the buyer’s first name",
    "product": "the product",
    "amount": "what is refunded",
    "method": "where it goes back to",
    "company": "your company",
    "case_id": "the case’s number",
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
