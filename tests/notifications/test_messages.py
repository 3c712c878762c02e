"""What the e-mails of a case say: each step, to each side that is told."""

import copy
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import count
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from marketplace.models import Company, TeamMember, User
from notifications.models import Notification
from notifications.outbox import Composed
from payments import refunds
from payments.gateways import RefundAnswer
from payments.models import Payment
from resolution import cases, messages, sweeps, tasks
from resolution.actors import as_creator
from resolution.models import Attachment, Case, Event, Rule
from resolution.terms import SYSTEM, Actor, Party, Remedy, Verdict
from tests.conftest import Later
from tests.notifications.conftest import MailServer
from tests.people import MakePayment, make_user

NONE = Verdict(Remedy.NONE)
HALF = Verdict(Remedy.REFUND, 3200, looked_at=("The product page as it was on June 24",))
ALL = Verdict(Remedy.REFUND, 6400)
CREDITS = Verdict(Remedy.CREDIT, 6400)
TEMPLATES = Path(django_settings.BASE_DIR) / "templates" / "notifications" / "email"
numbers = count(1)


class Unresolved(str):
    """What Django puts for a variable that is not there: here, a failure."""

    __slots__ = ()

    def __mod__(self, name: object) -> str:
        raise AssertionError(f"No such variable in an e-mail: {name}")


@pytest.fixture(autouse=True)
def _every_variable_is_there(settings: Settings) -> None:
    engines = copy.deepcopy(settings.TEMPLATES)
    engines[0]["OPTIONS"]["string_if_invalid"] = Unresolved("%s")
    settings.TEMPLATES = engines
    settings.SITE_URL = "https://rc.example"


@pytest.fixture
def max_(company: Company) -> User:
    """He answers cases for cleo's company too."""
    user = make_user("Max Bell")
    TeamMember.objects.create(company=company, user=user, role="admin")
    return user


@pytest.fixture
def colleague(max_: User, company: Company) -> Actor:
    return as_creator(max_, company)


def now_at(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def told(case: Case, step: str, reader: User) -> Composed:
    """The e-mail to a person about the latest such step."""
    rows = Notification.objects.filter(thread=case.public_id, kind=step, recipient=reader)
    message = rows.latest("pk")
    composed = messages.compose([message])[message.pk]
    assert composed is not None
    return composed


def answer(case: Case, state: Literal["succeeded", "failed"]) -> None:
    """Let the provider say what became of the case's refund."""
    refund = now_at(case).refund
    assert refund
    refunds.settle(refund.pk, RefundAnswer(f"re_{next(numbers)}", state), token=None)
    sweeps.notice_refund(case.pk)


def lines_of(text: str) -> str:
    """The text with its lines joined, as a person reads it."""
    return " ".join(text.split())


# ── Every step, to each side ──────────────────────────────────────────────────────────────────────

Walk = Callable[..., None]


@pytest.fixture
def walk() -> Walk:
    """Take steps one after the other, each by somebody, with a message of its own."""

    def take(case: Case, *steps: tuple[Any, ...]) -> None:
        for step, actor, *rest in steps:
            cases.take_step(
                now_at(case), step, actor, message=f"My word on {step}.",
                verdict=rest[0] if rest and isinstance(rest[0], Verdict) else None,
                asks=rest[0] if rest and isinstance(rest[0], Party) else None,
                reference="wire 7" if step == "mark_paid" else "",
            )  # fmt: skip

    return take


def test_every_step_is_told_in_whole_sentences_to_each_side_it_concerns(
    make_payment: MakePayment, bea: User, max_: User, cleo: User, buyer: Actor, creator: Actor,
    staff: Actor, other_staff: Actor, walk: Walk, later: Later,
) -> None:  # fmt: skip
    def opened(advanced: bool = True) -> Case:
        case = cases.open_case(
            make_payment(paid_at=datetime.now(tz=UTC) + cases.clock.offset()), bea,
            reason="not_as_described", message="It is not what the page says.", asked_minor=6400,
        )  # fmt: skip
        if advanced:
            sweeps.advance([case.pk])
        return case

    long = opened()
    walk(
        long,
        ("request_info", creator), ("reply", buyer), ("comment", buyer), ("comment", creator),
        ("comment", staff), ("deny", creator), ("appeal", buyer),
        ("ask_party", staff, Party.CREATOR), ("reply", creator),
        ("ask_party", staff, Party.BUYER), ("reply", buyer),
        ("decide", staff, HALF), ("appeal", creator), ("decide_final_alone", staff, ALL),
    )  # fmt: skip
    answer(long, "failed")
    walk(long, ("retry_refund", staff))
    answer(long, "failed")
    walk(long, ("credit_instead", staff))
    accepted = opened()
    walk(accepted, ("accept", creator))
    answer(accepted, "succeeded")
    sweeps.sweep()
    Rule.objects.create(
        company=long.company, name="All of it", position=1, reasons=["not_as_described"],
        message="Hi {{ first_name }}.",
    )  # fmt: skip
    answer(opened(), "failed")
    by_hand = Case.objects.latest("pk")
    walk(by_hand, ("mark_paid", staff))
    sweeps.sweep()
    Rule.objects.update(delay_hours=24)
    walk(opened(), ("cancel_refund", creator))
    opened()
    Rule.objects.all().delete()
    later(timedelta(days=1, minutes=1))
    sweeps.sweep()
    stopped = opened()
    cases.take_step(stopped, "refuse_file", SYSTEM, facts={"from": "buyer", "files": ["att_1"]})
    walk(stopped, ("freeze", SYSTEM), ("resume", SYSTEM), ("withdraw", buyer))
    walk(opened(), ("freeze", SYSTEM), ("void", SYSTEM))
    silent, credited, half, whole = (opened() for _ in range(4))
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()
    walk(silent, ("ask_party", staff, Party.BUYER))
    walk(credited, ("decide", staff, CREDITS), ("accept_decision", buyer))
    walk(half, ("decide", staff, HALF), ("accept_decision", creator))
    walk(whole, ("decide", staff, ALL), ("accept_decision", creator))
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()
    walk(silent, ("appeal", buyer), ("ask_party", staff, Party.CREATOR))
    later(timedelta(days=7, minutes=1))
    sweeps.sweep()
    walk(silent, ("decide_final", other_staff, NONE))
    sweeps.sweep()

    rows = list(Notification.objects.order_by("pk"))
    composed = messages.compose(rows)

    told_steps, topics = set(), set()
    for row in rows:
        said = composed[row.pk]
        assert said is not None
        told_steps.add(("buyer" if row.recipient_id == bea.pk else "creator", row.kind))
        topics.add((row.thread, row.recipient_id, said.topic))
        for text in (said.subject, said.text, said.html):
            assert text.strip()
            assert not re.search(r"\{\{|\{%|\bNone\b|&amp;amp;", text), row.kind
        assert not re.search(r" [,.](\s|$)|\b(by|in|until|to|for) ?\.", lines_of(said.text)), (
            row.kind
        )
        assert "\n" not in said.subject
        assert f">{escape(said.subject)}. " in said.html  # mail programs show it after the topic
        assert max(len(ln) for ln in said.text.splitlines() if "://" not in ln) <= 78, said.text
        assert case_page(row) in said.html
        assert case_page(row) in said.text
        assert re.search(
            "until|by [A-Z]|don’t need to do anything|have .* days", lines_of(said.text)
        ), row.kind
    assert len({(thread, reader) for thread, reader, _ in topics}) == len(topics)
    there = {
        (path.parent.name, path.stem)
        for path in TEMPLATES.glob("*/*.txt")
        if not path.stem.startswith(("_", "remind_")) and path.parent.name != "account"
    }
    final_alone = {(side, "decide_final_alone") for side in ("buyer", "creator")}
    assert told_steps == there | final_alone


def case_page(row: Notification) -> str:
    event = Event.objects.select_related("case").get(public_id=row.about)
    to_buyer = event.case.buyer_id == row.recipient_id
    place = "hub/cases" if to_buyer else "dash/resolution-center/cases"
    return f"https://rc.example/{place}/{event.case.public_id}/"


def test_a_batch_of_any_size_takes_the_same_few_queries(
    make_payment: MakePayment, bea: User, cleo: User, max_: User
) -> None:
    def rows(number: int) -> list[Notification]:
        for _ in range(number):
            case = cases.open_case(
                make_payment(), bea, reason="fraudulent", message="Not me.", asked_minor=6400
            )
            sweeps.advance([case.pk])
        return list(Notification.objects.select_related("recipient"))

    counts = []
    for number in (1, 7):
        batch = rows(number)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            messages.compose(batch)
        counts.append(len(queries))

    assert counts == [3, 3]


# ── What some of them say ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def in_july(settings: Settings, tmp_path: Path) -> None:
    """Let it be July 8, 2026, 9:12 in New York."""
    start = datetime(2026, 7, 8, 9, 12, tzinfo=ZoneInfo("America/New_York"))
    file = tmp_path / "clock"
    file.write_text(str((start - datetime.now(tz=UTC)).total_seconds()))
    settings.CLOCK_FILE = str(file)


def test_a_new_case_tells_the_creator_what_is_asked_and_until_when(
    in_july: None, make_payment: MakePayment, bea: User, cleo: User
) -> None:
    User.objects.filter(pk=cleo.pk).update(time_zone="America/New_York")
    payment = make_payment(paid_at=datetime(2026, 7, 1, 15, tzinfo=UTC), method="Visa ending 4242")
    case = cases.open_case(
        payment, bea, reason="product_not_received", message="Nothing came.", asked_minor=5000
    )
    sweeps.advance([case.pk])

    said = told(case, "notify_creator", cleo)

    assert said.subject == "Bea Lind asks for $50.00 back. Reply by July 15"
    assert (
        said.text
        == f"""\
YOUR TURN
Bea Lind asks for $50.00 back

Reply by Wednesday, July 15, 9:12 AM EDT. If you don’t, Whop decides
with what’s in the case.

Product    Golden Hour presets
Reason     Product not received
Asked for  $50.00
Paid       July 1, 2026, Visa ending 4242
Case       {case.public_id}

Bea wrote:
  Nothing came.

Respond to Bea:
https://rc.example/dash/resolution-center/cases/{case.public_id}/

You can accept and refund, request more details, or deny the request.

--
You get this because you manage cases for Loop & Lens. Replies to this
email aren’t read: please answer in the case.
Whop never asks for your password or card number by email.

Choose what you get by email:
https://rc.example/account/notifications/
"""
    )
    assert "<strong" in said.html
    assert "Wednesday, July 15, 9:12 AM EDT" in said.html
    assert "Day 1 of 7" in said.html


def test_the_buyer_reads_the_date_in_their_own_zone_and_as_it_was_then(
    in_july: None, case: Case, bea: User, creator: Actor, buyer: Actor
) -> None:
    User.objects.filter(pk=bea.pk).update(time_zone="Asia/Kolkata")
    sweeps.advance([case.pk])
    cases.take_step(now_at(case), "request_info", creator, message="Which calls?")
    cases.take_step(now_at(case), "reply", buyer, message="The first.")
    cases.take_step(now_at(case), "accept", creator)

    said = told(case, "request_info", bea)

    assert said.subject == "Loop & Lens asks you for more details. Answer by July 15"
    assert "Answer by Wednesday, July 15, 6:42 PM IST." in lines_of(said.text)
    assert "Loop & Lens wrote:\n  Which calls?" in said.text


def test_a_decision_tells_each_side_why_and_what_happens_now(
    in_july: None, waiting_case: Case, bea: User, cleo: User, buyer: Actor, creator: Actor,
    staff: Actor,
) -> None:  # fmt: skip
    case = waiting_case
    cases.take_step(now_at(case), "deny", creator, message="As the page says.")
    cases.take_step(now_at(case), "appeal", buyer, message="It is not.")
    cases.take_step(now_at(case), "decide", staff, message="Half of it works.", verdict=HALF)

    to_buyer, to_creator = told(case, "decide", bea), told(case, "decide", cleo)

    assert to_buyer.subject == "Whop decided: you get $32.00 back"
    assert to_creator.subject == "Whop decided: $32.00 goes back to Bea from your balance"
    for said, they in ((to_buyer, "Loop & Lens"), (to_creator, "Bea")):
        assert (
            f"You can appeal until Wednesday, July 15, 1:12 PM UTC, and so can {they}."
            in lines_of(said.text)
        )
        assert "Why\nHalf of it works.\n" in said.text
        assert "What we looked at\nThe product page as it was on June 24\n" in said.text
        assert said.text.count("Half of it works.") == 1
    assert (
        "What happens now If nobody appeals, $32.00 then goes from Loop & Lens’s balance back to "
        "your Visa ending 4242. If you disagree, appeal before that date" in lines_of(to_buyer.text)
    )


def test_who_got_everything_is_told_that_only_the_other_side_may_appeal(
    waiting_case: Case, bea: User, buyer: Actor, creator: Actor, staff: Actor
) -> None:
    cases.take_step(waiting_case, "deny", creator, message="No.")
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="Yes.")
    cases.take_step(now_at(waiting_case), "decide", staff, message="Yes.", verdict=ALL)

    said = lines_of(told(waiting_case, "decide", bea).text)

    assert "You don’t need to do anything. Loop & Lens can appeal until" in said
    assert "You can appeal" not in said


def test_a_late_message_tells_what_was_decided_then(
    waiting_case: Case, bea: User, buyer: Actor, creator: Actor, staff: Actor, other_staff: Actor
) -> None:
    for step, actor, verdict in (
        ("deny", creator, None), ("appeal", buyer, None), ("decide", staff, HALF),
        ("appeal", creator, None), ("decide_final", other_staff, CREDITS),
    ):  # fmt: skip
        cases.take_step(now_at(waiting_case), step, actor, message="So.", verdict=verdict)

    assert told(waiting_case, "decide", bea).subject == "Whop decided: you get $32.00 back"
    assert told(waiting_case, "decide_final", bea).subject == (
        "Final decision: you get $64.00 in Whop Credits"
    )


def test_a_chargeback_moves_the_date_that_is_told_afterwards(
    in_july: None, waiting_case: Case, cleo: User, later: Later, settings: Settings, tmp_path: Path
) -> None:
    settings.CLOCK_FILE = str(tmp_path / "clock")
    cases.take_step(now_at(waiting_case), "freeze", SYSTEM)
    later(timedelta(days=3))
    cases.take_step(now_at(waiting_case), "resume", SYSTEM)

    frozen, resumed = (told(waiting_case, step, cleo) for step in ("freeze", "resume"))

    assert "until" not in frozen.subject
    assert resumed.subject == "Bea Lind’s case goes on: your turn until July 18"


def test_a_comment_says_whether_it_is_still_the_readers_turn(
    in_july: None, waiting_case: Case, bea: User, cleo: User, buyer: Actor, staff: Actor
) -> None:
    cases.take_step(waiting_case, "comment", staff, message="Please be kind.")

    to_buyer, to_creator = (told(waiting_case, "comment", reader) for reader in (bea, cleo))

    assert (
        "STILL YOUR TURN\nWhop added a message\n\nIt is still your turn, until" in to_creator.text
    )
    assert "NEW MESSAGE\nWhop added a message\n\nYou don’t need to do anything." in to_buyer.text
    assert "Whop wrote:\n  Please be kind." in to_buyer.text


def test_a_colleague_is_told_by_name_and_the_buyer_by_company(
    waiting_case: Case, bea: User, cleo: User, colleague: Actor
) -> None:
    cases.take_step(waiting_case, "deny", colleague, message="It is as the page says.")

    assert told(waiting_case, "deny", cleo).subject == "Max Bell denied Bea Lind’s request"
    to_buyer = told(waiting_case, "deny", bea)
    assert to_buyer.subject.startswith("Loop & Lens denied your request. Appeal by ")
    assert "Max" not in to_buyer.text + to_buyer.html


def test_who_of_the_staff_decided_is_told_to_nobody(
    waiting_case: Case, bea: User, cleo: User, buyer: Actor, creator: Actor, staff: Actor
) -> None:
    cases.take_step(waiting_case, "deny", creator, message="No.")
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="Yes.")
    cases.take_step(now_at(waiting_case), "decide", staff, message="Half.", verdict=HALF)

    for reader in (bea, cleo):
        said = told(waiting_case, "decide", reader)
        assert "Sam" not in said.text + said.html


def test_markup_and_line_breaks_in_names_and_messages_are_harmless(
    payment: Payment, bea: User, cleo: User
) -> None:
    User.objects.filter(pk=bea.pk).update(name="<b>Theo</b>\r\nBcc: all@example.com\u202e")
    type(payment.product).objects.update(name="A & B <script>alert(1)</script>")
    bea.refresh_from_db()
    case = cases.open_case(
        payment, bea, reason="fraudulent", message="<img src=x>\n{{ 7 }} & so on", asked_minor=6400
    )
    sweeps.advance([case.pk])

    said = told(case, "notify_creator", cleo)

    name = "<b>Theo</b> Bcc: all@example.com"
    assert said.subject.startswith(f"{name} asks for $64.00 back.")
    assert f"{name} asks for $64.00 back\n" in said.text
    assert "  <img src=x>\n  {{ 7 }} & so on" in said.text
    assert "&lt;b&gt;Theo&lt;/b&gt; Bcc: all@example.com asks" in said.html
    assert "A &amp; B &lt;script&gt;alert(1)&lt;/script&gt;" in said.html
    assert "&lt;img src=x&gt;\n{{ 7 }} &amp; so on" in said.html
    assert (said.html.count("<script"), said.html.count("<img"), said.html.count("<b>")) == (
        0,
        0,
        0,
    )


def test_a_long_message_is_cut_at_a_word_and_its_files_are_counted(
    waiting_case: Case, bea: User, cleo: User, creator: Actor
) -> None:
    files = [
        Attachment.objects.create(
            uploader=cleo, file="x", filename=f"{n}.png", content_type="image/png", kind="image",
            size=1, sha256="0" * 64,
        )
        for n in range(2)
    ]  # fmt: skip
    cases.take_step(waiting_case, "request_info", creator, message="presets " * 200, files=files)

    said = told(waiting_case, "request_info", bea)

    assert said.text.count("presets ") + said.text.count("presets\n") == 125
    assert "The whole message is in the case. 2 files attached in the case." in lines_of(said.text)


def test_nobody_is_told_of_a_case_that_they_may_not_see_any_more(
    waiting_case: Case, bea: User, cleo: User
) -> None:
    rows: Sequence[Notification] = list(Notification.objects.order_by("pk"))
    TeamMember.objects.filter(user=cleo).update(role="viewer")
    User.objects.filter(pk=bea.pk).update(is_active=False)

    assert [(row.kind, messages.compose([row])[row.pk]) for row in rows] == [
        ("open_case", None), ("notify_creator", None),
    ]  # fmt: skip


def test_an_unknown_time_zone_reads_as_utc(waiting_case: Case, cleo: User) -> None:
    User.objects.filter(pk=cleo.pk).update(time_zone="Mars/Olympus")

    assert re.search(
        r"Reply by .* (AM|PM) UTC\.", lines_of(told(waiting_case, "notify_creator", cleo).text)
    )


def test_the_worker_sends_what_a_new_case_calls_for(
    mail_server: MailServer, waiting_case: Case, bea: User, cleo: User
) -> None:
    tasks.deliver()
    tasks.deliver()

    assert [(email["To"], email["Subject"]) for email in mail_server.received] == [
        (bea.email, "Your case about Golden Hour presets, $64.00"),
        (cleo.email, "Bea Lind’s case about Golden Hour presets, $64.00"),
    ]
    assert mail_server.headlines(bea.email) == ["We have your case about Golden Hour presets"]
    root = f"<{waiting_case.public_id}.thread.{cleo.public_id}@rc.example>"
    assert mail_server.received[1]["References"] == root
    assert list(Notification.objects.values_list("state", "attempts")) == [("sent", 1), ("sent", 1)]


@pytest.mark.parametrize(
    ("verdict", "and_who_else"), [(HALF, ", and so can Bea."), (ALL, ".")], ids=["half", "all"]
)
def test_support_is_told_who_of_the_team_can_appeal(
    in_july: None, waiting_case: Case, buyer: Actor, creator: Actor, staff: Actor,
    verdict: Verdict, and_who_else: str,
) -> None:  # fmt: skip
    theo = make_user("Theo Sand")
    TeamMember.objects.create(company=waiting_case.company, user=theo, role="support")
    cases.take_step(waiting_case, "deny", creator, message="No.")
    cases.take_step(now_at(waiting_case), "appeal", buyer, message="Yes.")
    cases.take_step(now_at(waiting_case), "decide", staff, message="Yes.", verdict=verdict)

    said = lines_of(told(waiting_case, "decide", theo).text)

    assert (
        "You don’t need to do anything. An owner or admin of Loop & Lens can appeal until "
        f"Wednesday, July 15, 1:12 PM UTC{and_who_else} Bea Lind asked for" in said
    )
    assert "You can appeal" not in said
    assert "If you disagree" not in said
