"""Files wait for the virus scanner, whatever becomes of it; what it finds goes no further."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from pytest_django import Settings

from marketplace.models import User
from notifications.models import Notification
from resolution import cases, custody, messages, timeline
from resolution.cases import StepRefused
from resolution.evidence import accept, unsent_of
from resolution.forms.messages import MessageForm
from resolution.models import Attachment, Case
from resolution.terms import Actor, Party
from tests.evidence import clamd, hostile
from tests.evidence.clamd import Clamd
from tests.evidence.conftest import Stored
from tests.evidence.hostile import upload

pytestmark = pytest.mark.usefixtures("stored")
CHECKING, READY, INFECTED, REMOVED = Attachment.State
BAD = hostile.pdf(b"/Note (" + clamd.SIGNATURE + b") ")


@pytest.fixture(scope="module")
def _server() -> Iterator[Clamd]:
    with clamd.running() as server:
        yield server


@pytest.fixture
def scanner(_server: Clamd, settings: Settings) -> Clamd:
    """The scanner that the settings name; it is well."""
    settings.CLAMD = _server.address
    _server.longest, _server.garbled = 25 * 2**20, False
    _server.scanned.clear()
    return _server


def look_again() -> None:
    """Every file in quarantine is due now."""
    Attachment.objects.filter(state=CHECKING).update(scan_at=timezone.now())


def status_of(attachment: Attachment, user: User) -> int:
    client = Client()
    client.force_login(user)
    address = reverse("attachment", args=[attachment.public_id])
    return client.get(address, follow=True).status_code


def state_of(attachment: Attachment) -> str:
    return Attachment.objects.get(pk=attachment.pk).state


def send(case: Case, actor: Actor, attachment: Attachment, step: str = "comment") -> None:
    cases.take_step(case, step, actor, message="Look.", files=[attachment])


def test_without_a_scanner_a_file_is_ready_at_once(bea: User) -> None:
    assert accept(upload("a.pdf", hostile.pdf()), bea).state == READY


def test_until_it_is_scanned_only_its_uploader_gets_a_file_and_only_before_it_is_sent(
    scanner: Clamd, bea: User, cleo: User, sam: User, buyer: Actor, waiting_case: Case
) -> None:
    picture = accept(upload("a.png", hostile.picture()), bea)

    before = {person.name: status_of(picture, person) for person in (bea, cleo, sam)}
    send(waiting_case, buyer, picture)
    waiting = {person.name: status_of(picture, person) for person in (bea, cleo, sam)}
    scanned = custody.scan_waiting()
    after = {person.name: status_of(picture, person) for person in (bea, cleo, sam)}

    assert before == {"Bea Lind": 200, "Cleo Park": 404, "Sam Reyes": 404}
    assert waiting == dict.fromkeys(before, 409)
    assert (scanned, after) == (1, dict.fromkeys(before, 200))
    assert scanner.scanned == [picture.size]


def test_a_file_that_waits_is_on_the_page_without_a_link(
    scanner: Clamd, bea: User, cleo: User, buyer: Actor, waiting_case: Case, client: Client
) -> None:
    picture = accept(upload("a.png", hostile.picture()), bea)
    send(waiting_case, buyer, picture)
    client.force_login(cleo)

    page = client.get(reverse("dash-case", args=[waiting_case.public_id])).content.decode()

    assert "being checked for viruses" in page
    assert picture.public_id not in page


def test_a_virus_that_was_sent_is_removed_and_both_sides_are_told(
    scanner: Clamd, bea: User, cleo: User, sam: User, buyer: Actor, waiting_case: Case,
    stored: Stored,
) -> None:  # fmt: skip
    bad = accept(upload("bill.pdf", BAD), bea)
    send(waiting_case, buyer, bad)

    scanned = [custody.scan_waiting(), custody.scan_waiting()]

    case = Case.objects.get(pk=waiting_case.pk)
    told = case.events.get(step="refuse_file")
    letters = messages.compose(list(Notification.objects.filter(kind="refuse_file")))
    subjects = {pk: letter.subject for pk, letter in letters.items() if letter}
    assert (scanned, state_of(bad), stored()) == ([1, 0], INFECTED, [])
    assert told.data["files"] == [bad.public_id]
    assert (told.data["from"], told.data["found"]) == ("buyer", clamd.NAME)
    assert sorted(subjects.values()) == [
        "A file was removed: Bea Lind’s case", "A file was removed: Golden Hour presets",
    ]  # fmt: skip
    assert [status_of(bad, person) for person in (bea, cleo, sam)] == [410, 410, 410]
    call_command("verify_timeline", case=case.public_id)


@pytest.mark.parametrize(
    ("reader", "strong", "text"),
    [
        (Party.BUYER, "A file of yours was removed.",
         "so nobody else gets it. If it matters, send a fresh copy or a screenshot."),
        (Party.CREATOR, "A file from Bea was removed.", "so nobody else gets it."),
        (Party.STAFF, "A file from Bea was removed.", f"Found: {clamd.NAME}."),
    ],
)  # fmt: skip
def test_the_timeline_says_so_to_each(
    scanner: Clamd, bea: User, buyer: Actor, waiting_case: Case,
    reader: Party, strong: str, text: str,
) -> None:  # fmt: skip
    send(waiting_case, buyer, accept(upload("bill.pdf", BAD), bea))
    custody.scan_waiting()

    case = Case.objects.get(pk=waiting_case.pk)
    *_, said, told = timeline.entries(case, timeline.events_of(case, reader), reader)

    assert (told.strong, told.text.endswith(text)) == (strong, True)
    assert [(file.name, file.href, file.problem) for file in said.files] == [
        ("bill.pdf", "", "removed, a virus was found in it")
    ]


def test_a_virus_in_a_note_of_the_staff_is_nobody_elses_news(
    scanner: Clamd, sam: User, staff: Actor, waiting_case: Case, stored: Stored
) -> None:
    bad = accept(upload("bill.pdf", BAD), sam)
    send(waiting_case, staff, bad, "note")

    custody.scan_waiting()

    assert (state_of(bad), stored()) == (INFECTED, [])
    assert not waiting_case.events.filter(step="refuse_file").exists()


def test_a_virus_that_was_not_sent_yet_cannot_be_and_the_form_says_why(
    scanner: Clamd, bea: User, buyer: Actor, waiting_case: Case, stored: Stored
) -> None:
    bad = accept(upload("bill.pdf", BAD), bea)

    custody.scan_waiting()
    sent = MultiValueDict({"message": ["Look."], "uploads": [bad.public_id]})
    form = MessageForm(sent, user=bea)

    assert (state_of(bad), stored(), unsent_of(bea, [bad.public_id])) == (INFECTED, [], [])
    assert not form.is_valid()
    assert form.errors["files"] == [
        "“bill.pdf” can’t be sent: our virus scanner found something in it. "
        "A fresh copy or a screenshot may do."
    ]
    with pytest.raises(StepRefused, match="can’t be sent any more"):
        send(waiting_case, buyer, bad)


@pytest.mark.parametrize("trouble", ["away", "garbled", "too long"])
def test_without_an_answer_a_file_stays_in_quarantine_and_is_tried_again(
    trouble: str, scanner: Clamd, settings: Settings, bea: User, buyer: Actor, cleo: User,
    waiting_case: Case, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    picture = accept(upload("a.png", hostile.picture()), bea)
    send(waiting_case, buyer, picture)
    if trouble == "away":
        settings.CLAMD = clamd.nobody_there()
    scanner.garbled = trouble == "garbled"
    scanner.longest = 10 if trouble == "too long" else scanner.longest

    through = custody.scan_waiting()
    too_soon = custody.scan_waiting()
    kept = status_of(picture, cleo)
    settings.CLAMD, scanner.garbled, scanner.longest = scanner.address, False, 2**20
    look_again()
    later = custody.scan_waiting()

    errors = [r for r in caplog.records if r.levelname == "ERROR" and r.name == custody.__name__]
    assert (through, too_soon, kept, later) == (0, 0, 409, 1)
    assert len(errors) == 1
    assert status_of(picture, cleo) == 200


def test_one_that_cannot_be_scanned_does_not_hold_up_the_others(scanner: Clamd, bea: User) -> None:
    large, small = (
        accept(upload("a.mp4", hostile.video(size=size)), bea) for size in (9000, 100)
    )  # fmt: skip
    scanner.longest = 5000

    assert custody.scan_waiting() == 1
    assert [state_of(file) for file in (large, small)] == [CHECKING, READY]


def test_a_file_that_waits_for_long_is_a_reason_to_look(
    scanner: Clamd, bea: User, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = accept(upload("a.png", hostile.picture()), bea)
    Attachment.objects.filter(pk=waiting.pk).update(
        created_at=timezone.now() - timedelta(minutes=16)
    )

    assert custody.tell_of_long_waits() == 1
    assert "1 files have waited over 15 minutes" in caplog.text


def test_bytes_that_are_gone_leave_a_file_in_quarantine(
    scanner: Clamd, bea: User, caplog: pytest.LogCaptureFixture
) -> None:
    picture = accept(upload("a.png", hostile.picture()), bea)
    default_storage.delete(str(picture.file.name))

    assert custody.scan_waiting() == 0
    assert state_of(picture) == CHECKING
    assert "stays in quarantine" in caplog.text
