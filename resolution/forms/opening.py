"""The form that a buyer opens a case with: what went wrong, how much, what happened, the files."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace.models import User
from payments.models import Payment
from payments.money import currency_symbol, exponent, format_money, parse_money
from resolution.forms.messages import MessageField, WithFiles, text_of
from resolution.terms import Reason

MIN_DESCRIPTION = 30
FULL, PART = "full", "part"

Option = tuple[str, str, str]

WHAT_IT_MEANS = {
    Reason.NOT_RECEIVED: _lazy("You paid, but never got access or delivery."),
    Reason.NOT_AS_DESCRIBED: _lazy("What you got differs from what the page said."),
    Reason.UNACCEPTABLE: _lazy("It works, but the quality is far below what’s reasonable."),
    Reason.CANCELED: _lazy("You had already canceled when this payment was taken."),
    Reason.FRAUDULENT: _lazy("You didn’t make this payment, and nobody you know did."),
}


class DescriptionField(MessageField):
    """What happened, in at least `least` characters."""

    least = MIN_DESCRIPTION

    def validate(self, value: str) -> None:
        super().validate(value)
        if len(value) < self.least:
            raise forms.ValidationError(
                ngettext(
                    "Describe what happened in at least {least} character. You’ve written "
                    "{written}.",
                    "Describe what happened in at least {least} characters. You’ve written "
                    "{written}.",
                    self.least,
                ).format(least=self.least, written=len(value)),
                code="min_length",
            )


class OpenCaseForm(WithFiles):
    """A new case for one payment. A valid one has `asked_minor` in its cleaned data.

    Who writes on a page is asked for `MIN_DESCRIPTION` characters at least; a program passes on
    what somebody wrote elsewhere, and gives its own `least`. Whether the payment is eligible is not
    judged here but at the door, under a lock.
    """

    reason = forms.ChoiceField(
        label=_lazy("What went wrong?"),
        choices=Reason.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _lazy("Choose what went wrong.")},
    )
    ask = forms.ChoiceField(
        label=_lazy("How much are you asking for?"),
        choices=[(FULL, _lazy("All of it")), (PART, _lazy("Part of it"))],
        initial=FULL,
        widget=forms.RadioSelect,
        error_messages={"required": _lazy("Choose how much you are asking for.")},
    )
    amount = forms.CharField(
        label=_lazy("Amount"),
        widget=forms.TextInput({"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
    )
    description = DescriptionField(
        label=_lazy("What happened?"),
        rows=7,
    )
    field_order = ("reason", "ask", "amount", "description", "files")

    def __init__(
        self,
        data: MultiValueDict[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile] | None = None,
        *,
        user: User,
        payment: Payment,
        least: int = MIN_DESCRIPTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, files, user=user, **kwargs)
        self.payment = payment
        cast("DescriptionField", self.fields["description"]).least = least
        self.fields["description"].error_messages["required"] = ngettext(
            "Describe what happened in at least {least} character.",
            "Describe what happened in at least {least} characters.",
            MIN_DESCRIPTION,
        ).format(least=MIN_DESCRIPTION)
        amount = self.fields["amount"]
        amount.widget.is_required = False  # only when part of the payment is asked for
        for code in ("required", "null_characters_not_allowed"):
            amount.error_messages[code] = self._range()
        paid = format_money(payment.amount_minor, payment.currency)
        left = format_money(payment.refundable_minor, payment.currency)
        if left == paid:
            said = _("You paid {paid}. Ask for part of it if part of the product was fine.")
        else:
            said = _(
                "You paid {paid}. {left} of it can still be refunded. Ask for part of it if part "
                "of the product was fine."
            )
        self.fields["ask"].help_text = said.format(paid=paid, left=left)
        self.fields["description"].help_text = _(
            "Say what you expected, what you got, and when you noticed. {company} "
            "reads this, and {platform} does too if it steps in."
        ).format(company=payment.company.name, platform=settings.PLATFORM_NAME)

    @property
    def reason_options(self) -> list[Option]:
        """Value, title and explanation of each reason, for `rc/_choices.html`."""
        return [(reason.value, str(reason.label), str(WHAT_IT_MEANS[reason])) for reason in Reason]

    @property
    def ask_options(self) -> list[Option]:
        """Value, title and explanation of both ways to ask, for `rc/_choices.html`."""
        left = format_money(self.payment.refundable_minor, self.payment.currency)
        return [
            (
                FULL,
                _("All of it"),
                _("{left} back to your {way_back}").format(
                    left=left, way_back=self.payment.way_back
                ),
            ),
            (PART, _("Part of it"), _("You name the amount")),
        ]

    @property
    def currency_sign(self) -> str:
        """What stands before the amount."""
        return currency_symbol(self.payment.currency)

    @property
    def text(self) -> str:
        """The description: as it is sent when the form is valid, otherwise as it was typed."""
        return text_of(self, "description")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        ask, currency = cleaned.get("ask"), self.payment.currency
        most = self.payment.refundable_minor
        if ask != PART:
            self.errors.pop("amount", None)
        elif "amount" in cleaned:
            try:
                step = self.payment.smallest_step
                asked = parse_money(
                    cleaned["amount"], currency, maximum_minor=most, step_minor=step
                )
                cleaned["asked_minor"] = asked
            except ValueError:
                self.add_error("amount", self._range())
        if ask == FULL:
            cleaned["asked_minor"] = most
        return cleaned

    def _range(self) -> str:
        currency, step = self.payment.currency, self.payment.smallest_step
        least, most = (
            format_money(step, currency),
            format_money(self.payment.refundable_minor, currency),
        )
        if step == 10 ** exponent(currency):
            said = _("Enter an amount from {least} to {most}, without decimals.")
        elif step > 1:
            said = _("Enter an amount from {least} to {most}, in steps of {least}.")
        else:
            said = _("Enter an amount from {least} to {most}.")
        return said.format(least=least, most=most)
