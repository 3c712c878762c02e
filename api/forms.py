"""The forms of the developers’ pages: a token, and a webhook."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from api import tokens
from notifications.webhooks import EVENTS
from resolution.forms.messages import shows

LIFETIMES = {
    "30": _lazy("30 days"),
    "90": _lazy("90 days"),
    "365": _lazy("1 year"),
    "never": _lazy("It does not expire"),
}


def event_labels() -> list[tuple[str, str]]:
    """The events that an endpoint can be told of, in words and by the names that programs read."""
    return [(name, f"{said} ({name})") for name, said in EVENTS.items()]


class TokenForm(forms.Form):
    """What a token is for, what it may do, and for how long."""

    name = forms.CharField(
        label=_lazy("Name"),
        max_length=80,
        help_text=_lazy("What will use it, so that you can tell your tokens apart."),
        error_messages={"required": _lazy("Give the token a name.")},
    )
    scopes = forms.MultipleChoiceField(
        label=_lazy("What it may do"),
        # Without the one that only stands for two others.
        choices=[one for one in tokens.SCOPES.items() if one[0] != tokens.ALL_OF_CASES],
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": _lazy("Choose at least one thing that the token may do."),
            "invalid_choice": _lazy("Choose from the list below."),
        },
    )
    lifetime = forms.ChoiceField(
        label=_lazy("Expires after"), choices=list(LIFETIMES.items()), initial="90"
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not any(shows(character) for character in name):
            raise forms.ValidationError(_("Give the token a name."))
        return name

    @property
    def expires_at(self) -> datetime | None:
        """When it expires, from a valid form."""
        days = self.cleaned_data["lifetime"]
        return None if days == "never" else timezone.now() + timedelta(days=int(days))


class WebhookForm(forms.Form):
    """Where events go, and which."""

    url = forms.CharField(
        label=_lazy("Address"),
        max_length=2000,
        help_text=_lazy("An https address of yours that takes POST requests."),
        error_messages={"required": _lazy("Enter the address that events go to.")},
        widget=forms.URLInput(
            attrs={"class": "input", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    events = forms.MultipleChoiceField(
        label=_lazy("Tell it when"),
        choices=event_labels,
        widget=forms.CheckboxSelectMultiple,
        initial=list(EVENTS),
        error_messages={
            "required": _lazy("Choose at least one event."),
            "invalid_choice": _lazy("Choose from the list below."),
        },
    )


class TestEventForm(forms.Form):
    """Which event to try an endpoint out with."""

    event = forms.ChoiceField(label=_lazy("Event"), choices=[(name, name) for name in EVENTS])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["event"].initial = next(iter(EVENTS))
