"""What people read of auto-respond rules: when one applies, how far it goes, and what changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from payments.money import format_money
from resolution.models import Rule, RuleChange
from resolution.templatetags.rc import and_list
from resolution.terms import Reason
from resolution.words import SHORT_REASONS, platform

Names = Mapping[int, str]
"""A company's products by id."""


def delay(hours: int) -> str:
    """When a rule refunds, after the case was opened: `at once`, `after 4 hours`."""
    if not hours:
        return _("at once")
    if hours % 24 == 0:
        days = hours // 24
        return ngettext("after %(many)s day", "after %(many)s days", days) % {"many": days}
    return ngettext("after %(many)s hour", "after %(many)s hours", hours) % {"many": hours}


def amounts(minor: Mapping[str, int]) -> list[str]:
    """`$25.00`, `€20.00`"""
    return [format_money(amount, currency) for currency, amount in sorted(minor.items())]


def sums(minor: Mapping[str, int]) -> str:
    """`$412.00 and €20.00`; nothing for no sums."""
    return and_list(amounts(minor))


def refunds(many: int, minor: Mapping[str, int]) -> str:
    """`9 refunds, $148.00 and €20.00`"""
    if not many:
        return _("no refunds")
    counted = ngettext("%(many)s refund", "%(many)s refunds", many) % {"many": many}
    return f"{counted}, {sums(minor)}"


def _marked(words: Iterable[str]) -> SafeString:
    between = format_html(" {} ", _("or"))
    return format_html_join(between, "<mark><bdi>{}</bdi></mark>", [(word,) for word in words])


def applies(rule: Rule, products: Names) -> SafeString:
    """When a rule applies and what it does, as a sentence with what was chosen marked in it."""
    reasons = [_("any of them")]
    if not set(rule.reasons) >= set(Reason.values):
        reasons = [str(SHORT_REASONS[Reason(name)]) for name in rule.reasons]
    asks = [_("any amount")]
    if rule.maximums:
        asks = [_("up to %(amount)s") % {"amount": text} for text in amounts(rule.maximums)]
    parts = [
        format_html(
            _("When the reason is {} and the buyer asks for {}"), _marked(reasons), _marked(asks)
        )
    ]
    if rule.product_ids:
        parts.append(format_html(_(" for {}"), _marked(_product_names(rule.product_ids, products))))
    if rule.processor:
        parts.append(format_html(_(", paid by {}"), _marked([processor(rule.processor)])))
    if rule.membership == Rule.Membership.ENDED:
        parts.append(format_html(_(", and {}"), _marked([_("the membership has ended")])))
    if rule.membership == Rule.Membership.RUNNING:
        parts.append(format_html(_(", and {}"), _marked([_("the membership goes on")])))
    refund = format_html("{}", _(", refund it and send your message."))
    if rule.delay_hours:
        refund = format_html(
            _(", refund it {} and send your message."), _marked([delay(rule.delay_hours)])
        )
    return format_html_join("", "{}", [(part,) for part in (*parts, refund)])


def limits(rule: Rule) -> str:
    """How far a rule goes, in one line; nothing when it has no limits."""
    told = []
    if rule.day_limits:
        told.append(_("%(sums)s in any 24 hours") % {"sums": sums(rule.day_limits)})
    if rule.month_limits:
        told.append(_("%(sums)s in any 30 days") % {"sums": sums(rule.month_limits)})
    if rule.buyer_limit:
        times = ngettext("%(many)s refund", "%(many)s refunds", rule.buyer_limit)
        many = times % {"many": rule.buyer_limit}
        told.append(_("%(refunds)s to one buyer in 30 days") % {"refunds": many})
    if not told:
        return ""
    line = _("At most %(limits)s. Cases over the limit wait for you.")
    return line % {"limits": ", ".join(told)}


def processor(name: str) -> str:
    return {"stripe": _("card"), "paypal": _("PayPal")}.get(name, _("card or PayPal"))


def off_because(rule: Rule) -> str:
    """Why a rule is off that nobody turned off."""
    return {
        Rule.OffBecause.LIMITS: _(
            "%(platform)s turned it off: on three days within a week it had given all that it may. "
            "Look at its limits, and turn it on again."
        ),
        Rule.OffBecause.REFUNDS: _(
            "%(platform)s turned it off: three of its refunds failed within a week. Look at those "
            "cases, and turn it on again."
        ),
    }.get(Rule.OffBecause(rule.off_because), "") % {"platform": platform()}


def _product_names(ids: Iterable[int], products: Names) -> list[str]:
    return [products.get(pk, _("a product that is gone")) for pk in ids]


# ── History ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Entry:
    """One change of a rule: who did what when, and what it made of what."""

    at: datetime
    who: str
    rule: str
    rule_number: int
    version: int
    did: str
    changes: Sequence[tuple[str, str, str]]
    """(what, before, after); before is nothing where the rule was new."""


def history(changes: Sequence[RuleChange], products: Names) -> list[Entry]:
    """The history as people read it; `changes` come newest first, with their actors.

    Each is compared with the one before it of the same rule, as far as that is among them.
    """
    entries = []
    for place, change in enumerate(changes):
        earlier = (c for c in changes[place + 1 :] if c.rule_number == change.rule_number)
        entries.append(_entry(change, next(earlier, None), products))
    return entries


def _entry(change: RuleChange, before: RuleChange | None, products: Names) -> Entry:
    return Entry(
        change.at,
        change.actor.name if change.actor else platform(),
        change.columns.get("name", ""),
        change.rule_number,
        change.version,
        {
            RuleChange.Act.ADDED: _("added it"),
            RuleChange.Act.CHANGED: _("changed it"),
            RuleChange.Act.ON: _("turned it on"),
            RuleChange.Act.OFF: _("turned it off"),
            RuleChange.Act.MOVED: _("moved it"),
            RuleChange.Act.DELETED: _("deleted it"),
        }[RuleChange.Act(change.act)],
        list(_changes(change, before, products)),
    )


def _changes(
    change: RuleChange, before: RuleChange | None, products: Names
) -> Iterator[tuple[str, str, str]]:
    """What is not as it was; of a new rule all that it says."""
    now, then = change.columns, before.columns if before else {}
    if change.act == RuleChange.Act.DELETED:
        return
    for name, label, text in _columns(products):
        if before and now.get(name) == then.get(name):
            continue
        told = text(now.get(name))
        was = text(then.get(name)) if before else ""
        if told != was and (before or told) and (before or name != "place"):
            yield label, was, told


def _columns(products: Names) -> list[tuple[str, str, Any]]:
    """The columns that the history tells of, what they are called, and how they read."""
    none = _("none")

    def money(minor: Any) -> str:
        return sums(minor or {}) or none

    def why(name: Any) -> str:
        return str(dict(Rule.OffBecause.choices).get(name, "")) if name else ""

    return [
        ("name", _("Name"), str),
        ("reasons", _("Reasons"), lambda names: ", ".join(
            str(SHORT_REASONS[Reason(name)]) for name in names or ())),
        ("product_ids", _("Products"), lambda ids: ", ".join(
            _product_names(ids or (), products)) or _("all")),
        ("processor", _("Paid by"), lambda name: processor(name or "")),
        ("membership", _("Membership"), lambda name: str(
            dict(Rule.Membership.choices).get(name or "", ""))),
        ("maximums", _("Up to"), lambda minor: sums(minor or {}) or _("any amount")),
        ("day_limits", _("In any 24 hours"), money),
        ("month_limits", _("In any 30 days"), money),
        ("buyer_limit", _("Refunds to one buyer in 30 days"), lambda n: str(n) if n else none),
        ("delay_hours", _("Refunds"), lambda hours: delay(hours or 0)),
        ("message", _("Message"), str),
        ("enabled", _("State"), lambda on: _("on") if on else _("off")),
        ("off_because", _("Why"), why),
        ("place", _("Place"), str),
    ]  # fmt: skip
