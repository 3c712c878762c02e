"""What each side reads of a case, in every state that a case can be in."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import translation
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from payments import refunds
from payments.gateways import RefundAnswer
from resolution import cases, sweeps, words
from resolution.models import Case, Rule
from resolution.terms import SYSTEM, Actor, Party, Remedy, Verdict
from resolution.timeline import Entry, entries, events_of
from tests.conftest import Later

READERS = ("buyer", "creator", "staff")
Story = Callable[[], Case]
HALF = Verdict(Remedy.REFUND, 3200)
CREDITS = Verdict(Remedy.CREDIT, 6400)
NOTHING = Verdict(Remedy.NONE)


class Stories:
    """The ways to each state, by name, from a case that waits for cleo."""

    def __init__(self, case: Case, people: dict[str, Actor], later: Later) -> None:
        self.pk, self.people, self.later = case.pk, people, later

    @property
    def case(self) -> Case:
        rows = Case.objects.select_related("payment", "refund", "buyer", "company", "product")
        return rows.get(pk=self.pk)

    def take(self, step: str, who: str, **more: Any) -> None:
        actor = self.people.get(who, SYSTEM)
        cases.take_step(self.case, step, actor, message=f"My words on {step}.", **more)

    def tell(self, name: str) -> Case:
        for part in name.split(" "):
            getattr(self, f"_{part}")()
        return self.case

    def _waiting(self) -> None:
        """Nothing more has happened."""

    def _asked(self) -> None:
        self.take("request_info", "creator")

    def _answered(self) -> None:
        self.take("reply", "buyer")

    def _silence(self) -> None:
        self.later(timedelta(days=7, minutes=1))
        sweeps.sweep()

    def _denied(self) -> None:
        self.take("deny", "creator")

    def _accepted(self) -> None:
        self.take("accept", "creator")

    def _appealed(self) -> None:
        self.take("appeal", "buyer")

    def _creator_appealed(self) -> None:
        self.take("appeal", "creator")

    def _buyer_asked(self) -> None:
        self.take("ask_party", "staff", asks=Party.BUYER)

    def _creator_asked(self) -> None:
        self.take("ask_party", "staff", asks=Party.CREATOR)

    def _nothing(self) -> None:
        self.take("decide", "staff", verdict=NOTHING)

    def _half(self) -> None:
        self.take("decide", "staff", verdict=HALF)

    def _credits(self) -> None:
        self.take("decide", "staff", verdict=CREDITS)

    def _finally_half(self) -> None:
        self.take("decide_final", "other_staff", verdict=HALF)

    def _both_accept(self) -> None:
        for who in ("buyer", "creator"):
            self.take("accept_decision", who)

    def _sent(self) -> None:
        self._settle("pending")

    def _arrived(self) -> None:
        self._settle("succeeded")
        sweeps.sweep()

    def _failed(self) -> None:
        self._settle("failed")

    def _settle(self, state: Any) -> None:
        refund = self.case.refund
        assert refund
        refunds.settle(refund.pk, RefundAnswer(f"re_{refund.pk}", state), token=None)
        sweeps.notice_refund(self.pk)

    def _retried(self) -> None:
        self.take("retry_refund", "staff")

    def _credited(self) -> None:
        self.take("credit_instead", "staff")
        sweeps.sweep()

    def _paid_by_hand(self) -> None:
        self.take("mark_paid", "staff", reference="W-17")
        sweeps.sweep()

    def _withdrawn(self) -> None:
        self.take("withdraw", "buyer")

    def _frozen(self) -> None:
        self.take("freeze", "system")

    def _resumed(self) -> None:
        self.take("resume", "system")

    def _voided(self) -> None:
        self.take("void", "system")

    def _commented(self) -> None:
        for who in ("buyer", "creator", "staff"):
            self.take("comment", who)
        self.take("note", "staff")


@pytest.fixture
def stories(
    waiting_case: Case,
    buyer: Actor,
    creator: Actor,
    staff: Actor,
    other_staff: Actor,
    later: Later,
) -> Stories:
    people = {"buyer": buyer, "creator": creator, "staff": staff, "other_staff": other_staff}
    return Stories(waiting_case, people, later)


EVERY = [
    "waiting", "waiting commented", "asked", "asked answered", "silence", "asked silence",
    "denied", "denied silence", "accepted", "accepted sent", "accepted arrived",
    "accepted failed", "accepted failed retried", "accepted failed credited",
    "accepted failed paid_by_hand", "accepted arrived failed", "denied appealed",
    "denied appealed buyer_asked", "denied appealed buyer_asked answered",
    "denied appealed buyer_asked silence", "denied appealed creator_asked",
    "denied appealed creator_asked silence", "silence nothing", "silence half", "silence credits",
    "silence nothing silence", "silence half silence", "silence half silence arrived",
    "silence credits silence", "silence half both_accept", "silence half appealed",
    "silence half creator_appealed", "silence nothing appealed buyer_asked",
    "silence half appealed finally_half", "silence half appealed finally_half arrived",
    "withdrawn", "frozen", "asked frozen", "denied frozen", "silence half frozen",
    "frozen resumed", "frozen voided", "silence half voided",
]  # fmt: skip


def told(entry: Entry) -> str:
    """An entry as a reader hears it, without its date."""
    verdict = entry.verdict
    parts = [
        "You" if entry.is_you else entry.who_name, entry.role_line, entry.lead, entry.strong,
        entry.text, entry.amount_text, entry.tag_lead, entry.tag_strong, entry.tag_text,
        verdict.get("title", ""), verdict.get("why", ""), verdict.get("next", ""),
    ]  # fmt: skip
    whole = " ".join(part.strip() for part in parts if part.strip())
    return re.sub(r" (?=[.,])", "", whole)


def artefacts(text: str) -> list[str]:
    """Signs of a sentence that was put together wrongly."""
    return re.findall(
        r"None|\{|\}|  |\.\.|,,| ,| \.|:\.|until\s*[.,<]|&\w+;|You (?:asks|has|is|accepts|answers)"
        r"|\b(\w+) \1\b|\b[Yy]ou’s|\bhim|\bher\b",
        text,
    )


def plain(text: str) -> str:
    """Without the tags and escapes that a text has when it is HTML already."""
    return unescape(strip_tags(text)) if isinstance(text, SafeString) else text


def sentences_of(case: Case, reader: str) -> list[str]:
    """All that one reader is told on the page of a case."""
    events = events_of(case, reader)
    turn = words.turn(case, reader, events=events)
    return [
        turn.title,
        plain(turn.body),
        turn.label,
        plain(turn.now_line),
        words.pill(case, reader).label,
        *[title for title, _, _ in turn.steps],
        *[f"{term} {value}" for term, value, _ in words.facts(case, reader)],
        *[f"{lead}: {text}" for lead, text in words.what_next(case, reader)],
        *[told(entry) for entry in entries(case, events, reader)],
    ]


@pytest.mark.parametrize("name", EVERY)
def test_every_state_reads_whole_for_every_reader(stories: Stories, name: str) -> None:
    case = stories.tell(name)

    for reader in READERS:
        sentences = sentences_of(case, reader)
        with translation.override("de"):
            german = sentences_of(case, reader)
        assert len(german) == len(sentences)
        assert [(reader, s, artefacts(s)) for s in german if artefacts(s)] == []
        assert all(s[:1] == s[:1].upper() for s in german), german
        assert [sentence for sentence in sentences if not sentence.strip()] == []
        assert [(reader, s, artefacts(s)) for s in sentences if artefacts(s)] == []
        assert all(s[:1] == s[:1].upper() for s in sentences), sentences


@pytest.mark.parametrize("name", EVERY)
def test_only_the_one_whose_move_it_is_reads_your_turn(stories: Stories, name: str) -> None:
    case = stories.tell(name)

    tones = {reader: words.pill(case, reader).tone for reader in READERS}

    ending = case.state in ("decided", "closed")
    denied = case.state == "decided" and case.decided_by == "creator" and not case.final
    mine = {
        "buyer": not case.frozen_at and (denied or (case.waiting_on == "buyer" and not ending)),
        "creator": not case.frozen_at and case.waiting_on == "creator" and not ending,
        "staff": not case.frozen_at and case.waiting_on == "staff",
    }
    assert {reader for reader, tone in tones.items() if tone == "turn"} == {
        reader for reader, is_mine in mine.items() if is_mine
    }


def said(case: Case, reader: str) -> tuple[str, str, str]:
    """Pill, title and body, with the date that is waited for as UNTIL."""
    turn = words.turn(case, reader, events=events_of(case, reader))
    dates = [words.until(case), words.until(case, "weekday")] if case.due_at else []
    texts = [words.pill(case, reader).label, turn.title, plain(turn.body)]
    for date in dates:
        texts = [text.replace(date, "UNTIL") for text in texts]
    closed = r"Closed on \w+ \d+(, \d+)?\."
    return tuple(re.sub(closed, "Closed on DAY.", text) for text in texts)  # type: ignore[return-value]


END = "Closed on DAY. Each payment can have one case, so this one can’t be reopened."
KEY_SENTENCES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("waiting", "buyer"): (
        "Waiting for Loop & Lens",
        "Waiting for Loop & Lens",
        "They have until UNTIL. If they don’t reply, Whop takes over automatically.",
    ),
    ("waiting", "creator"): (
        "Your turn",
        "Reply to Bea by UNTIL",
        "Accept, deny, or request more details. If you don’t reply, Whop decides with what’s here.",
    ),
    ("asked", "buyer"): (
        "Your turn",
        "Answer Loop & Lens by UNTIL",
        "They asked you for more details. If you don’t answer, Whop reviews the case with what it "
        "has.",
    ),
    ("denied", "buyer"): (
        "Denied, you can appeal",
        "Loop & Lens denied your request",
        "You can appeal to Whop until UNTIL. If you don’t, the case closes with no refund and "
        "can’t be reopened.",
    ),
    ("silence half", "buyer"): (
        "Whop decided: $32.00 refund",
        "You get $32.00 back",
        "You and Loop & Lens can each appeal until UNTIL. If nobody does, the case closes with "
        "this result.",
    ),
    ("silence credits", "buyer"): (
        "Whop decided: $64.00 credits",
        "You get $64.00 in Whop Credits",
        "You can appeal until UNTIL. If you don’t, the case closes with this result.",
    ),
    ("silence credits", "creator"): (
        "Whop decided: no charge to you",
        "Bea gets $64.00 in credits, paid by Whop",
        "Bea can appeal until UNTIL. If they don’t, the case closes with this result.",
    ),
    ("silence nothing", "creator"): (
        "Whop decided: no refund",
        "There is no refund",
        "Bea can appeal until UNTIL. If they don’t, the case closes with this result.",
    ),
    ("frozen", "buyer"): (
        "Paused, with the bank",
        "Your bank is looking into this payment",
        "A chargeback was opened with the bank. The case waits until the bank has ruled, and no "
        "refund is made meanwhile.",
    ),
    ("accepted", "buyer"): (
        "Refund on its way",
        "$64.00 is on its way to you",
        "It goes back to your Visa ending 4242. Banks usually take 5 to 10 days to show it. The "
        "case closes when it has arrived.",
    ),
    ("accepted failed", "buyer"): (
        "Refund failed",
        "The refund of $64.00 didn’t go through",
        "Whop is looking into it and tells you both what happens next. The decision stands, and "
        "you don’t need to do anything.",
    ),
    ("accepted arrived", "buyer"): (
        "Refunded $64.00", "$64.00 was refunded to your Visa ending 4242", END,
    ),
    ("accepted arrived", "creator"): (
        "You refunded $64.00", "$64.00 was refunded to Bea", END,
    ),
    ("accepted failed paid_by_hand", "buyer"): (
        "Refunded $64.00", "$64.00 was paid back to you by hand", END,
    ),
    ("silence credits silence", "buyer"): (
        "$64.00 in credits", "You got $64.00 in Whop Credits", END,
    ),
    ("silence nothing silence", "buyer"): ("No refund", "Closed with no refund", END),
    ("withdrawn", "buyer"): ("Withdrawn", "You withdrew the case", END),
    ("withdrawn", "creator"): ("Withdrawn", "Bea withdrew the case", END),
    ("frozen voided", "buyer"): (
        "Settled elsewhere", "The payment was settled elsewhere", END,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "reader"), list(KEY_SENTENCES))
def test_the_turn_card_says_who_acts_by_when_and_what_otherwise(
    stories: Stories, name: str, reader: str
) -> None:
    assert said(stories.tell(name), reader) == KEY_SENTENCES[name, reader]


def timeline(case: Case, reader: str) -> list[str]:
    """The entries as they are heard, with their dates as DAY."""
    heard = [told(entry) for entry in entries(case, events_of(case, reader), reader)]
    day = r"[A-Z][a-z]+ \d+(, \d{4})?(, \d+:\d\d [AP]M)?"
    return [re.sub(rf"(until|Target:|on) {day}", r"\1 DAY", text) for text in heard]


def test_a_denial_that_was_appealed_reads_in_the_past(stories: Stories) -> None:
    case = stories.tell("denied")
    before = timeline(case, "buyer")
    stories.tell("appealed")

    assert before == [
        "You opened the case It is not what the page says.",
        "Sent to Loop & Lens. They had until DAY to reply.",
        "Loop & Lens Creator My words on deny. Denied the request. "
        "You can appeal to Whop until DAY.",
    ]
    assert timeline(stories.case, "buyer")[2:] == [
        "Loop & Lens Creator My words on deny. Denied the request. "
        "You could appeal to Whop until DAY.",
        "You appealed to Whop My words on appeal. Whop reviews the case. Target: DAY.",
    ]


def test_the_creator_reads_the_same_from_their_side(stories: Stories) -> None:
    case = stories.tell("silence half silence arrived")

    assert timeline(case, "creator") == [
        "Bea Lind opened the case It is not what the page says.",
        "Sent to you by e-mail. You had until DAY to reply.",
        "Whop stepped in. You didn’t reply in 7 days.",
        "Whop Decision: refund $32.00 of $64.00 My words on decide. $32.00 goes from your balance "
        "back to Bea’s Visa ending 4242. The decision is carried out once nobody can appeal any "
        "more, on DAY at the latest.",
        "The decision is final. Nobody appealed in time.",
        "Refund requested. To Bea’s Visa ending 4242. $32.00",
        "Refund sent. To Bea’s Visa ending 4242. $32.00",
        "Refund arrived. On Bea’s Visa ending 4242. −$32.00",
        "Case closed. It can’t be reopened.",
    ]


def test_an_act_without_words_is_a_sentence(waiting_case: Case, creator: Actor) -> None:
    cases.take_step(waiting_case, "accept", creator)

    case = Case.objects.get(pk=waiting_case.pk)
    assert timeline(case, "buyer")[2] == (
        "Loop & Lens accepted the request. $64.00 goes back to you."
    )
    assert timeline(case, "creator")[2] == "You accepted the request. $64.00 goes back to Bea."


def test_staff_read_who_wrote_and_what_only_they_may_see(stories: Stories) -> None:
    case = stories.tell("commented")

    assert timeline(case, "staff")[2:] == [
        "Bea Lind Buyer My words on comment.",
        "Loop & Lens Cleo Park, creator My words on comment.",
        "Whop Sam Reyes, staff My words on comment.",
        "Sam Reyes Internal note My words on note.",
    ]
    assert timeline(case, "buyer")[2:] == [
        "You Buyer My words on comment.",
        "Loop & Lens Creator My words on comment.",
        "Whop Staff My words on comment.",
    ]


def test_an_automatic_refund_says_so(case: Case) -> None:
    Rule.objects.create(
        company=case.company, name="All of it", position=1, reasons=["not_as_described"],
        message="Sorry, {{ first_name }}.",
    )  # fmt: skip
    sweeps.advance([case.pk])

    now = Case.objects.get(pk=case.pk)
    told_first = entries(now, events_of(now, "buyer"), "buyer")[1]
    assert (told_first.automatic, told_first.text) == (True, "Sorry, Bea.")
    assert told_first.tag_strong == "Accepted and refunded automatically."
    assert words.pill(now, "buyer").label == "Refund on its way"


def test_a_pause_moves_the_date_that_is_shown(stories: Stories, later: Later) -> None:
    before = stories.case.due_at
    stories.tell("frozen")
    later(timedelta(days=2))
    case = stories.tell("resumed")

    assert before
    assert case.due_at
    assert case.due_at - before >= timedelta(days=2)
    shown = entries(case, events_of(case, "buyer"), "buyer")[1].text
    until = words.until(case, "datetime")
    assert shown == f"Sent to Loop & Lens. They have until {until} to reply."


def test_time_left_is_rounded_down() -> None:
    texts = [
        words.time_left(timedelta(**left))
        for left in (
            {"days": 3, "hours": 23}, {"days": 1}, {"hours": 23, "minutes": 59}, {"hours": 1},
            {"minutes": 59}, {"seconds": 1}, {"seconds": 0}, {"days": -1},
            {"days": -2, "hours": -1},
        )
    ]  # fmt: skip

    assert texts == [
        "3 days left", "1 day left", "23 hours left", "1 hour left", "59 minutes left",
        "1 minute left", "Time is up", "1 day over", "2 days over",
    ]  # fmt: skip
