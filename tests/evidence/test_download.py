"""Who gets a file, and how it is sent."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from api import attachments
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


def shape_of(response: Any) -> tuple[int, bytes, dict[str, str]]:
    """What can be told of an answer; all but its moment and the number of the request."""
    its_own = ("Expires", "X-Request-ID")
    told = {name: value for name, value in response.headers.items() if name not in its_own}
    return response.status_code, response.content, told


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
        name: as_user(user).get(url_of(attachment), follow=True).status_code
        for name, user in everybody.items()
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

    answers = [as_user(sam).get(url_of(file), follow=True).status_code for file in (noted, sent)]

    assert answers == [404, 200]


def test_a_strangers_file_looks_like_one_that_does_not_exist(sent: Attachment, nia: User) -> None:
    client = as_user(nia)
    twin = "att_" + "x" * (len(sent.public_id) - 4)

    foreign, missing = client.get(url_of(sent)), client.get(url_of(twin))

    assert shape_of(foreign) == shape_of(missing)
    assert foreign.status_code == 404


@pytest.mark.parametrize("odd", ["att_", "reso_4F7k2MxQ9bTzLa", "..", "att_\u0661" * 3])
def test_an_address_that_is_no_id_is_not_found(odd: str, bea: User) -> None:
    assert as_user(bea).get(url_of(odd)).status_code == 404


def test_a_login_is_needed_first(sent: Attachment) -> None:
    response = Client().get(url_of(sent))

    assert (response.status_code, response["Location"]) == (302, f"/login/?next={url_of(sent)}")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_file_can_only_be_read(method: str, sent: Attachment, bea: User) -> None:
    assert getattr(as_user(bea), method)(url_of(sent)).status_code == 405


# ── Links ─────────────────────────────────────────────────────────────────────────────────────────


def link_of(client: Client, attachment: Attachment, **query: str) -> str:
    """Where a page's link to a file leads somebody now."""
    address: str = client.get(url_of(attachment), query)["Location"]
    assert re.fullmatch(rf"/files/{attachment.public_id}/[\w.:-]+/", address)
    return address


def test_a_link_gives_the_bytes_to_its_person_and_to_nobody_else(
    sent: Attachment, bea: User, cleo: User, sam: User, nia: User
) -> None:
    at_beas = as_user(bea)
    link = link_of(at_beas, sent)
    missing = reverse("attachment-bytes", args=["att_" + "x" * 14, "x"])

    theirs = [shape_of(as_user(user).get(link)) for user in (cleo, sam, nia)]
    none = [shape_of(as_user(user).get(missing)) for user in (cleo, sam, nia)]

    assert at_beas.get(link).status_code == 200
    assert theirs == none
    assert [status for status, _, _ in theirs] == [404, 404, 404]


def test_who_is_not_logged_in_gets_a_fresh_link_after_the_login(
    sent: Attachment, bea: User
) -> None:
    response = Client().get(link_of(as_user(bea), sent))

    assert (response.status_code, response["Location"]) == (302, f"/login/?next={url_of(sent)}")


@pytest.mark.parametrize(("query", "again"), [({}, ""), ({"inline": "1"}, "?inline=1")])
def test_an_old_link_gives_no_bytes_and_leads_its_person_to_a_fresh_one(
    sent: Attachment, bea: User, settings: Settings, query: dict[str, str], again: str
) -> None:
    client = as_user(bea)
    link = link_of(client, sent, **query)
    settings.FILE_LINK_SECONDS = -1

    response = client.get(link)

    assert (response.status_code, response["Location"]) == (302, url_of(sent) + again)
    settings.FILE_LINK_SECONDS = 300
    assert client.get(response["Location"], follow=True).status_code == 200


def test_a_link_of_another_session_leads_its_person_to_one_of_this(
    sent: Attachment, bea: User
) -> None:
    response = as_user(bea).get(link_of(as_user(bea), sent))

    assert (response.status_code, response["Location"]) == (302, url_of(sent))


@pytest.mark.parametrize("old", [False, True])
def test_a_link_ends_with_the_access_of_its_person(
    sent: Attachment, company: Company, settings: Settings, old: bool
) -> None:
    support = make_user("Sue Park")
    place = TeamMember.objects.create(company=company, user=support, role="support")
    client = as_user(support)
    link = link_of(client, sent)
    before = client.get(link).status_code
    place.delete()
    settings.FILE_LINK_SECONDS = -1 if old else 300

    assert (before, client.get(link).status_code) == (200, 404)


@pytest.mark.parametrize("end", ["logged out", "inactive", "password"])
def test_a_link_ends_with_its_session(sent: Attachment, bea: User, end: str) -> None:
    client = as_user(bea)
    link = link_of(client, sent)
    if end == "logged out":
        client.post("/logout/")
    elif end == "inactive":
        User.objects.filter(pk=bea.pk).update(is_active=False)
    else:
        bea.set_password("another-long-word-2026")
        bea.save()

    response = client.get(link)

    assert (response.status_code, response["Location"]) == (302, f"/login/?next={url_of(sent)}")


def test_staff_keep_the_link_as_long_as_they_work_on_the_case(
    sent: Attachment, sam: User, company: Company, noted: Attachment
) -> None:
    client = as_user(sam)
    links = [link_of(client, file) for file in (sent, noted)]
    before = [client.get(link).status_code for link in links]
    TeamMember.objects.create(company=company, user=sam, role="viewer")

    assert before == [200, 200]
    assert [client.get(link).status_code for link in links] == [200, 404]


def test_an_altered_link_is_none(
    sent: Attachment, waiting_case: Case, bea: User, cleo: User, buyer: Actor
) -> None:
    picture = accept(upload("other.png", hostile.picture()), bea)
    cases.take_step(waiting_case, "comment", buyer, message="And.", files=[picture])
    client = as_user(bea)
    link = link_of(client, sent).split("/")[3]
    mine, theirs = bea.public_id, cleo.public_id
    unsigned = link.rsplit(":", 2)[0]
    altered = {
        "cut": link[:-1],
        "longer": f"{link}x",
        "of another file": link_of(client, picture).split("/")[3],
        "in another's name": link.replace(mine, theirs),
        "for another use": link.replace(".saved:", ".shown:"),
        "later": link.replace(link.split(":")[1], "zzzzzz"),
        "unsigned": unsigned,
        "signed for the API": attachments.signer.sign(unsigned),
        "of odd characters": "\u0661:\u0661:\u0661",
        "of colons": ":::::",
        "long": "a" * 5000,
    }

    answers = {
        how: client.get(reverse("attachment-bytes", args=[sent.public_id, value])).status_code
        for how, value in altered.items()
    }

    assert answers == dict.fromkeys(altered, 404)
    assert client.get(link_of(client, sent)).status_code == 200


# ── How it is sent ────────────────────────────────────────────────────────────────────────────────


def test_a_file_arrives_as_it_is_kept_and_is_neither_run_nor_cached(
    sent: Attachment, cleo: User
) -> None:
    response = as_user(cleo).get(url_of(sent), follow=True)

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

    response = as_user(bea).get(url_of(taken), {"inline": "1"}, follow=True)

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

    response = as_user(bea).get(url_of(taken), follow=True)

    assert response["Content-Disposition"] == disposition
    assert "Set-Cookie" not in response.headers


def test_bytes_that_are_missing_are_said_to_be_out_of_reach(
    sent: Attachment, bea: User, caplog: pytest.LogCaptureFixture
) -> None:
    Path(sent.file.path).unlink()

    response = as_user(bea).get(url_of(sent), follow=True)

    assert response.status_code == 503
    assert "This file can’t be opened right now" in response.content.decode()
    ours = [r.getMessage() for r in caplog.records if r.name == "resolution.views.files"]
    assert ours == [f"the bytes of {sent.public_id} can’t be read"]
