"""What a person writes and adds for one act: the message, up to three files, and what guards it.

A text or a file is never lost: files are stored while the form is checked, and a form that is
refused carries them on by their ids.
"""

import unicodedata
from copy import copy
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace.models import User
from resolution import drafts, evidence
from resolution.models import Attachment
from resolution.templatetags.rc import filesize, whole

MAX_MESSAGE = 4000
UNSUPPORTED = _lazy("This text has an unsupported character in it. Remove it and try again.")
# Letters and symbols by their class that show nothing: fillers, the braille blank, joiners.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
INVISIBLE = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")


def shows(character: str) -> bool:
    """A reader sees something: not white space, a control, a joiner or a variation selector."""
    return not (
        unicodedata.category(character) in INVISIBLE
        or character in BLANKS
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


class MessageField(forms.CharField):
    """Words for other people: something to read, at most 4,000 characters, with plain line ends."""

    default_error_messages = {"required": _lazy("Write a message first.")}  # noqa: RUF012

    def __init__(self, *, rows: int = 4, needed: bool = False, **kwargs: Any) -> None:
        """`needed` marks one that the form asks for in some cases: it is not called optional."""
        self.needed = needed
        kwargs.setdefault("max_length", MAX_MESSAGE)
        attributes = {"rows": rows, "class": "textarea", "dir": "auto", "hx-preserve": "true"}
        kwargs.setdefault("widget", forms.Textarea(attributes))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> str:
        text = str(value or "").replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise forms.ValidationError(UNSUPPORTED, code="unsupported")
        text = text.strip()
        return text if any(map(shows, text)) else ""

    def validate(self, value: str) -> None:
        super().validate(value)
        if self.max_length and len(value) > self.max_length:
            raise forms.ValidationError(
                _("This is {length} characters long. Shorten it to {most}.").format(
                    length=whole(len(value)), most=whole(self.max_length)
                ),
                code="max_length",
            )

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, fit to be shown again."""
        if isinstance(data, str):
            return (
                data.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
            )
        return data


def words_field(
    label: str, *, required: bool = True, hint: str = "", rows: int = 4
) -> MessageField:
    """The message of one act, under its own label."""
    return MessageField(label=label, required=required, help_text=hint, rows=rows)


class MultipleFileInput(forms.ClearableFileInput):
    """A file input that takes several."""

    allow_multiple_selected = True


class MultipleFileField(forms.Field):
    """Several files, as they came. What they are is checked by the form that stores them."""

    widget = MultipleFileInput

    def clean(self, value: Any) -> list[UploadedFile]:
        return list(value or ())


class WithFiles(forms.Form):
    """Files for one act of one user, and the two marks that make a form count once and not late.

    `files` are chosen now, `uploads` are the ids of those stored by an earlier try. The button
    `remove_upload` takes one of them out: such a form is not valid, has no errors, and is to be
    shown again with all else that was typed. `form_key` makes a form that is sent twice count once;
    `version` is that of the case on the page where the person decided. `writer` says who the form
    was made for, so that a draft can be kept of it after their session has ended.
    """

    files = MultipleFileField(  # type: ignore[assignment]  # a field's name wins in forms
        label=_lazy("Files"), required=False
    )
    uploads = forms.Field(required=False, widget=forms.MultipleHiddenInput)
    form_key = forms.UUIDField(
        required=False,
        initial=uuid4,
        widget=forms.HiddenInput,
        error_messages={
            "invalid": _lazy("Something is off with this page. Reload it and try again.")
        },
    )
    version = forms.IntegerField(
        required=False,
        widget=forms.HiddenInput,
        error_messages={
            "invalid": _lazy("Something is off with this page. Reload it and try again.")
        },
    )
    writer = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        data: MultiValueDict[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile] | None = None,
        *,
        user: User,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, files, **kwargs)
        self.initial.setdefault("writer", drafts.mark_of(user))
        self.user = user
        self.filled = ""
        self._kept: list[Attachment] = []
        self._looked_at = False
        most = filesize(settings.MAX_FILE_BYTES)
        self.fields["files"].help_text = ngettext(
            "Screenshots, receipts, or a short video. PNG, JPEG, WebP, GIF, PDF, MP4, MOV or "
            "WebM, up to {files} file of {size}.",
            "Screenshots, receipts, or a short video. PNG, JPEG, WebP, GIF, PDF, MP4, MOV or "
            "WebM, up to {files} files of {size} each.",
            settings.MAX_FILES,
        ).format(files=settings.MAX_FILES, size=most)

    @property
    def is_asking_for_more(self) -> bool:
        """The pressed button takes out a file or fills in a text; it does not send."""
        return self.is_bound and (
            self.add_prefix("remove_upload") in self.data or "fill_in" in self.data
        )

    @property
    def writes_in(self) -> str:
        """The field that a text is filled into; none while it is not known which."""
        return "message"

    def fill_in(self, text: str) -> None:
        """Put a text below what was typed, for the person to read and to send; `filled` tells."""
        if not text or not self.writes_in:
            self.filled = _("Choose a saved reply first.")
            return
        name = self.add_prefix(self.writes_in)
        before = str(self.data.get(name) or "").rstrip()
        self._carry_on(self.writes_in, [f"{before}\n\n{text}" if before else text])
        self.filled = _("Filled in. Nothing is sent yet.")

    @property
    def kept_files(self) -> list[Attachment]:
        """The uploads that are stored and go with this message, to be shown with the form."""
        if not self._looked_at:
            self._looked_at = True
            if self.is_bound:
                self.full_clean()
            elif of_a_draft := self.initial.get("uploads"):
                self._kept = evidence.unsent_of(self.user, of_a_draft)
        return list(self._kept)

    def hidden_fields(self) -> list[forms.BoundField]:
        """Those that stand at the head of the form: each upload's id stands beside its name."""
        return [field for field in super().hidden_fields() if field.name != "uploads"]

    @property
    def files_to_send(self) -> list[Attachment]:
        """The uploads of a valid form, for the door."""
        return self.kept_files

    def is_valid(self) -> bool:
        return super().is_valid() and not self.is_asking_for_more

    def full_clean(self) -> None:
        """Check as usual; then store what was chosen, whatever is wrong with the rest."""
        super().full_clean()
        if not self.is_bound:
            return
        self._looked_at = True
        self._kept = self._kept_from_before()
        self._add_chosen(self.cleaned_data.get("files") or [])
        self._carry_on("uploads", [kept.public_id for kept in self._kept])
        if self.is_asking_for_more:
            self.errors.clear()

    def renew(self, version: int) -> None:
        """Show the same form again, as a new one, for the case as it stands now."""
        self._carry_on("version", [str(version)])
        self._carry_on("form_key", [str(uuid4())])

    def _carry_on(self, name: str, values: list[str]) -> None:
        data: Any = copy(self.data)
        if isinstance(data, MultiValueDict):
            data.setlist(self.add_prefix(name), values)
        else:
            data[self.add_prefix(name)] = values
        self.data = data

    def _kept_from_before(self) -> list[Attachment]:
        named = [str(i) for i in self.cleaned_data.get("uploads") or []]
        removed = str(self.data.get(self.add_prefix("remove_upload")) or "")
        if removed:
            evidence.discard(self.user, removed)
        asked = dict.fromkeys(i for i in named if i != removed)
        kept = evidence.unsent_of(self.user, list(asked))
        infected = evidence.infected_of(self.user, list(asked)) if len(kept) < len(asked) else []
        for name in infected:
            self.add_error(
                "files",
                _(
                    "“%(name)s” can’t be sent: our virus scanner found something in it. "
                    "A fresh copy or a screenshot may do."
                )
                % {"name": name},
            )
        missing = len(asked) - len(kept) - len(infected)
        if missing and not self._already_sent(list(asked), missing):
            self.add_error("files", _("A file from before is no longer here. Add it again."))
        if len(kept) > settings.MAX_FILES:
            self._too_many(len(kept), [left.filename for left in kept[settings.MAX_FILES :]])
        return kept[: settings.MAX_FILES]

    def _already_sent(self, public_ids: list[str], count: int) -> bool:
        """The files that are missing went out with this very form a moment ago."""
        form_key = self.cleaned_data.get("form_key")
        if form_key is None:
            return False
        ids = [i for i in public_ids if evidence.PUBLIC_ID.fullmatch(i)]
        sent = Attachment.objects.filter(
            uploader=self.user, public_id__in=ids, event__form_key=form_key
        )
        return sent.count() == count

    def _add_chosen(self, chosen: list[UploadedFile]) -> None:
        total = len(self._kept) + len(chosen)
        for number, upload in enumerate(chosen):
            if len(self._kept) >= settings.MAX_FILES:
                left_out = [evidence.safe_name(late.name or "") for late in chosen[number:]]
                self._too_many(total, left_out)
                break
            try:
                self._kept.append(evidence.accept(upload, self.user))
            except evidence.RefusedFile as refused:
                self.add_error("files", _naming(upload, refused.sentence))

    def _too_many(self, total: int, left_out: list[str]) -> None:
        names = ", ".join(f"“{name}”" for name in left_out)
        self.add_error(
            "files",
            ngettext(
                "Add at most {most} file. You added {total}. Left out: {names}.",
                "Add at most {most} files. You added {total}. Left out: {names}.",
                settings.MAX_FILES,
            ).format(most=settings.MAX_FILES, total=total, names=names),
        )


def _naming(upload: UploadedFile, sentence: str) -> str:
    """The sentence with the file's name, where it has none: several may have been chosen."""
    name = evidence.safe_name(upload.name or "")
    return (
        sentence
        if "“" in sentence
        else _("“{name}” can’t be added. {sentence}").format(name=name, sentence=sentence)
    )


def text_of(form: forms.Form, name: str) -> str:
    """A field's text: as it is sent when it is valid, otherwise as it was typed."""
    cleaned = getattr(form, "cleaned_data", {})
    if name in cleaned:
        return str(cleaned[name])
    return str(form.data.get(form.add_prefix(name)) or "").strip()


class MessageForm(WithFiles):
    """One message with its files: a reply, an appeal, a comment, any act with words."""

    message = MessageField()
    field_order = ("message", "files")

    def __init__(
        self,
        data: MultiValueDict[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile] | None = None,
        *,
        user: User,
        message_required: bool = True,
        message_label: str = "",
        message_hint: str = "",
        message_missing: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(data, files, user=user, **kwargs)
        message = self.fields["message"]
        message.required = message.widget.is_required = message_required
        message.label, message.help_text = message_label or _("Message"), message_hint
        if message_missing:
            message.error_messages["required"] = message_missing

    @property
    def text(self) -> str:
        """The message: as it is sent when the form is valid, otherwise as it was typed."""
        return text_of(self, "message")
