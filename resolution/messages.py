"""What the e-mails of a case say: who reads, what happened, whose move it is and until when.

The words are in `templates/notifications/email/`, one template a step and side. A message may leave
late, so all that changes is told from the timeline as it stood at its event; only what never does
(who, which product, how much was asked) is read from the case.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, npgettext

from accounts import letters
from marketplace import clock
from marketplace.language import speaking_to
from marketplace.models import TeamMember, User
from marketplace.time_zone import zone_of
from notifications import mail, preferences, webhook_letters
from notifications.models import Notification
from notifications.outbox import Composed, one_line
from payments.money import format_money
from resolution import reminders, rule_letters, words
from resolution.actors import as_buyer
from resolution.cases import NOT_A_CHANGE
from resolution.lifecycle import IN_REVIEW, runs_the_company
from resolution.models import Attachment, Case, Event
from resolution.rules import SWITCHED_OFF
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Party, Remedy, State

LONGEST_QUOTE = 1000
DAY = timedelta(days=1)

IN_THE_APP = (webhook_letters.DISABLED, SWITCHED_OFF)
"""What is about no case and shown as a notice too; what is about an account is not."""

REASONED = ("decide", "decide_final", "decide_final_alone")
"""The steps whose message is the reason of a decision, and no letter to quote."""

CLOCKED = ("notify_creator", "cancel_refund", "deny", "request_info", "reply", "ask_party")
"""The steps that start a clock of days for a side; a meter shows it to whom it runs for."""

SAME_WORDS = {"decide_final_alone": "decide_final"}

WITH_FACTS = ("open_case", "notify_creator", "auto_refund", "plan_refund")
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
        elif event.step in ("plan_refund", "retry_refund", "credit_instead"):
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
        about = {message.about for message in notifications}
        cases = Case.objects.select_related("payment", "buyer", "company", "product").in_bulk(
            {message.thread for message in notifications}, field_name="public_id"
        )
        by_pk = {case.pk: case for case in cases.values()}
        files = Attachment.objects.filter(event=OuterRef("pk")).order_by().values("event")
        rows = (
            Event.objects.filter(case__in=by_pk)
            .exclude(Q(step__in=NOT_A_CHANGE) & ~Q(public_id__in=about))
            .annotate(actor_name=F("actor__name"), files=Subquery(files.values(n=Count("pk"))))
            .defer("hash", "previous_hash", "form_key")
            .order_by("seq")
        )
        events: dict[str, Event] = {}
        steps: dict[int, list[Event]] = {pk: [] for pk in by_pk}
        for event in rows:
            event.case = by_pk[event.case_id]
            events[event.public_id] = event
            if event.step not in NOT_A_CHANGE:
                steps[event.case_id].append(event)
        places = TeamMember.objects.filter(
            company__in={case.company_id for case in cases.values()},
            user__in={message.recipient_id for message in notifications},
        ).exclude(role=TeamMember.Role.VIEWER)
        return cls(events, steps, {(place.company_id, place.user_id): place for place in places})


@dataclass(frozen=True)
class Notice:
    """A message as a line of a list: when what happened in which case, and where to look at it."""

    message: Notification
    at: datetime
    text: str
    about: str
    href: str


@dataclass(frozen=True)
class Group:
    """E-mails that a person may do without; the app tells them all the same."""

    label: str
    hint: str


def groups() -> dict[str, Group]:
    """What can be switched off, by name. What is not in a group always comes."""
    return {
        "comments": Group(_("Messages"), _("Somebody writes in a case and asks nothing of you.")),
        "news": Group(
            _("Other news of your cases"),
            _("What the other side or {platform} does when it isn’t your turn.").format(
                platform=words.platform()
            ),
        ),
        "early_reminders": Group(
            _("Early reminders"),
            _("Days before a date of yours. The last one, a day before, stays on."),
        ),
    }


NEWS = (
    *("open_case", "request_info", "reply", "ask_party"),
    *("escalate", "resume_review", "appeal", "resume"),
)
"""The steps that a side needs to hear of only when they make it its turn."""


def _group(kind: str, yours: bool) -> str:
    """The group that a message belongs to; "" when its reader needs it."""
    if kind == reminders.EARLY:
        return "early_reminders"
    if kind == "comment":
        return "comments"
    return "news" if kind in NEWS and not yours else ""


class _Letters(Mapping[int, Composed | None]):
    """The letters of a batch of messages by primary key, each written when it is asked for."""

    def __init__(self, notifications: Sequence[Notification]) -> None:
        self.ready = (
            webhook_letters.compose(notifications)
            | rule_letters.compose(notifications)
            | letters.compose(notifications)
        )
        self.messages = {message.pk: message for message in notifications}
        self.known = _Timelines.of([m for m in notifications if m.pk not in self.ready])

    def __getitem__(self, pk: int) -> Composed | None:
        if pk in self.ready:
            return self.ready[pk]
        with _letter_to(self.messages[pk], self.known) as letter:
            return letter.written() if letter else None

    def __iter__(self) -> Iterator[int]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


def compose(notifications: Sequence[Notification]) -> Mapping[int, Composed | None]:
    """The words of each message, by primary key, in its reader's time zone and language.

    None for a reader who may not see the case any more or whose account is closed, and for a
    reminder of a deadline that is met.
    """
    return _Letters(notifications)


def notices(notifications: Sequence[Notification]) -> list[Notice]:
    """The same as lines of a list, without those that their reader may not see any more."""
    cases = _Letters(notifications)
    ready, found = cases.ready, []
    for message in notifications:
        with _letter_to(message, cases.known, met=True) as letter:
            if letter:
                at = message.created_at if letter.reminds else letter.event.created_at
                found.append(Notice(message, at, *letter.headline(), letter.href))
            elif message.kind in IN_THE_APP and (said := ready.get(message.pk)):
                href = f"/dash/resolution-center/developers/webhooks/{message.about}/"
                if message.kind == SWITCHED_OFF:
                    href = rule_letters.HREF
                found.append(Notice(message, message.created_at, said.subject, "", href))
    return found


@contextmanager
def _letter_to(
    message: Notification, known: _Timelines, *, met: bool = False
) -> "Iterator[_Letter | None]":
    """The letter of one message, in its reader's time zone; None when there is nothing to say.

    A reminder of a deadline that is `met` has nothing to say, unless that is asked for.
    """
    event, reader = known.events.get(message.about), message.recipient
    if event is None or not reader.is_active:
        yield None
        return
    actor = as_buyer(reader)
    if event.case.buyer_id != reader.pk:
        place = known.team.get((event.case.company_id, reader.pk))
        if place is None:
            yield None
            return
        actor = Actor(Party.CREATOR, reader, role=place.role)
    standing = _Standing.after(event, known.steps[event.case_id])
    reminds = message.kind in reminders.KINDS
    if reminds and not met and not reminders.still_due(event.case, actor, standing.due_at):
        yield None
        return
    with timezone.override(zone_of(reader)), speaking_to(reader):
        yield _Letter(standing, actor, message.kind)


class _Letter:
    """One event as told to one person of a side, or the deadline that it set."""

    def __init__(self, standing: _Standing, reader: Actor, kind: str) -> None:
        self.standing, self.reader, self.side, self.kind = standing, reader, reader.party, kind
        self.reminds = kind in reminders.KINDS
        self.event, self.case = standing.event, standing.event.case
        self.to_buyer = self.side == Party.BUYER

    @property
    def reader_user(self) -> User:
        assert self.reader.user, "a letter is to somebody"
        return self.reader.user

    @property
    def template(self) -> str:
        name = SAME_WORDS.get(self.event.step, self.event.step)
        if self.reminds:
            decided = self.event.state_after == State.DECIDED
            name = "remind_to_appeal" if decided else "remind_to_answer"
        return f"{mail.FOLDER}/{self.side}/{name}.txt"

    @property
    def href(self) -> str:
        """The case's page, below the site's address."""
        place = "hub/cases" if self.to_buyer else "dash/resolution-center/cases"
        return f"/{place}/{self.case.public_id}/"

    def written(self) -> Composed:
        """The letter as an e-mail."""
        group = _group(self.kind, self.standing.is_turn_of(self.side))
        return mail.render(
            self.template, self.context(), self.around(group), group=group, topic=self.topic()
        )

    def topic(self) -> str:
        """What all that this side hears of the case is called, whatever the news."""
        case = self.case
        told = {
            "buyer": case.buyer.name,
            "product": case.product.name,
            "amount": self._money(case.asked_minor),
        }
        if self.to_buyer:
            return one_line(_("Your case about %(product)s, %(amount)s") % told)
        return one_line(_("%(buyer)s’s case about %(product)s, %(amount)s") % told)

    def headline(self) -> tuple[str, str]:
        """The letter in one line, and what it is about."""
        about = f"{self.case.product.name}, {self._money(self.case.asked_minor)}"
        return mail.headline(self.template, self.context()), one_line(about)

    def context(self) -> dict[str, Any]:
        """What the words of a step may name. All texts are finished and of one line."""
        standing, case, event = self.standing, self.case, self.event
        may_appeal, given, below, days = set[Party](), "", "", settings.RESPONSE_DAYS
        if standing.decided_in:
            as_it_was = standing.as_case()
            may_appeal = as_it_was.who_could_appeal()
            given = one_line(words.remedy_sentence(as_it_was, self.side))
            below = one_line(words.remedy_clause(as_it_was, self.side))
        yours_to_appeal = self.side in may_appeal and runs_the_company(case, self.reader)
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
            "given_below": below,
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
            "by_rule": event.party == Party.SYSTEM,
            "reference": one_line(event.data.get("reference", "")),
            "response_days": npgettext("in …", "{days} day", "{days} days", days).format(days=days),
            "asked_by_staff": event.state_after in IN_REVIEW,
            "from_you": event.data.get("from") == self.side,
        }

    def around(self, group: str) -> mail.Around:
        """What stands around the words: facts, what somebody wrote, the button, the reason why."""
        event = self.event
        site = settings.SITE_URL.rstrip("/")
        opens = event.step in ("notify_creator", "plan_refund") and not self.to_buyer
        said = self.standing.opening if opens else event
        reasoned = event.step in REASONED
        day, days = self._clock()
        stop = preferences.stop_token(self.reader_user, group) if group else ""
        return mail.Around(
            button_href=f"{site}{self.href}",
            why=self._why(),
            sections=self._reasons() if reasoned and not self.reminds else (),
            facts=self._facts() if event.step in WITH_FACTS else (),
            settings_href=f"{site}/account/notifications/",
            stop_href=f"{site}/account/unsubscribe/{stop}/" if stop else "",
            quote_label="" if reasoned else self._wrote(said),
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
            colleague: str = "" if self.to_buyer else event.actor_name  # type: ignore[attr-defined]
            return one_line(colleague or self.case.company.name)
        name = self.case.buyer.first_name if quoted else self.case.buyer.name
        return one_line(name) or one_line(self.case.buyer.name)

    def _wrote(self, said: Event) -> str:
        if said.party == Party.BUYER and self.to_buyer:
            return _("You wrote")
        return _("{name} wrote").format(name=self._name_of(said, quoted=True))

    def _facts(self) -> list[tuple[str, str]]:
        case, payment = self.case, self.case.payment
        return [
            (_("Product"), one_line(case.product.name)),
            (_("Reason"), str(case.get_reason_display())),
            (_("Asked for"), self._money(case.asked_minor)),
            (_("Paid"), f"{when_text(payment.paid_at, 'day')}, {one_line(payment.way_back)}"),
            (_("Case"), case.public_id),
        ]

    def _reasons(self) -> list[tuple[str, str]]:
        sections = [(_("Why"), self.event.message)]
        looked_at = self.event.data.get("looked_at", [])
        if looked_at:
            listed = "\n".join(_(item) for item in looked_at if item)
            sections.append((_("What we looked at"), listed))
        return sections

    def _clock(self) -> tuple[int, int]:
        """The meter's day and days, where this very event started a clock for the reader."""
        due_at, started = self.standing.due_at, self.event.created_at
        runs = self.event.step in CLOCKED and self.standing.is_turn_of(self.side)
        if due_at is None or not runs:
            return 0, 0
        days = max(1, round((due_at - started) / DAY))
        return min(1 + int((clock.now() - started) / DAY), days) if self.reminds else 1, days

    def _why(self) -> str:
        if self.to_buyer:
            reason = _("You get this because you opened case {public_id}.").format(
                public_id=self.case.public_id
            )
        else:
            company = one_line(self.case.company.name)
            reason = _("You get this because you manage cases for {company}.").format(
                company=company
            )
        answer = _("Replies to this email aren’t read: please answer in the case.")
        return f"{reason} {answer}"


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
        notes.append(_("The whole message is in the case."))
    files: int | None = event.files  # type: ignore[attr-defined]
    if files:
        attached = ngettext(
            "{files} file attached in the case.", "{files} files attached in the case.", files
        )
        notes.append(attached.format(files=files))
    return " ".join(notes)
