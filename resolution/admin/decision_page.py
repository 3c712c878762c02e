"""The page on which staff decide, as it is drawn: the case, what is known, what can be done."""

from typing import Any

from django.utils.translation import gettext as _

from resolution import timeline, words
from resolution.admin import deciding, failed_refunds, proposals, record
from resolution.admin.desk import ACTS, Desk
from resolution.admin.listing import pill_of
from resolution.export import Audience
from resolution.forms.decisions import CaseForm
from resolution.terms import Party

STAFF = Party.STAFF


def context(desk: Desk, used: CaseForm | None) -> dict[str, Any]:
    """Everything the page shows; `used` takes the place of the fresh form of its act."""
    case = desk.case

    def form(act: str) -> CaseForm | None:
        if not desk.may(act):
            return None
        return used if used is not None and used.name == act else desk.form(act)

    open_forms = {act: form(act) for act in ACTS}
    decide = deciding.form_shown(desk, open_forms, used)
    return {
        "case": case,
        "turn": words.turn(case, STAFF, events=desk.events),
        "pill": pill_of(case),
        "ticking": words.ticking(case),
        "head_facts": _head(desk),
        "claims": record.claims(case, desk.events),
        "facts": desk.facts,
        "similar": record.similar(case),
        "entries": timeline.entries(case, desk.events, STAFF),
        "forms": {act.replace("-", "_"): form for act, form in open_forms.items()},
        "used": used.name if used is not None else "",
        "decision": deciding.around(desk, decide) if decide else None,
        "proposal": proposals.standing(desk),
        "final": deciding.step_here(case) == "decide_final",
        "why_not": "" if desk.deciding else desk.why_not,
        "money": failed_refunds.refund_of(desk),
        "exports": () if desk.actor.conflicted else _exports(),
        "assigned": case.assigned_to,
        "assign_seen": case.assigned_to_id or 0,
        "conflicted": desk.actor.conflicted,
        "is_mine": case.assigned_to == desk.user,
        "may_assign": bool(desk.actor.role) and not desk.actor.conflicted
        and case.waiting_on == STAFF,
    }  # fmt: skip


def _exports() -> list[tuple[str, str]]:
    """For whom the record of a case can be had."""
    return [
        (Audience.STAFF, _("For us")),
        (Audience.BANK, _("For a bank")),
        (Audience.BUYER, _("For the buyer")),
        (Audience.CREATOR, _("For the creator")),
    ]


def _head(desk: Desk) -> list[str]:
    """How the case came here, in a few words."""
    head = [
        _("Case {public_id}").format(public_id=desk.case.public_id),
        str(desk.case.get_reason_display()),
    ]
    told = {
        "deny": _("{company} denied it").format(company=desk.case.company.name),
        "appeal": "appealed",
        "escalate": _("No answer in time, came to us"),
        "decide": "decided",
        "refund_failed": _("The refund failed"),
    }
    for event in desk.events:
        if event.step not in told:
            continue
        what = told[event.step]
        if event.step == "appeal":
            what = _("{name} appealed").format(name=words.name_of(desk.case, event.party, STAFF))
        elif event.step == "decide" and event.actor:
            what = _("{actor} decided").format(actor=event.actor.name)
        head.append(f"{what} {words.when_text(event.created_at, 'date')}")
    return head
