"""The forms of auto-respond: a rule as a creator writes it, and the small acts on one."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace.models import Company, Product
from payments.gateways.units import smallest_step
from payments.models import Payment
from payments.money import exponent, parse_money
from resolution import rules
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


class RuleForm(forms.Form):
    """A rule: when it applies, and what the buyer reads.

    `version` is the rule's on the page where it was changed; `columns` is what there is to save.
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
    maximum = forms.CharField(
        label=_lazy("and the buyer asks for up to"),
        required=False,
        max_length=32,
        help_text=_lazy("Leave it empty for any amount."),
        widget=forms.TextInput(
            attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}
        ),
    )
    currency = forms.ChoiceField(label="in")
    product = forms.ChoiceField(
        label="for",
        required=False,
        error_messages={"invalid_choice": _lazy("Choose one of your own products.")},
    )
    message = MessageField(
        label=_lazy("then refund it and send"),
        rows=5,
        error_messages={"required": _lazy("Write what the buyer reads.")},
    )
    enabled = forms.BooleanField(label=_lazy("This rule is on"), required=False, initial=True)
    version = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, company: Company, products: Iterable[Product], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.company = company
        self.products = {product.public_id: product for product in products}
        currencies = currencies_of(self.products.values())
        kept = self.initial.get("currency")
        if kept and kept not in currencies:
            currencies.append(kept)
        self.currencies = currencies
        self._choices("currency").choices = [(code, code) for code in currencies]
        self._choices("currency").required = len(currencies) > 1
        self._choices("product").choices = [
            ("", _("Any product")),
            *((product.public_id, product.name) for product in self.products.values()),
        ]
        named = ", ".join(f"{{{{ {name} }}}}" for name in rules.VARIABLES)
        self.fields["message"].help_text = _("You can use {named}.").format(named=named)

    def _choices(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    @classmethod
    def initial_of(cls, rule: Rule) -> dict[str, Any]:
        """What the form starts with when this rule is changed."""
        whole = ""
        if rule.maximum_minor is not None:
            digits = exponent(rule.currency)
            whole = f"{rule.maximum_minor / 10**digits:.{digits}f}"
        return {
            "name": rule.name,
            "reasons": rule.reasons,
            "maximum": whole,
            "currency": rule.currency,
            "product": rule.product.public_id if rule.product else "",
            "message": rule.message,
            "enabled": rule.enabled,
            "version": rule.version,
        }

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
        product = self.products.get(values.get("product", ""))
        currency = values.get("currency") or self.currencies[0]
        values["maximum_minor"], values["product"] = None, product
        if text := values.get("maximum", "").strip():
            try:
                values["maximum_minor"] = parse_money(
                    text,
                    currency,
                    maximum_minor=_most(currency),
                    step_minor=smallest_step(Payment.Processor.STRIPE, currency),
                )
            except ValueError as sentence:
                self.add_error("maximum", str(sentence))
            if product and product.currency != currency:
                self.add_error(
                    "currency",
                    _("“{product}” is sold in {currency}, so the amount has to be too.").format(
                        product=product.name, currency=product.currency
                    ),
                )
        values["currency"] = currency if values["maximum_minor"] is not None else ""
        return values

    def columns(self) -> dict[str, Any]:
        """The rule's columns, from a valid form."""
        names = ("name", "reasons", "product", "maximum_minor", "currency", "message", "enabled")
        return {name: self.cleaned_data[name] for name in names}

    def renew(self, version: int) -> None:
        """Let what was typed be sent again, knowing of the rule as it is now."""
        data: Any = self.data
        self.data = data.copy()
        self.data["version"] = str(version)  # type: ignore[index]

    def preview(self) -> str:
        """What the buyer would read, with an example for each variable."""
        product = self.products.get(self._typed("product"))
        currency = self._typed("currency")
        if currency not in self.currencies:
            currency = self.currencies[0]
        try:
            most = parse_money(self._typed("maximum"), currency, maximum_minor=_most(currency))
        except ValueError:
            most = None
        example = product or next(iter(self.products.values()), None)
        values = rules.example_values(self.company, example, most, currency)
        return rules.fill_in(self._typed("message"), values)

    def _typed(self, name: str) -> str:
        return str(self[name].value() or "")


def _most(currency: str) -> int:
    return int(MOST * 10 ** exponent(currency))


class RuleActForm(forms.Form):
    """One press of a button beside a rule; `version` is the rule's on that page."""

    version = forms.IntegerField(min_value=0)
