"""Who gets a file, and how it is sent."""

from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from marketplace.models import Company, TeamMember, User
from resolution import cases
from resolution.evidence import accept
from resolution.models import Attachment, Case
from resolution.terms import Actor
from tests.evidence import hostile
from tests.evidence.hostile import upload
from tests.people import make_user

pytestmark = pytest.mark.usefixtures("stored")


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url_of(attachment: Attachment | str) -> str:
    public_id = attachment if isinstance(attachment, str) else attachment.public_id
    return reverse("attachment", args=[public_id])


@pytest.fixture
def sent(waiting_case: Case, buyer: Actor, bea: User) -> Attachment:
    """A picture that bea has sent with a message."""
    picture = accept(upload("listing.png", hostile.picture()), bea)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[picture])
    return picture


@pytest.fixture
def noted(waiting_case: Case, staff: Actor, sam: User) -> Attachment:
    """A file with a note that only staff may read."""
    found = accept(upload("fraud report.pdf", hostile.pdf()), sam)
    cases.take_step(waiting_case, "note", staff, message="See this.", files=[found])
    return found


@pytest.fixture
def everybody(bea: User, cleo: User, sam: User, nia: User, company: Company) -> dict[str, User]:
    viewer, clerk = make_user("Vera Hill"), make_user("Olaf Dunn", is_staff=True)
    TeamMember.objects.create(company=company, user=viewer, role="viewer")
    people = {"bea": bea, "cleo": cleo, "viewer": viewer, "sam": sam, "nia": nia}
    return people | {"staff without a role": clerk}


def who_gets(attachment: Attachment, everybody: dict[str, User]) -> dict[str, int]:
    return {
        name: as_user(user).get(url_of(attachment)).status_code for name, user in everybody.items()
    }


def test_the_parties_and_staff_get_a_file_that_was_sent(
    sent: Attachment, everybody: dict[str, User]
) -> None:
    assert who_gets(sent, everybody) == {
        "bea": 200, "cleo": 200, "viewer": 200, "sam": 200, "nia": 404, "staff without a role": 404,
    }  # fmt: skip


def test_only_staff_get_a_file_of_a_note(noted: Attachment, everybody: dict[str, User]) -> None:
    assert who_gets(noted, everybody) == {
        "bea": 404, "cleo": 404, "viewer": 404, "sam": 200, "nia": 404, "staff without a role": 404,
    }  # fmt: skip


def test_only_the_uploader_gets_a_file_that_was_not_sent_yet(
    bea: User, everybody: dict[str, User]
) -> None:
    unsent = accept(upload("a.png", hostile.picture()), bea)

    assert who_gets(unsent, everybody) == {
        "bea": 200, "cleo": 404, "viewer": 404, "sam": 404, "nia": 404, "staff without a role": 404,
    }  # fmt: skip


def test_a_member_of_the_staff_who_is_a_party_does_not_read_the_notes(
    noted: Attachment, sent: Attachment, company: Company, sam: User
) -> None:
    TeamMember.objects.create(company=company, user=sam, role="viewer")

    answers = [as_user(sam).get(url_of(file)).status_code for file in (noted, sent)]

    assert answers == [404, 200]


def test_a_strangers_file_looks_like_one_that_does_not_exist(sent: Attachment, nia: User) -> None:
    client = as_user(nia)
    twin = "att_" + "x" * (len(sent.public_id) - 4)

    foreign, missing = client.get(url_of(sent)), client.get(url_of(twin))

    assert foreign.content == missing.content
    told = [dict(answer.headers) for answer in (foreign, missing)]
    assert all(len(headers.pop("X-Request-ID")) == 32 for headers in told)
    assert told[0] == told[1]
    assert foreign.status_code == missing.status_code == 404


@pytest.mark.parametrize("odd", ["att_", "reso_4F7k2MxQ9bTzLa", "..", "att_\u0661" * 3])
def test_an_address_that_is_no_id_is_not_found(odd: str, bea: User) -> None:
    assert as_user(bea).get(url_of(odd)).status_code == 404


def test_a_login_is_needed_first(sent: Attachment) -> None:
    response = Client().get(url_of(sent))

    assert (response.status_code, response["Location"]) == (302, f"/login/?next={url_of(sent)}")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_file_can_only_be_read(method: str, sent: Attachment, bea: User) -> None:
    assert getattr(as_user(bea), method)(url_of(sent)).status_code == 405


# ── How it is sent ────────────────────────────────────────────────────────────────────────────────


def test_a_file_arrives_as_it_is_kept_and_is_neither_run_nor_cached(
    sent: Attachment, cleo: User
) -> None:
    response = as_user(cleo).get(url_of(sent))

    with default_storage.open(str(sent.file.name)) as file:
        assert b"".join(response) == file.read()
    assert {
        name: response[name]
        for name in (
            "Content-Type",
            "Content-Length",
            "Content-Disposition",
            "X-Content-Type-Options",
            "Content-Security-Policy",
            "Cache-Control",
        )
    } == {
        "Content-Type": "image/png",
        "Content-Length": str(sent.size),
        "Content-Disposition": 'attachment; filename="listing.png"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }


@pytest.mark.parametrize(
    ("name", "content", "disposition"),
    [
        ("a.png", hostile.picture(), "inline"),
        ("a.gif", hostile.moving_picture(), "inline"),
        ("a.pdf", hostile.pdf_with_javascript(), "attachment"),
        ("a.mp4", hostile.video(), "attachment"),
        ("a.webm", hostile.webm(), "attachment"),
    ],
)
def test_only_pictures_may_be_looked_at_in_the_page(
    name: str, content: bytes, disposition: str, bea: User
) -> None:
    taken = accept(upload(name, content), bea)

    response = as_user(bea).get(url_of(taken), {"inline": "1"})

    assert response["Content-Disposition"] == f'{disposition}; filename="{name}"'
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ('say "hi".png', 'attachment; filename="say \\"hi\\".png"'),
        ("été.png", "attachment; filename*=utf-8''%C3%A9t%C3%A9.png"),
        ("a\r\nSet-Cookie: x=1.png", 'attachment; filename="a Set-Cookie: x=1.png"'),
        ("\u202egnp.exe.png", 'attachment; filename="gnp.exe.png"'),
    ],
)
def test_the_name_of_a_download_stays_in_its_header(name: str, disposition: str, bea: User) -> None:
    taken = accept(upload(name, hostile.picture()), bea)

    response = as_user(bea).get(url_of(taken))

    assert response["Content-Disposition"] == disposition
    assert "Set-Cookie" not in response.headers


def test_bytes_that_are_missing_are_said_to_be_out_of_reach(
    sent: Attachment, bea: User, caplog: pytest.LogCaptureFixture
) -> None:
    Path(sent.file.path).unlink()

    response = as_user(bea).get(url_of(sent))

    assert response.status_code == 503
    assert "This file can’t be opened right now" in response.content.decode()
    ours = [r.getMessage() for r in caplog.records if r.name == "resolution.views.files"]
    assert ours == [f"the bytes of {sent.public_id} can’t be read"]
