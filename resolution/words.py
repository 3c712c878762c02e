"""What each side reads of a case: turn card, pill, progress, facts, what comes next.

One case, three readers. Nothing here decides anything: it puts the columns that steps wrote into
sentences. The entries of the timeline are in `timeline.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketplace import clock
from payments.money import format_money
from resolution.models import Case, Event
from resolution.templatetags.rc import when_text
from resolution.terms import Money, Outcome, Party, Reason, Remedy, ReviewReason, State

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party
DAY = timedelta(days=1)

SHORT_REASONS = {
    Reason.NOT_RECEIVED: "Not received",
    Reason.NOT_AS_DESCRIBED: "Not as described",
    Reason.UNACCEPTABLE: "Unacceptable",
    Reason.CANCELED: "Canceled before payment",
    Reason.FRAUDULENT: "Charge not recognized",
}


@dataclass(frozen=True)
class Pill:
    """A state in one or two words, for the `pill` tag."""

    tone: str
    label: str
    icon: str = ""


@dataclass(frozen=True)
class Ticking:
    """How far a clock has run, for the meter: `day` counts from 1, above `days` the time is up."""

    day: int
    days: int
    left: str
    due_at: datetime

    @property
    def over(self) -> bool:
        return self.day > self.days

    @property
    def line(self) -> str:
        return "Time is up" if self.over else f"Day {self.day} of {self.days}"


@dataclass(frozen=True)
class Turn:
    """Who acts, what, by when, and what happens otherwise; for `rc/_turn.html`."""

    tone: str
    label: str
    title: str
    body: str | SafeString
    icon: str = ""
    title_href: str = ""
    clock_left: str = ""
    clock_right: str = ""
    day: int = 0
    days: int = 7
    cta_label: str = ""
    cta_href: str = ""
    cta_quiet: bool = False
    steps: Sequence[tuple[str, str, str]] = field(default_factory=list)
    now_line: str | SafeString = ""


def platform() -> str:
    """The marketplace's name."""
    return str(settings.PLATFORM_NAME)


def name_of(case: Case, party: str, reader: str) -> str:
    """What a reader calls a side: the buyer by first name, the creator by the company's."""
    if party == reader and party in (BUYER, CREATOR):
        return "You"
    if party == BUYER:
        return case.buyer.first_name if reader == CREATOR else case.buyer.name
    return case.company.name if party == CREATOR else platform()


def asked(case: Case) -> str:
    return format_money(case.asked_minor, case.currency)


def given(case: Case) -> str:
    return format_money(case.remedy_minor, case.currency)


def ticking(case: Case, now: datetime | None = None) -> Ticking | None:
    """The running clock of a case; None when none runs."""
    if not case.due_at or not case.clock_started_at:
        return None
    if (case.final or case.state == State.CLOSED) and case.money != Money.FAILED:
        return None
    moment = case.frozen_at or now or clock.now()
    whole = case.due_at - case.clock_started_at
    days = max(1, round(whole / DAY))
    gone = moment - case.clock_started_at
    day = days + 1 if moment >= case.due_at else min(int(gone / DAY) + 1, days)
    return Ticking(day, days, time_left(case.due_at - moment), case.due_at)


def time_left(left: timedelta) -> str:
    """Rounded down, so that nobody is told more than they have: `3 days left`, `22 hours left`."""
    if left <= timedelta():
        over = -left
        return (
            f"{over.days} day{'' if over.days == 1 else 's'} over" if over >= DAY else "Time is up"
        )
    if left >= DAY:
        return f"{left.days} day{'' if left.days == 1 else 's'} left"
    hours = int(left.total_seconds() // 3600)
    if hours:
        return f"{hours} hour{'' if hours == 1 else 's'} left"
    minutes = max(1, ceil(left.total_seconds() / 60))
    return f"{minutes} minute{'' if minutes == 1 else 's'} left"


# ── How it ended ──────────────────────────────────────────────────────────────────────────────────


def result(case: Case, reader: str) -> str:
    """How a decided or closed case ended, for one side, in a few words."""
    if case.outcome == Outcome.WITHDRAWN:
        return "Withdrawn"
    if case.outcome == Outcome.VOID:
        return "Settled elsewhere"
    if case.remedy == Remedy.NONE:
        return "No refund"
    if case.remedy == Remedy.CREDIT:
        return f"{platform()} paid credits" if reader == CREATOR else f"{given(case)} in credits"
    if reader != CREATOR:
        return f"Refunded {given(case)}"
    if case.decided_by == CREATOR:
        return f"You refunded {given(case)}"
    if case.decided_by == SYSTEM:
        return f"Auto-refunded {given(case)}"
    return f"{platform()} refunded {given(case)}"


def remedy_sentence(case: Case, reader: str) -> str:
    """What a decision of staff gives, as the title of a card."""
    if case.remedy == Remedy.NONE:
        return "There is no refund"
    if case.remedy == Remedy.CREDIT:
        if reader == BUYER:
            return f"You get {given(case)} in {platform()} Credits"
        return f"{case.buyer.first_name} gets {given(case)} in credits, paid by {platform()}"
    if reader == BUYER:
        return f"You get {given(case)} back"
    if reader == CREATOR:
        return f"{given(case)} goes back to {case.buyer.first_name} from your balance"
    return f"{given(case)} goes back to {case.buyer.name}"


# ── The pill ──────────────────────────────────────────────────────────────────────────────────────


def pill(case: Case, reader: str) -> Pill:
    """Where a case stands, in the words of one reader."""
    if case.state == State.CLOSED and case.money != Money.FAILED:
        won = reader == BUYER and case.remedy != Remedy.NONE and case.outcome == Outcome.BUYER_WON
        icons = {Outcome.WITHDRAWN: "x", Outcome.VOID: "lock"}
        icon = icons.get(Outcome(case.outcome), "checkc" if case.remedy != Remedy.NONE else "lock")
        return Pill("good" if won else "calm", result(case, reader), icon)
    if case.frozen_at:
        return Pill("calm", "Paused, with the bank", "lock")
    if case.money == Money.FAILED:
        return Pill("turn" if reader == STAFF else "bad", "Refund failed", "alert")
    if case.state == State.OPEN:
        return Pill("calm", "Sent" if reader == BUYER else "New", "mail")
    if case.state == State.DECIDED:
        return _pill_decided(case, reader)
    if case.waiting_on == reader and reader != STAFF:
        return Pill("turn", "Your turn")
    if case.state in (State.ESCALATED, State.APPEALED):
        final = case.state == State.APPEALED
        if case.waiting_on == STAFF:
            if reader == STAFF:
                need = "Needs a final review" if final else "Needs a decision"
                return Pill("turn", need, "scale")
            return Pill("whop", "Final review" if final else f"{platform()} is reviewing")
    if reader == STAFF:
        return Pill("calm", f"With {case.waiting_on}", "clock")
    return Pill("wait", f"Waiting for {name_of(case, case.waiting_on, reader)}")


def _pill_decided(case: Case, reader: str) -> Pill:
    if case.final:
        if case.remedy == Remedy.NONE:
            return Pill("calm", "Closing", "lock")
        if case.money in (Money.ARRIVED, Money.BY_HAND):
            return Pill("good", result(case, reader), "checkc")
        return Pill("good" if reader == BUYER else "calm", "Refund on its way", "refund")
    if case.decided_by == CREATOR:
        labels = {BUYER: "Denied, you can appeal", CREATOR: "You denied it"}
        label = labels.get(Party(reader), "Denied")
        return Pill(
            "turn" if reader == BUYER else "calm", label, "flag" if reader == BUYER else "xc"
        )
    if reader == STAFF:
        return Pill("calm", "Decided", "check")
    brief = {
        Remedy.NONE: "no refund",
        Remedy.CREDIT: f"{given(case)} credits" if reader == BUYER else "no charge to you",
        Remedy.REFUND: f"{given(case)} refund",
    }[Remedy(case.remedy)]
    return Pill("whop", f"{platform()} decided: {brief}")


# ── The turn card ─────────────────────────────────────────────────────────────────────────────────


def turn(
    case: Case, reader: str, *, events: Sequence[Event] = (), now: datetime | None = None
) -> Turn:
    """The card on top of a case: who acts next, by when, and what happens if they do not."""
    label = pill(case, reader)
    running = ticking(case, now)
    title, body, cta, quiet = _say(case, reader)
    tone = label.tone
    shows_clock = (
        running is not None and not case.frozen_at and (case.waiting_on != STAFF or reader == STAFF)
    )
    return Turn(
        tone=tone,
        label=_turn_label(case, reader, label),
        icon="" if label.tone == "turn" and reader == BUYER else label.icon,
        title=title,
        body=body,
        clock_left=running.line if running and shows_clock else "",
        clock_right=running.left if running and shows_clock else "",
        day=running.day if running and shows_clock else 0,
        days=running.days if running and shows_clock else 7,
        cta_label=cta[0] if cta else "",
        cta_href=cta[1] if cta else "",
        cta_quiet=quiet,
        steps=progress(case, reader, events),
        now_line=_now_line(case, reader),
    )


def _turn_label(case: Case, reader: str, label: Pill) -> str:
    if case.state == State.DECIDED and not case.final:
        if case.decided_by == CREATOR:
            return "Your turn" if reader == BUYER else label.label
        return f"{platform()} decided"
    is_over = case.state == State.CLOSED and case.money != Money.FAILED
    return "Closed" if is_over else label.label


Said = tuple[str, str | SafeString, tuple[str, str] | None, bool]


def _say(case: Case, reader: str) -> Said:
    """Title, body and button of the card."""
    if case.money == Money.FAILED:
        return _say_failed(case, reader)
    if case.state == State.CLOSED:
        return _say_closed(case, reader)
    if case.frozen_at:
        return (
            f"{'Your' if reader == BUYER else 'The buyer’s'} bank is looking into this payment",
            "A chargeback was opened with the bank. The case waits until the bank has ruled, "
            "and no refund is made meanwhile.",
            None,
            False,
        )
    return {
        State.OPEN: _say_open,
        State.AWAITING_CREATOR: _say_awaiting,
        State.MORE_INFO: _say_more_info,
        State.ESCALATED: _say_review,
        State.APPEALED: _say_review,
        State.DECIDED: _say_decided,
    }[State(case.state)](case, reader)


def until(case: Case, style: str = "full") -> str:
    """The date that the case waits for, in words."""
    return when_text(case.due_at, style) if case.due_at else ""


def _say_open(case: Case, reader: str) -> Said:
    title = {
        BUYER: "Your case is open",
        CREATOR: f"{case.buyer.first_name} opened a case",
        STAFF: "Just opened",
    }[Party(reader)]
    body = {
        BUYER: f"{case.company.name} is being told right now. You don’t need to do anything.",
        CREATOR: "Your auto-respond rules are being checked.",
        STAFF: "The creator’s rules are being checked.",
    }[Party(reader)]
    return title, body, None, False


def _say_awaiting(case: Case, reader: str) -> Said:
    if reader == CREATOR:
        return (
            f"Reply to {case.buyer.first_name} by {until(case)}",
            "Accept, deny, or request more details. "
            f"If you don’t reply, {platform()} decides with what’s here.",
            ("Respond", "#respond"),
            False,
        )
    body = format_html(
        "They have until <b>{}</b>. If they don’t reply, {} takes over automatically.",
        until(case),
        platform() if reader == BUYER else "the case comes to us and staff",
    )
    if reader == STAFF:
        body = format_html("They have until <b>{}</b>. Then it comes to us.", until(case))
    return f"Waiting for {case.company.name}", body, None, False


def _say_more_info(case: Case, reader: str) -> Said:
    if reader == BUYER:
        return (
            f"Answer {case.company.name} by {until(case)}",
            f"They asked you for more details. If you don’t answer, {platform()} reviews the case "
            "with what it has.",
            ("Write your answer", "#reply"),
            False,
        )
    who = name_of(case, BUYER, reader)
    body = format_html(
        "You asked for more details. {} has until <b>{}</b>. If there is no answer, {} takes over."
        if reader == CREATOR
        else "The creator asked for more details. {} has until <b>{}</b>. Then {} takes over.",
        who,
        until(case),
        platform() if reader == CREATOR else "it comes to us and staff",
    )
    return f"Waiting for {who}", body, None, False


def _say_review(case: Case, reader: str) -> Said:
    final = case.state == State.APPEALED
    if case.waiting_on == reader and reader != STAFF:
        otherwise = (
            f"{platform()} decides for {case.company.name}, and you can appeal that"
            if reader == BUYER and not final
            else f"{platform()} decides with what it has"
        )
        return (
            f"Answer {platform()} by {until(case)}",
            f"Our team needs something from you to decide. If you don’t answer, {otherwise}.",
            ("Write your answer", "#reply"),
            False,
        )
    if case.waiting_on != STAFF:
        who = name_of(case, case.waiting_on, reader)
        asking = "We" if reader == STAFF else platform()
        return (
            f"Waiting for {who}",
            format_html(
                "{} asked {} a question. They have until <b>{}</b>.", asking, who, until(case)
            ),
            None,
            False,
        )
    if reader == STAFF:
        title = "This case needs a final review" if final else "This case needs a decision"
        return (
            title,
            format_html("Our target is <b>{}</b>.", until(case)),
            ("Decide", "#decide"),
            False,
        )
    if final:
        return (
            "Final review",
            format_html(
                "Someone new at {} is looking at everything. Their answer is final. "
                "We aim to decide by <b>{}</b>.",
                platform(),
                until(case, "weekday"),
            ),
            None,
            False,
        )
    lead = "You don’t need to do anything." if reader == BUYER else "You can still add files."
    return (
        f"{platform()} is reviewing",
        format_html("{} We aim to decide by <b>{}</b>.", lead, until(case, "weekday")),
        None,
        False,
    )


def _say_decided(case: Case, reader: str) -> Said:
    if case.final:
        return _say_on_its_way(case, reader)
    if case.decided_by == CREATOR:
        if reader == BUYER:
            return (
                f"{case.company.name} denied your request",
                format_html(
                    "You can appeal to {} until <b>{}</b>. If you don’t, the case closes with no "
                    "refund and can’t be reopened.",
                    platform(),
                    until(case),
                ),
                (f"Appeal to {platform()}", "#appeal"),
                False,
            )
        who = case.buyer.first_name
        return (
            "You denied the request" if reader == CREATOR else "The creator denied the request",
            format_html(
                "{} can appeal to {} until <b>{}</b>. After that the case closes with no refund.",
                who,
                platform(),
                until(case),
            ),
            None,
            False,
        )
    could = case.who_could_appeal()
    if could == {BUYER, CREATOR}:
        other = name_of(case, BUYER if reader == CREATOR else CREATOR, reader)
        lead = f"You and {other} can each appeal" if reader != STAFF else "Either side can appeal"
        unused = "If nobody does"
    elif reader in could:
        lead, unused = "You can appeal", "If you don’t"
    else:
        lead = f"{name_of(case, next(iter(could), BUYER), reader)} can appeal"
        unused = "If they don’t"
    body = format_html(
        "{} until <b>{}</b>. {}, the case closes with this result.", lead, until(case), unused
    )
    cta = ("Appeal", "#appeal") if reader in could else None
    return remedy_sentence(case, reader), body, cta, True


def _say_on_its_way(case: Case, reader: str) -> Said:
    if case.remedy == Remedy.NONE:
        return "The decision is final", "The case is being closed.", None, False
    if case.remedy == Remedy.CREDIT:
        return remedy_sentence(case, reader), "The credits are in the account.", None, False
    way = case.payment.way_back
    amount = given(case)
    if reader == BUYER:
        title = f"{amount} is on its way to you"
        body = f"It goes back to your {way}. Banks usually take 5 to 10 days to show it."
    elif reader == CREATOR:
        title = f"{amount} is going back to {case.buyer.first_name}"
        body = f"It leaves your balance and goes back to their {way}."
    else:
        title = f"{amount} is on its way to {case.buyer.name}"
        body = f"To their {way}."
    if case.money == Money.BY_HAND:
        body = "It was paid by hand."
    return title, f"{body} The case closes when it has arrived.", None, False


def _say_failed(case: Case, reader: str) -> Said:
    if reader == STAFF:
        return (
            f"The refund of {given(case)} failed",
            "Try it again, give credits instead, or pay by hand and note the reference.",
            ("See the refund", "#money"),
            False,
        )
    return (
        f"The refund of {given(case)} didn’t go through",
        f"{platform()} is looking into it and tells you both what happens next. "
        "The decision stands, and you don’t need to do anything.",
        None,
        False,
    )


def _say_closed(case: Case, reader: str) -> Said:
    closed = when_text(case.closed_at, "date") if case.closed_at else ""
    end = f"Closed on {closed}. Each payment can have one case, so this one can’t be reopened."
    if case.outcome == Outcome.WITHDRAWN:
        who = "You" if reader == BUYER else case.buyer.first_name
        return f"{who} withdrew the case", end, None, False
    if case.outcome == Outcome.VOID:
        return "The payment was settled elsewhere", end, None, False
    if case.remedy == Remedy.NONE:
        return "Closed with no refund", end, None, False
    if case.remedy == Remedy.CREDIT:
        who = "You" if reader == BUYER else name_of(case, BUYER, reader)
        paid = "" if reader == BUYER else f", paid by {platform()}"
        return f"{who} got {given(case)} in {platform()} Credits{paid}", end, None, False
    if case.money == Money.BY_HAND:
        who = "you" if reader == BUYER else name_of(case, BUYER, reader)
        return f"{given(case)} was paid back to {who} by hand", end, None, False
    if reader == BUYER:
        return f"{given(case)} was refunded to your {case.payment.way_back}", end, None, False
    return f"{given(case)} was refunded to {name_of(case, BUYER, reader)}", end, None, False


# ── Progress ──────────────────────────────────────────────────────────────────────────────────────


def progress(case: Case, reader: str, events: Sequence[Event] = ()) -> list[tuple[str, str, str]]:
    """The way from opening to closing: (title, note, done | now | maybe | "")."""
    last = {event.step: event for event in events}
    due = until(case, "date")
    by_when = "Paused" if case.frozen_at else f"Due {due}"

    def on(step: str) -> str:
        return when_text(last[step].created_at, "date") if step in last else ""

    opened = when_text(case.opened_at, "date")
    creator = "Your reply" if reader == CREATOR else "Creator"
    state = case.state
    steps = [("Opened", opened, "now" if state == State.OPEN else "done")]
    if state == State.OPEN:
        return [*steps, (creator, "", ""), ("Closed", "", "")]
    if "auto_refund" in last:
        steps.append(("Auto-respond", f"Refunded {on('auto_refund')}", "done"))
    elif state == State.AWAITING_CREATOR:
        steps.append((creator, by_when, "now"))
    elif "accept" in last:
        steps.append((creator, f"Accepted {on('accept')}", "done"))
    elif "deny" in last:
        steps.append((creator, f"Denied {on('deny')}", "done"))
    elif state == State.MORE_INFO or _left_unanswered(last):
        steps.append((creator, f"Asked {on('request_info')}", "done"))
    elif "escalate" in last:
        steps.append((creator, "No reply", "done"))
    if state == State.MORE_INFO:
        steps.append(("Your answer" if reader == BUYER else "Buyer", by_when, "now"))
    steps += _progress_of_review(case, reader, last, due, on)
    if case.money == Money.FAILED:
        steps.append(("Refund", "Failed", "now"))
    elif case.final and case.remedy == Remedy.REFUND and state == State.DECIDED:
        steps.append(("Refund", "On its way", "now"))
    closed = when_text(case.closed_at, "date") if case.closed_at else ""
    is_over = state == State.CLOSED and case.money != Money.FAILED
    return [*steps, ("Closed", closed, "now" if is_over else "")]


def _left_unanswered(last: dict[str, Event]) -> bool:
    """It came to staff because the buyer did not answer the creator."""
    return "escalate" in last and last["escalate"].state_before == State.MORE_INFO


def _progress_of_review(
    case: Case, reader: str, last: dict[str, Event], due: str, on: Callable[[str], str]
) -> list[tuple[str, str, str]]:
    review = f"{platform()} review"
    state = case.state
    if state in (State.AWAITING_CREATOR, State.MORE_INFO):
        return [(review, "If needed", "maybe")]
    denied = state == State.DECIDED and case.decided_by == CREATOR and not case.final
    open_until = "Paused" if case.frozen_at else f"Until {due}"
    target = "Paused" if case.frozen_at else f"Target {due}"
    if denied:
        choice = "Your choice" if reader == BUYER else "Appeal window"
        maybe = "If you appeal" if reader == BUYER else "If appealed"
        return [(choice, open_until, "now"), (review, maybe, "maybe")]
    steps: list[tuple[str, str, str]] = []
    reviewed = {"decide", "decide_unanswered"} & last.keys()
    if state == State.ESCALATED:
        return [(review, target if case.waiting_on == STAFF else "Waiting", "now")]
    if reviewed:
        decided = on(min(reviewed))
        steps.append((review, f"Decided {decided}", "done"))
    if state == State.APPEALED:
        return [*steps, ("Final review", target if case.waiting_on == STAFF else "Waiting", "now")]
    if {"decide_final", "decide_final_alone"} & last.keys():
        steps.append(("Final review", on("decide_final") or on("decide_final_alone"), "done"))
    elif reviewed and state == State.DECIDED and not case.final:
        steps += [("Appeal window", open_until, "now"), ("Final review", "If appealed", "maybe")]
    return steps


def _now_line(case: Case, reader: str) -> SafeString | str:
    """The progress in one line, for small screens."""
    now, after = _now_and_next(case, reader)
    if not after:
        return format_html("<b>Now:</b> {}", now)
    return format_html("<b>Now:</b> {} <b>Next:</b> {}", now, after)


def _now_and_next(case: Case, reader: str) -> tuple[str, str]:
    if case.money == Money.FAILED:
        return "the refund failed.", f"{platform()} finds another way."
    if case.state == State.CLOSED:
        return "closed.", ""
    if case.frozen_at:
        return "paused.", "the bank’s ruling."
    if case.state == State.DECIDED:
        if not case.final:
            return "decided.", f"closes on {until(case, 'date')} unless somebody appeals."
        moves = case.remedy == Remedy.REFUND
        return ("the money is on its way." if moves else "decided for good."), "the case closes."
    if case.waiting_on in (BUYER, CREATOR):
        whose = {BUYER: "the buyer’s", CREATOR: "the creator’s"} | {Party(reader): "your"}
        what = "reply" if case.state == State.AWAITING_CREATOR else "answer"
        after = {
            State.AWAITING_CREATOR: f"closed, or {platform()} reviews.",
            State.MORE_INFO: f"the creator replies, or {platform()} reviews.",
        }.get(State(case.state), f"{platform()} goes on with the review.")
        return f"{whose[Party(case.waiting_on)]} {what}.", after
    if case.state == State.OPEN:
        return ("your case is sent." if reader == BUYER else "a new case."), "the creator replies."
    if case.state == State.APPEALED:
        return "the final review.", "the last decision, with reasons."
    return f"{platform()} is reviewing.", "a decision, with reasons."


# ── Beside the case ───────────────────────────────────────────────────────────────────────────────


def facts(case: Case, reader: str) -> list[tuple[str, str, str]]:
    """(term, value, note) rows beside the case."""
    payment = case.payment
    whole = case.asked_minor == payment.amount_minor
    paid = format_money(payment.amount_minor, payment.currency)
    rows = []
    if case.state == State.CLOSED or (case.state == State.DECIDED and case.decided_by != CREATOR):
        rows.append(("Result", pill(case, reader).label, ""))
    rows += [
        (
            "You asked for" if reader == BUYER else "Asked for",
            asked(case),
            "The full payment" if whole else f"Of {paid} paid",
        ),
        (
            "Payment",
            when_text(payment.paid_at, "day"),
            f"{payment.way_back}, by {payment.get_processor_display()}"
            if payment.way_back != payment.get_processor_display()
            else payment.way_back,
        ),
        ("Product", case.product.name, case.company.name if reader != CREATOR else ""),
        ("Reason", case.get_reason_display(), ""),
    ]
    if reader != BUYER:
        rows.append(("Buyer", case.buyer.name, case.buyer.email if reader == STAFF else ""))
    return rows


def what_next(case: Case, reader: str) -> list[tuple[str, str]]:
    """(lead, text) rows: what can happen from here, in order."""
    them, days = case.company.name, settings.RESPONSE_DAYS
    review = (
        f"{platform()} decides",
        "With reasons, in this timeline. A refund, credits, or no refund.",
    )
    appeal = ("One appeal, then it’s final", "Somebody new looks at everything once more.")
    if case.state == State.CLOSED or case.final:
        return []
    if case.frozen_at:
        return [
            ("The bank rules first", "Until then no date runs out, and nothing is refunded here."),
            ("If it rules for the buyer", "The bank returns the money, and the case closes."),
            ("If it rules for the creator", "The case goes on where it stopped."),
        ]
    if case.state in (State.OPEN, State.AWAITING_CREATOR):
        if reader == CREATOR:
            return [
                ("You reply", "Accept and refund, deny, or request more details."),
                (
                    "If you ask",
                    f"{case.buyer.first_name} gets {days} days, then it’s your turn again.",
                ),
                ("If you deny", f"{case.buyer.first_name} can appeal to {platform()}."),
            ]
        return [
            (f"{them} replies", f"Within {days} days: a refund, a denial, or a question."),
            ("No reply?", f"{platform()} takes over automatically. You don’t need to do anything."),
            appeal,
        ]
    if case.state == State.MORE_INFO:
        if reader == CREATOR:
            return [
                (f"{case.buyer.first_name} answers", f"Then you have {days} days to decide."),
                ("No answer?", f"{platform()} reviews the case with what it has."),
            ]
        return [
            ("You answer", f"The clock goes back to {them}. They get {days} days."),
            (
                "They decide",
                f"A refund closes the case. If they deny it, you can appeal to {platform()}.",
            ),
            review,
        ]
    if case.state == State.DECIDED and case.decided_by == CREATOR:
        return [
            (
                f"{platform()} reads everything",
                "Both sides’ messages and files, and our own records.",
            ),
            ("Both sides get the decision", "With reasons, in this timeline."),
            ("It can go three ways", f"A refund, {platform()} Credits, or no refund."),
        ]
    if case.state == State.ESCALATED:
        return [review, appeal]
    if case.state == State.APPEALED:
        return [
            ("Somebody new decides", "They read everything once more, the appeal first."),
            ("That is final", "Both sides get it here, with reasons, and it is carried out."),
        ]
    return [
        ("If somebody appeals", f"Somebody new at {platform()} looks at everything once more."),
        ("If nobody does", "The decision is carried out, and the case closes."),
    ]


REVIEW_REASONS = {
    ReviewReason.CREATOR_SILENT: Pill("calm", "Creator didn’t reply in time", "clock"),
    ReviewReason.BUYER_SILENT: Pill("calm", "Buyer didn’t reply in time", "clock"),
    ReviewReason.DENIAL_APPEALED: Pill("wait", "Buyer appealed a denial", "flag"),
    ReviewReason.DECISION_APPEALED: Pill("whop", "Final review", "scale"),
}


def review_pill(case: Case) -> Pill:
    """Why a case is in front of staff."""
    if case.money == Money.FAILED:
        return Pill("bad", "Refund failed", "alert")
    why = REVIEW_REASONS.get(ReviewReason(case.review_reason), Pill("calm", "In review", "scale"))
    if case.review_reason == ReviewReason.DECISION_APPEALED and case.appealed_by:
        return Pill(why.tone, f"Final review, {case.appealed_by} appealed", why.icon)
    return why
