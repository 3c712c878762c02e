"""The refund of a case that failed, and what can be done about it, by one person or by two."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from payments.money import format_money, limit_in
from resolution.admin.desk import Desk
from resolution.lifecycle import takes_two
from resolution.terms import Money

ACTS = ("retry", "credits", "paid")


def refund_of(desk: Desk) -> dict[str, Any] | None:
    """The refund that failed, and who sees to it; None when none did."""
    case = desk.case
    if case.money != Money.FAILED or case.refund is None:
        return None
    names = ", ".join(person.name for person in desk.others[:4])
    two = takes_two(case.remedy_minor, case.currency)
    limit = limit_in(case.currency, settings.SECOND_APPROVAL_LIMIT)
    return {
        "two": _(
            "Over {amount} it takes two people: one proposes what to do, and another "
            "of finance approves it."
        ).format(amount=format_money(limit, case.currency))
        if two
        else "",
        "proposes": two and desk.proposal is None and desk.may("propose-retry"),
        "amount": format_money(case.remedy_minor, case.currency),
        "refund": case.refund,
        "way": case.payment.way_back,
        "finance": _("Finance sees to it: {names}.").format(names=names)
        if names
        else _("Finance sees to it."),
        "mine": not two and any(desk.may(act) for act in ACTS),
    }
