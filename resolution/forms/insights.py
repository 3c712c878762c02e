"""The period that a creator's insights are about. It comes from the address."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from resolution.insights import Period

PRESETS = {30: _lazy("Last 30 days"), 90: _lazy("Last 90 days"), 365: _lazy("Last 12 months")}
USUAL = 90
MOST_DAYS = 732
DAY = {"class": "input input--s input--date", "type": "date"}


class PeriodForm(forms.Form):
    """Two days, or one of the presets as `days`. What cannot be read gives the usual period.

    The first day alone reaches until today, the last day alone the usual time back.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data, auto_id="period_%s")
        self.fields["days"] = forms.TypedChoiceField(
            required=False, coerce=int, choices=list(PRESETS.items())
        )
        for name, label in (("from", _("From")), ("to", _("To"))):
            self.fields[name] = forms.DateField(
                label=label, required=False, widget=forms.DateInput(attrs=DAY, format="%Y-%m-%d")
            )
        self.problem = ""
        self.is_valid()
        self.preset = self.cleaned_data.get("days") or 0
        self.period = self._between() or Period.of_days(self.preset or USUAL)
        self.preset = self.preset if self.period == Period.of_days(self.preset or USUAL) else 0
        if self.period == Period.of_days(USUAL):
            self.preset = USUAL

    def _between(self) -> Period | None:
        """The period of the two days, where they make one."""
        if "from" in self.errors or "to" in self.errors:
            self.problem = _(
                "Dates are written like 2026-03-31. Here are the last 90 days instead."
            )
            return None
        first: date | None = self.cleaned_data.get("from")
        last: date | None = self.cleaned_data.get("to")
        if first is None and last is None:
            return None
        last = last or timezone.localtime(clock.now()).date()
        first = first or max(date(1970, 1, 1), last) - timedelta(days=USUAL - 1)
        days = (last - first).days + 1
        if days < 1:
            self.problem = _(
                "The first day comes after the last. Here are the last 90 days instead."
            )
        elif days > MOST_DAYS or first.year < 1971 or last.year > 9000:
            self.problem = _("Choose two years at most. Here are the last 90 days instead.")
        else:
            return Period(first, last)
        return None

    def query(self) -> dict[str, str]:
        """Its part of an address."""
        if self.preset:
            return {"days": str(self.preset)}
        return {"from": self.period.first.isoformat(), "to": self.period.last.isoformat()}
