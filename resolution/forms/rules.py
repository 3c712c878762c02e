"""The forms of auto-respond: a rule as a creator writes it, and the small acts on one."""

import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace.models import Company, Product
from payments.gateways.units import smallest_step
from payments.models import Payment
from payments.money import currency_symbol, exponent, format_money, parse_money
from resolution import rule_words, rules
from resolution.forms.messages import MessageField, shows
from resolution.models import Rule
from resolution.templatetags.rc import and_list
from resolution.terms import Reason

MOST = 1_000_000  # whole units of the currency
ANY_CURRENCY = "USD"


def currencies_of(products: Iterable[Product]) -> list[str]:
    """The currencies that a company sells in, each once."""
    return sorted({product.currency for product in products}) or [ANY_CURRENCY]


def refuse_unknown_variables(message: str) -> None:
    """Raises ValidationError when something in braces is not a variable, or has lost its end."""
    unknown = list(dict.fromkeys(rules.unknown_variables(message)))
    if unknown:
        named = and_list([f"{{{{ {name} }}}}" for name in unknown])
        said = ngettext(
            "{named} is not a variable. You can use {known}.",
            "{named} are not variables. You can use {known}.",
            len(unknown),
        )
        raise ValidationError(said.format(named=named, known=", ".join(rules.VARIABLES)))
    rest = rules.PLACEHOLDER.sub("", message)
    if "{{" in rest or "}}" in rest:
        raise ValidationError(
            _("A variable begins with {{ and ends with }}. One has lost its end.")
        )


@dataclass(frozen=True)
class AmountRow:
    """The amounts of one currency, as a row of the form."""

    currency: str
    sign: str
    maximum: forms.BoundField
    day: forms.BoundField
    month: forms.BoundField


AMOUNTS = {
    "maximum": _lazy("A case up to"),
    "day": _lazy("In any 24 hours"),
    "month": _lazy("In any 30 days"),
}
KEPT_AS = {"maximum": "maximums", "day": "day_limits", "month": "month_limits"}


class RuleForm(forms.Form):
    """A rule: when it applies, how far it goes, and what the buyer reads.

    `version` is the rule's on the page where it was changed; `columns` is what there is to save.
    Each currency that the company sells in has three amounts of its own: `maximum_USD` and so on.
    """

    name = forms.CharField(
        label=_lazy("Name"),
        max_length=80,
        help_text=_lazy("Only your team sees it."),
        error_messages={"required": _lazy("Give the rule a name.")},
    )
    reasons = forms.MultipleChoiceField(
        label=_lazy("When a case has one of these reasons"),
        choices=Reason.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": _lazy("Choose at least one reason."),
            "invalid_choice": _lazy("Choose from the reasons below."),
        },
    )
    products = forms.MultipleChoiceField(
        label=_lazy("For these products"),
        required=False,
        help_text=_lazy("Choose none for all of them."),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _lazy("Choose from your own products.")},
    )
    processor = forms.ChoiceField(
        label=_lazy("Paid by"),
        required=False,
        choices=[
            ("", _lazy("Card or PayPal")),
            ("stripe", _lazy("Card")),
            ("paypal", _lazy("PayPal")),
        ],
        widget=forms.Select(attrs={"class": "select"}),
    )
    membership = forms.ChoiceField(
        label=_lazy("With"),
        required=False,
        choices=Rule.Membership.choices,
        widget=forms.Select(attrs={"class": "select"}),
    )
    buyer_limit = forms.IntegerField(
        label=_lazy("Refunds to the same buyer in 30 days"),
        required=False,
        min_value=1,
        max_value=99,
        widget=forms.NumberInput(attrs={"class": "input input--s", "inputmode": "numeric"}),
        initial=1,
        help_text=_lazy("Empty for no limit."),
        error_messages={
            "invalid": _lazy("Enter a number, or nothing."),
            "min_value": _lazy("Enter 1 or more, or nothing."),
            "max_value": _lazy("Enter 99 or less, or nothing."),
        },
    )
    delay_hours = forms.TypedChoiceField(
        label=_lazy("Then refund it"),
        coerce=int,
        widget=forms.Select(attrs={"class": "select"}),
        help_text=_lazy(
            "While it waits you can answer yourself or cancel, and the buyer sees the date."
        ),
    )
    message = MessageField(
        label=_lazy("and send"),
        rows=5,
        error_messages={"required": _lazy("Write what the buyer reads.")},
    )
    enabled = forms.BooleanField(label=_lazy("This rule is on"), required=False, initial=True)
    version = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, company: Company, products: Iterable[Product], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.company = company
        self.by_id = {product.public_id: product for product in products}
        kept = self.initial.get("currencies", [])
        self.currencies = list(dict.fromkeys([*currencies_of(self.by_id.values()), *kept]))
        for currency in self.currencies:
            for kind, label in AMOUNTS.items():
                self.fields[f"{kind}_{currency}"] = forms.CharField(
                    label=_("%(what)s, in %(currency)s") % {"what": label, "currency": currency},
                    required=False,
                    max_length=32,
                    widget=forms.TextInput(
                        attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}
                    ),
                )
        self._choices("products").choices = [
            (public_id, product.name) for public_id, product in self.by_id.items()
        ]
        for name in ("products", "processor", "membership", "buyer_limit"):
            self.fields[name].needed = True  # type: ignore[attr-defined]
        longest = settings.RESPONSE_DAYS * 24
        self._choices("delay_hours").choices = [
            (hours, rule_words.delay(hours).capitalize())
            for hours in rules.DELAYS
            if hours < longest
        ]
        named = ", ".join(f"{{{{ {name} }}}}" for name in rules.VARIABLES)
        self.fields["message"].help_text = _("You can use {named}.").format(named=named)

    def _choices(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    @classmethod
    def initial_of(cls, rule: Rule, products: Iterable[Product]) -> dict[str, Any]:
        """What the form starts with when this rule is changed."""
        amounts: dict[str, str] = {}
        for kind, column in KEPT_AS.items():
            for currency, minor in getattr(rule, column).items():
                digits = exponent(currency)
                amounts[f"{kind}_{currency}"] = f"{minor / 10**digits:.{digits}f}"
        chosen = [product.public_id for product in products if product.pk in rule.product_ids]
        return amounts | {
            "name": rule.name,
            "reasons": rule.reasons,
            "products": chosen,
            "processor": rule.processor,
            "membership": rule.membership,
            "buyer_limit": rule.buyer_limit,
            "delay_hours": rule.delay_hours,
            "message": rule.message,
            "enabled": rule.enabled,
            "version": rule.version,
            "currencies": sorted({name.partition("_")[2] for name in amounts}),
        }

    def amounts(self) -> list[AmountRow]:
        """The rows of amounts, a currency each."""
        return [
            AmountRow(
                currency,
                currency_symbol(currency),
                self[f"maximum_{currency}"],
                self[f"day_{currency}"],
                self[f"month_{currency}"],
            )
            for currency in self.currencies
        ]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if any(unicodedata.category(letter) == "Cc" for letter in name):
            raise ValidationError(_("Write the name on one line, without special characters."))
        if not any(map(shows, name)):
            raise ValidationError(_("Give the rule a name."))
        return name

    def clean_message(self) -> str:
        message: str = self.cleaned_data["message"]
        refuse_unknown_variables(message)
        return message

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        values["product_ids"] = sorted(
            self.by_id[public_id].pk for public_id in values.get("products", [])
        )
        for kind, column in KEPT_AS.items():
            values[column] = {
                currency: minor
                for currency in self.currencies
                if (minor := self._amount(kind, currency, values)) is not None
            }
        self._check_order(values)
        return values

    def _amount(self, kind: str, currency: str, values: Mapping[str, Any]) -> int | None:
        """An amount in minor units; None when there is none, or it cannot be read."""
        name = f"{kind}_{currency}"
        text = values.get(name, "").strip()
        if not text:
            return None
        try:
            step = smallest_step(Payment.Processor.STRIPE, currency)
            return parse_money(text, currency, maximum_minor=_most(currency), step_minor=step)
        except ValueError as sentence:
            self.add_error(name, str(sentence))
            return None

    def _check_order(self, values: Mapping[str, Any]) -> None:
        """Refuse a limit below what it has to hold: it would never let anything through."""
        for currency in self.currencies:
            maximum, day, month = (values[KEPT_AS[kind]].get(currency) for kind in AMOUNTS)
            if day is not None and maximum is not None and day < maximum:
                text = _("This is less than one case may ask for. Enter at least %(amount)s.")
                told = text % {"amount": format_money(maximum, currency)}
                self.add_error(f"day_{currency}", told)
            least = max(maximum or 0, day or 0)
            if month is not None and month < least:
                text = _("This is less than what comes before it. Enter at least %(amount)s.")
                told = text % {"amount": format_money(least, currency)}
                self.add_error(f"month_{currency}", told)

    def columns(self) -> dict[str, Any]:
        """The rule's columns, from a valid form."""
        names = (
            *("name", "reasons", "product_ids", "processor", "membership", *KEPT_AS.values()),
            *("buyer_limit", "delay_hours", "message", "enabled"),
        )
        return {name: self.cleaned_data[name] for name in names}

    def renew(self, version: int) -> None:
        """Let what was typed be sent again, knowing of the rule as it is now."""
        data: Any = self.data
        self.data = data.copy()
        self.data["version"] = str(version)  # type: ignore[index]

    def preview(self) -> str:
        """What the buyer would read, with an example for each variable."""
        chosen = self["products"].value() or []
        chosen = [chosen] if isinstance(chosen, str) else chosen
        example = next((self.by_id[name] for name in chosen if name in self.by_id), None)
        example = example or next(iter(self.by_id.values()), None)
        maximums = {}
        for currency in self.currencies:
            text = self._typed(f"maximum_{currency}")
            with suppress(ValueError):
                maximums[currency] = parse_money(text, currency, maximum_minor=_most(currency))
        values = rules.example_values(self.company, example, maximums)
        return rules.fill_in(self._typed("message"), values)

    def _typed(self, name: str) -> str:
        return str(self[name].value() or "")


def _most(currency: str) -> int:
    return int(MOST * 10 ** exponent(currency))


class RuleActForm(forms.Form):
    """One press of a button beside a rule; `version` is the rule's on that page."""

    version = forms.IntegerField(min_value=0)
