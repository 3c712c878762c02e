"""The timeline as one reader sees it: an entry or two for each event, for `rc/_timeline.html`.

And the parts that it comes in: the newest events, those before them, what is new since.
Both sides read the same facts; only "you" and the direction of the money differ. What a field of an
entry means stands at the head of the partial that draws it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import Http404
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketplace import clock
from marketplace.addresses import address
from marketplace.models import User
from marketplace.statements import Statement
from payments.models import in_readers_words
from payments.money import format_money
from resolution.models import Attachment, Case, Event
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Party, Remedy, State
from resolution.words import platform

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party
PAGE = 50
"""How many events a page shows at first, and how many more at each request."""


@dataclass(frozen=True)
class FileRow:
    """An attachment, for `rc/_file.html`."""

    name: str
    kind: str
    size: int
    href: str = ""
    note: str = ""
    problem: str = ""
    thumb: str = ""
    upload: str = ""
    remove_name: str = ""
    remove_value: str = ""


@dataclass
class Entry:
    """One entry of the timeline; `kind` chooses the partial."""

    kind: str
    id: str
    at: datetime
    party: str = ""
    who_name: str = ""
    is_you: bool = False
    role_line: str = ""
    text: str = ""
    files: Sequence[FileRow] = ()
    automatic: bool = False
    tag_icon: str = ""
    tag_lead: str = ""
    tag_strong: str = ""
    tag_text: str = ""
    tone: str = "calm"
    icon: str = ""
    lead: str = ""
    strong: str = ""
    amount_text: str = ""
    link_href: str = ""
    link_label: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)


def events_of(case: Case, reader: str) -> list[Event]:
    """The events that a reader may see, in order, with their actors and files: two queries.

    Only those that the case as it was read knows of: what came since would contradict the rest of
    the page.
    """
    return list(_seen_by(reader, case).prefetch_related("attachments").order_by("seq"))


def _seen_by(reader: str, case: Case) -> QuerySet[Event]:
    known = case.events.filter(seq__lte=case.last_seq).select_related("actor")
    return known if reader == STAFF else known.filter(staff_only=False)


@dataclass(frozen=True)
class Part:
    """The end of a timeline: its events in order, and what is known of those before them."""

    events: Sequence[Event]
    before: Sequence[Event] = ()
    """Of each step that was left out the latest: not as stored, but enough for the progress."""
    left_out: int = 0
    since: datetime | None = None
    until: datetime | None = None

    @property
    def steps(self) -> Sequence[Event]:
        return [*self.before, *self.events]

    @property
    def last_id(self) -> str:
        return self.events[-1].public_id if self.events else ""


def part_of(case: Case, reader: str, *, before: str = "", alone: bool = False) -> Part:
    """The newest events that a reader may see, with actors and files: one query, or two if more.

    `before` names an event: then the part begins 50 events before that one, or, `alone`, is just
    those 50. An event that there is not counts as none.
    """
    seen = _seen_by(reader, case)
    if before:
        edge = seen.filter(public_id=before).values("seq")
        older = list(_with_files(seen.filter(seq__lt=edge)).order_by("-seq")[:PAGE])[::-1]
        newer = [] if alone else list(_with_files(seen.filter(seq__gte=edge)).order_by("seq"))
        events, full = [*older, *newer], len(older) == PAGE
        if not events:
            return part_of(case, reader)
    else:
        events = _newest(reader)(case.pk, case.last_seq - 2 * PAGE, case.last_seq)[::-1]
        if len(events) < PAGE < case.last_seq - PAGE:  # most of the latest are notes of staff's
            events = _newest(reader)(case.pk, 0, case.last_seq)[::-1]
        full = len(events) == PAGE
    return _knowing_more(case, reader, events) if full else Part(events)


@cache
def _newest(reader: str) -> Statement[Event]:
    """The last events of a case that a reader may see, between two places; the newest first.

    The first place holds the database to the end of a long timeline, whatever plan it has made.
    """

    def build(case_id: int, after: int, last_seq: int) -> QuerySet[Event]:
        seen = _with_files(_seen_by(reader, Case(pk=case_id, last_seq=last_seq)))
        return seen.filter(seq__gt=after).only(*DRAWN).order_by("-seq")[:PAGE]

    return Statement(build, int, int, int)


DRAWN = (
    "public_id", "case", "seq", "step", "party", "actor__name", "state_before", "state_after",
    "message", "salt", "words_digest", "data", "created_at",
)  # fmt: skip
"""What a page tells of an event."""


def _with_files(events: QuerySet[Event]) -> QuerySet[Event]:
    rows = Attachment.objects.filter(event=OuterRef("pk")).order_by("position")
    columns = ("public_id", "filename", "kind", "size", "state")
    return events.annotate(
        read_files=ArraySubquery(rows.values(row=JSONObject(**{name: name for name in columns})))
    )


def _knowing_more(case: Case, reader: str, events: Sequence[Event]) -> Part:
    """With what the progress and the link to the earlier entries need to know of those."""
    rows = _earlier(reader)(case.pk, events[0].seq - 1)
    if not rows:
        return Part(events)
    return Part(
        events,
        [
            Event(step=step, created_at=last, state_before=left)
            for step, _many, _first, last, left in sorted(rows, key=lambda row: row[3])
        ],
        sum(many for _step, many, *_rest in rows),
        min(first for _step, _many, first, *_rest in rows),
        max(last for *_rest, last, _left in rows),
    )


@cache
def _earlier(reader: str) -> Statement[tuple[str, int, datetime, datetime, str]]:
    """Of a case up to a place, each step: how many, the first and the last, and what it left."""

    def build(case_id: int, last_seq: int) -> QuerySet[Event, Any]:
        seen = _seen_by(reader, Case(pk=case_id, last_seq=last_seq)).select_related(None)
        steps = seen.order_by().values_list("step")
        return steps.annotate(
            Count("pk"), Min("created_at"), Max("created_at"), Max("state_before")
        )

    return Statement(build, int, int)


# ── News ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class News:
    """What has happened after an event: up to which one, and how much of it was messages.

    `messages_count` is 0 when there was anything else.
    """

    after: str
    latest: str
    messages_count: int

    def told(self, *, page_href: str, live_href: str) -> dict[str, Any]:
        """What `rc/_news.html` takes, to tell of it once and to go on asking."""
        seen = urlencode({"after": self.after, "shown": self.latest})
        return {
            "told": True,
            "messages_count": self.messages_count,
            "page_href": page_href,
            "live_href": f"{live_href}?{seen}",
            "seconds": settings.LIVE_SECONDS,
        }


def news_of(actor: Actor, public_id: str, seen: Mapping[str, str]) -> News | None:
    """What is new in a case for who has `seen` some of it; None, after one query, when nothing is.

    Of `seen`, `after` is the last event on the page and `shown` the one last told of; either is a
    public id. Raises Http404 when this actor sees no such case.
    """
    after, shown = seen.get("after", ""), seen.get("shown", "")
    case_id, latest = _latest_of(actor, public_id)
    if latest == (shown or after):
        return None
    known = Event.objects.filter(case=case_id, public_id=after).values("seq")
    since = Event.objects.filter(case=case_id, seq__gt=Subquery(known))
    steps = list(_open_to(actor, since).values_list("step", flat=True))
    return News(after, latest, len(steps) if set(steps) == {"comment"} else 0)


def _open_to(actor: Actor, events: QuerySet[Event]) -> QuerySet[Event]:
    """Notes of staff's are for staff, unless they are a party to the very case."""
    reads_notes = actor.party == STAFF and not actor.conflicted
    return events if reads_notes else events.filter(staff_only=False)


def _latest_of(actor: Actor, public_id: str) -> tuple[int, str]:
    """A case's id and the last event of it that this actor may see."""
    found = _latest(actor.party, actor.conflicted).first(actor.user_id, public_id)
    if found is None:
        raise Http404("No such case.")
    return found


@cache
def _latest(party: Party, conflicted: bool) -> Statement[tuple[int, str]]:
    """What `_latest_of` asks, for a person and a public id. Every open page does, all the time."""

    def build(person: int, public_id: str) -> QuerySet[Case, tuple[int, str]]:
        actor = Actor(party, User(pk=person), conflicted=conflicted)
        events = _open_to(actor, Event.objects.filter(case=OuterRef("pk"))).order_by("-seq")
        seen = Case.objects.visible_to(actor).filter(public_id=public_id)
        return seen.values_list("pk", Subquery(events.values("public_id")[:1]))

    return Statement(build, int, str)


# ── Entries ───────────────────────────────────────────────────────────────────────────────────────


def file_row(attachment: Attachment) -> FileRow:
    return _row(
        attachment.public_id,
        attachment.filename,
        attachment.kind,
        attachment.size,
        attachment.state,
    )


PREVIEW_BYTES = 3 * 2**20
"""A picture that is larger is shown by its name alone."""


def thumb(public_id: str, kind: str, size: int) -> str:
    """The address of a picture that is small enough to be looked at beside its name."""
    small = kind == Attachment.Kind.IMAGE and size <= PREVIEW_BYTES
    return f"{address('attachment', public_id)}?inline=1" if small else ""


def _row(
    public_id: str, filename: str, kind: str, size: int, state: str, *, pictured: bool = False
) -> FileRow:
    """A file that can be had leads to its bytes; one that cannot says why."""
    if state == Attachment.State.READY:
        small = thumb(public_id, kind, size) if pictured else ""
        return FileRow(filename, kind, size, address("attachment", public_id), thumb=small)
    if state == Attachment.State.CHECKING:
        return FileRow(filename, kind, size, note=_("being checked for viruses"))
    if state == Attachment.State.INFECTED:
        return FileRow(filename, kind, size, problem=_("removed, a virus was found in it"))
    return FileRow(filename, kind, size, note=_("removed"))


def files_of(event: Event, *, pictured: bool = False) -> list[FileRow]:
    """The files of an event in their places; without a query where they were read with it.

    Whether small pictures are seen at once: of what staff open each file is written down.
    """
    read: list[dict[str, Any]] | None = getattr(event, "read_files", None)
    if read is None:
        read = [
            {name: getattr(a, name) for name in ("public_id", "filename", "kind", "size", "state")}
            for a in sorted(event.attachments.all(), key=_place)
        ]
    return [_row(**row, pictured=pictured) for row in read]


def entries(case: Case, events: Iterable[Event], reader: str) -> list[Entry]:
    """What the reader sees, oldest first."""
    told: list[Entry] = []
    for event in events:
        told += _Told(case, event, reader).entries()
    return told


class _Told:
    """One event put into words for one reader."""

    def __init__(self, case: Case, event: Event, reader: str) -> None:
        self.case, self.event, self.reader = case, event, reader
        self.data = event.data
        self.buyer, self.creator = case.buyer.first_name, case.company.name
        self.to_buyer, self.to_creator = reader == BUYER, reader == CREATOR

    def entries(self) -> list[Entry]:
        main: Callable[[], Entry] = getattr(self, f"_{self.event.step}")
        return [main(), *self._money_entries()]

    # ── Pieces ────────────────────────────────────────────────────────────────────────────────────

    def _amount(self) -> str:
        return format_money(self.data.get("amount_minor", 0), self.case.currency)

    def _until(self, style: str = "datetime") -> str:
        """The date that this event set; while its clock runs, where a pause has moved it to."""
        case = self.case
        due = parse_datetime(self.data.get("due_at") or "")
        if case.due_at and case.clock_started_at == self.event.created_at:
            due = case.due_at
        return when_text(due, style) if due else ""

    @property
    def _is_running(self) -> bool:
        """The clock that this event started still runs: what it allows is yet to come."""
        case = self.case
        return (
            case.state != State.CLOSED
            and case.due_at is not None
            and case.clock_started_at == self.event.created_at
            and case.due_at > clock.now()
        )

    def _may_appeal(self) -> str:
        """The buyer can appeal until then; or, when that is over or taken up: could."""
        if self.to_buyer and self._is_running:
            said = _("You can appeal to {platform} until {date}.")
        elif self.to_buyer:
            said = _("You could appeal to {platform} until {date}.")
        elif self._is_running:
            said = _("{buyer} can appeal to {platform} until {date}.")
        else:
            said = _("{buyer} could appeal to {platform} until {date}.")
        return said.format(buyer=self.buyer, platform=platform(), date=self._until())

    def _entry(self, kind: str, **fields: Any) -> Entry:
        return Entry(kind, self.event.public_id, self.event.created_at, **fields)

    def _status(self, strong: str, text: str = "", *, icon: str = "flag", **fields: Any) -> Entry:
        return self._entry("status", strong=strong, text=text, icon=icon, **fields)

    def _said(self, role: str = "", alone: tuple[str, str] = ("", ""), **tag: str) -> Entry:
        """The words of a side with the act below; without words, the act `alone`.

        That is one sentence for whoever acted and one for the others, which may name the `actor`.
        """
        event, case = self.event, self.case
        party = event.party if event.party != SYSTEM else CREATOR
        person = event.actor.name if event.actor else ""
        names = {BUYER: case.buyer.name, CREATOR: case.company.name, STAFF: platform()}
        roles = {BUYER: _("Buyer"), CREATOR: _("Creator"), STAFF: _("Staff")}
        shows_person = person and (
            (party == CREATOR and self.reader in (CREATOR, STAFF))
            or (party == STAFF and self.reader == STAFF)
        )
        by = roles[Party(party)]
        if shows_person:
            by = _("{person}, creator") if party == CREATOR else _("{person}, staff")
            by = by.format(person=person)
        is_you = party == self.reader == BUYER
        lead = tag.get("tag_lead", "")
        strong = tag.get("tag_strong", "")
        files = files_of(event, pictured=self.reader != STAFF)
        if not _words_of(event) and not files:
            own, others = alone
            act = own if party == self.reader != STAFF else others
            return self._status(
                act.format(actor=names[Party(party)]) or strong or lead,
                tag.get("tag_text", ""),
                icon=tag.get("tag_icon", "flag"),
            )
        return self._entry(
            "message",
            party=party,
            who_name=names[Party(party)],
            is_you=is_you,
            role_line=role or by,
            text=_words_of(event),
            files=files,
            automatic=event.party == SYSTEM,
            **tag,
        )

    def _decision(self, title: str, why: str, next_line: str) -> Entry:
        by = _("the {platform} resolution team").format(platform=platform())
        if self.reader == STAFF and self.event.actor:
            by = self.event.actor.name
        return self._entry(
            "decision",
            who_name=platform(),
            verdict={
                "id": f"v-{self.event.public_id}",
                "title": title,
                "by": by,
                "at": self.event.created_at,
                "why": why,
                "looked_at": [_(item) for item in self.data.get("looked_at", ()) if item],
                "next": next_line,
            },
        )

    def _money_entries(self) -> list[Entry]:
        """What an event sets going besides itself: a refund requested, credits that arrive."""
        if self.event.step in ("refund_sent", "refund_arrived", "refund_failed", "mark_paid"):
            return []
        money = self.data.get("money")
        own = f"{self.event.public_id}-money"
        if money == "requested" and self.data.get("refund"):
            minor = self.data.get("amount_minor") or self.case.remedy_minor
            amount = format_money(minor, self.case.currency)
            return [
                Entry("money", own, self.event.created_at, icon="refund",
                      strong=_("Refund requested."), amount_text=amount, text=self._to_their_way())
            ]  # fmt: skip
        if money == "arrived" and self.event.step in (
            "decide_final", "decide_final_alone", "finalize", "accept_decision", "credit_instead",
        ):  # fmt: skip
            minor = self.data.get("amount_minor") or self.case.remedy_minor
            added = (
                _("{platform} Credits added to your account.")
                if self.to_buyer
                else _("{platform} Credits added to {buyer}’s account.")
            )
            return [
                Entry("money", own, self.event.created_at, icon="credit",
                      tone="good" if self.reader == BUYER else "calm",
                      strong=added.format(platform=platform(), buyer=self.buyer),
                      text=_("Paid by {platform}.").format(platform=platform()),
                      amount_text=f"+{format_money(minor, self.case.currency)}")
            ]  # fmt: skip
        return []

    def _to_their_way(self) -> str:
        to = _("To your {way_back}.") if self.to_buyer else _("To {buyer}’s {way_back}.")
        return to.format(buyer=self.buyer, way_back=self.case.payment.way_back)

    def _on_their_way(self) -> str:
        on = _("On your {way_back}.") if self.to_buyer else _("On {buyer}’s {way_back}.")
        return on.format(buyer=self.buyer, way_back=self.case.payment.way_back)

    # ── One method a step ─────────────────────────────────────────────────────────────────────────

    def _open_case(self) -> Entry:
        return self._said(role=_("opened the case"))

    def _notify_creator(self) -> Entry:
        if self.to_creator and self._is_running:
            said = _("Sent to you by e-mail. You have until {date} to reply.")
        elif self.to_creator:
            said = _("Sent to you by e-mail. You had until {date} to reply.")
        elif self._is_running:
            said = _("Sent to {creator}. They have until {date} to reply.")
        else:
            said = _("Sent to {creator}. They had until {date} to reply.")
        text = said.format(creator=self.creator, date=self._until())
        return self._status("", f"{text}{self._turned_away()}", icon="mail")

    def _turned_away(self) -> str:
        """Why the rule that covers the case left it to the creator; buyers are told of no rule."""
        limits = {
            "day": _("The rule “%(rule)s” covers this case, but may give no more in 24 hours."),
            "month": _("The rule “%(rule)s” covers this case, but may give no more in 30 days."),
            "buyer": _(
                "The rule “%(rule)s” covers this case, but has refunded this buyer as often as it "
                "may in 30 days."
            ),
        }
        limit = limits.get(self.data.get("turned_away", ""), "")
        if not limit or self.reader == BUYER:
            return ""
        return f" {limit % {'rule': self.data['rule']['name']}}"

    def _by_rule(self) -> str:
        rule = self.data.get("rule")
        if not rule or self.reader == BUYER:
            return ""
        told = _("By the rule “%(rule)s”, version %(version)s.")
        return f" {told % {'rule': rule['name'], 'version': rule['version']}}"

    def _auto_refund(self) -> Entry:
        accepted = _("Accepted and refunded automatically.")
        return self._said(
            tag_icon="checkc",
            tag_strong=accepted,
            tag_text=f" {self._goes_back()}{self._by_rule()}",
            alone=(
                _("You accepted and refunded automatically."),
                _("{actor} accepted and refunded automatically."),
            ),
        )

    def _plan_refund(self) -> Entry:
        told = {"amount": self._amount(), "whom": self.buyer, "date": self._until(),
                "company": self.case.company.name}  # fmt: skip
        if not self._is_running:
            was = _("%(amount)s was to go back to %(whom)s on %(date)s.")
            return self._status(was % told, self._by_rule(), icon="clock")
        unless = _("%(company)s can answer before that.")
        if self.reader == CREATOR:
            unless = _("You can cancel that, or answer before.")
        goes = _("%(amount)s goes back to %(whom)s on %(date)s.")
        return self._status(goes % told, f" {unless % told}{self._by_rule()}", icon="clock")

    def _cancel_refund(self) -> Entry:
        told = {"company": self.case.company.name, "date": self._until()}
        yours = self.reader == CREATOR
        if self._is_running:
            reply = (
                _("You have until %(date)s to reply.")
                if yours
                else _("%(company)s has until %(date)s to reply.")
            )
        else:
            reply = (
                _("You had until %(date)s to reply.")
                if yours
                else _("%(company)s had until %(date)s to reply.")
            )
        title = (
            _("You canceled the planned refund.")
            if yours
            else _("%(company)s canceled the planned refund.")
        )
        if self.event.party == SYSTEM:
            title = _("The planned refund was called off.")
            if self.reader != BUYER:
                reply = _("Its rule no longer covers this case.") + " " + reply
        return self._status(title % told, f" {reply % told}", icon="x")

    def _accept(self) -> Entry:
        return self._said(
            tag_icon="checkc",
            tag_strong=_("Accepted the request."),
            tag_text=f" {self._goes_back()}{self._ended()}",
            alone=(_("You accepted the request."), _("{actor} accepted the request.")),
        )

    def _goes_back(self) -> str:
        said = (
            _("{amount} goes back to you.")
            if self.to_buyer
            else _("{amount} goes back to {buyer}.")
        )
        return said.format(amount=self._amount(), buyer=self.buyer)

    def _ended(self) -> str:
        if not self.data.get("membership_ended"):
            return ""
        if self.to_buyer:
            ended = _("Your membership has ended.")
        else:
            ended = _("{buyer}’s membership has ended.").format(buyer=self.buyer)
        return f" {ended}"

    def _deny(self) -> Entry:
        return self._said(
            tag_icon="xc",
            tag_strong=_("Denied the request."),
            tag_text=f" {self._may_appeal()}",
            alone=(_("You denied the request."), _("{actor} denied the request.")),
        )

    def _request_info(self) -> Entry:
        asked = _("Asked you for details.") if self.to_buyer else _("Asked {buyer} for details.")
        return self._said(
            tag_icon="reply",
            tag_lead=asked.format(buyer=self.buyer),
            tag_strong=self._days_moved(self.to_buyer, self.buyer),
        )

    def _days_moved(self, to_you: bool, name: str) -> str:
        days = settings.RESPONSE_DAYS
        if to_you:
            said = ngettext(
                "The {days} day moved to you, until {date}.",
                "The {days} days moved to you, until {date}.",
                days,
            )
        else:
            said = ngettext(
                "The {days} day moved to {name}, until {date}.",
                "The {days} days moved to {name}, until {date}.",
                days,
            )
        return said.format(days=days, name=name, date=self._until())

    def _reply(self) -> Entry:
        if self.event.state_after == State.AWAITING_CREATOR:
            return self._said(
                tag_icon="reply",
                tag_lead=_("Answered."),
                tag_strong=self._days_moved(self.to_creator, self.creator),
            )
        answered = _("Answered {platform}. The review goes on.").format(platform=platform())
        return self._said(tag_icon="reply", tag_lead=answered)

    def _escalate(self) -> Entry:
        by_creator = self.event.state_before == State.AWAITING_CREATOR
        days = settings.RESPONSE_DAYS
        if self.reader == (CREATOR if by_creator else BUYER):
            said = ngettext(
                "You didn’t reply in {days} day.", "You didn’t reply in {days} days.", days
            )
        else:
            said = ngettext(
                "{name} didn’t reply in {days} day.", "{name} didn’t reply in {days} days.", days
            )
        text = said.format(name=self.creator if by_creator else self.buyer, days=days)
        return self._status(
            _("{platform} stepped in.").format(platform=platform()),
            f" {text}",
            icon="scale",
            tone="whop",
        )

    def _withdraw(self) -> Entry:
        final = _("It is closed for good.")
        return self._said(
            tag_icon="x",
            tag_strong=_("Withdrew the case."),
            tag_text=f" {final}",
            alone=(_("You withdrew the case."), _("{actor} withdrew the case.")),
        )

    def _ask_party(self) -> Entry:
        asked = Party(self.data.get("asks") or CREATOR)
        if asked == self.reader:
            said = _("Asked you for details, until {date}.")
        else:
            said = _("Asked {name} for details, until {date}.")
        name = self.buyer if asked == BUYER else self.creator
        return self._said(tag_icon="reply", tag_lead=said.format(name=name, date=self._until()))

    def _decide_unanswered(self) -> Entry:
        days = settings.RESPONSE_DAYS
        if self.to_buyer:
            why = ngettext(
                "You didn’t answer our question within {days} day, so we decided for {creator}.",
                "You didn’t answer our question within {days} days, so we decided for {creator}.",
                days,
            )
        elif self.to_creator:
            why = ngettext(
                "{buyer} didn’t answer our question within {days} day, so we decided for you.",
                "{buyer} didn’t answer our question within {days} days, so we decided for you.",
                days,
            )
        else:
            why = ngettext(
                "{buyer} didn’t answer our question within {days} day, so we decided for "
                "{creator}.",
                "{buyer} didn’t answer our question within {days} days, so we decided for "
                "{creator}.",
                days,
            )
        nothing = _("Nothing is paid back.")
        return self._decision(
            _("Decision: no refund"),
            why.format(buyer=self.buyer, creator=self.creator, days=days),
            f"{nothing} {self._may_appeal()}",
        )

    def _resume_review(self) -> Entry:
        goes_on = _("{platform} goes on with what it has.").format(platform=platform())
        return self._status(_("No answer came in time."), f" {goes_on}", icon="scale", tone="whop")

    def _title(self, *, final: bool) -> str:
        remedy, given = self.data.get("remedy"), self.data.get("amount_minor", 0)
        if remedy == Remedy.CREDIT:
            said = (
                _("Final decision: {amount} in {platform} Credits")
                if final
                else _("Decision: {amount} in {platform} Credits")
            )
        elif remedy == Remedy.REFUND and given < self.case.asked_minor:
            said = (
                _("Final decision: refund {amount} of {asked}")
                if final
                else _("Decision: refund {amount} of {asked}")
            )
        elif remedy == Remedy.REFUND:
            said = _("Final decision: refund {amount}") if final else _("Decision: refund {amount}")
        else:
            said = _("Final decision: no refund") if final else _("Decision: no refund")
        asked = format_money(self.case.asked_minor, self.case.currency)
        return said.format(amount=self._amount(), asked=asked, platform=platform())

    def _gives(self) -> str:
        remedy = self.data.get("remedy")
        if remedy == Remedy.CREDIT and self.to_creator:
            said = _("{platform} pays the credits. You aren’t charged.")
        elif remedy == Remedy.CREDIT:
            said = _("{platform} pays the credits. {creator} isn’t charged.")
        elif remedy == Remedy.REFUND and self.to_creator:
            said = _("{amount} goes from your balance back to {buyer}’s {way_back}.")
        elif remedy == Remedy.REFUND and self.to_buyer:
            said = _("{amount} goes from {creator}’s balance back to your {way_back}.")
        elif remedy == Remedy.REFUND:
            said = _("{amount} goes from {creator}’s balance back to {buyer}’s {way_back}.")
        else:
            said = _("Nothing is paid back.")
        return said.format(
            amount=self._amount(),
            buyer=self.buyer,
            creator=self.creator,
            platform=platform(),
            way_back=self.case.payment.way_back,
        )

    def _decide(self) -> Entry:
        if self.data.get("remedy") == Remedy.NONE:
            wait = _(
                "The decision is final once nobody can appeal any more, on {date} at the latest."
            )
        else:
            wait = _(
                "The decision is carried out once nobody can appeal any more, on {date} at the "
                "latest."
            )
        return self._decision(
            self._title(final=False),
            self.event.message,
            f"{self._gives()} {wait.format(date=self._until())}",
        )

    def _decide_final(self) -> Entry:
        final = _("This decision is final.")
        return self._decision(
            self._title(final=True), self.event.message, f"{self._gives()} {final}"
        )

    _decide_final_alone = _decide_final

    def _appeal(self) -> Entry:
        if self.event.state_after == State.APPEALED:
            final = _("Their answer is final.")
            return self._said(
                role=_("asked for a final review"),
                tag_icon="scale",
                tag_strong=_("Somebody new reviews the case."),
                tag_text=f" {final}",
            )
        target = _("Target: {date}.").format(date=self._until("date"))
        return self._said(
            role=_("appealed to {platform}").format(platform=platform()),
            tag_icon="scale",
            tag_strong=_("{platform} reviews the case.").format(platform=platform()),
            tag_text=f" {target}" if self._is_running else "",
        )

    def _accept_decision(self) -> Entry:
        party, end = Party(self.event.party), ""
        if self.data.get("final"):
            end = " " + _("The decision is final.")
        said = (
            _("You accepted the decision.")
            if party == self.reader
            else _("{name} accepted the decision.")
        )
        name = self.buyer if party == BUYER else self.creator
        return self._status(said.format(name=name), end, icon="check")

    def _finalize(self) -> Entry:
        nobody = _("Nobody appealed in time.")
        return self._status(_("The decision is final."), f" {nobody}", icon="check")

    def _refund_sent(self) -> Entry:
        return self._money(_("Refund sent."), self._to_their_way())

    def _refund_arrived(self) -> Entry:
        return self._money(_("Refund arrived."), self._on_their_way(), tone="good")

    def _refund_failed(self) -> Entry:
        text = _("{platform} is looking into it.").format(platform=platform())
        if self.reader == STAFF:
            text = in_readers_words(self.data.get("failure", "")) or text
        return self._money(_("The refund didn’t go through."), text, tone="bad", icon="alert")

    def _money(self, strong: str, text: str, *, tone: str = "calm", icon: str = "refund") -> Entry:
        shown = "calm" if tone == "good" and self.reader != BUYER else tone
        arrived = tone == "good"
        sign = {BUYER: "+", CREATOR: "−"}.get(Party(self.reader), "") if arrived else ""
        return self._entry(
            "money", tone=shown, icon=icon,
            strong=strong, text=text, amount_text=sign + self._amount(),
        )  # fmt: skip

    def _retry_refund(self) -> Entry:
        again = _("{platform} sends the refund again.").format(platform=platform())
        return self._status(again, icon="refund")

    def _credit_instead(self) -> Entry:
        return self._said(
            tag_icon="credit",
            tag_strong=_("Gave credits instead of the refund."),
            alone=("", _("{actor} gave credits instead of the refund.")),
        )

    def _mark_paid(self) -> Entry:
        text = _("Reference {reference}.").format(reference=self.data.get("reference", ""))
        return self._said(
            tag_icon="coin",
            tag_strong=_("Paid back by hand."),
            tag_text=f" {text}" if self.data.get("reference") else "",
            alone=("", _("{actor} paid back by hand.")),
        )

    def _close(self) -> Entry:
        final = _("It can’t be reopened.")
        return self._status(_("Case closed."), f" {final}", icon="lock")

    def _void(self) -> Entry:
        why = self.data.get("why", "")
        if why == "refunded":
            text = _("All of the payment was refunded outside of this case.")
        elif why == "charged_back" and self.to_buyer:
            text = _("Your bank took the payment back.")
        elif why == "charged_back":
            text = _("{buyer}’s bank took the payment back.").format(buyer=self.buyer)
        else:
            text = _("The payment was refunded or charged back elsewhere.")
        return self._status(_("Case closed."), f" {text}", icon="lock")

    def _freeze(self) -> Entry:
        said = (
            _("Your bank is looking into the payment. No refund is made meanwhile.")
            if self.to_buyer
            else _("{buyer}’s bank is looking into the payment. No refund is made meanwhile.")
        )
        return self._status(_("Paused."), f" {said.format(buyer=self.buyer)}", icon="lock")

    def _resume(self) -> Entry:
        said = (
            _("The bank ruled for you.") if self.to_creator else _("The bank ruled for {creator}.")
        )
        text = said.format(creator=self.creator)
        return self._status(_("The case goes on."), f" {text}", icon="flag")

    def _refuse_file(self) -> Entry:
        whose = self.data.get("from")
        yours = whose == self.reader
        text = _("Our virus scanner found something in it, so nobody else gets it.")
        if yours:
            text += " " + _("If it matters, send a fresh copy or a screenshot.")
        elif self.reader == STAFF:
            text += " " + _("Found: %(what)s.") % {"what": self.data.get("found", "")}
        name = {BUYER: self.case.buyer.first_name, CREATOR: self.case.company.name}.get(
            Party(whose), platform()
        )
        title = _("A file of yours was removed.")
        if not yours:
            title = _("A file from %(name)s was removed.") % {"name": name}
        return self._status(title, f" {text}", icon="alert")

    def _remove_files(self) -> Entry:
        many = len(self.data.get("files", ()))
        title = ngettext("A file was removed.", "%(many)s files were removed.", many) % {
            "many": many
        }
        text = {
            "kept_long_enough": _("Files are kept for %(days)s days after a case is closed."),
            "erased": _("Whoever sent them is no longer known here."),
        }.get(self.data.get("why", ""), "")
        days = self.data.get("days", settings.EVIDENCE_KEPT_DAYS)
        return self._status(title, " " + text % {"days": days} if text else "", icon="file")

    def _comment(self) -> Entry:
        return self._said()

    def _propose(self) -> Entry:
        what = proposal_in_words(self.case, self.event)
        return self._note(_("Proposed: {what}").format(what=what))

    def _decline_proposal(self) -> Entry:
        return self._note(_("Declined the proposal"))

    def _note(self, title: str = "") -> Entry:
        event = self.event
        return self._entry(
            "note",
            who_name=event.actor.name if event.actor else platform(),
            role_line=title or _("Internal note"),
            text=_words_of(event),
            files=files_of(event),
        )


def proposal_in_words(case: Case, event: Event) -> str:
    """What somebody proposed, without who and when."""
    data = event.data
    what = {
        "retry_refund": _("Try the refund of {amount} again"),
        "mark_paid": _("Pay {amount} by hand"),
    }
    gives = {
        "refund": _("Refund {amount}"),
        "credit": _("Give {amount} in credits"),
        "none": _("No refund"),
    }
    said = what.get(data.get("proposes", "")) or gives[data["remedy"]]
    return said.format(amount=format_money(data.get("amount_minor", 0), case.currency))


def _words_of(event: Event) -> str:
    return _("These words were erased.") if event.was_blanked else event.message


def _place(attachment: Attachment) -> int:
    return attachment.position or 0
