"""A person is erased: nothing says who they were, and the timeline still proves the rest."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import AccountEvent
from marketplace.models import Company, TeamMember, User
from payments.models import Payment
from resolution import cases, custody, erasure, sweeps, timeline
from resolution.erasure import ErasureRefused, erase
from resolution.evidence import accept
from resolution.models import Attachment, Case, Draft, Erasure, Event, Rule
from resolution.terms import Actor, Party, State
from tests.conftest import Later
from tests.evidence import hostile
from tests.evidence.conftest import Stored
from tests.evidence.hostile import upload
from tests.people import MakePayment

SAID = "canary8841 said it"


@pytest.fixture
def closed_case(
    waiting_case: Case, buyer: Actor, creator: Actor, bea: User, stored: Stored
) -> Case:
    """Bea and cleo have talked, with a file, and bea has withdrawn."""
    bill = accept(upload("canary8841 bill.pdf", hostile.pdf()), bea)
    cases.take_step(waiting_case, "comment", buyer, message=SAID, files=[bill])
    cases.take_step(waiting_case, "comment", creator, message="Cleo’s words.")
    cases.take_step(waiting_case, "withdraw", buyer, message=SAID)
    return Case.objects.get(pk=waiting_case.pk)


def messages_of(case: Case) -> list[str]:
    return [event.message for event in case.events.order_by("seq")]


def everything() -> str:
    """Every text that the database holds in the tables of people and cases."""
    with connection.cursor() as cursor:
        found = []
        for table in (
            "marketplace_user", "resolution_case", "resolution_event", "resolution_attachment",
            "resolution_draft", "notifications_notification", "resolution_erasure",
            "account_emailaddress", "mfa_authenticator", "socialaccount_socialaccount",
            "usersessions_usersession", "django_session", "accounts_accountevent",
        ):  # fmt: skip
            cursor.execute(f"SELECT row_to_json(t)::text FROM {table} t")
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_nothing_says_who_they_were_and_the_timeline_still_holds(
    closed_case: Case, bea: User, sam: User, stored: Stored
) -> None:
    email, hashes = bea.email, list(closed_case.events.values_list("hash", flat=True))
    Draft.objects.create(user=bea, about=closed_case.public_id, act="reply", fields={"m": SAID})

    done = erase(bea, by=sam, reason="They asked.")
    custody.remove_bytes()

    left = everything()
    assert (done.events, done.files, stored()) == (3, 1, [])
    assert [mark in left for mark in ("canary8841", email, "Bea", "Lind")] == [False] * 4
    assert messages_of(closed_case) == ["", "", "", "Cleo’s words.", "", ""]
    assert list(closed_case.events.values_list("hash", flat=True))[:5] == hashes
    call_command("verify_timeline", case=closed_case.public_id)


def test_the_other_side_reads_that_words_were_erased(
    closed_case: Case, bea: User, sam: User
) -> None:
    erase(bea, by=sam, reason="They asked.")

    case = Case.objects.get(pk=closed_case.pk)
    told = timeline.entries(case, timeline.events_of(case, Party.CREATOR), Party.CREATOR)
    assert [(entry.who_name, entry.text) for entry in told if entry.kind == "message"] == [
        ("Deleted person", "These words were erased."),
        ("Deleted person", "These words were erased."),
        ("Loop & Lens", "Cleo’s words."),
        ("Deleted person", "These words were erased."),
    ]
    assert told[-1].strong == "A file was removed."


def test_the_rule_may_be_to_keep_words(
    closed_case: Case, bea: User, sam: User, settings: Settings, stored: Stored
) -> None:
    settings.ERASE_WORDS = False

    done = erase(bea, by=sam, reason="They asked.")

    assert (done.events, done.files, len(stored())) == (0, 0, 1)
    assert messages_of(closed_case)[2] == SAID
    assert User.objects.get(pk=bea.pk).name == "Deleted person"


def test_whoever_is_erased_is_out_at_once(closed_case: Case, bea: User, sam: User) -> None:
    client = Client()
    client.force_login(bea)
    UserSession.objects.create(
        user=bea, session_key=client.session.session_key, ip="192.0.2.88", user_agent="canary8841"
    )
    EmailAddress.objects.create(user=bea, email=bea.email, verified=True)
    Authenticator.objects.create(user=bea, type="totp", data={"secret": "canary8841"})
    SocialAccount.objects.create(user=bea, provider="market", uid="canary8841")
    AccountEvent.objects.create(user=bea, kind="new_device", ip="192.0.2.88", agent="canary8841")

    erase(bea, by=sam, reason="They asked.", words_too=True)

    assert client.get("/hub/").status_code == 302
    left = everything()
    assert [mark in left for mark in ("canary8841", bea.email, "192.0.2.88")] == [False] * 3
    assert not client.login(username=bea.email, password="pw-Bea Lind")


def test_words_that_were_sent_to_them_automatically_go_too(
    make_payment: MakePayment, bea: User, sam: User, company: Company
) -> None:
    Rule.objects.create(
        company=company, name="All", position=1, reasons=["fraudulent"],
        message="Sorry, {{ first_name }}.",
    )  # fmt: skip
    payment = make_payment()
    case = cases.open_case(payment, bea, reason="fraudulent", message="No.", asked_minor=6400)
    sweeps.advance([case.pk])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE resolution_case SET state = 'closed', closed_at = now()")

    erase(bea, by=sam, reason="They asked.")

    assert messages_of(case) == ["", ""]


def hold_open(case: Case, bea: User, company: Company) -> str:
    return f"Case {case.public_id} of theirs is still open."


def hold_chargeback(case: Case, bea: User, company: Company) -> str:
    Payment.objects.update(chargeback=Payment.Chargeback.OPEN)
    close(case)
    return f"A chargeback is open on payment {case.payment.public_id}."


def hold_owner(case: Case, bea: User, company: Company) -> str:
    TeamMember.objects.all().delete()
    TeamMember.objects.create(company=company, user=bea, role="owner")
    close(case)
    return "They are the only owner of Loop & Lens."


def hold_staff(case: Case, bea: User, company: Company) -> str:
    User.objects.filter(pk=bea.pk).update(is_staff=True)
    return "This person works here. Take away their access to the administration first."


def close(case: Case) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE resolution_case SET state = 'closed', closed_at = now()")


@pytest.mark.parametrize("hold", [hold_open, hold_chargeback, hold_owner, hold_staff])
def test_what_stands_in_the_way_is_said_and_nothing_is_erased(
    waiting_case: Case, bea: User, sam: User, company: Company, hold: Any
) -> None:
    sentence = hold(waiting_case, bea, company)

    with pytest.raises(ErasureRefused) as caught:
        erase(bea, by=sam, reason="They asked.")

    assert str(caught.value) == sentence
    assert (User.objects.get(pk=bea.pk).name, Erasure.objects.count()) == ("Bea Lind", 0)


def test_nobody_is_erased_twice(closed_case: Case, bea: User) -> None:
    call_command("erase_person", bea.public_id, reason="They asked.")

    with pytest.raises(CommandError, match="was erased before"):
        call_command("erase_person", bea.public_id, reason="They asked.")


@pytest.mark.parametrize(
    "change",
    [
        "message = '', salt = ''",  # of somebody who was not erased
        "message = 'Other words.'",
        "message = '', salt = '', step = 'note'",
    ],
)
def test_the_timeline_lets_nothing_else_through(
    closed_case: Case, cleo: User, bea: User, sam: User, change: str
) -> None:
    whose = cleo
    if "step" in change:
        erase(bea, by=sam, reason="They asked.", words_too=False)
        whose = bea
    said = closed_case.events.filter(actor=whose, step="comment").get()

    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE resolution_event SET {change} WHERE id = %s", [said.pk])

    assert messages_of(closed_case)[3] == "Cleo’s words."


def test_a_blank_without_an_erasure_is_a_flaw(
    closed_case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE resolution_event SET message = '', salt = '' WHERE seq = 4")
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(CommandError):
        call_command("verify_timeline")
    assert "no erasure of whoever wrote them is on record" in capsys.readouterr().out


def test_staff_erase_with_a_reason(closed_case: Case, bea: User, sam: User) -> None:
    client = Client()
    client.force_login(sam)
    page = reverse("admin:resolution_erasure_add")

    without = client.post(page, {"whom": bea.public_id, "reason": ""})
    nobody = client.post(page, {"whom": "user_none", "reason": "So."})
    done = client.post(page, {"whom": bea.public_id, "reason": "They asked."})

    row = Erasure.objects.get()
    assert [without.status_code, nobody.status_code, done.status_code] == [200, 200, 302]
    assert (row.person, row.by, row.reason, row.events) == (bea, sam, "They asked.", 3)


# ── Files whose time is over ──────────────────────────────────────────────────────────────────────


def test_files_go_some_time_after_their_case_and_the_timeline_says_so(
    closed_case: Case, later: Later, settings: Settings, stored: Stored
) -> None:
    settings.EVIDENCE_KEPT_DAYS = 100
    Case.objects.update(closed_at=closed_case.closed_at)
    later(timedelta(days=99))
    too_soon = custody.remove_old()
    later(timedelta(days=2))
    Payment.objects.update(chargeback=Payment.Chargeback.OPEN)
    held = custody.remove_old()
    Payment.objects.update(chargeback=Payment.Chargeback.NONE)

    done = [custody.remove_old(), custody.remove_old()]

    file, event = Attachment.objects.get(), Event.objects.get(step="remove_files")
    case = Case.objects.get()
    told = timeline.entries(case, [event], Party.BUYER)[0]
    assert (too_soon, held, done, stored()) == (0, 0, [1, 0], [])
    assert (file.state, file.filename, bool(file.sha256)) == (
        "removed", "canary8841 bill.pdf", True,
    )  # fmt: skip
    assert told.text == " Files are kept for 100 days after a case is closed."
    assert case.state == State.CLOSED
    call_command("verify_timeline")
    assert erasure.erased([case.buyer_id]) == set()
