"""What a creator's list of cases is narrowed and sorted by. It comes from the address."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from marketplace.models import Product
from resolution.terms import Reason

SORTS = {"due": "Due soonest", "newest": "Newest", "amount": "Largest amount"}
SMALL = {"class": "select select--s"}


class CaseFilter(forms.Form):
    """Search, reason, product and order. What cannot be read counts as not given."""

    q = forms.CharField(
        label="Search cases",
        required=False,
        max_length=254,
        widget=forms.TextInput(
            attrs={
                "class": "input input--s",
                "type": "search",
                "placeholder": "Buyer, e-mail, or case number",
            }
        ),
    )
    reason = forms.ChoiceField(
        label="Reason",
        required=False,
        choices=[("", "Any reason"), *Reason.choices],
        widget=forms.Select(attrs=SMALL),
    )
    product = forms.ChoiceField(label="Product", required=False, widget=forms.Select(attrs=SMALL))
    sort = forms.ChoiceField(label="Sort", required=False, widget=forms.Select(attrs=SMALL))

    def __init__(
        self, data: Mapping[str, Any], *, products: Iterable[Product], sorts: Iterable[str]
    ) -> None:
        super().__init__(data, auto_id="filter_%s")
        self.sorts = list(sorts)
        for name, choices in (
            ("product", [("", "Any product"), *((p.public_id, p.name) for p in products)]),
            ("sort", [(sort, SORTS[sort]) for sort in self.sorts]),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
        self.is_valid()

    def chosen(self, name: str) -> str:
        """What was chosen, or nothing."""
        return str(self.cleaned_data.get(name) or "")

    @property
    def sort_by(self) -> str:
        return self.chosen("sort") or self.sorts[0]

    @property
    def narrows(self) -> bool:
        """Whether any case could be left out by it."""
        return any(self.chosen(name) for name in ("q", "reason", "product"))

    def query(self) -> dict[str, str]:
        """Its part of an address: only what was chosen."""
        return {name: value for name in self.fields if (value := self.chosen(name))}
