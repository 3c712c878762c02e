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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext, pgettext

from marketplace import clock
from payments.money import format_money
from resolution.lifecycle import refund_planned
from resolution.models import Case, Event
from resolution.templatetags.rc import when_text
from resolution.terms import Money, Outcome, Party, Reason, Remedy, ReviewReason, State

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party
DAY = timedelta(days=1)

SHORT_REASONS = {
    Reason.NOT_RECEIVED: _lazy("Not received"),
    Reason.NOT_AS_DESCRIBED: _lazy("Not as described"),
    Reason.UNACCEPTABLE: _lazy("Unacceptable"),
    Reason.CANCELED: _lazy("Canceled before payment"),
    Reason.FRAUDULENT: _lazy("Charge not recognized"),
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
        return (
            _("Time is up")
            if self.over
            else _("Day {day} of {days}").format(day=self.day, days=self.days)
        )


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
        return _("You")
    if party == BUYER:
        return case.buyer.first_name if reader == CREATOR else case.buyer.name
    return case.company.name if party == CREATOR else platform()


def asked(case: Case) -> str:
    return format_money(case.asked_minor, case.currency)


def planned(case: Case) -> str:
    """What a rule is going to give back."""
    return format_money(min(case.asked_minor, case.payment.refundable_minor), case.currency)


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
        if over < DAY:
            return _("Time is up")
        return ngettext("{days} day over", "{days} days over", over.days).format(days=over.days)
    if left >= DAY:
        return ngettext("{days} day left", "{days} days left", left.days).format(days=left.days)
    hours = int(left.total_seconds() // 3600)
    if hours:
        return ngettext("{hours} hour left", "{hours} hours left", hours).format(hours=hours)
    minutes = max(1, ceil(left.total_seconds() / 60))
    return ngettext("{minutes} minute left", "{minutes} minutes left", minutes).format(
        minutes=minutes
    )


# ── How it ended ──────────────────────────────────────────────────────────────────────────────────


def result(case: Case, reader: str) -> str:
    """How a decided or closed case ended, for one side, in a few words."""
    if case.outcome == Outcome.WITHDRAWN:
        return _("Withdrawn")
    if case.outcome == Outcome.VOID:
        return _("Settled elsewhere")
    if case.remedy == Remedy.NONE:
        return _("No refund")
    if case.remedy == Remedy.CREDIT:
        return (
            _("{platform} paid credits").format(platform=platform())
            if reader == CREATOR
            else _("{given} in credits").format(given=given(case))
        )
    if reader != CREATOR:
        return _("Refunded {given}").format(given=given(case))
    if case.decided_by == CREATOR:
        return _("You refunded {given}").format(given=given(case))
    if case.decided_by == SYSTEM:
        return _("Auto-refunded {given}").format(given=given(case))
    return _("{platform} refunded {given}").format(platform=platform(), given=given(case))


def remedy_sentence(case: Case, reader: str) -> str:
    """What a decision of staff gives, as the title of a card."""
    if case.remedy == Remedy.NONE:
        return _("There is no refund")
    if case.remedy == Remedy.CREDIT:
        if reader == BUYER:
            return _("You get {given} in {platform} Credits").format(
                given=given(case), platform=platform()
            )
        return _("{first_name} gets {given} in credits, paid by {platform}").format(
            first_name=case.buyer.first_name, given=given(case), platform=platform()
        )
    if reader == BUYER:
        return _("You get {given} back").format(given=given(case))
    if reader == CREATOR:
        return _("{given} goes back to {first_name} from your balance").format(
            given=given(case), first_name=case.buyer.first_name
        )
    return _("{given} goes back to {buyer}").format(given=given(case), buyer=case.buyer.name)


def remedy_clause(case: Case, reader: str) -> str:
    """The same behind a colon, in the middle of a sentence."""
    if case.remedy == Remedy.NONE:
        return _("there is no refund")
    if reader != BUYER:
        return remedy_sentence(case, reader)
    if case.remedy == Remedy.CREDIT:
        return _("you get {given} in {platform} Credits").format(
            given=given(case), platform=platform()
        )
    return _("you get {given} back").format(given=given(case))


# ── The pill ──────────────────────────────────────────────────────────────────────────────────────


def pill(case: Case, reader: str) -> Pill:
    """Where a case stands, in the words of one reader."""
    if case.state == State.CLOSED and case.money != Money.FAILED:
        won = reader == BUYER and case.remedy != Remedy.NONE and case.outcome == Outcome.BUYER_WON
        icons = {Outcome.WITHDRAWN: "x", Outcome.VOID: "lock"}
        icon = icons.get(Outcome(case.outcome), "checkc" if case.remedy != Remedy.NONE else "lock")
        return Pill("good" if won else "calm", result(case, reader), icon)
    if case.frozen_at:
        return Pill("calm", _("Paused, with the bank"), "lock")
    if case.money == Money.FAILED:
        return Pill("turn" if reader == STAFF else "bad", _("Refund failed"), "alert")
    if case.state == State.OPEN:
        label = pgettext("a case", "Sent") if reader == BUYER else pgettext("a case", "New")
        return Pill("calm", label, "mail")
    if refund_planned(case):
        return Pill("wait", _("Refund on %(date)s") % {"date": until(case, "date")}, "clock")
    if case.state == State.DECIDED:
        return _pill_decided(case, reader)
    if case.waiting_on == reader and reader != STAFF:
        return Pill("turn", _("Your turn"))
    if case.state in (State.ESCALATED, State.APPEALED):
        final = case.state == State.APPEALED
        if case.waiting_on == STAFF:
            if reader == STAFF:
                need = _("Needs a final review") if final else _("Needs a decision")
                return Pill("turn", need, "scale")
            return Pill(
                "whop",
                _("Final review")
                if final
                else _("{platform} is reviewing").format(platform=platform()),
            )
    if reader == STAFF:
        with_whom = {BUYER: _("With the buyer"), CREATOR: _("With the creator")}
        return Pill("calm", with_whom.get(Party(case.waiting_on), _("Waiting")), "clock")
    return Pill("wait", _("Waiting for {name}").format(name=name_of(case, case.waiting_on, reader)))


def _pill_decided(case: Case, reader: str) -> Pill:
    if case.final:
        if case.remedy == Remedy.NONE:
            return Pill("calm", _("Closing"), "lock")
        if case.money in (Money.ARRIVED, Money.BY_HAND):
            return Pill("good", result(case, reader), "checkc")
        return Pill("good" if reader == BUYER else "calm", _("Refund on its way"), "refund")
    if case.decided_by == CREATOR:
        labels = {BUYER: _("Denied, you can appeal"), CREATOR: _("You denied it")}
        label = labels.get(Party(reader), _("Denied"))
        return Pill(
            "turn" if reader == BUYER else "calm", label, "flag" if reader == BUYER else "xc"
        )
    if reader == STAFF:
        return Pill("calm", _("Decided"), "check")
    if case.remedy == Remedy.NONE:
        label = _("{platform} decided: no refund")
    elif case.remedy == Remedy.REFUND:
        label = _("{platform} decided: {amount} refund")
    elif reader == BUYER:
        label = _("{platform} decided: {amount} credits")
    else:
        label = _("{platform} decided: no charge to you")
    return Pill("whop", label.format(platform=platform(), amount=given(case)))


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
            return _("Your turn") if reader == BUYER else label.label
        return _("{platform} decided").format(platform=platform())
    is_over = case.state == State.CLOSED and case.money != Money.FAILED
    return _("Closed") if is_over else label.label


Said = tuple[str, str | SafeString, tuple[str, str] | None, bool]


def _say(case: Case, reader: str) -> Said:
    """Title, body and button of the card."""
    if case.money == Money.FAILED:
        return _say_failed(case, reader)
    if case.state == State.CLOSED:
        return _say_closed(case, reader)
    if case.frozen_at:
        return (
            _("Your bank is looking into this payment")
            if reader == BUYER
            else _("The buyer’s bank is looking into this payment"),
            _(
                "A chargeback was opened with the bank. The case waits until the bank has "
                "ruled, and no refund is made meanwhile."
            ),
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
        BUYER: _("Your case is open"),
        CREATOR: _("{first_name} opened a case").format(first_name=case.buyer.first_name),
        STAFF: _("Just opened"),
    }[Party(reader)]
    body = {
        BUYER: _("{company} is being told right now. You don’t need to do anything.").format(
            company=case.company.name
        ),
        CREATOR: _("Your auto-respond rules are being checked."),
        STAFF: _("The creator’s rules are being checked."),
    }[Party(reader)]
    return title, body, None, False


def _say_planned(case: Case, reader: str) -> Said:
    """A rule refunds on a date, and what can be done until then."""
    told = {
        "amount": planned(case),
        "company": case.company.name,
        "buyer": case.buyer.first_name if reader == CREATOR else case.buyer.name,
        "date": until(case),
    }
    if reader == BUYER:
        title = _("%(amount)s goes back to you on %(date)s")
        body = _(
            "%(company)s refunds cases like this one automatically. Until then they can still "
            "answer you themselves. You don’t need to do anything."
        )
    else:
        title = _("%(amount)s goes back to %(buyer)s on %(date)s")
        body = _("A rule of %(company)s’s refunds this case by itself, unless a side acts before.")
    if reader == CREATOR:
        body = _(
            "One of your rules refunds this case by itself. Until then you can cancel that, or "
            "answer now."
        )
        return title % told, body % told, (_("Respond"), "#respond"), True
    return title % told, body % told, None, False


def _say_awaiting(case: Case, reader: str) -> Said:
    if refund_planned(case):
        return _say_planned(case, reader)
    if reader == CREATOR:
        return (
            _("Reply to {first_name} by {date}").format(
                first_name=case.buyer.first_name, date=until(case)
            ),
            _(
                "Accept, deny, or request more details. If you don’t reply, {platform} "
                "decides with what’s here."
            ).format(platform=platform()),
            (_("Respond"), "#respond"),
            False,
        )
    body = format_html(
        _(
            "They have until <b>{date}</b>. If they don’t reply, {platform} takes over "
            "automatically."
        ),
        date=until(case),
        platform=platform(),
    )
    if reader == STAFF:
        body = format_html(
            _("They have until <b>{date}</b>. Then it comes to us."), date=until(case)
        )
    return _("Waiting for {company}").format(company=case.company.name), body, None, False


def _say_more_info(case: Case, reader: str) -> Said:
    if reader == BUYER:
        return (
            _("Answer {company} by {date}").format(company=case.company.name, date=until(case)),
            _(
                "They asked you for more details. If you don’t answer, {platform} reviews "
                "the case with what it has."
            ).format(platform=platform()),
            (_("Write your answer"), "#reply"),
            False,
        )
    who = name_of(case, BUYER, reader)
    if reader == CREATOR:
        body = format_html(
            _(
                "You asked for more details. {who} has until <b>{date}</b>. If there is no "
                "answer, {platform} takes over."
            ),
            who=who,
            date=until(case),
            platform=platform(),
        )
    else:
        body = format_html(
            _(
                "The creator asked for more details. {who} has until <b>{date}</b>. Then "
                "it comes to us."
            ),
            who=who,
            date=until(case),
        )
    return _("Waiting for {who}").format(who=who), body, None, False


def _say_review(case: Case, reader: str) -> Said:
    final = case.state == State.APPEALED
    if case.waiting_on == reader and reader != STAFF:
        otherwise = (
            _(
                "If you don’t answer, {platform} decides for {company}, and you can appeal that."
            ).format(platform=platform(), company=case.company.name)
            if reader == BUYER and not final
            else _("If you don’t answer, {platform} decides with what it has.").format(
                platform=platform()
            )
        )
        need = _("Our team needs something from you to decide.")
        return (
            _("Answer {platform} by {date}").format(platform=platform(), date=until(case)),
            f"{need} {otherwise}",
            (_("Write your answer"), "#reply"),
            False,
        )
    if case.waiting_on != STAFF:
        who = name_of(case, case.waiting_on, reader)
        if reader == STAFF:
            body = format_html(
                _("We asked {who} a question. They have until <b>{date}</b>."),
                who=who,
                date=until(case),
            )
        else:
            body = format_html(
                _("{platform} asked {who} a question. They have until <b>{date}</b>."),
                platform=platform(),
                who=who,
                date=until(case),
            )
        return (
            _("Waiting for {who}").format(who=who),
            body,
            None,
            False,
        )
    if reader == STAFF:
        title = _("This case needs a final review") if final else _("This case needs a decision")
        return (
            title,
            format_html(_("Our target is <b>{date}</b>."), date=until(case)),
            (_("Decide"), "#decide"),
            False,
        )
    if final:
        return (
            _("Final review"),
            format_html(
                _(
                    "Someone new at {platform} is looking at everything. Their answer is "
                    "final. We aim to decide by <b>{date}</b>."
                ),
                platform=platform(),
                date=until(case, "weekday"),
            ),
            None,
            False,
        )
    day = until(case, "weekday")
    if reader == BUYER:
        body = format_html(
            _("You don’t need to do anything. We aim to decide by <b>{day}</b>."), day=day
        )
    else:
        body = format_html(_("You can still add files. We aim to decide by <b>{day}</b>."), day=day)
    return (
        _("{platform} is reviewing").format(platform=platform()),
        body,
        None,
        False,
    )


def _say_decided(case: Case, reader: str) -> Said:
    if case.final:
        return _say_on_its_way(case, reader)
    if case.decided_by == CREATOR:
        if reader == BUYER:
            return (
                _("{company} denied your request").format(company=case.company.name),
                format_html(
                    _(
                        "You can appeal to {platform} until <b>{date}</b>. If you don’t, the case "
                        "closes with no refund and can’t be reopened."
                    ),
                    platform=platform(),
                    date=until(case),
                ),
                (_("Appeal to {platform}").format(platform=platform()), "#appeal"),
                False,
            )
        who = case.buyer.first_name
        return (
            _("You denied the request")
            if reader == CREATOR
            else _("The creator denied the request"),
            format_html(
                _(
                    "{who} can appeal to {platform} until <b>{date}</b>. After that the case "
                    "closes with no refund."
                ),
                who=who,
                platform=platform(),
                date=until(case),
            ),
            None,
            False,
        )
    could = case.who_could_appeal()
    if could == {BUYER, CREATOR} and reader == STAFF:
        body = format_html(
            _(
                "Either side can appeal until <b>{date}</b>. If nobody does, the case "
                "closes with this result."
            ),
            date=until(case),
        )
    elif could == {BUYER, CREATOR}:
        other = name_of(case, BUYER if reader == CREATOR else CREATOR, reader)
        body = format_html(
            _(
                "You and {other} can each appeal until <b>{date}</b>. If nobody does, the "
                "case closes with this result."
            ),
            other=other,
            date=until(case),
        )
    elif reader in could:
        body = format_html(
            _(
                "You can appeal until <b>{date}</b>. If you don’t, the case closes with "
                "this result."
            ),
            date=until(case),
        )
    else:
        body = format_html(
            _(
                "{name} can appeal until <b>{date}</b>. If they don’t, the case closes "
                "with this result."
            ),
            name=name_of(case, next(iter(could), BUYER), reader),
            date=until(case),
        )
    cta = (_("Appeal"), "#appeal") if reader in could else None
    return remedy_sentence(case, reader), body, cta, True


def _say_on_its_way(case: Case, reader: str) -> Said:
    if case.remedy == Remedy.NONE:
        return _("The decision is final"), _("The case is being closed."), None, False
    if case.remedy == Remedy.CREDIT:
        return remedy_sentence(case, reader), _("The credits are in the account."), None, False
    way = case.payment.way_back
    amount = given(case)
    if reader == BUYER:
        title = _("{amount} is on its way to you").format(amount=amount)
        body = _("It goes back to your {way}. Banks usually take 5 to 10 days to show it.").format(
            way=way
        )
    elif reader == CREATOR:
        title = _("{amount} is going back to {first_name}").format(
            amount=amount, first_name=case.buyer.first_name
        )
        body = _("It leaves your balance and goes back to their {way}.").format(way=way)
    else:
        title = _("{amount} is on its way to {buyer}").format(amount=amount, buyer=case.buyer.name)
        body = _("To their {way}.").format(way=way)
    if case.money == Money.BY_HAND:
        body = _("It was paid by hand.")
    return title, " ".join([body, _("The case closes when it has arrived.")]), None, False


def _say_failed(case: Case, reader: str) -> Said:
    if reader == STAFF:
        return (
            _("The refund of {given} failed").format(given=given(case)),
            _("Try it again, give credits instead, or pay by hand and note the reference."),
            (_("See the refund"), "#money"),
            False,
        )
    return (
        _("The refund of {given} didn’t go through").format(given=given(case)),
        _(
            "{platform} is looking into it and tells you both what happens next. The "
            "decision stands, and you don’t need to do anything."
        ).format(platform=platform()),
        None,
        False,
    )


def _say_closed(case: Case, reader: str) -> Said:
    closed = when_text(case.closed_at, "date") if case.closed_at else ""
    end = _(
        "Closed on {closed}. Each payment can have one case, so this one can’t be reopened."
    ).format(closed=closed)
    if case.outcome == Outcome.WITHDRAWN:
        withdrew = (
            _("You withdrew the case")
            if reader == BUYER
            else _("{first_name} withdrew the case").format(first_name=case.buyer.first_name)
        )
        return withdrew, end, None, False
    if case.outcome == Outcome.VOID:
        return _("The payment was settled elsewhere"), end, None, False
    if case.remedy == Remedy.NONE:
        return _("Closed with no refund"), end, None, False
    if case.remedy == Remedy.CREDIT:
        got = (
            _("You got {given} in {platform} Credits").format(
                given=given(case), platform=platform()
            )
            if reader == BUYER
            else _("{name} got {given} in {platform} Credits, paid by {platform}").format(
                name=name_of(case, BUYER, reader), given=given(case), platform=platform()
            )
        )
        return got, end, None, False
    if case.money == Money.BY_HAND:
        paid = (
            _("{given} was paid back to you by hand").format(given=given(case))
            if reader == BUYER
            else _("{given} was paid back to {name} by hand").format(
                given=given(case), name=name_of(case, BUYER, reader)
            )
        )
        return paid, end, None, False
    if reader == BUYER:
        return (
            _("{given} was refunded to your {way_back}").format(
                given=given(case), way_back=case.payment.way_back
            ),
            end,
            None,
            False,
        )
    return (
        _("{given} was refunded to {name}").format(
            given=given(case), name=name_of(case, BUYER, reader)
        ),
        end,
        None,
        False,
    )


# ── Progress ──────────────────────────────────────────────────────────────────────────────────────


def progress(case: Case, reader: str, events: Sequence[Event] = ()) -> list[tuple[str, str, str]]:
    """The way from opening to closing: (title, note, done | now | maybe | "")."""
    last = {event.step: event for event in events}
    due = until(case, "date")
    by_when = _("Paused") if case.frozen_at else _("Due {due}").format(due=due)

    def on(step: str) -> str:
        return when_text(last[step].created_at, "date") if step in last else ""

    opened = when_text(case.opened_at, "date")
    creator = _("Your reply") if reader == CREATOR else _("Creator")
    state = case.state
    steps = [(_("Opened"), opened, "now" if state == State.OPEN else "done")]
    if state == State.OPEN:
        return [*steps, (creator, "", ""), (_("Closed"), "", "")]
    if "auto_refund" in last:
        steps.append((_("Auto-respond"), _("Refunded {on}").format(on=on("auto_refund")), "done"))
    elif refund_planned(case):
        on_date = _("Refunds %(date)s") % {"date": due}
        steps.append((_("Auto-respond"), _("Paused") if case.frozen_at else on_date, "now"))
    elif state == State.AWAITING_CREATOR:
        steps.append((creator, by_when, "now"))
    elif "accept" in last:
        steps.append((creator, _("Accepted {on}").format(on=on("accept")), "done"))
    elif "deny" in last:
        steps.append((creator, _("Denied {on}").format(on=on("deny")), "done"))
    elif state == State.MORE_INFO or _left_unanswered(last):
        steps.append((creator, _("Asked {on}").format(on=on("request_info")), "done"))
    elif "escalate" in last:
        steps.append((creator, _("No reply"), "done"))
    if state == State.MORE_INFO:
        steps.append((_("Your answer") if reader == BUYER else _("Buyer"), by_when, "now"))
    steps += _progress_of_review(case, reader, last, due, on)
    if case.money == Money.FAILED:
        steps.append((_("Refund"), _("Failed"), "now"))
    elif case.final and case.remedy == Remedy.REFUND and state == State.DECIDED:
        steps.append((_("Refund"), _("On its way"), "now"))
    closed = when_text(case.closed_at, "date") if case.closed_at else ""
    is_over = state == State.CLOSED and case.money != Money.FAILED
    return [*steps, (_("Closed"), closed, "now" if is_over else "")]


def _left_unanswered(last: dict[str, Event]) -> bool:
    """It came to staff because the buyer did not answer the creator."""
    return "escalate" in last and last["escalate"].state_before == State.MORE_INFO


def _progress_of_review(
    case: Case, reader: str, last: dict[str, Event], due: str, on: Callable[[str], str]
) -> list[tuple[str, str, str]]:
    review = _("{platform} review").format(platform=platform())
    state = case.state
    if state in (State.AWAITING_CREATOR, State.MORE_INFO):
        return [(review, _("If needed"), "maybe")]
    denied = state == State.DECIDED and case.decided_by == CREATOR and not case.final
    open_until = _("Paused") if case.frozen_at else _("Until {due}").format(due=due)
    target = _("Paused") if case.frozen_at else _("Target {due}").format(due=due)
    if denied:
        choice = _("Your choice") if reader == BUYER else _("Appeal window")
        maybe = _("If you appeal") if reader == BUYER else _("If appealed")
        return [(choice, open_until, "now"), (review, maybe, "maybe")]
    steps: list[tuple[str, str, str]] = []
    reviewed = {"decide", "decide_unanswered"} & last.keys()
    if state == State.ESCALATED:
        return [(review, target if case.waiting_on == STAFF else _("Waiting"), "now")]
    if reviewed:
        decided = on(min(reviewed))
        steps.append((review, _("Decided {decided}").format(decided=decided), "done"))
    if state == State.APPEALED:
        return [
            *steps,
            (_("Final review"), target if case.waiting_on == STAFF else _("Waiting"), "now"),
        ]
    if {"decide_final", "decide_final_alone"} & last.keys():
        steps.append((_("Final review"), on("decide_final") or on("decide_final_alone"), "done"))
    elif reviewed and state == State.DECIDED and not case.final:
        steps += [
            (_("Appeal window"), open_until, "now"),
            (_("Final review"), _("If appealed"), "maybe"),
        ]
    return steps


def _now_line(case: Case, reader: str) -> SafeString | str:
    """The progress in one line, for small screens."""
    now, after = _now_and_next(case, reader)
    if not after:
        return format_html(_("<b>Now:</b> {now}"), now=now)
    return format_html(_("<b>Now:</b> {now} <b>Next:</b> {after}"), now=now, after=after)


def _now_and_next(case: Case, reader: str) -> tuple[str, str]:
    if case.money == Money.FAILED:
        return _("the refund failed."), _("{platform} finds another way.").format(
            platform=platform()
        )
    if case.state == State.CLOSED:
        return _("closed."), ""
    if case.frozen_at:
        return _("paused."), _("the bank’s ruling.")
    if case.state == State.DECIDED:
        if not case.final:
            return _("decided."), _("closes on {date} unless somebody appeals.").format(
                date=until(case, "date")
            )
        moves = case.remedy == Remedy.REFUND
        return (_("the money is on its way.") if moves else _("decided for good.")), _(
            "the case closes."
        )
    if refund_planned(case):
        after = _("the money goes back on %(date)s.") % {"date": until(case, "date")}
        return _("a refund is planned."), after
    if case.waiting_on in (BUYER, CREATOR):
        replies = case.state == State.AWAITING_CREATOR
        if case.waiting_on == reader:
            now = _("your reply.") if replies else _("your answer.")
        elif case.waiting_on == BUYER:
            now = _("the buyer’s answer.")
        else:
            now = _("the creator’s reply.") if replies else _("the creator’s answer.")
        after = {
            State.AWAITING_CREATOR: _("closed, or {platform} reviews.").format(platform=platform()),
            State.MORE_INFO: _("the creator replies, or {platform} reviews.").format(
                platform=platform()
            ),
        }.get(
            State(case.state), _("{platform} goes on with the review.").format(platform=platform())
        )
        return now, after
    if case.state == State.OPEN:
        return (_("your case is sent.") if reader == BUYER else _("a new case.")), _(
            "the creator replies."
        )
    if case.state == State.APPEALED:
        return _("the final review."), _("the last decision, with reasons.")
    return _("{platform} is reviewing.").format(platform=platform()), _("a decision, with reasons.")


# ── Beside the case ───────────────────────────────────────────────────────────────────────────────


def facts(case: Case, reader: str) -> list[tuple[str, str, str]]:
    """(term, value, note) rows beside the case."""
    payment = case.payment
    whole = case.asked_minor == payment.amount_minor
    paid = format_money(payment.amount_minor, payment.currency)
    rows = []
    if case.state == State.CLOSED or (case.state == State.DECIDED and case.decided_by != CREATOR):
        rows.append((_("Result"), pill(case, reader).label, ""))
    rows += [
        (
            _("You asked for") if reader == BUYER else _("Asked for"),
            asked(case),
            _("The full payment") if whole else _("Of {paid} paid").format(paid=paid),
        ),
        (
            _("Payment"),
            when_text(payment.paid_at, "day"),
            _("{way_back}, by {processor}").format(
                way_back=case.payment.way_back, processor=payment.get_processor_display()
            )
            if payment.way_back != payment.get_processor_display()
            else case.payment.way_back,
        ),
        (_("Product"), case.product.name, case.company.name if reader != CREATOR else ""),
        (_("Reason"), case.get_reason_display(), ""),
    ]
    if reader != BUYER:
        rows.append((_("Buyer"), case.buyer.name, case.buyer.email if reader == STAFF else ""))
    return rows


def what_next(case: Case, reader: str) -> list[tuple[str, str]]:
    """(lead, text) rows: what can happen from here, in order."""
    them, days = case.company.name, settings.RESPONSE_DAYS
    review = (
        _("{platform} decides").format(platform=platform()),
        _("With reasons, in this timeline. A refund, credits, or no refund."),
    )
    appeal = (_("One appeal, then it’s final"), _("Somebody new looks at everything once more."))
    if case.state == State.CLOSED or case.final:
        return []
    if case.frozen_at:
        return [
            (
                _("The bank rules first"),
                _("Until then no date runs out, and nothing is refunded here."),
            ),
            (_("If it rules for the buyer"), _("The bank returns the money, and the case closes.")),
            (_("If it rules for the creator"), _("The case goes on where it stopped.")),
        ]
    if refund_planned(case):
        return _planned_next(case, reader)
    if case.state in (State.OPEN, State.AWAITING_CREATOR):
        if reader == CREATOR:
            return [
                (_("You reply"), _("Accept and refund, deny, or request more details.")),
                (
                    _("If you ask"),
                    ngettext(
                        "{first_name} gets {days} day, then it’s your turn again.",
                        "{first_name} gets {days} days, then it’s your turn again.",
                        days,
                    ).format(first_name=case.buyer.first_name, days=days),
                ),
                (
                    _("If you deny"),
                    _("{first_name} can appeal to {platform}.").format(
                        first_name=case.buyer.first_name, platform=platform()
                    ),
                ),
            ]
        return [
            (
                _("{them} replies").format(them=them),
                ngettext(
                    "Within {days} day: a refund, a denial, or a question.",
                    "Within {days} days: a refund, a denial, or a question.",
                    days,
                ).format(days=days),
            ),
            (
                _("No reply?"),
                _("{platform} takes over automatically. You don’t need to do anything.").format(
                    platform=platform()
                ),
            ),
            appeal,
        ]
    if case.state == State.MORE_INFO:
        if reader == CREATOR:
            return [
                (
                    _("{first_name} answers").format(first_name=case.buyer.first_name),
                    ngettext(
                        "Then you have {days} day to decide.",
                        "Then you have {days} days to decide.",
                        days,
                    ).format(days=days),
                ),
                (
                    _("No answer?"),
                    _("{platform} reviews the case with what it has.").format(platform=platform()),
                ),
            ]
        return [
            (
                _("You answer"),
                ngettext(
                    "The clock goes back to {them}. They get {days} day.",
                    "The clock goes back to {them}. They get {days} days.",
                    days,
                ).format(them=them, days=days),
            ),
            (
                _("They decide"),
                _(
                    "A refund closes the case. If they deny it, you can appeal to {platform}."
                ).format(platform=platform()),
            ),
            review,
        ]
    if case.state == State.DECIDED and case.decided_by == CREATOR:
        return [
            (
                _("{platform} reads everything").format(platform=platform()),
                _("Both sides’ messages and files, and our own records."),
            ),
            (_("Both sides get the decision"), _("With reasons, in this timeline.")),
            (
                _("It can go three ways"),
                _("A refund, {platform} Credits, or no refund.").format(platform=platform()),
            ),
        ]
    if case.state == State.ESCALATED:
        return [review, appeal]
    if case.state == State.APPEALED:
        return [
            (_("Somebody new decides"), _("They read everything once more, the appeal first.")),
            (_("That is final"), _("Both sides get it here, with reasons, and it is carried out.")),
        ]
    return [
        (
            _("If somebody appeals"),
            _("Somebody new at {platform} looks at everything once more.").format(
                platform=platform()
            ),
        ),
        (_("If nobody does"), _("The decision is carried out, and the case closes.")),
    ]


def _planned_next(case: Case, reader: str) -> list[tuple[str, str]]:
    """What can happen to a refund that a rule has planned."""
    told = {
        "amount": planned(case),
        "company": case.company.name,
        "buyer": case.buyer.first_name,
        "date": until(case),
        "days": settings.RESPONSE_DAYS,
    }
    back = _("%(amount)s goes back to %(buyer)s")
    before = _("If %(company)s answers before"), _("Their answer counts instead.")
    canceled = _("%(company)s has what is left of %(days)s days since the case was opened.")
    if reader == BUYER:
        back = _("%(amount)s goes back to you")
    if reader == CREATOR:
        before = _("If you answer before"), _("Accept, deny, or ask: your answer counts instead.")
        canceled = _("You have what is left of %(days)s days since the case was opened.")
    return [
        (back % told, _("By itself, on %(date)s.") % told),
        (before[0] % told, before[1]),
        (_("If it is canceled"), canceled % told),
    ]


def review_pill(case: Case) -> Pill:
    """Why a case is in front of staff."""
    if case.money == Money.FAILED:
        return Pill("bad", _("Refund failed"), "alert")
    reasons = {
        ReviewReason.CREATOR_SILENT: Pill("calm", _("Creator didn’t reply in time"), "clock"),
        ReviewReason.BUYER_SILENT: Pill("calm", _("Buyer didn’t reply in time"), "clock"),
        ReviewReason.DENIAL_APPEALED: Pill("wait", _("Buyer appealed a denial"), "flag"),
        ReviewReason.DECISION_APPEALED: Pill("whop", _("Final review"), "scale"),
    }
    why = reasons.get(ReviewReason(case.review_reason), Pill("calm", "In review", "scale"))
    if case.review_reason == ReviewReason.DECISION_APPEALED and case.appealed_by:
        appealed = (
            _("Final review, buyer appealed")
            if case.appealed_by == BUYER
            else _("Final review, creator appealed")
        )
        return Pill(why.tone, appealed, why.icon)
    return why
