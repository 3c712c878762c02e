"""The timeline as one reader sees it: an entry or two for each event, for `rc/_timeline.html`.

And the parts that it comes in: the newest events, those before them, what is new since.
Both sides read the same facts; only "you" and the direction of the money differ. What a field of an
entry means stands at the head of the partial that draws it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import Http404
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketplace import clock
from marketplace.models import User
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
        events = list(_with_files(seen).order_by("-seq")[:PAGE])[::-1]
        full = len(events) == PAGE
    return _knowing_more(seen, events) if full else Part(events)


def _with_files(events: QuerySet[Event]) -> QuerySet[Event]:
    rows = Attachment.objects.filter(event=OuterRef("pk")).order_by("position")
    columns = ("public_id", "filename", "kind", "size", "state")
    return events.annotate(
        read_files=ArraySubquery(rows.values(row=JSONObject(**{name: name for name in columns})))
    )


def _knowing_more(seen: QuerySet[Event], events: Sequence[Event]) -> Part:
    """With what the progress and the link to the earlier entries need to know of those."""
    rows = list(
        seen.filter(seq__lt=events[0].seq)
        .order_by()
        .values("step")
        .annotate(
            many=Count("pk"), first=Min("created_at"), last=Max("created_at"),
            left=Max("state_before"),
        )
    )  # fmt: skip
    if not rows:
        return Part(events)
    return Part(
        events,
        [
            Event(step=row["step"], created_at=row["last"], state_before=row["left"])
            for row in sorted(rows, key=lambda row: row["last"])
        ],
        sum(row["many"] for row in rows),
        min(row["first"] for row in rows),
        max(row["last"] for row in rows),
    )


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
    statement, values = _latest_in_sql(Actor(actor.party, conflicted=actor.conflicted))
    ours = {SOMEBODY: actor.user_id, SOME_CASE: public_id}
    with connection.cursor() as cursor:
        cursor.execute(statement, [ours.get(value, value) for value in values])
        found: tuple[int, str] | None = cursor.fetchone()
    if found is None:
        raise Http404("No such case.")
    return found


SOMEBODY, SOME_CASE = -1, "reso_"


@cache
def _latest_in_sql(actor: Actor) -> tuple[str, Sequence[Any]]:
    """The statement of `_latest_of` and its values, with stand-ins for the two that differ.

    Every open page asks it all the time, and putting it together takes Django ten times as long as
    having it answered.
    """
    somebody = replace(actor, user=User(pk=SOMEBODY))
    events = _open_to(actor, Event.objects.filter(case=OuterRef("pk"))).order_by("-seq")
    seen = Case.objects.visible_to(somebody).filter(public_id=SOME_CASE)
    latest = Subquery(events.values("public_id")[:1])
    statement, values = seen.values_list("pk", latest).query.sql_with_params()
    return statement, values


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
    return f"{reverse('attachment', args=[public_id])}?inline=1" if small else ""


def _row(
    public_id: str, filename: str, kind: str, size: int, state: str, *, pictured: bool = False
) -> FileRow:
    """A file that can be had leads to its bytes; one that cannot says why."""
    if state == Attachment.State.READY:
        small = thumb(public_id, kind, size) if pictured else ""
        return FileRow(filename, kind, size, reverse("attachment", args=[public_id]), thumb=small)
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
        self.buyer = "you" if reader == BUYER else case.buyer.first_name
        self.Buyer = "You" if reader == BUYER else case.buyer.first_name
        self.creator = "you" if reader == CREATOR else case.company.name
        self.Creator = "You" if reader == CREATOR else case.company.name

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

    def _may_appeal(self, who: str) -> str:
        """You can appeal until then; or, when that is over or taken up: could."""
        can = "can" if self._is_running else "could"
        return f"{who} {can} appeal to {platform()} until {self._until()}."

    def _entry(self, kind: str, **fields: Any) -> Entry:
        return Entry(kind, self.event.public_id, self.event.created_at, **fields)

    def _status(self, strong: str, text: str = "", *, icon: str = "flag", **fields: Any) -> Entry:
        return self._entry("status", strong=strong, text=text, icon=icon, **fields)

    def _said(self, role: str = "", **tag: str) -> Entry:
        """The words of a side with the act below; without words, the act alone."""
        event, case = self.event, self.case
        party = event.party if event.party != SYSTEM else CREATOR
        person = event.actor.name if event.actor else ""
        names = {BUYER: case.buyer.name, CREATOR: case.company.name, STAFF: platform()}
        roles = {BUYER: "Buyer", CREATOR: "Creator", STAFF: "Staff"}
        shows_person = person and (
            (party == CREATOR and self.reader != BUYER) or (party == STAFF and self.reader == STAFF)
        )
        by = f"{person}, {roles[Party(party)].lower()}" if shows_person else roles[Party(party)]
        is_you = party == self.reader == BUYER
        lead = tag.get("tag_lead", "")
        strong = tag.get("tag_strong", "")
        files = files_of(event, pictured=self.reader != STAFF)
        if not event.message and not files:
            actor = "You" if party == self.reader != STAFF else names[Party(party)]
            act = strong or lead
            return self._status(
                f"{actor} {act[:1].lower()}{act[1:]}", tag.get("tag_text", ""),
                icon=tag.get("tag_icon", "flag"),
            )  # fmt: skip
        return self._entry(
            "message",
            party=party,
            who_name=names[Party(party)],
            is_you=is_you,
            role_line=role or by,
            text=event.message,
            files=files,
            automatic=event.party == SYSTEM,
            **tag,
        )

    def _decision(self, title: str, why: str, next_line: str) -> Entry:
        by = f"the {platform()} resolution team"
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
                "looked_at": self.data.get("looked_at", ()),
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
                      strong="Refund requested.", amount_text=amount,
                      text=f"To {self._their()} {self.case.payment.way_back}.")
            ]  # fmt: skip
        if money == "arrived" and self.event.step in (
            "decide_final", "decide_final_alone", "finalize", "accept_decision", "credit_instead",
        ):  # fmt: skip
            minor = self.data.get("amount_minor") or self.case.remedy_minor
            whose = "your account" if self.reader == BUYER else f"{self.buyer}’s account"
            return [
                Entry("money", own, self.event.created_at, icon="credit",
                      tone="good" if self.reader == BUYER else "calm",
                      strong=f"{platform()} Credits added to {whose}.",
                      text=f"Paid by {platform()}.",
                      amount_text=f"+{format_money(minor, self.case.currency)}")
            ]  # fmt: skip
        return []

    def _their(self) -> str:
        return "your" if self.reader == BUYER else f"{self.buyer}’s"

    # ── One method a step ─────────────────────────────────────────────────────────────────────────

    def _open_case(self) -> Entry:
        return self._said(role="opened the case")

    def _notify_creator(self) -> Entry:
        have = "have" if self._is_running else "had"
        if self.reader == CREATOR:
            return self._status(
                "", f"Sent to you by e-mail. You {have} until {self._until()} to reply.",
                icon="mail",
            )  # fmt: skip
        return self._status(
            self.case.company.name, f". They {have} until {self._until()} to reply.",
            icon="mail", lead="Sent to",
        )  # fmt: skip

    def _auto_refund(self) -> Entry:
        return self._said(
            tag_icon="checkc", tag_strong="Accepted and refunded automatically.",
            tag_text=f" {self._amount()} goes back to {self.buyer}.",
        )  # fmt: skip

    def _accept(self) -> Entry:
        return self._said(
            tag_icon="checkc", tag_strong="Accepted the request.",
            tag_text=f" {self._amount()} goes back to {self.buyer}.{self._ended()}",
        )  # fmt: skip

    def _ended(self) -> str:
        whose = "Your" if self.reader == BUYER else f"{self.buyer}’s"
        return f" {whose} membership has ended." if self.data.get("membership_ended") else ""

    def _deny(self) -> Entry:
        return self._said(
            tag_icon="xc", tag_strong="Denied the request.",
            tag_text=f" {self._may_appeal(self.Buyer)}",
        )  # fmt: skip

    def _request_info(self) -> Entry:
        return self._said(
            tag_icon="reply", tag_lead=f"Asked {self.buyer} for details.",
            tag_strong=f"The {settings.RESPONSE_DAYS} days moved to {self.buyer}",
            tag_text=f", until {self._until()}.",
        )  # fmt: skip

    def _reply(self) -> Entry:
        if self.event.state_after == State.AWAITING_CREATOR:
            return self._said(
                tag_icon="reply", tag_lead="Answered.",
                tag_strong=f"The {settings.RESPONSE_DAYS} days moved to {self.creator}",
                tag_text=f", until {self._until()}.",
            )  # fmt: skip
        return self._said(
            tag_icon="reply", tag_lead=f"Answered {platform()}.", tag_text=" The review goes on."
        )

    def _escalate(self) -> Entry:
        silent = self.creator if self.event.state_before == State.AWAITING_CREATOR else self.buyer
        silent = silent[:1].upper() + silent[1:]
        return self._status(
            f"{platform()} stepped in.",
            f" {silent} didn’t reply in {settings.RESPONSE_DAYS} days.",
            icon="scale", tone="whop",
        )  # fmt: skip

    def _withdraw(self) -> Entry:
        return self._said(
            tag_icon="x", tag_strong="Withdrew the case.", tag_text=" It is closed for good."
        )

    def _ask_party(self) -> Entry:
        asked = self.buyer if self.data.get("asks") == BUYER else self.creator
        return self._said(
            tag_icon="reply", tag_lead=f"Asked {asked} for details",
            tag_text=f", until {self._until()}.",
        )  # fmt: skip

    def _decide_unanswered(self) -> Entry:
        return self._decision(
            "Decision: no refund",
            f"{self.Buyer} didn’t answer our question within {settings.RESPONSE_DAYS} days, "
            f"so we decided for {self.creator}.",
            f"Nothing is paid back. {self._may_appeal(self.Buyer)}",
        )

    def _resume_review(self) -> Entry:
        return self._status(
            "No answer came in time.", f" {platform()} goes on with what it has.",
            icon="scale", tone="whop",
        )  # fmt: skip

    def _title(self) -> str:
        remedy = self.data.get("remedy")
        if remedy == Remedy.CREDIT:
            return f"Decision: {self._amount()} in {platform()} Credits"
        if remedy == Remedy.REFUND:
            whole = self.data.get("amount_minor", 0) >= self.case.asked_minor
            of = "" if whole else f" of {format_money(self.case.asked_minor, self.case.currency)}"
            return f"Decision: refund {self._amount()}{of}"
        return "Decision: no refund"

    def _gives(self) -> str:
        remedy = self.data.get("remedy")
        way = self.case.payment.way_back
        if remedy == Remedy.CREDIT:
            free = "You aren’t" if self.reader == CREATOR else f"{self.case.company.name} isn’t"
            return f"{platform()} pays the credits. {free} charged."
        if remedy == Remedy.REFUND:
            source = "your" if self.reader == CREATOR else f"{self.case.company.name}’s"
            return f"{self._amount()} goes from {source} balance back to {self._their()} {way}."
        return "Nothing is paid back."

    def _decide(self) -> Entry:
        what = "The decision is carried out"
        if self.data.get("remedy") == Remedy.NONE:
            what = "The decision is final"
        wait = f" {what} once nobody can appeal any more, on {self._until()} at the latest."
        return self._decision(self._title(), self.event.message, self._gives() + wait)

    def _decide_final(self) -> Entry:
        final = " This decision is final."
        return self._decision(
            self._title().replace("Decision", "Final decision"),
            self.event.message,
            self._gives() + final,
        )

    _decide_final_alone = _decide_final

    def _appeal(self) -> Entry:
        if self.event.state_after == State.APPEALED:
            return self._said(
                role="asked for a final review", tag_icon="scale",
                tag_strong="Somebody new reviews the case.", tag_text=" Their answer is final.",
            )  # fmt: skip
        return self._said(
            role=f"appealed to {platform()}", tag_icon="scale",
            tag_strong=f"{platform()} reviews the case.",
            tag_text=f" Target: {self._until('date')}." if self._is_running else "",
        )  # fmt: skip

    def _accept_decision(self) -> Entry:
        who = self.Buyer if self.event.party == BUYER else self.Creator
        end = " The decision is final." if self.data.get("final") else ""
        return self._status(f"{who} accepted the decision.", end, icon="check")

    def _finalize(self) -> Entry:
        return self._status("The decision is final.", " Nobody appealed in time.", icon="check")

    def _refund_sent(self) -> Entry:
        return self._money("Refund sent.", f"To {self._their()} {self.case.payment.way_back}.")

    def _refund_arrived(self) -> Entry:
        return self._money(
            "Refund arrived.", f"On {self._their()} {self.case.payment.way_back}.", tone="good"
        )

    def _refund_failed(self) -> Entry:
        text = f"{platform()} is looking into it."
        if self.reader == STAFF:
            text = self.data.get("failure") or text
        return self._money("The refund didn’t go through.", text, tone="bad", icon="alert")

    def _money(self, strong: str, text: str, *, tone: str = "calm", icon: str = "refund") -> Entry:
        shown = "calm" if tone == "good" and self.reader != BUYER else tone
        arrived = tone == "good"
        sign = {BUYER: "+", CREATOR: "−"}.get(Party(self.reader), "") if arrived else ""
        return self._entry(
            "money", tone=shown, icon=icon,
            strong=strong, text=text, amount_text=sign + self._amount(),
        )  # fmt: skip

    def _retry_refund(self) -> Entry:
        return self._status(f"{platform()} sends the refund again.", icon="refund")

    def _credit_instead(self) -> Entry:
        return self._said(tag_icon="credit", tag_strong="Gave credits instead of the refund.")

    def _mark_paid(self) -> Entry:
        reference = self.data.get("reference", "")
        return self._said(
            tag_icon="coin", tag_strong="Paid back by hand.",
            tag_text=f" Reference {reference}." if reference else "",
        )  # fmt: skip

    def _close(self) -> Entry:
        return self._status("Case closed.", " It can’t be reopened.", icon="lock")

    def _void(self) -> Entry:
        why = {
            "refunded": " All of the payment was refunded outside of this case.",
            "charged_back": f" {self._their().capitalize()} bank took the payment back.",
        }.get(self.data.get("why", ""), " The payment was refunded or charged back elsewhere.")
        return self._status("Case closed.", why, icon="lock")

    def _freeze(self) -> Entry:
        return self._status(
            "Paused.",
            f" {self._their().capitalize()} bank is looking into the payment."
            " No refund is made meanwhile.",
            icon="lock",
        )  # fmt: skip

    def _resume(self) -> Entry:
        return self._status(
            "The case goes on.", f" The bank ruled for {self.creator}.", icon="flag"
        )

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
        verb = {"retry_refund": "Try the refund of {} again", "mark_paid": "Pay {} by hand"}
        gives = {"refund": "Refund {}", "credit": "Give {} in credits", "none": "No refund"}
        what = verb.get(self.data.get("proposes", "")) or gives[self.data["remedy"]]
        return self._note(f"Proposed: {what.format(self._amount())}")

    def _decline_proposal(self) -> Entry:
        return self._note("Declined the proposal")

    def _note(self, title: str = "Internal note") -> Entry:
        event = self.event
        return self._entry(
            "note",
            who_name=event.actor.name if event.actor else platform(),
            role_line=title,
            text=event.message,
            files=files_of(event),
        )


def _place(attachment: Attachment) -> int:
    return attachment.position or 0
