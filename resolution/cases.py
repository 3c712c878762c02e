"""The door: the only way in which a case comes to be, and changes.

`open_case` makes one, `take_step` moves one, `take_step_on_all` moves a batch with the same rules.
In one transaction each of them locks, checks the step against the lifecycle, runs it, sets the
clock, writes the timeline, the refund and the notification rows, and nudges the workers on commit.
Locks are taken in one order everywhere: payment, case, refund, credit.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, Func, prefetch_related_objects
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from psycopg.types.datetime import TimestamptzLoader

from marketplace import clock, trail
from marketplace.doorbell import ring
from marketplace.failpoints import failpoint
from marketplace.models import Membership, TeamMember, User
from marketplace.public_ids import new_public_id
from marketplace.rows import among, array_of, bare, copy_in
from notifications import webhooks
from notifications.models import Notification
from payments import credits, refunds
from payments.models import Payment, Refund
from payments.money import format_money
from resolution import announcements, eligibility
from resolution.lifecycle import IN_REVIEW, Lifecycle, may_award, takes_two
from resolution.models import Attachment, Case, Event, RuleUse
from resolution.terms import (
    SYSTEM,
    Act,
    Actor,
    Clock,
    Effects,
    Money,
    Party,
    Remedy,
    State,
    Verdict,
    Words,
)

log = logging.getLogger(__name__)

BATCH = 1000
MONEY_BACK = ("auto_refund", "accept")
BY_STAFF = ("decide", "decide_final", "decide_final_alone")
AFTER_FAILURE = ("retry_refund", "credit_instead", "mark_paid")
IN_PAIRS = frozenset((*BY_STAFF, *AFTER_FAILURE))
BY_ITSELF = Act(SYSTEM)
NOT_A_CHANGE = ("comment", "note", "propose", "decline_proposal", "refuse_file", "remove_files")


class StepRefused(Exception):
    """The step cannot be taken; the text says why, to the person who tried."""


class NotAllowed(StepRefused):
    """The step is not this person's to take."""


class CaseChanged(StepRefused):
    """The case moved on between the page and the act."""


@dataclass
class _Taken:
    """One step on one case while the door is open."""

    case: Case
    act: Act
    event: Event
    effects: Effects
    before: Mapping[str, Any]
    files: Sequence[Attachment] = ()
    refund: Refund | None = field(default=None)
    was: Mapping[str, Any] | None = field(default=None)


# ── What is open to whom ──────────────────────────────────────────────────────────────────────────


def steps_for(case: Case, actor: Actor, *, now: datetime | None = None) -> dict[str, Effects]:
    """The steps that this actor may take now, by name; for pages and answers of the API."""
    case.as_of = now or clock.now()
    return {
        found.name: found.custom["effects"]
        for found in case.get_available_user_state_transitions(actor)
    }


def _row(case: Case, step: str) -> Any:
    """The row of the table by which the case can take a step now; None when there is none."""
    method = getattr(getattr(Lifecycle, step, None), "_django_fsm", None)
    row = method.get_transition(case.state) if method else None
    return row if row and all(guard(case) for guard in row.conditions) else None


def _why_closed(case: Case, step: str) -> str:
    if case.state == State.CLOSED:
        return _("This case is closed and can’t be reopened.")
    if case.frozen_at:
        return _(
            "The buyer’s bank is looking into this payment. The case waits until it has ruled."
        )
    if step == "request_info" and case.info_requests >= settings.MAX_INFO_REQUESTS:
        return ngettext(
            "You have asked {times} time. Accept or deny the request.",
            "You have asked {times} times. Accept or deny the request.",
            settings.MAX_INFO_REQUESTS,
        ).format(times=settings.MAX_INFO_REQUESTS)
    if step == "appeal" and case.state == State.DECIDED:
        return _("This decision can’t be appealed any more.")
    return _("This case has moved on, so that is no longer possible.")


# ── Opening ───────────────────────────────────────────────────────────────────────────────────────


def open_case(
    payment: Payment,
    buyer: User,
    *,
    reason: str,
    message: str,
    asked_minor: int,
    files: Sequence[Attachment] = (),
    form_key: UUID | None = None,
) -> Case:
    """Open a case for a payment; the same form sent twice gives the same case.

    Raises NotEligible with the sentence for the buyer, or StepRefused for an amount or files that
    are no longer possible. Judged under a lock on the payment: two at once make one case.
    """
    actor = Actor(Party.BUYER, buyer)
    with transaction.atomic():
        held = Payment.objects.select_for_update(no_key=True, of=("self",))
        locked = held.annotate(heard=webhooks.listening_to("company")).get(pk=payment.pk)
        known = Case.objects.filter(payment=locked).first()
        if known and is_repeat(known, "open_case", message, form_key, actor):
            return known
        now = clock.database_now()
        eligibility.check(locked, buyer, now=now, has_case=known is not None)
        if not 0 < asked_minor <= locked.refundable_minor:
            most = format_money(locked.refundable_minor, locked.currency)
            raise StepRefused(_("You can ask for {most} at most.").format(most=most))
        case = Case(
            payment=locked,
            buyer=buyer,
            company_id=locked.company_id,
            product_id=locked.product_id,
            reason=reason,
            asked_minor=asked_minor,
            currency=locked.currency,
            opened_at=now,
            updated_at=now,
        )
        case.heard = locked.heard
        facts = {"reason": reason, "asked_minor": asked_minor, "currency": locked.currency}
        act = Act(actor, message=message, facts=facts)
        taken = _run(case, "open_case", act, now, files, form_key)
        case.save(force_insert=True)
        _write([taken], update=False)
        ring("resolution.tasks.advance", [case.pk])
    return case


# ── Moving on ─────────────────────────────────────────────────────────────────────────────────────


def take_step(
    case: Case,
    step: str,
    actor: Actor,
    *,
    message: str = "",
    verdict: Verdict | None = None,
    asks: Party | None = None,
    reference: str = "",
    proposes: str = "",
    ends_membership: bool = False,
    facts: dict[str, Any] | None = None,
    files: Sequence[Attachment] = (),
    form_key: UUID | None = None,
    seen_version: int | None = None,
) -> Event:
    """Take one step on one case and answer with its timeline event.

    `form_key` makes a form that is sent twice count once; `seen_version` is the version of the case
    on the page where the person decided. Raises CaseChanged when the case has moved on since,
    NotAllowed when the step is not the actor's, StepRefused for any other reason not to.
    """
    act = Act(
        actor, message, verdict, asks, reference, proposes, ends_membership, facts=facts or {}
    )
    with transaction.atomic():
        locked = _lock([case.pk], step, skip_locked=False)
        if not locked:
            raise StepRefused(_("There is no such case."))
        fresh = locked[0]
        trail.note(case=fresh.public_id)
        sent = fresh.events.filter(form_key=form_key).first() if form_key else None
        if sent and is_repeat(fresh, step, message, form_key, actor):
            return sent
        if sent:
            raise CaseChanged(
                _(
                    "This page was sent before, with something else on it. Look at what "
                    "arrived, and send this too if you still want to."
                )
            )
        if seen_version is not None and seen_version != fresh.version:
            raise CaseChanged(_("This case has changed. Here is where it stands now."))
        taken = _run(fresh, step, act, clock.database_now(), files, form_key)
        _write([taken])
    return taken.event


Acts = Callable[[Sequence[Case]], Mapping[int, Act]]
"""From the cases that are held to what is done to each, by primary key; none for those to leave."""


def _nothing_else(cases: Sequence[Case]) -> Mapping[int, Act]:
    return dict.fromkeys([case.pk for case in cases], BY_ITSELF)


def take_step_on_all(
    case_ids: Sequence[int], step: str, acts_for: Acts = _nothing_else
) -> list[int]:
    """Take the same step of the system on every case that it is still open to; answer their ids.

    Cases that somebody else holds are left for the next sweep, and so are those that refuse.
    Rules, timeline and messages are those of `take_step`; the rows are read and written together,
    a thousand cases at a time. `acts_for` is asked once they are locked, in the transaction; it
    gets whole cases for a step that moves money, and for any other step cases without what they
    refer to.
    """
    done: list[int] = []
    for start in range(0, len(case_ids), BATCH):
        ids = case_ids[start : start + BATCH]
        with transaction.atomic():
            if _moves_money(step):
                cases, now = _lock(ids, step, skip_locked=True), clock.database_now()
            else:
                cases, now = _lock_alone(ids)
            acts = acts_for(cases)
            batch = []
            for case in cases:
                case.as_of = now
                row = _row(case, step)
                if row is None or case.pk not in acts:
                    continue
                try:
                    batch.append(_run(case, step, acts[case.pk], now, row=row))
                except StepRefused as reason:
                    log.warning("%s of %s is stuck: %s", step, case.public_id, reason)
            _write(batch)
        done += [taken.case.pk for taken in batch]
    return done


def is_open(case: Case, step: str) -> bool:
    """Whether the case can take a step now, whoever takes it; `as_of` is the moment to judge by."""
    return _row(case, step) is not None


class ClockTimestamp(Func):
    """The present moment by the database's clock, also within a transaction."""

    function = "clock_timestamp"
    output_field = DateTimeField()


def _lock(case_ids: Sequence[int], step: str, *, skip_locked: bool) -> list[Case]:
    """Lock the cases, and before them their payments when the step moves money."""
    if _moves_money(step):
        payments = Payment.objects.select_for_update(
            no_key=True, skip_locked=skip_locked, of=("self",)
        ).filter(cases__in=case_ids)
        held = [payment.pk for payment in payments.order_by("pk")]
        rows = Case.objects.filter(payment__in=held)
    else:
        rows = Case.objects.all()
    return list(
        rows.filter(pk__in=case_ids)
        .select_for_update(no_key=True, skip_locked=skip_locked, of=("self",))
        .select_related("payment", "refund", "buyer", "company", "product", "proposed_by")
        .annotate(heard=webhooks.listening_to("company"))  # type: ignore[no-redef]
        .order_by("pk")
    )


def _lock_alone(case_ids: Sequence[int]) -> tuple[list[Case], datetime]:
    """Lock cases for a step that needs their own columns only; answer them and the moment.

    They are read without making whole models, by the driver's own loaders: ten times as fast, which
    is what a sweep over a backlog is made of. Nobody is waited for, so the moment is that of the
    lock.
    """
    free = Case.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    rows = free.filter(among("resolution_case.id", case_ids)).order_by("pk")
    read = rows.values_list(*COLUMNS, webhooks.listening_to("company"), ClockTimestamp())
    query, given = read.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.execute(query, given)
        found = cursor.fetchall()
    cases = [bare(Case, dict(zip(_HELD, row)), stored=True) for row in found]  # noqa: B905
    prefetch_related_objects([case for case in cases if case.heard], "payment")
    now = max((row[-1] for row in found), default=None)
    return cases, now + clock.offset() if now else clock.now()


def _moves_money(step: str) -> bool:
    return any(effects.moves_money for effects in _effects_of(step))


def _effects_of(step: str) -> list[Effects]:
    rows = getattr(Lifecycle, step)._django_fsm.transitions.values()
    return [row.custom["effects"] for row in rows]


def is_repeat(case: Case, step: str, message: str, form_key: UUID | None, actor: Actor) -> bool:
    """Whether this very form was taken before, with the same words: once is enough then."""
    if form_key is None:
        return False
    kept = any(effects.words != Words.NONE for effects in _effects_of(step))
    sent = case.events.filter(form_key=form_key, actor=actor.user, step=step)
    return sent.filter(message=message.strip() if kept else "").exists()


def _run(
    case: Case,
    step: str,
    act: Act,
    now: datetime,
    files: Sequence[Attachment] = (),
    form_key: UUID | None = None,
    row: Any = None,
) -> _Taken:
    """Check a step against the lifecycle, run it on the instance, and make its event."""
    case.as_of = now
    row = row or _row(case, step)
    if row is None:
        raise StepRefused(_why_closed(case, step))
    if not row.has_perm(case, act.actor):
        raise NotAllowed(_("You can’t do that in this case."))
    effects: Effects = row.custom["effects"]
    message = act.message.strip()
    if effects.words == Words.REQUIRED and not message:
        raise StepRefused(_("Write a message first."))
    verdict = _verdict(case, step, act)
    if message != act.message or verdict != act.verdict:
        act = replace(act, message=message, verdict=verdict)
    if step == "propose":
        act = replace(act, proposes=_proposed_step(case, act))
    proposer = _proposer(case, step, act)
    before, was = case.__dict__.copy(), announcements.standing(case)
    case.move(row, act)
    if effects.waits_on is not None:
        asked = effects.waits_on
        case.waiting_on = asked(case) if callable(asked) else asked
    ticking = effects.clock(case) if callable(effects.clock) else effects.clock
    _set_clock(case, ticking, now, act.wait)
    case.updated_at = now
    case.last_seq += 1
    if step not in NOT_A_CHANGE:
        case.version += 1
    event = bare(
        Event,
        {
            "id": None,
            "public_id": new_public_id("revt_"),
            "case_id": case.pk,
            "seq": case.last_seq,
            "step": step,
            "party": act.actor.party.value,
            "actor_id": act.actor.user_id,
            "state_before": before["state"],
            "state_after": case.state,
            "message": "" if effects.words == Words.NONE else message,
            "salt": "",
            "words_digest": "",
            "data": {},
            "staff_only": effects.staff_only,
            "form_key": form_key,
            "created_at": now,
            "previous_hash": case.last_hash,
            "hash": "",
        },
        stored=False,
    )
    taken = _Taken(case, act, event, effects, before, files, was=was)
    if effects.moves_money:
        _move_money(taken, again=step in ("retry_refund", "credit_instead"))
    if proposer:
        taken.act = replace(act, facts={**act.facts, "proposed_by": proposer.public_id})
    if act.ends_membership:
        _end_membership(taken, now)
    event.data = _facts_of(taken, moved=ticking != Clock.KEEP or case.due_at != before["due_at"])
    event.seal_words()
    event.hash = case.last_hash = event.digest(case.public_id, files)
    return taken


def _verdict(case: Case, step: str, act: Act) -> Verdict | None:
    """What the step decides; the sums that nobody types are worked out here, under the lock."""
    if step in MONEY_BACK:
        amount = min(case.asked_minor, case.payment.refundable_minor)
        if amount <= 0:
            raise StepRefused(_("There is nothing left of this payment to give back."))
        return Verdict(Remedy.REFUND, amount)
    if step in ("deny", "decide_unanswered"):
        return Verdict(Remedy.NONE)
    if act.verdict and act.verdict.remedy != Remedy.NONE:
        held = case.refund if case.refund and case.refund.state == Refund.State.HELD else None
        most = case.payment.refundable_minor + (held.amount_minor if held else 0)
        if not 0 < act.verdict.amount_minor <= most:
            raise StepRefused(
                _("You can award {amount} at most.").format(
                    amount=format_money(most, case.currency)
                )
            )
        if step != "propose" and not may_award(act.actor, act.verdict.amount_minor, case.currency):
            given = format_money(act.verdict.amount_minor, case.currency)
            raise StepRefused(
                _("{given} is more than an agent can award. Propose it to finance.").format(
                    given=given
                )
            )
    if step == "propose" and act.proposes in AFTER_FAILURE:
        gives_credits = act.proposes == "credit_instead"
        return Verdict(Remedy.CREDIT if gives_credits else Remedy.REFUND, case.remedy_minor)
    return act.verdict


def _proposed_step(case: Case, act: Act) -> str:
    """The step that a proposal stands for, given where the case is."""
    if case.state in IN_REVIEW:
        if act.verdict is None:
            raise StepRefused(_("Say what you would decide."))
        return "decide" if case.state == State.ESCALATED else "decide_final"
    if act.proposes not in AFTER_FAILURE:
        raise StepRefused(_("Say what you would do about the refund."))
    return act.proposes


def _proposer(case: Case, step: str, act: Act) -> User | None:
    """Who proposed what is now approved. Raises StepRefused where it takes two and there is one.

    Over the limit a decision, and settling a failed refund, counts only when somebody else has
    proposed exactly that.
    """
    if step not in IN_PAIRS:
        return None
    kind = Remedy.CREDIT if step == "credit_instead" else case.remedy
    verdict = act.verdict or Verdict(Remedy(kind), case.remedy_minor)
    named = "decide_final" if step == "decide_final_alone" else step
    wanted = (named, verdict.remedy, verdict.amount_minor)
    same = wanted == (case.proposed_step, case.proposed_remedy, case.proposed_minor)
    if same and case.proposed_by and case.proposed_by_id != act.actor.user_id:
        return case.proposed_by
    if takes_two(verdict.amount_minor, case.currency):
        given = format_money(verdict.amount_minor, case.currency)
        if case.proposed_by_id is None:
            raise StepRefused(
                _(
                    "{given} takes two people. Propose it; somebody else of finance can approve it."
                ).format(given=given)
            )
        if not same:
            raise StepRefused(
                _(
                    "{given} takes two people, and what is proposed is something else. Approve "
                    "it as it is, or propose this instead."
                ).format(given=given)
            )
        raise StepRefused(
            _("You proposed this yourself. Somebody else of finance has to approve it.")
        )
    return None


def _end_membership(taken: _Taken, now: datetime) -> None:
    """End what the payment paid for, because its money goes back; it stays ended."""
    if taken.event.step != "accept":
        raise StepRefused(_("A membership ends only when the request is accepted."))
    ended = (
        Membership.objects.filter(pk=taken.case.payment.membership_id or 0)
        .exclude(status=Membership.Status.ENDED)
        .update(status=Membership.Status.ENDED, ends_at=now, renews_at=None)
    )
    if ended:
        taken.act = replace(taken.act, facts={**taken.act.facts, "membership_ended": True})


def _set_clock(case: Case, ticking: Clock, now: datetime, wait: timedelta) -> None:
    if ticking == Clock.KEEP:
        return
    case.clock_started_at = now
    if ticking == Clock.STOP:
        case.due_at = case.clock_started_at = None
    elif ticking == Clock.NOW:
        case.due_at = now
    elif ticking == Clock.RESPONSE:
        case.due_at = now + timedelta(days=settings.RESPONSE_DAYS)
    elif ticking == Clock.APPEAL:
        case.due_at = now + timedelta(days=settings.APPEAL_DAYS)
    elif ticking == Clock.STAFF:
        case.due_at = in_business_days(now, settings.STAFF_TARGET_DAYS)
    elif ticking == Clock.DELAY:
        case.due_at = now + wait
    elif ticking == Clock.REST:
        whole = case.opened_at + timedelta(days=settings.RESPONSE_DAYS)
        case.due_at = max(whole, now + timedelta(days=1))


@lru_cache(maxsize=256)
def in_business_days(start: datetime, days: int) -> datetime:
    """The same time of day `days` working days (Monday to Friday) later."""
    end = start
    while days:
        end += timedelta(days=1)
        days -= end.weekday() < 5
    return end


def _move_money(taken: _Taken, *, again: bool) -> None:
    """Bring the refund or the credits in line with the decision as it stands now."""
    case, cause = taken.case, taken.event.public_id
    held = case.refund if case.refund and case.refund.state == Refund.State.HELD else None
    as_promised = held and case.remedy == Remedy.REFUND and held.amount_minor == case.remedy_minor
    if held and not as_promised:
        refunds.cancel_held(held)
        case.refund = held = None
    if again:
        # A part may have been given back elsewhere since it was decided.
        case.remedy_minor = min(case.remedy_minor, case.payment.refundable_minor)
        if case.remedy_minor <= 0:
            raise StepRefused(_("There is nothing left of this payment to give back."))
    if case.remedy == Remedy.REFUND:
        if held and case.final:
            refunds.release([held])
            taken.refund = held
        elif case.refund is None or again:
            key = f"{cause}:refund"
            intent = refunds.Intent(
                case.payment_id, case.remedy_minor, case.currency, key, cause, not case.final
            )
            try:
                case.refund = refunds.request_refunds([intent])[key]
            except refunds.OverRefund as reason:
                raise StepRefused(str(reason)) from reason
            taken.refund = case.refund if case.final else None
        case.money = Money.REQUESTED if case.final else Money.PROMISED
    elif case.remedy == Remedy.CREDIT:
        case.money = Money.PROMISED
        if case.final:
            try:
                credits.grant(
                    case.payment,
                    case.remedy_minor,
                    key=f"{cause}:credit",
                    cause=cause,
                    note=f"Case {case.public_id}, {case.product.name}",
                    about=case.public_id,
                )
            except refunds.OverRefund as reason:
                raise StepRefused(str(reason)) from reason
            case.money = Money.ARRIVED
    else:
        case.money = Money.NONE


def _facts_of(taken: _Taken, *, moved: bool) -> dict[str, Any]:
    """What the timeline tells of a step besides its words: the sums, the dates, who is next."""
    case, act = taken.case, taken.act
    facts: dict[str, Any] = dict(act.facts)
    if moved:
        facts["due_at"] = case.due_at.isoformat() if case.due_at else None
    facts["waiting_on"] = case.waiting_on
    if act.verdict:
        facts |= {
            "remedy": act.verdict.remedy,
            "amount_minor": act.verdict.amount_minor,
            "currency": case.currency,
        }
        if act.verdict.looked_at:
            facts["looked_at"] = list(act.verdict.looked_at)
    elif taken.event.step in ("retry_refund", "credit_instead"):
        facts |= {"amount_minor": case.remedy_minor, "currency": case.currency}
    if act.proposes:
        facts["proposes"] = act.proposes
    if act.asks:
        facts["asks"] = act.asks
    if act.reference:
        facts["reference"] = act.reference
    if case.final:
        facts |= {"final": True, "money": case.money}
    if taken.refund:
        facts["refund"] = taken.refund.public_id
    return facts


# ── Writing down ──────────────────────────────────────────────────────────────────────────────────

COLUMNS = tuple(column.attname for column in Case._meta.concrete_fields)
_HELD = (*COLUMNS, "heard", "as_of")
WRITTEN: list[Any] = [
    Case._meta.get_field(name)
    for name in (
        *(column.name for column in Lifecycle._meta.local_fields),
        *("refund", "version", "last_seq", "last_hash", "updated_at"),
    )
]
_written = itemgetter(*(column.attname for column in WRITTEN))
EVENT = tuple(column.attname for column in Event._meta.concrete_fields if not column.primary_key)
_of_event = itemgetter(*EVENT)
MESSAGE = ("key", "recipient_id", "kind", "about", "thread")


def _write(batch: Sequence[_Taken], *, update: bool = True) -> None:
    """Write cases, events, files and notifications, and nudge whoever carries them on."""
    if not batch:
        return
    transaction.on_commit(lambda: failpoint("intent.committed"))
    if update:
        _update(batch)
    if len(batch) == 1:
        event = batch[0].event
        event.case, event.actor = batch[0].case, batch[0].act.actor.user
        event.save(force_insert=True)
        _attach(batch[0])
    else:
        copy_in(Event, EVENT, [_of_event(taken.event.__dict__) for taken in batch])
    messages = _messages(batch)
    if len(batch) == 1:
        columns = [dict(zip(MESSAGE, message, strict=True)) for message in messages]
        Notification.objects.bulk_create([Notification(**row) for row in columns])
    else:
        copy_in(Notification, MESSAGE, messages)
    _note_rules(batch)
    heard = [taken for taken in batch if taken.case.heard]
    webhooks.announce(
        news for t in heard for news in announcements.of_step(t.event, t.case, t.was, t.refund)
    )
    failpoint("intent.written")
    ring("resolution.tasks.deliver")
    for taken in batch:
        if taken.refund:
            ring("resolution.tasks.carry_out", taken.refund.pk)
    settled = [taken.case.pk for taken in batch if _to_be_closed(taken.case)]
    if settled:
        ring("resolution.tasks.advance", settled)


def _to_be_closed(case: Case) -> bool:
    case.as_of = case.updated_at
    return case.state == State.DECIDED and is_open(case, "close")


def _update(batch: Sequence[_Taken]) -> None:
    """One UPDATE for any number of cases, of the columns that moved, each with its own values.

    What is the same for all of them, and in a sweep nearly everything is, travels once.
    """
    ids = [taken.case.pk for taken in batch]
    names, types, arrays = ["id"], ["bigint"], [array_of(ids)]
    sets, same = [], []
    before = zip(*[_written(taken.before) for taken in batch], strict=True)
    after = zip(*[_written(taken.case.__dict__) for taken in batch], strict=True)
    for column, values, former in zip(WRITTEN, after, before, strict=True):
        if values == former:
            continue
        name = column.column
        if values.count(values[0]) == len(values):
            sets.append(f"{name} = %s")
            same.append(column.get_prep_value(values[0]))
        else:
            sets.append(f"{name} = v.{name}")
            names.append(name)
            types.append(_array_type(column))
            arrays.append(array_of([column.get_prep_value(value) for value in values]))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE resolution_case AS c SET {', '.join(sets)}"  # noqa: S608
            f" FROM unnest({', '.join(f'%s::{kind}[]' for kind in types)}) AS v({', '.join(names)})"
            " WHERE c.id = v.id",
            [*same, *arrays],
        )


def _array_type(column: Any) -> str:
    kind: str = column.db_type(connection)
    return "text" if kind.startswith("varchar") else kind


def _attach(taken: _Taken) -> None:
    """Bind the actor's own unsent files to the message, each at its place.

    In one order always: two messages at once with the same files would wait for each other.
    """
    for position, attachment in sorted(enumerate(taken.files), key=lambda each: each[1].pk):
        bound = Attachment.objects.filter(
            pk=attachment.pk,
            event=None,
            uploader=taken.act.actor.user,
            state__in=(Attachment.State.CHECKING, Attachment.State.READY),
        ).update(event=taken.event, position=position)
        if not bound:
            raise StepRefused(_("One of the files can’t be sent any more. Add it again."))


def _note_rules(batch: Sequence[_Taken]) -> None:
    """Write down what rules did about these cases: one row a case, from planned to refunded."""
    uses = [
        RuleUse(
            case=taken.case,
            rule_id=rule["id"],
            version=rule["version"],
            amount_minor=taken.act.verdict.amount_minor
            if taken.act.verdict
            else taken.act.facts["amount_minor"],
            turned_away=taken.act.facts.get("turned_away", ""),
            taken_at=taken.event.created_at,
            refunded_at=taken.event.created_at if taken.effects.moves_money else None,
        )
        for taken in batch
        if (rule := taken.act.facts.get("rule"))
    ]
    if uses:
        RuleUse.objects.bulk_create(
            uses,
            update_conflicts=True,
            unique_fields=["case"],
            update_fields=["version", "amount_minor", "refunded_at"],
        )


def _messages(batch: Sequence[_Taken]) -> list[tuple[str, int, str, str, str]]:
    """A row of the outbox for each person who is told, by e-mail."""
    told = [(taken, _tells(taken)) for taken in batch]
    teams: dict[int, list[int]] = {}
    companies = {taken.case.company_id for taken, sides in told if Party.CREATOR in sides}
    if companies:
        of_these = among("marketplace_teammember.company_id", companies)
        places = TeamMember.objects.filter(of_these, user__is_active=True)
        answering = places.exclude(role=TeamMember.Role.VIEWER).values_list("company_id", "user_id")
        for company_id, user_id in answering.order_by("pk"):
            teams.setdefault(company_id, []).append(user_id)
    rows = []
    for taken, sides in told:
        case, event = taken.case, taken.event
        people = [case.buyer_id] if Party.BUYER in sides else []
        if Party.CREATOR in sides:
            people += teams.get(case.company_id, [])
        for person in dict.fromkeys(people):
            if person == taken.act.actor.user_id and not taken.effects.confirms:
                continue
            key = f"{event.public_id}:{person}:email"
            rows.append((key, person, event.step, event.public_id, case.public_id))
    return rows


def _tells(taken: _Taken) -> Iterable[Party]:
    tells = taken.effects.tells
    return tells(taken.case) if callable(tells) else tells
