"""Files go up as soon as they are chosen: shown, removable, counted, and nobody else's."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import UploadedFile
from django.test import Client
from pytest_django import Settings

from marketplace.models import User
from resolution import cases
from resolution.evidence import RefusedFile, accept, remove_unsent
from resolution.models import Attachment, Case
from resolution.terms import Actor
from tests.conftest import Later
from tests.evidence import hostile
from tests.evidence.conftest import Stored
from tests.evidence.hostile import upload

pytestmark = pytest.mark.usefixtures("stored")


def png(name: str = "a.png") -> UploadedFile:
    return upload(name, hostile.picture())


@pytest.fixture
def beas_browser(client: Client, bea: User) -> Client:
    client.force_login(bea)
    return client


def send(browser: Client, *files: UploadedFile, **fields: Any) -> Any:
    data = {"files": list(files)} | fields
    return browser.post("/uploads/?for=reply", data, headers={"HX-Request": "true"})


def sent_on(answer: Any) -> list[str]:
    """The ids that the form would send now."""
    return re.findall(r'name="uploads" value="(att_\w+)"', answer.content.decode())


def announced(answer: Any) -> str:
    return str(json.loads(answer.headers["HX-Trigger"])["said"]["text"])


def test_a_chosen_file_is_shown_with_its_picture_and_goes_with_the_form(
    beas_browser: Client,
) -> None:
    answer = send(beas_browser, png())

    row = Attachment.objects.get()
    html = answer.content.decode()
    assert (answer.status_code, sent_on(answer)) == (200, [row.public_id])
    assert f'src="/files/{row.public_id}/?inline=1"' in html
    assert 'id="reply_files"' in html
    assert announced(answer) == "1 file added. Not sent yet."


def test_a_refused_file_is_named_and_the_others_stay(beas_browser: Client) -> None:
    first = sent_on(send(beas_browser, png("a.png")))

    answer = send(beas_browser, upload("b.svg", hostile.SVG), png("c.png"), uploads=first)

    assert (answer.status_code, len(sent_on(answer))) == (422, 2)
    assert "“b.svg” can’t be added." in answer.content.decode()


def test_a_removed_file_is_taken_by_no_form_and_goes_with_the_next_sweep(
    beas_browser: Client, bea: User, stored: Stored
) -> None:
    ids = sent_on(send(beas_browser, png("a.png"), png("b.png")))

    answer = send(beas_browser, uploads=ids, remove_upload=ids[0])
    again = send(beas_browser, uploads=ids)
    removed = remove_unsent()

    assert (sent_on(answer), sent_on(again)) == ([ids[1]], [ids[1]])
    assert (removed, len(stored())) == (1, 1)


def test_nobody_removes_or_sends_what_is_anothers(beas_browser: Client, nia: User) -> None:
    theirs = accept(png(), nia)

    answer = send(beas_browser, uploads=[theirs.public_id], remove_upload=theirs.public_id)

    assert (sent_on(answer), remove_unsent()) == ([], 0)


def test_what_was_sent_cannot_be_removed(
    beas_browser: Client, bea: User, buyer: Actor, waiting_case: Case
) -> None:
    mine = accept(png(), bea)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[mine])

    send(beas_browser, remove_upload=mine.public_id)

    assert (remove_unsent(), Attachment.objects.count()) == (0, 1)


def test_only_so_many_files_are_kept_unsent_of_one_person(
    settings: Settings, bea: User, nia: User, buyer: Actor, waiting_case: Case, later: Later
) -> None:
    settings.MAX_UNSENT_FILES = 3
    mine = [accept(png(), bea) for _ in range(3)]

    with pytest.raises(RefusedFile, match=r"^You have added 3 files in a day that you haven’t"):
        accept(png(), bea)
    others = accept(png(), nia)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=mine[:1])
    one_more = accept(png(), bea)
    with pytest.raises(RefusedFile):
        accept(png(), bea)
    later(timedelta(days=1, minutes=1))
    after_a_day = accept(png(), bea)

    assert [others.uploader, one_more.uploader, after_a_day.uploader] == [nia, bea, bea]


@pytest.mark.parametrize("name", ["reply%25s", "a b", "<b>", "x" * 25])
def test_a_form_of_no_known_name_is_not_there(beas_browser: Client, name: str) -> None:
    answer = beas_browser.post(f"/uploads/?for={name}", {"files": [png()]})

    assert (answer.status_code, Attachment.objects.count()) == (404, 0)


def test_who_is_logged_out_is_told(client: Client, db: None) -> None:
    answer = send(client, png())

    assert (answer.status_code, Attachment.objects.count()) == (401, 0)
