"""Which of the staff has looked at which case is written down, and cannot be unwritten."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from marketplace.models import Company, TeamMember, User
from resolution import cases
from resolution.evidence import accept
from resolution.models import Case, Reading
from resolution.terms import Actor
from tests.evidence import hostile
from tests.evidence.hostile import upload


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def readings() -> list[tuple[str, str, str, str]]:
    rows = Reading.objects.order_by("pk")
    return list(rows.values_list("reader__name", "case__public_id", "what", "detail"))


def test_opening_a_case_or_a_file_of_it_is_written_down(
    waiting_case: Case, buyer: Actor, bea: User, cleo: User, sam: User
) -> None:
    picture = accept(upload("a.png", hostile.picture()), bea)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[picture])
    at_sams, number = logged_in(sam), waiting_case.public_id

    at_sams.get(reverse("admin:resolution_case_changelist"))
    at_sams.get(reverse("admin:resolution_case_change", args=[number]))
    at_sams.get(reverse("attachment", args=[picture.public_id]), follow=True)
    for person, page in ((bea, "hub-case"), (cleo, "dash-case")):
        logged_in(person).get(reverse(page, args=[number]))
        logged_in(person).get(reverse("attachment", args=[picture.public_id]), follow=True)

    assert readings() == [
        ("Sam Reyes", number, "page", ""), ("Sam Reyes", number, "file", picture.public_id),
    ]  # fmt: skip


def test_a_form_that_is_refused_shows_the_case_too(waiting_case: Case, sam: User) -> None:
    note = reverse("admin:resolution_case_act", args=[waiting_case.public_id, "note"])

    answer = logged_in(sam).post(note, {"message": "", "version": waiting_case.version})

    assert answer.status_code == 422
    assert len(readings()) == 1


def test_who_is_a_party_reads_a_file_as_one(
    waiting_case: Case, buyer: Actor, bea: User, sam: User, company: Company
) -> None:
    TeamMember.objects.create(company=company, user=sam, role="viewer")
    picture = accept(upload("a.png", hostile.picture()), bea)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[picture])

    logged_in(sam).get(reverse("attachment", args=[picture.public_id]), follow=True)

    assert readings() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE resolution_reading SET reader_id = NULL",
        "DELETE FROM resolution_reading",
        "SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE resolution_reading",
    ],
)
def test_what_is_written_down_stays(waiting_case: Case, sam: User, change: str) -> None:
    Reading.objects.create(reader=sam, case=waiting_case, what="page")

    with (
        pytest.raises(IntegrityError, match="resolution_reading is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)

    assert len(readings()) == 1


def test_the_audit_is_found_by_case_file_and_reader(waiting_case: Case, sam: User) -> None:
    Reading.objects.create(reader=sam, case=waiting_case, what="file", detail="att_x")
    page = reverse("admin:resolution_reading_changelist")

    found = {
        term: logged_in(sam).get(page, {"q": term}).context["cl"].result_count
        for term in (waiting_case.public_id, "att_x", sam.email, "Sam", "reso_none", "Nobody")
    }

    assert list(found.values()) == [1, 1, 1, 1, 0, 0]
