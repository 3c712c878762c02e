"""What staff send: a decision, a question to a side, a comment, a note, the end of a failed refund.

What one person may not do alone is proposed with the same fields, and approved or declined by
somebody else. Every form carries a key of its own, so that sending it twice counts once, and the
version of the case that its page showed. Whether a step is open to whoever sends it is for the
door to say.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from payments.models import Refund
from payments.money import format_money, parse_money, to_decimal
from resolution.forms.messages import MessageField
from resolution.models import Case, Event
from resolution.terms import Party, Remedy, Verdict

DECIDING = ("decide", "decide_final", "decide_final_alone")
SETTLING = ("retry_refund", "credit_instead", "mark_paid")


class CaseForm(forms.Form):
    """An act on one case. `name` is its address below the page, and the ids of its controls.

    `steps` are those that it may come to be; `proposes` names the step that it only proposes, and
    `words` the field of what is said.
    """

    name: ClassVar[str]
    step: ClassVar[str]
    steps: ClassVar[Sequence[str]] = ()
    proposes: ClassVar[str] = ""
    words: ClassVar[str] = "message"

    form_key = forms.UUIDField(widget=forms.HiddenInput)
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(
        self, case: Case, data: Any = None, *, initial: Mapping[str, Any] | None = None
    ) -> None:
        fresh = {"form_key": uuid.uuid4(), "version": case.version}
        super().__init__(data, initial=fresh | dict(initial or {}), auto_id=f"{self.name}-%s")
        self.case = case

    def verdict(self) -> Verdict | None:
        """What a valid form decides, if it decides anything."""
        return None

    def typed(self) -> list[tuple[str, str]]:
        """(label, text) of whatever somebody wrote, so that it is never lost."""
        return [
            (str(field.label), str(field.value()))
            for field in self.visible_fields()
            if isinstance(field.field, forms.CharField) and field.value()
        ]


class DecideForm(CaseForm):
    """The decision: what the buyer gets, why, and what it rests on."""

    name, step = "decide", "decide"
    steps: ClassVar[Sequence[str]] = DECIDING
    words = "why"

    outcome = forms.ChoiceField(
        choices=Remedy.choices,
        widget=forms.RadioSelect,
        label=_lazy("Outcome"),
        error_messages={"required": _lazy("Choose an outcome.")},
    )
    amount = forms.CharField(required=False, max_length=32, label=_lazy("Amount"))
    credits = forms.CharField(required=False, max_length=32, label=_lazy("Credits"))
    why = MessageField(
        label=_lazy("Why"),
        rows=6,
        error_messages={"required": _lazy("Say why. Both sides read it.")},
    )
    looked_at = forms.MultipleChoiceField(
        required=False, label=_lazy("What you looked at"), widget=forms.CheckboxSelectMultiple
    )
    note = MessageField(label=_lazy("Internal note"), required=False, rows=3)
    alone_because = MessageField(
        label=_lazy("Why you decide alone"),
        rows=3,
        help_text=_lazy(
            "You decided first, and nobody else can review it. Staff read this reason."
        ),
        error_messages={"required": _lazy("Say why nobody else reviews this case.")},
    )

    def __init__(
        self,
        case: Case,
        data: Any = None,
        *,
        initial: Mapping[str, Any] | None = None,
        facts: Sequence[str] = (),
        alone: bool = False,
    ) -> None:
        super().__init__(case, data, initial=initial)
        held = case.refund if case.refund and case.refund.state == Refund.State.HELD else None
        self.most_minor = case.payment.refundable_minor + (held.amount_minor if held else 0)
        most = format_money(self.most_minor, case.currency)
        buyer, company = case.buyer.first_name, case.company.name
        looked_at: Any = self.fields["looked_at"]
        looked_at.choices = [(fact, _(fact)) for fact in facts]
        self.fields["amount"].help_text = _("Up to {most}").format(most=most)
        self.fields["credits"].help_text = _(
            "Up to {most}. Charged to the goodwill budget."
        ).format(most=most)
        self.fields["why"].help_text = _(
            "{buyer} and {company} both read this word for word. Say what you found "
            "and how it led to this outcome."
        ).format(buyer=buyer, company=company)
        for name in ("amount", "credits"):
            self.fields[name].widget.attrs |= {
                "class": "input", "inputmode": "decimal", "autocomplete": "off",
            }  # fmt: skip
        if not alone:
            del self.fields["alone_because"]

    def minor(self, name: str) -> int | None:
        """The amount in a field, in minor units; None while it is not a possible one."""
        try:
            return self._parse(name, str(self[name].value() or ""))
        except ValueError:
            return None

    def as_typed(self, minor: int) -> str:
        """An amount as somebody would type it."""
        return str(to_decimal(minor, self.case.currency))

    def clean(self) -> dict[str, Any]:
        """One outcome, one amount: that of the chosen outcome, pressed and last shown."""
        cleaned: dict[str, Any] = super().clean() or {}
        outcome, pressed = cleaned.get("outcome"), self.data.get("do", "")
        if outcome and pressed in Remedy.values and pressed != outcome:
            self.add_error("outcome", _("The button did not match the outcome. Choose once more."))
        cleaned["minor"] = 0
        name = {Remedy.REFUND: "amount", Remedy.CREDIT: "credits"}.get(Remedy(outcome or "none"))
        if name and name in cleaned:
            try:
                cleaned["minor"] = minor = self._parse(name, cleaned[name])
            except ValueError as problem:
                self.add_error(name, str(problem))
            else:
                shown = self.data.get(f"shown_{name}", "")
                if pressed in Remedy.values and shown and shown != str(minor):
                    amount = format_money(minor, self.case.currency)
                    self.add_error(
                        name,
                        _(
                            "You changed the amount to {amount}. Look at what it means once more."
                        ).format(amount=amount),
                    )
        return cleaned

    def verdict(self) -> Verdict:
        """What a valid form decides."""
        cleaned = self.cleaned_data
        return Verdict(Remedy(cleaned["outcome"]), cleaned["minor"], tuple(cleaned["looked_at"]))

    def _parse(self, name: str, text: str) -> int:
        """The amount of a field; credits are ours, so they can be given to the last digit."""
        step = self.case.payment.smallest_step if name == "amount" else 1
        return parse_money(text, self.case.currency, maximum_minor=self.most_minor, step_minor=step)


class ProposeForm(DecideForm):
    """What somebody would decide who may not decide it alone."""

    name, step = "propose", "propose"
    steps = ("propose",)


class AskForm(CaseForm):
    """A question to one side, who then has seven days."""

    name, step = "ask", "ask_party"

    asks = forms.ChoiceField(
        label=_lazy("Who do you ask?"),
        choices=[(Party.BUYER, _lazy("Buyer")), (Party.CREATOR, _lazy("Creator"))],
        widget=forms.RadioSelect,
        error_messages={"required": _lazy("Choose whom you ask.")},
    )
    message = MessageField(
        label=_lazy("Your question"),
        help_text=_lazy("Both sides read it."),
        error_messages={"required": _lazy("Write your question first.")},
    )


class CommentForm(CaseForm):
    """A message to both sides that moves no clock."""

    name = step = "comment"

    message = MessageField(
        label=_lazy("Message to both sides"),
        error_messages={"required": _lazy("Write a message first.")},
    )


class NoteForm(CaseForm):
    """Something that staff write down for staff."""

    name = step = "note"

    message = MessageField(
        label=_lazy("Internal note"),
        help_text=_lazy("Only staff read it."),
        error_messages={"required": _lazy("Write the note first.")},
    )


class RetryForm(CaseForm):
    """Send the refund that failed once more."""

    name, step = "retry", "retry_refund"


class CreditsForm(CaseForm):
    """Give credits, because the refund cannot be made."""

    name, step = "credits", "credit_instead"

    message = MessageField(
        label=_lazy("What both sides read"),
        help_text=_lazy("Say why it is credits now."),
        error_messages={"required": _lazy("Say why it is credits now.")},
    )


class PaidForm(CaseForm):
    """The money went back outside the provider."""

    name, step = "paid", "mark_paid"

    reference = forms.CharField(
        max_length=120,
        label=_lazy("Reference"),
        help_text=_lazy("Of the transfer, so that anybody can find it again."),
        widget=forms.TextInput({"class": "input", "autocomplete": "off"}),
        error_messages={"required": _lazy("Note the reference of the transfer.")},
    )
    message = MessageField(
        label=_lazy("What both sides read"),
        help_text=_lazy("Say how and when it was paid."),
        error_messages={"required": _lazy("Say how and when it was paid.")},
    )


class ProposeRetryForm(RetryForm):
    """Propose to send the refund that failed once more."""

    name, step, proposes = "propose-retry", "propose", "retry_refund"

    message = MessageField(
        label=_lazy("Why"),
        help_text=_lazy("Only staff read it."),
        error_messages={"required": _lazy("Say why it is worth another try.")},
    )


class ProposeCreditsForm(CreditsForm):
    """Propose to give credits."""

    name, step, proposes = "propose-credits", "propose", "credit_instead"


class ProposePaidForm(PaidForm):
    """Propose to pay outside the provider."""

    name, step, proposes = "propose-paid", "propose", "mark_paid"


class ApproveForm(CaseForm):
    """Do what a colleague proposed, in their words or better ones."""

    name = "approve"
    step = ""
    steps = (*DECIDING, *SETTLING)

    proposal = forms.CharField(max_length=40, widget=forms.HiddenInput)
    reference = PaidForm.base_fields["reference"]
    message = MessageField(
        label=_lazy("What both sides read"),
        rows=6,
        help_text=_lazy("As it was proposed. Change it if you would say it differently."),
        error_messages={"required": _lazy("Say why. Both sides read it.")},
    )

    def __init__(self, case: Case, data: Any = None, *, proposal: Event | None = None) -> None:
        self.event = proposal
        told = proposal.data if proposal else {}
        super().__init__(
            case,
            data,
            initial={
                "proposal": proposal.public_id if proposal else "",
                "message": proposal.message if proposal else "",
                "reference": told.get("reference", ""),
            },
        )
        proposes = told.get("proposes", "")
        if proposes != "mark_paid":
            del self.fields["reference"]
        if proposes == "retry_refund":
            del self.fields["message"]

    @property
    def is_of_another(self) -> bool:
        """The page showed a proposal that does not stand any more."""
        return self.event is None or self.cleaned_data.get("proposal") != self.event.public_id

    def verdict(self) -> Verdict | None:
        """The decision as it was proposed; None where a failed refund is settled."""
        if self.event is None or self.event.data.get("proposes") in SETTLING:
            return None
        told = self.event.data
        looked_at = tuple(told.get("looked_at", ()))
        return Verdict(Remedy(told["remedy"]), told.get("amount_minor", 0), looked_at)


class DeclineForm(CaseForm):
    """Say no to a proposal, or take one's own back."""

    name, step = "decline", "decline_proposal"

    message = MessageField(
        label=_lazy("Why"),
        help_text=_lazy("Only staff read it."),
        error_messages={"required": _lazy("Say why. Your colleague reads it.")},
    )


class AssignForm(forms.Form):
    """Take a case, or let it go; `seen` is to whom it was assigned on the page, 0 for nobody."""

    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
