"""What people set for themselves: their name and time zone, what they get by e-mail and when."""

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.models import User
from notifications.models import Preferences
from resolution.templatetags.rc import hour_name

AREAS = {
    "Africa": _lazy("Africa"),
    "America": _lazy("America"),
    "Antarctica": _lazy("Antarctica"),
    "Arctic": _lazy("Arctic"),
    "Asia": _lazy("Asia"),
    "Atlantic": _lazy("Atlantic"),
    "Australia": _lazy("Australia"),
    "Europe": _lazy("Europe"),
    "Indian": _lazy("Indian Ocean"),
    "Pacific": _lazy("Pacific"),
}


@cache
def time_zones() -> list[tuple[str | Promise, list[tuple[str, str]]]]:
    """The zones of the world by area, each as its city is called; UTC comes first."""
    by_area: dict[str, list[tuple[str, str]]] = {area: [] for area in AREAS}
    for name in sorted(available_timezones()):
        area, _, place = name.partition("/")
        if place and area in by_area:
            by_area[area].append((name, place.replace("_", " ").replace("/", ", ")))
    named = [(AREAS[area], zones) for area, zones in by_area.items()]
    return [(_lazy("Universal"), [("UTC", "UTC")]), *named]


class AccountForm(forms.ModelForm):
    """A person's name, language and time zone."""

    language = forms.ChoiceField(
        label=_lazy("Language"),
        help_text=_lazy("Pages and emails are in it. What people write stays as they wrote it."),
        choices=lambda: settings.LANGUAGES,
        widget=forms.Select(attrs={"class": "select"}),
    )

    time_zone = forms.ChoiceField(
        label=_lazy("Time zone"),
        help_text=_lazy("Dates and deadlines are shown in it, here and in emails."),
        choices=time_zones,
        widget=forms.Select(attrs={"class": "select"}),
    )

    class Meta:
        model = User
        fields = ("name", "language", "time_zone")
        labels = {"name": _lazy("Name")}  # noqa: RUF012
        help_texts = {"name": _lazy("The other side of your cases sees it.")}  # noqa: RUF012
        widgets = {  # noqa: RUF012
            "name": forms.TextInput(attrs={"class": "input", "autocomplete": "name"})
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["language"] = self.instance.language or get_language()
        self.fields["name"].error_messages["required"] = _("Enter your name.")
        zones = self.fields["time_zone"]
        assert isinstance(zones, forms.ChoiceField)
        known = {name for _, group in time_zones() for name, _ in group}
        if self.instance.time_zone not in known:
            here = (self.instance.time_zone, self.instance.time_zone)
            zones.choices = [(_("Yours so far"), [here]), *time_zones()]


class LanguageForm(forms.Form):
    """The language that somebody wants to read in, and the page they chose it on."""

    language = forms.ChoiceField(choices=lambda: settings.LANGUAGES)
    next = forms.CharField(required=False, max_length=2000)


def hours() -> list[tuple[int, str]]:
    return [(hour, hour_name(hour)) for hour in range(24)]


class MailForm(forms.Form):
    """The groups of messages that somebody wants by e-mail, and the hours when they want none."""

    wanted = forms.MultipleChoiceField(
        label=_lazy("Also email me"), required=False, widget=forms.CheckboxSelectMultiple
    )
    quiet = forms.BooleanField(label=_lazy("Don’t email me at night"), required=False)
    quiet_from = forms.TypedChoiceField(
        label=_lazy("From"),
        coerce=int,
        choices=hours,
        widget=forms.Select(attrs={"class": "select"}),
    )
    quiet_until = forms.TypedChoiceField(
        label=_lazy("Until"),
        coerce=int,
        choices=hours,
        widget=forms.Select(attrs={"class": "select"}),
    )

    def __init__(self, data: Any, chosen: Preferences, groups: dict[str, str]) -> None:
        at_night = chosen.quiet_from is not None
        super().__init__(
            data,
            initial={
                "wanted": []
                if chosen.complained_at
                else [name for name in groups if name not in chosen.muted],
                "quiet": at_night,
                "quiet_from": chosen.quiet_from if at_night else 22,
                "quiet_until": chosen.quiet_until if at_night else 8,
            },
        )
        self.groups = groups
        wanted = self.fields["wanted"]
        assert isinstance(wanted, forms.MultipleChoiceField)
        wanted.choices = list(groups.items())

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("quiet") and said.get("quiet_from") == said.get("quiet_until"):
            self.add_error("quiet_until", _("Choose an hour that differs from the first."))
        return said

    @property
    def chosen(self) -> dict[str, Any]:
        """The choice as `preferences.choose` takes it."""
        said = self.cleaned_data
        return {
            "complained_at": None,
            "muted": [name for name in self.groups if name not in said["wanted"]],
            "quiet_from": said["quiet_from"] if said["quiet"] else None,
            "quiet_until": said["quiet_until"] if said["quiet"] else None,
        }
