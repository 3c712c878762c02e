"""The forms of saved replies: one as a team writes it, and the button that removes it."""

import unicodedata
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.models import Company
from resolution import replies, rules
from resolution.forms.messages import MessageField, shows
from resolution.forms.rules import refuse_unknown_variables
from resolution.models import SavedReply


class ReplyForm(forms.Form):
    """A title to find it by, and the text. `version` is the reply's on the page it was changed."""

    title = forms.CharField(
        label=_lazy("Title"),
        max_length=80,
        help_text=_lazy("What your team picks it by. Buyers never see it."),
        error_messages={"required": _lazy("Give the reply a title.")},
        widget=forms.TextInput(attrs={"class": "input", "dir": "auto", "autocomplete": "off"}),
    )
    text = MessageField(
        label=_lazy("Text"),
        rows=7,
        error_messages={"required": _lazy("Write what the buyer reads.")},
    )
    version = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, company: Company, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.company = company
        named = ", ".join(f"{{{{ {name} }}}}" for name in replies.VARIABLES)
        self.fields["text"].help_text = _("You can use {named}.").format(named=named)

    @classmethod
    def initial_of(cls, reply: SavedReply) -> dict[str, Any]:
        """What the form starts with when this reply is changed."""
        return {"title": reply.title, "text": reply.text, "version": reply.version}

    def clean_title(self) -> str:
        title: str = self.cleaned_data["title"]
        if any(unicodedata.category(letter) == "Cc" for letter in title):
            raise ValidationError(_("Write the title on one line, without special characters."))
        if not any(map(shows, title)):
            raise ValidationError(_("Give the reply a title."))
        return title

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        refuse_unknown_variables(text)
        return text

    def columns(self) -> dict[str, str]:
        """The reply's columns, from a valid form."""
        return {name: self.cleaned_data[name] for name in ("title", "text")}

    def renew(self, version: int) -> None:
        """Let what was typed be sent again, knowing of the reply as it is now."""
        data: Any = self.data
        self.data = data.copy()
        self.data["version"] = str(version)  # type: ignore[index]

    def preview(self) -> str:
        """What a buyer would read, with an example for each variable."""
        return rules.fill_in(str(self["text"].value() or ""), replies.example_values(self.company))


class ReplyRemoveForm(forms.Form):
    """The button that removes a reply; `version` is the reply's on that page."""

    version = forms.IntegerField(min_value=0)
