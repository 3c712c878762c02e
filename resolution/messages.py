"""What the e-mails of a case say: who reads, what happened, whose move it is and until when.

The words are in `templates/notifications/email/`, one template a step and side. A message may leave
late, so all that changes is told from the timeline as it stood at its event; only what never does
(who, which product, how much was asked) is read from the case.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.db.models import Count, prefetch_related_objects
from django.utils import timezone

from marketplace.models import TeamMember, User
from notifications import mail, webhook_letters
from notifications.models import Notification
from notifications.outbox import Composed, one_line
from payments.money import format_money
from resolution import words
from resolution.actors import as_buyer
from resolution.cases import NOT_A_CHANGE
from resolution.lifecycle import runs_the_company
from resolution.models import Case, Event
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Party, Remedy, State

LONGEST_QUOTE = 1000
DAY = timedelta(days=1)

REASONED = ("decide", "decide_final", "decide_final_alone")
"""The steps whose message is the reason of a decision, and no letter to quote."""

CLOCKED = ("notify_creator", "deny", "request_info", "reply", "ask_party")
"""The steps that start a clock of days for a side; a meter shows it to whom it runs for."""

SAME_WORDS = {"decide_final_alone": "decide_final"}

WITH_FACTS = ("open_case", "notify_creator", "auto_refund")
"""The first that a side hears of a case: they say what it is about."""


@dataclass
class _Standing:
    """A case as its timeline stood right after an event."""

    event: Event
    opening: Event
    due_at: datetime | None = None
    waiting_on: str = Party.NOBODY
    waited_on: str = Party.NOBODY
    money: str = ""
    decided_in: Event | None = None
    remedy: str = Remedy.NONE
    amount_minor: int = 0
    frozen_at: datetime | None = None
    final: bool = False

    @classmethod
    def after(cls, event: Event, timeline: Iterable[Event]) -> "_Standing":
        """`timeline` holds the case's events in order, comments aside."""
        before = [entry for entry in timeline if entry.seq < event.seq]
        standing = cls(event, opening=[*before, event][0])
        for entry in (*before, event):
            standing._go_on(entry)
        return standing

    def _go_on(self, event: Event) -> None:
        data = event.data
        if data.get("due_at"):
            self.due_at = datetime.fromisoformat(data["due_at"])
        elif "due_at" in data:
            self.due_at = None
        if event.step == "freeze":
            self.frozen_at = event.created_at
        elif event.step == "resume":
            self.frozen_at = None
        if "remedy" in data:
            self.decided_in = event
            self.remedy, self.amount_minor = data["remedy"], data["amount_minor"]
        elif event.step in ("retry_refund", "credit_instead"):
            self.amount_minor = data.get("amount_minor", self.amount_minor)
        if event.step == "credit_instead":
            self.remedy = Remedy.CREDIT
        self.money = data.get("money", self.money)
        self.final = data.get("final", self.final)
        if event.step not in NOT_A_CHANGE:
            self.waited_on = self.waiting_on
            self.waiting_on = data.get("waiting_on", self.waiting_on)

    def is_turn_of(self, side: str) -> bool:
        """An answer or an appeal is open to this side, until `due_at`."""
        return self.waiting_on == side and self.due_at is not None and self.frozen_at is None

    def as_case(self) -> Case:
        """The case as it stood, for the rules and the words that take one. Never saved."""
        case = self.event.case
        return Case(
            state=self.event.state_after,
            public_id=case.public_id,
            buyer=case.buyer,
            company=case.company,
            payment=case.payment,
            currency=case.currency,
            asked_minor=case.asked_minor,
            decided_by=self.decided_in.party if self.decided_in else "",
            remedy=self.remedy,
            remedy_minor=self.amount_minor,
            final=self.final,
        )


@dataclass(frozen=True)
class _Timelines:
    """What a batch of messages tells of, read in a few queries whatever its size."""

    events: Mapping[str, Event]
    steps: Mapping[int, Sequence[Event]] = field(default_factory=dict)
    team: Mapping[tuple[int, int], TeamMember] = field(default_factory=dict)

    @classmethod
    def of(cls, notifications: Sequence[Notification]) -> "_Timelines":
        prefetch_related_objects(notifications, "recipient")
        rows = Event.objects.annotate(files=Count("attachments")).select_related("actor")
        told = rows.filter(public_id__in={message.about for message in notifications})
        events = {
            event.public_id: event
            for event in told.select_related(
                "case__payment", "case__buyer", "case__company", "case__product"
            )
        }
        cases = {event.case_id: event.case for event in events.values()}
        steps: dict[int, list[Event]] = {case_id: [] for case_id in cases}
        for event in rows.filter(case__in=cases).exclude(step__in=NOT_A_CHANGE).order_by("seq"):
            steps[event.case_id].append(event)
        places = TeamMember.objects.filter(
            company__in={case.company_id for case in cases.values()},
            user__in={message.recipient_id for message in notifications},
        ).exclude(role=TeamMember.Role.VIEWER)
        return cls(events, steps, {(place.company_id, place.user_id): place for place in places})


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message, by primary key, in its reader's time zone.

    None for a reader who may not see the case any more, or whose account is closed.
    """
    of_webhooks = webhook_letters.compose(notifications)
    of_cases = [message for message in notifications if message.pk not in of_webhooks]
    known = _Timelines.of(of_cases)
    return of_webhooks | {message.pk: _compose(message, known) for message in of_cases}


def _compose(message: Notification, known: _Timelines) -> Composed | None:
    event, reader = known.events.get(message.about), message.recipient
    if event is None or not reader.is_active:
        return None
    actor = as_buyer(reader)
    if event.case.buyer_id != reader.pk:
        place = known.team.get((event.case.company_id, reader.pk))
        if place is None:
            return None
        actor = Actor(Party.CREATOR, reader, role=place.role)
    standing = _Standing.after(event, known.steps[event.case_id])
    with timezone.override(_zone(reader)):
        letter = _Letter(standing, actor)
        step = SAME_WORDS.get(event.step, event.step)
        return mail.render(
            f"{mail.FOLDER}/{letter.side}/{step}.txt", letter.context(), letter.around()
        )


def _zone(reader: User) -> ZoneInfo:
    try:
        return ZoneInfo(reader.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


class _Letter:
    """One event as told to one person of a side."""

    def __init__(self, standing: _Standing, reader: Actor) -> None:
        self.standing, self.reader, self.side = standing, reader, reader.party
        self.event, self.case = standing.event, standing.event.case
        self.to_buyer = self.side == Party.BUYER
        self.as_it_was = standing.as_case()

    def context(self) -> dict[str, Any]:
        """What the words of a step may name. All texts are finished and of one line."""
        standing, case, event = self.standing, self.case, self.event
        may_appeal, days = self.as_it_was.who_could_appeal(), settings.RESPONSE_DAYS
        yours_to_appeal = self.side in may_appeal and runs_the_company(self.as_it_was, self.reader)
        given = one_line(words.remedy_sentence(self.as_it_was, self.side))
        deadline = {"due": mail.Strong(), "due_day": "", "due_weekday": ""}
        if standing.due_at:
            deadline = {
                "due": mail.Strong(when_text(standing.due_at, "full")),
                "due_day": when_text(standing.due_at, "date"),
                "due_weekday": mail.Strong(when_text(standing.due_at, "weekday")),
            }
        return deadline | {
            "platform": words.platform(),
            "company": one_line(case.company.name),
            "buyer": one_line(case.buyer.name),
            "first_name": one_line(case.buyer.first_name) or one_line(case.buyer.name),
            "product": one_line(case.product.name),
            "asked": self._money(case.asked_minor),
            "amount": self._money(event.data.get("amount_minor") or standing.amount_minor),
            "way_back": one_line(case.payment.way_back),
            "remedy": standing.remedy,
            "given": given,
            "given_below": re.sub(r"^(You|There)\b", lambda first: first[0].lower(), given),
            "money": standing.money,
            "decided_by": standing.decided_in.party if standing.decided_in else "",
            "actor": self._name_of(event),
            "yours": standing.is_turn_of(self.side),
            "with_staff": standing.waiting_on == Party.STAFF,
            "waiting": one_line(words.name_of(case, standing.waiting_on, self.side)),
            "silent": standing.waited_on,
            "denial": event.state_before == State.DECIDED and event.state_after == State.ESCALATED,
            "final_review": event.state_after == State.APPEALED,
            "you_may_appeal": yours_to_appeal,
            "owner_may_appeal": self.side in may_appeal and not yours_to_appeal,
            "they_may_appeal": bool(may_appeal - {self.side}),
            "they": one_line(case.company.name if self.to_buyer else case.buyer.first_name),
            "rule": one_line(event.data.get("rule", {}).get("name", "")),
            "reference": one_line(event.data.get("reference", "")),
            "response_days": f"{days} day{'' if days == 1 else 's'}",
        }

    def around(self) -> mail.Around:
        """What stands around the words: facts, what somebody wrote, the button, the reason why."""
        event, case = self.event, self.case
        place = "hub/cases" if self.to_buyer else "dash/resolution-center/cases"
        said = self.standing.opening if event.step == "notify_creator" else event
        reasoned = event.step in REASONED
        day, days = self._clock()
        return mail.Around(
            button_href=f"{settings.SITE_URL.rstrip('/')}/{place}/{case.public_id}/",
            why=self._why(),
            sections=self._reasons() if reasoned else (),
            facts=self._facts() if event.step in WITH_FACTS else (),
            quote_label="" if reasoned else f"{self._name_of(said, quoted=True)} wrote",
            quote="" if reasoned else _shortened(said.message),
            quote_note="" if reasoned else _note_below(said),
            day=day,
            days=days,
        )

    def _money(self, minor: int) -> str:
        return format_money(minor, self.case.currency)

    def _name_of(self, event: Event, *, quoted: bool = False) -> str:
        """Who acted, as this reader calls them: a person only to the people of their own team."""
        if event.party in (Party.STAFF, Party.SYSTEM):
            if event.step == "auto_refund":
                return one_line(self.case.company.name)
            return words.platform()
        if event.party == Party.CREATOR:
            colleague = event.actor if not self.to_buyer else None
            return one_line(colleague.name if colleague else self.case.company.name)
        if self.to_buyer and quoted:
            return "You"
        name = self.case.buyer.first_name if quoted else self.case.buyer.name
        return one_line(name) or one_line(self.case.buyer.name)

    def _facts(self) -> list[tuple[str, str]]:
        case, payment = self.case, self.case.payment
        return [
            ("Product", one_line(case.product.name)),
            ("Reason", str(case.get_reason_display())),
            ("Asked for", self._money(case.asked_minor)),
            ("Paid", f"{when_text(payment.paid_at, 'day')}, {one_line(payment.way_back)}"),
            ("Case", case.public_id),
        ]

    def _reasons(self) -> list[tuple[str, str]]:
        sections = [("Why", self.event.message)]
        looked_at = self.event.data.get("looked_at", [])
        if looked_at:
            sections.append(("What we looked at", "\n".join(looked_at)))
        return sections

    def _clock(self) -> tuple[int, int]:
        """The meter's day and days, where this very event starts a clock for the reader."""
        due_at = self.standing.due_at
        if (
            due_at is None
            or self.event.step not in CLOCKED
            or not self.standing.is_turn_of(self.side)
        ):
            return 0, 0
        return 1, max(1, round((due_at - self.event.created_at) / DAY))

    def _why(self) -> str:
        if self.to_buyer:
            reason = f"You get this because you opened case {self.case.public_id}."
        else:
            company = one_line(self.case.company.name)
            reason = f"You get this because you manage cases for {company}."
        return f"{reason} Replies to this email aren’t read: please answer in the case."


def _shortened(text: str) -> str:
    """The beginning of a message, up to the end of a word."""
    text = re.sub(r"\r\n?", "\n", text).strip()
    if len(text) <= LONGEST_QUOTE:
        return text
    return re.sub(r"\s+\S*$", "", text[:LONGEST_QUOTE]) + " …"


def _note_below(event: Event) -> str:
    """What of a message is only in the case: the rest of it, its files."""
    notes = []
    if len(event.message.strip()) > LONGEST_QUOTE:
        notes.append("The whole message is in the case.")
    files: int = event.files  # type: ignore[attr-defined]
    if files:
        notes.append(f"{files} file{'' if files == 1 else 's'} attached in the case.")
    return " ".join(notes)
