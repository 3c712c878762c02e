"""The decision as it is made: the form with what follows from each outcome, and how it will read.

What happens to the money, and to whose, stands before the button that brings it about.
"""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from marketplace import clock
from payments.money import currency_symbol, format_money, limit_in
from resolution import timeline, words
from resolution.admin.desk import Desk
from resolution.forms.decisions import CaseForm, DecideForm, ProposeForm
from resolution.lifecycle import may_award, takes_two
from resolution.models import Case, Event
from resolution.terms import BOTH, Party, Remedy, State

STAFF = Party.STAFF


def step_here(case: Case) -> str:
    """The step that decides the case as it stands, whoever takes it."""
    return "decide_final" if case.state == State.APPEALED else "decide"


def form_shown(
    desk: Desk, forms: dict[str, CaseForm | None], used: CaseForm | None
) -> DecideForm | None:
    """The decision to be filled in: to take, or for whoever may not, to propose."""
    if isinstance(used, DecideForm):
        return used
    form = forms["decide"]
    if form is None and desk.proposal is None:
        form = forms["propose"]
    return form if isinstance(form, DecideForm) else None


def around(desk: Desk, form: DecideForm) -> dict[str, Any]:
    """What the decision form needs beside its fields."""
    case, most = desk.case, form.most_minor
    over = takes_two(most, case.currency) or not may_award(desk.actor, most, case.currency)
    limit = limit_in(case.currency, settings.SECOND_APPROVAL_LIMIT)
    two = _("Over {amount} it takes two people.").format(amount=format_money(limit, case.currency))
    return _consequences(case, form) | {
        "decides": bool(desk.deciding),
        "proposes": desk.may("propose") and (over or not desk.deciding),
        "two": two if takes_two(most, case.currency) else "",
    }


def previews(case: Case, form: DecideForm) -> list[tuple[str, dict[str, Any]]]:
    """The decision as each side will read it, if it is sent now."""
    now = clock.now()
    verdict = form.verdict()
    due = now + words.DAY * words.settings.APPEAL_DAYS
    data = {
        "remedy": verdict.remedy.value,
        "amount_minor": verdict.amount_minor,
        "looked_at": list(verdict.looked_at),
        "due_at": due.isoformat(),
    }
    event = Event(
        public_id="preview", case=case, step=step_here(case), party=STAFF,
        message=form.cleaned_data["why"], data=data, created_at=now,
    )  # fmt: skip
    return [
        (
            words.name_of(case, side, STAFF),
            timeline.entries(case, [event], side)[0].verdict | {"id": f"v-preview-{side}"},
        )
        for side in BOTH
    ]


def _consequences(case: Case, form: DecideForm) -> dict[str, Any]:
    """What the decision form needs beside its fields: choices in words, and who gets and pays."""
    buyer, company, platform = case.buyer.first_name, case.company.name, words.platform()

    def money(minor: int | None, sign: str) -> str:
        if minor is None:
            return _("{sign} the amount above").format(sign=sign)
        return f"{sign}{format_money(minor, case.currency)}"

    nothing = format_money(0, case.currency)
    refund, credit = form.minor("amount"), form.minor("credits")
    refunded = format_money(refund, case.currency) if refund else ""
    credited = format_money(credit, case.currency) if credit else ""
    return {
        "form": form,
        "sign": currency_symbol(case.currency),
        "waits_for": _waits_for(case),
        "shown": {"amount": refund or "", "credits": credit or ""},
        "outcomes": [
            (
                Remedy.REFUND.value,
                _("Refund {buyer}").format(buyer=buyer),
                _("From {company}’s balance").format(company=company),
            ),
            (
                Remedy.CREDIT.value,
                _("{platform} Credits").format(platform=platform),
                _("{platform} pays, {company} isn’t charged").format(
                    platform=platform, company=company
                ),
            ),
            (Remedy.NONE.value, _("No refund"), _nothing_changes(case)),
        ],
        "consequences": [
            (
                "refund",
                [
                    (f"{buyer}, {case.payment.way_back}", money(refund, "+")),
                    (company, money(refund, "−")),
                    (platform, nothing),
                ],
                _("Refund {refunded} and tell both").format(refunded=refunded)
                if refunded
                else _("Refund and tell both"),
            ),
            (
                "credit",
                [
                    (
                        _("{buyer}, {platform} Credits").format(buyer=buyer, platform=platform),
                        money(credit, "+"),
                    ),
                    (company, nothing),
                    (platform, money(credit, "−")),
                ],
                _("Give {credited} in credits and tell both").format(credited=credited)
                if credited
                else _("Give credits and tell both"),
            ),
            (
                "none",
                [(buyer, nothing), (company, nothing), (platform, nothing)],
                _("Decide no refund and tell both"),
            ),
        ],
    }


def _waits_for(case: Case) -> str:
    if case.waiting_on not in BOTH or case.due_at is None:
        return ""
    who = words.name_of(case, case.waiting_on, STAFF)
    return _("{who} has until {date} to answer.").format(who=who, date=words.when_text(case.due_at))


def _nothing_changes(case: Case) -> str:
    if case.denial_appealed and case.state == State.ESCALATED:
        return _("The creator’s denial stands")
    return _("The creator keeps the payment")


def filled(form: DecideForm, fill: str) -> DecideForm:
    """The same form, nothing lost, with half or all of what was asked for as the amount."""
    asked = min(form.case.asked_minor, form.most_minor)
    step = form.case.payment.smallest_step
    minor = max(step, asked // 2 // step * step) if fill == "half" else asked
    typed = {name: form[name].value() for name in form.fields}
    typed |= {"outcome": Remedy.REFUND.value, "amount": form.as_typed(minor)}
    looked_at: Any = form.fields["looked_at"]
    facts = [fact for fact, _ in looked_at.choices]
    if isinstance(form, ProposeForm):
        return ProposeForm(form.case, initial=typed, facts=facts)
    return DecideForm(form.case, initial=typed, facts=facts, alone="alone_because" in form.fields)
