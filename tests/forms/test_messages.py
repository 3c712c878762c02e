"""A message with its files: what is refused in which words, and that nothing typed is ever lost."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.datastructures import MultiValueDict

from marketplace.models import User
from resolution import cases
from resolution.forms.messages import MessageForm
from resolution.models import Attachment, Case
from resolution.terms import Actor
from resolution.views.case_page import about_files
from tests.evidence import hostile
from tests.evidence.hostile import upload

pytestmark = pytest.mark.usefixtures("stored")

UNSUPPORTED = "This text has an unsupported character in it. Remove it and try again."
ALLOWED = "Upload a PNG, JPEG, WebP, GIF, PDF, MP4, MOV or WebM file."


def send(
    user: User, *chosen: UploadedFile, options: dict[str, Any] | None = None, **fields: Any
) -> MessageForm:
    """The form as it arrives: `fields` are texts, or lists of them."""
    data = QueryDict(mutable=True)
    for name, value in ({"message": "Here is what happened."} | fields).items():
        data.setlist(name, value if isinstance(value, list) else [value])
    files = MultiValueDict({"files": list(chosen)} if chosen else {})
    return MessageForm(data, files, user=user, **(options or {}))


def png(name: str = "a.png") -> UploadedFile:
    return upload(name, hostile.picture())


def names(form: MessageForm) -> list[str]:
    return [attachment.filename for attachment in form.kept_files]


def ids(form: MessageForm) -> list[str]:
    """What the page hands on in hidden inputs, once the form was checked."""
    return list(form["uploads"].value() or []) if form.errors is not None else []


# ── Words ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("  It broke.  ", "It broke."),
        ("one\r\ntwo\rthree\n", "one\ntwo\nthree"),
        ("🙃", "🙃"),
        ("👩‍👩‍👧 שלום مرحبا", "👩‍👩‍👧 שלום مرحبا"),
        ("<script>{{ 7*7 }} %s {x.__class__}", "<script>{{ 7*7 }} %s {x.__class__}"),
        ("a" * 4000, "a" * 4000),
        ("a\r\n" * 1333, ("a\n" * 1333).strip()),
    ],
)
def test_words_are_taken_as_they_are(typed: str, sent: str, bea: User) -> None:
    form = send(bea, message=typed)

    assert form.is_valid()
    assert (form.cleaned_data["message"], form.text) == (sent, sent)


@pytest.mark.parametrize(
    "nothing",
    [
        "",
        " \t\r\n ",
        "\u200b\u200d\ufeff",
        "\u00a0\u3000",
        "\u2800\u3164",
        "\ufe0f\u034f",
        "\u202e",
    ],
)
def test_a_message_that_shows_nothing_is_refused(nothing: str, bea: User) -> None:
    form = send(bea, message=nothing)

    assert not form.is_valid()
    assert form.errors == {"message": ["Write a message first."]}


def test_a_message_that_need_not_be_written_may_show_nothing(bea: User) -> None:
    form = send(bea, message=" \u200b ", options={"message_required": False})

    assert form.is_valid()
    assert form.text == ""


@pytest.mark.parametrize("odd", ["a\0b", "\0", "a\ud83d", "\udc00"])
def test_characters_that_cannot_be_kept_are_refused(odd: str, bea: User) -> None:
    form = send(bea, message=odd)

    assert not form.is_valid()
    assert form.errors == {"message": [UNSUPPORTED]}
    assert str(form["message"]).encode()


@pytest.mark.parametrize(("length", "said"), [(4001, "4,001"), (2**20, "1,048,576")])
def test_a_message_that_is_too_long_is_refused_with_its_length(
    length: int, said: str, bea: User
) -> None:
    form = send(bea, message="a" * length)

    assert not form.is_valid()
    assert form.errors == {"message": [f"This is {said} characters long. Shorten it to 4,000."]}
    assert form.text == "a" * length


def test_a_form_says_what_it_asks_for(bea: User) -> None:
    form = MessageForm(
        user=bea, message_label="Your answer", message_hint="Cleo reads it.",
        message_missing="Write your answer first.", initial={"version": 3},
    )  # fmt: skip
    refused = send(bea, message="", options={"message_missing": "Write your answer first."})

    assert (form["message"].label, form["message"].help_text) == ("Your answer", "Cleo reads it.")
    assert form["version"].value() == 3
    assert UUID(form["form_key"].value()).version == 4
    assert refused.errors == {"message": ["Write your answer first."]}


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_stored_and_go_with_the_message(bea: User) -> None:
    form = send(bea, png("a.png"), upload("b.pdf", hostile.pdf()), upload("c.mp4", hostile.video()))

    assert form.is_valid()
    assert names(form) == ["a.png", "b.pdf", "c.mp4"]
    assert form.files_to_send == list(Attachment.objects.order_by("pk"))


def test_an_error_in_the_message_loses_no_file(bea: User) -> None:
    refused = send(bea, png("a.png"), message=" ")
    again = send(bea, png("b.png"), uploads=ids(refused))

    assert not refused.is_valid()
    assert again.is_valid()
    assert names(again) == ["a.png", "b.png"]


def test_an_error_in_a_file_loses_neither_the_text_nor_the_others(bea: User) -> None:
    form = send(bea, png("a.png"), upload("b.png", b""), png("c.png"))

    assert not form.is_valid()
    assert form.errors == {"files": ["“b.png” is empty. Choose another file."]}
    assert names(form) == ["a.png", "c.png"]
    assert ids(form) == [attachment.public_id for attachment in form.kept_files]
    assert form.text == form["message"].value() == "Here is what happened."


def test_every_refused_file_is_named(bea: User) -> None:
    form = send(bea, upload("a.svg", hostile.SVG), upload("b.png", hostile.HTML))

    assert not form.is_valid()
    assert form.errors == {
        "files": [
            f"“a.svg” can’t be added. {ALLOWED}",
            "“b.png” is not a real PNG file.",
        ]
    }
    assert not Attachment.objects.exists()


def test_a_fourth_file_is_left_out_and_named(bea: User) -> None:
    form = send(bea, *(png(f"{number}.png") for number in range(1, 5)))

    assert not form.is_valid()
    assert form.errors == {"files": ["Add at most 3 files. You added 4. Left out: “4.png”."]}
    assert names(form) == ["1.png", "2.png", "3.png"]


def test_files_of_an_earlier_try_count_too(bea: User) -> None:
    before = send(bea, png("1.png"), png("2.png"), message="")

    form = send(bea, png("3.png"), png("4.png"), uploads=ids(before))

    assert not form.is_valid()
    assert form.errors == {"files": ["Add at most 3 files. You added 4. Left out: “4.png”."]}
    assert Attachment.objects.count() == 3


def test_more_ids_than_files_are_allowed_do_not_help(bea: User) -> None:
    forms = [send(bea, png(f"{number}.png"), message="") for number in range(1, 6)]

    form = send(bea, uploads=[id_ for before in forms for id_ in ids(before)])

    assert not form.is_valid()
    assert form.errors == {
        "files": ["Add at most 3 files. You added 5. Left out: “4.png”, “5.png”."]
    }
    assert names(form) == ["1.png", "2.png", "3.png"]


def test_a_file_can_be_taken_out_again(bea: User) -> None:
    before = send(bea, png("1.png"), png("2.png"), message="")
    first, second = ids(before)

    form = send(
        bea, png("3.png"), message="Half a sen", uploads=[first, second], remove_upload=first
    )

    assert form.is_asking_for_more
    assert not form.is_valid()
    assert form.errors == {}
    assert names(form) == ["2.png", "3.png"]
    assert form["message"].value() == "Half a sen"


def test_taking_a_file_out_complains_about_nothing(bea: User) -> None:
    before = send(bea, png("1.png"), message="")

    form = send(bea, message="", uploads=ids(before), remove_upload=ids(before)[0])

    assert form.is_asking_for_more
    assert (form.errors, form.kept_files, form.is_valid()) == ({}, [], False)


def test_somebody_elses_file_cannot_be_sent(bea: User, nia: User) -> None:
    theirs = send(nia, png("secret.png"), message="")

    form = send(bea, uploads=ids(theirs))

    assert not form.is_valid()
    assert form.errors == {"files": ["A file from before is no longer here. Add it again."]}
    assert form.kept_files == []


@pytest.mark.parametrize("odd", ["att_doesnotexist00", "reso_x", "a\0b", "1 OR 1=1", "att_" * 99])
def test_an_id_that_is_none_is_refused_kindly(odd: str, bea: User) -> None:
    form = send(bea, uploads=[odd])

    assert not form.is_valid()
    assert form.errors == {"files": ["A file from before is no longer here. Add it again."]}


def test_the_same_form_sent_twice_is_valid_twice_and_counts_once(
    bea: User, buyer: Actor, waiting_case: Case
) -> None:
    key = str(uuid4())
    uploads = ids(send(bea, png(), message=""))
    events = []

    for _ in range(2):
        form = send(bea, uploads=uploads, form_key=key)
        assert form.is_valid()
        event = cases.take_step(
            waiting_case, "comment", buyer, message=form.text, files=form.files_to_send,
            form_key=form.cleaned_data["form_key"],
        )  # fmt: skip
        events.append(event)

    assert events[0] == events[1]
    assert list(events[0].attachments.values_list("public_id", flat=True)) == uploads


def test_a_file_that_went_out_with_another_message_is_not_sent_again(
    bea: User, buyer: Actor, waiting_case: Case
) -> None:
    before = send(bea, png())
    assert before.is_valid()
    cases.take_step(
        waiting_case, "comment", buyer, message="One.", files=before.files_to_send,
        form_key=uuid4(),
    )  # fmt: skip

    form = send(bea, uploads=ids(before), form_key=str(uuid4()))

    assert not form.is_valid()
    assert form.errors == {"files": ["A file from before is no longer here. Add it again."]}


# ── What guards it ────────────────────────────────────────────────────────────────────────────────


def test_a_key_and_a_version_that_are_none_are_refused(bea: User) -> None:
    form = send(bea, form_key="x", version="x")

    assert not form.is_valid()
    assert form.errors == {
        "form_key": ["Something is off with this page. Reload it and try again."],
        "version": ["Something is off with this page. Reload it and try again."],
    }


def test_a_renewed_form_keeps_all_but_its_key_and_the_version(bea: User) -> None:
    key = str(uuid4())
    form = send(bea, png(), form_key=key, version="3")
    assert form.is_valid()

    form.renew(7)

    assert (form["version"].value(), form["form_key"].value() == key) == ("7", False)
    assert form["message"].value() == "Here is what happened."
    assert names(form) == ["a.png"]


def test_the_page_of_a_refused_form_carries_on_all_of_it(bea: User) -> None:
    form = send(bea, png(), message="", form_key=str(uuid4()), version="3")
    composer = {
        "id": "reply", "party": "buyer", "who_name": "Bea Lind", "action": "/x/", "form": form,
        "button": "Send", **about_files(form),
    }  # fmt: skip

    page = render_to_string("rc/_composer.html", {"composer": composer})

    for name, value in (("uploads", ids(form)[0]), ("version", "3")):
        assert page.count(f'<input type="hidden" name="{name}" value="{value}"') == 1
    assert page.count("Write a message first.") == 2
    assert page.count('type="file"') == 1
