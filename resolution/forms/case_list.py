"""What a creator's list of cases is narrowed and sorted by. It comes from the address."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from resolution.insights import endings
from resolution.terms import Reason

SORTS = {"due": _lazy("Due soonest"), "newest": _lazy("Newest"), "amount": _lazy("Largest amount")}
SMALL = {"class": "select select--s"}
MOST = 10**12  # whole units of a currency


class AmountField(forms.DecimalField):
    """Whole units of whatever currency a case is in, with its decimals."""

    def __init__(self, label: Any) -> None:
        super().__init__(
            label=label,
            required=False,
            min_value=0,
            max_value=MOST,
            decimal_places=3,
            widget=forms.TextInput(
                attrs={
                    "class": "input input--s input--amount",
                    "inputmode": "decimal",
                    "autocomplete": "off",
                }
            ),
        )


class CaseFilter(forms.Form):
    """Search, reason, product, result, amounts and order. What cannot be read is as if not given.

    A result is asked for only where cases have one: on the list of those that are closed.
    `products` are public ids and names.
    """

    q = forms.CharField(
        label=_lazy("Search cases"),
        required=False,
        max_length=254,
        widget=forms.TextInput(
            attrs={
                "class": "input input--s",
                "type": "search",
                "placeholder": _lazy("Buyer, e-mail, or case number"),
            }
        ),
    )
    result = forms.ChoiceField(
        label=_lazy("Result"), required=False, widget=forms.Select(attrs=SMALL)
    )
    reason = forms.ChoiceField(
        label=_lazy("Reason"),
        required=False,
        choices=[("", _lazy("Any reason")), *Reason.choices],
        widget=forms.Select(attrs=SMALL),
    )
    product = forms.ChoiceField(
        label=_lazy("Product"), required=False, widget=forms.Select(attrs=SMALL)
    )
    least = AmountField(_lazy("Asked for at least"))
    most = AmountField(_lazy("Asked for at most"))
    sort = forms.ChoiceField(label=_lazy("Sort"), required=False, widget=forms.Select(attrs=SMALL))

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        products: Iterable[tuple[str, str]],
        sorts: Iterable[str],
        with_result: bool = False,
    ) -> None:
        super().__init__(data, auto_id="filter_%s")
        self.sorts = list(sorts)
        self.results = {ending.name: ending for ending in endings()} if with_result else {}
        if not with_result:
            del self.fields["result"]
        for name, choices in (
            (
                "result",
                [("", _("Any result")), *((e.name, e.label) for e in self.results.values())],
            ),
            ("product", [("", _("Any product")), *products]),
            ("sort", [(sort, SORTS[sort]) for sort in self.sorts]),
        ):
            field = self.fields.get(name)
            if isinstance(field, forms.ChoiceField):
                field.choices = choices
        self.is_valid()

    def chosen(self, name: str) -> str:
        """What was chosen, or nothing."""
        value = self.cleaned_data.get(name)
        return "" if value is None else str(value)

    def amount(self, name: str) -> Decimal | None:
        """An amount that was given, in whole units."""
        value: Decimal | None = self.cleaned_data.get(name)
        return value

    @property
    def sort_by(self) -> str:
        return self.chosen("sort") or self.sorts[0]

    @property
    def narrows(self) -> bool:
        """Whether any case could be left out by it."""
        return any(self.chosen(name) for name in self.fields if name != "sort")

    def query(self) -> dict[str, str]:
        """Its part of an address: only what was chosen."""
        return {name: value for name in self.fields if (value := self.chosen(name))}
