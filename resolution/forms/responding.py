"""The creator's answer to a request, and the forms that only ask "are you sure?"."""

from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.models import User
from resolution.forms.messages import MessageField, WithFiles

ANSWERS = (
    ("accept", _lazy("Accept and refund")),
    ("request_info", _lazy("Request more details")),
    ("deny", _lazy("Deny the request")),
)
MISSING = {
    "request_info": _lazy("Write what you need to know."),
    "deny": _lazy("Write why you deny it."),
}


class RespondForm(WithFiles):
    """Accept, ask or deny: one choice, the message that goes with it, and up to three files.

    An acceptance may end the membership that was paid for, where there is one: `ends` names it.

    Every answer has a text of its own on the page, so that changing one's mind loses nothing; only
    the one that goes with the choice is sent. A button that contradicts the choice is refused, and
    so is the Enter key alone: it presses the form's first button, whose `do` is empty.
    """

    action = forms.ChoiceField(
        label=_lazy("Your response"),
        choices=ANSWERS,
        widget=forms.RadioSelect,
        error_messages={
            "required": _lazy("Choose what to do: accept, request more details, or deny.")
        },
    )
    accept_message = MessageField(label=_lazy("Message to the buyer"), required=False, rows=3)
    ends_membership = forms.BooleanField(required=False)
    request_info_message = MessageField(
        label=_lazy("What do you need to know?"),
        required=False,
        needed=True,
        rows=3,
        help_text=_lazy(
            "Ask for what you need to decide. The buyer gets a fresh clock to answer, "
            "then it’s your turn again."
        ),
    )
    deny_message = MessageField(
        label=_lazy("Why not?"),
        required=False,
        needed=True,
        rows=3,
        help_text=_lazy(
            "Answer what the buyer says went wrong. If they appeal, this is read first."
        ),
    )
    field_order = (
        "action", "accept_message", "ends_membership", "request_info_message", "deny_message",
        "files",
    )  # fmt: skip

    def __init__(
        self,
        data: MultiValueDict[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile] | None = None,
        *,
        user: User,
        ends: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(data, files, user=user, **kwargs)
        box = self.fields["ends_membership"]
        box.label, box.disabled = _("End the membership too"), not ends
        if not ends:
            self.initial.pop("ends_membership", None)
        box.help_text = _(
            "Access to {ends} ends at once, and no further payment is taken for it."
        ).format(ends=ends)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        action = cleaned.get("action")
        pressed = self.data.get("do", action)
        if action and not pressed:
            raise ValidationError(_("To send it, press the button below your choice."))
        if action and pressed != action:
            raise ValidationError(_("The button doesn’t match what you chose. Choose once more."))
        field = f"{action}_message"
        if action in MISSING and field not in self.errors and not cleaned.get(field):
            self.add_error(field, MISSING[action])
        return cleaned

    @property
    def writes_in(self) -> str:
        """The text that goes with the choice."""
        chosen = str(self.data.get("action") or "")
        return f"{chosen}_message" if chosen in dict(ANSWERS) else ""

    @property
    def step(self) -> str:
        """The step of the lifecycle that was chosen."""
        return str(self.cleaned_data["action"])

    @property
    def message(self) -> str:
        """The words that go with the choice."""
        return str(self.cleaned_data[f"{self.step}_message"])


class ConfirmForm(forms.Form):
    """A button that says yes to something which cannot be undone: only to what its page showed."""

    form_key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4, required=False)
    version = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
