"""The lifecycle of a case: every state, every step, who may take it, and what it brings about.

Read this first. A step is a row (from where, to where, by whom, under which guards, with which
effects) and a body that only sets fields on the case. `cases.take_step` is what runs it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import GET_STATE, FSMField, transition

from marketplace.models import TeamMember, User
from payments.money import limit_in as limit_in
from resolution.terms import (
    BOTH,
    Act,
    Actor,
    Clock,
    Money,
    Outcome,
    Party,
    Remedy,
    ReviewReason,
    State,
    Words,
    by,
    effects,
)

BUYER, CREATOR, STAFF, SYSTEM, NOBODY = Party
OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED, DECIDED, APPEALED, CLOSED = State
NEW = ""
IN_REVIEW = [ESCALATED, APPEALED]
NOT_CLOSED = [OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED, DECIDED, APPEALED]
ANYWHERE = [*NOT_CLOSED, CLOSED]
REQUIRED, OPTIONAL = Words.REQUIRED, Words.OPTIONAL

# ── Guards: facts about a case ────────────────────────────────────────────────────────────────────


def not_frozen(case: "Lifecycle") -> bool:
    """No chargeback is open on the payment."""
    return case.frozen_at is None


def frozen(case: "Lifecycle") -> bool:
    """A chargeback is open on the payment."""
    return case.frozen_at is not None


def overdue(case: "Lifecycle") -> bool:
    """The date that the case was waiting for has come."""
    return case.due_at is not None and case.due_at <= case.as_of


def refund_planned(case: "Lifecycle") -> bool:
    """A rule gives the money back on a date that is set, unless somebody acts before."""
    return case.state == AWAITING_CREATOR and case.waiting_on == SYSTEM


def time_to_refund(case: "Lifecycle") -> bool:
    """The case is new, or the date of its planned refund has come."""
    return case.state == OPEN or (refund_planned(case) and overdue(case))


def answer_due(case: "Lifecycle") -> bool:
    """The case waits for the buyer or the creator."""
    return case.waiting_on in BOTH


def may_still_ask(case: "Lifecycle") -> bool:
    """The creator has questions left."""
    return case.info_requests < settings.MAX_INFO_REQUESTS


def appeal_open(case: "Lifecycle") -> bool:
    """The decision is not final and the days to appeal are not over."""
    return not case.final and case.due_at is not None and case.as_of < case.due_at


def not_final(case: "Lifecycle") -> bool:
    """The decision can still change."""
    return not case.final


def is_final(case: "Lifecycle") -> bool:
    """The decision can no longer change."""
    return case.final


def money_settled(case: "Lifecycle") -> bool:
    """The decision gave nothing, or what it gave has arrived."""
    return case.remedy == Remedy.NONE or case.money in (Money.ARRIVED, Money.BY_HAND)


def money_failed(case: "Lifecycle") -> bool:
    """The refund failed for good."""
    return case.money == Money.FAILED


def decidable(case: "Lifecycle") -> bool:
    """There is something for staff to decide: a review, or a refund that failed."""
    return case.state in IN_REVIEW or money_failed(case)


def proposal_stands(case: "Lifecycle") -> bool:
    """Somebody of the staff has proposed what to do."""
    return case.proposed_by_id is not None


def buyer_silent(case: "Lifecycle") -> bool:
    """The question was the buyer's to answer."""
    return case.waiting_on == BUYER


def review_goes_on(case: "Lifecycle") -> bool:
    """Silence does not decide: the creator was asked, or it is the final review."""
    return case.waiting_on == CREATOR or case.state == APPEALED


# ── Facts about who acts ──────────────────────────────────────────────────────────────────────────


def answers_cases(case: "Lifecycle", actor: Actor) -> bool:
    """On the creator's side: owner, admin or support, not a viewer."""
    return actor.party != CREATOR or actor.role in ("owner", "admin", "support")


def runs_the_company(case: "Lifecycle", actor: Actor) -> bool:
    """On the creator's side: owner or admin."""
    return actor.party != CREATOR or actor.role in ("owner", "admin")


def within_support_limit(case: "Lifecycle", actor: Actor) -> bool:
    """Support may give back a little on its own, in the currencies that have a limit."""
    limit = limit_in(case.currency, settings.SUPPORT_ACCEPT_LIMIT)
    return actor.role != TeamMember.Role.SUPPORT or case.asked_minor <= limit


def was_asked(case: "Lifecycle", actor: Actor) -> bool:
    """It is their answer that the case waits for."""
    return case.waiting_on == actor.party


def could_appeal(case: "Lifecycle", actor: Actor) -> bool:
    """They did not get all they asked for, and have neither appealed nor accepted."""
    return actor.party in case.who_could_appeal()


def impartial(case: "Lifecycle", actor: Actor) -> bool:
    """On the staff's side: an agent or finance, and not a party to this very case."""
    return actor.party != STAFF or (
        not actor.conflicted and actor.role in (User.StaffRole.AGENT, User.StaffRole.FINANCE)
    )


def within_agent_limit(case: "Lifecycle", actor: Actor) -> bool:
    """Agents decide on small sums, in the currencies that have a limit; finance on any."""
    return may_award(actor, case.asked_minor, case.currency)


def may_award(actor: Actor, minor: int, currency: str) -> bool:
    """Whether somebody of the staff may give this much: agents up to their limit, finance any."""
    limit = limit_in(currency, settings.AGENT_DECIDE_LIMIT)
    return actor.role == User.StaffRole.FINANCE or minor <= limit


def did_not_decide_first(case: "Lifecycle", actor: Actor) -> bool:
    """A final review is somebody else's."""
    return actor.user_id != case.first_decider_id


def may_propose(case: "Lifecycle", actor: Actor) -> bool:
    """Anybody of the staff, but not for the final review of their own decision."""
    return case.state != APPEALED or did_not_decide_first(case, actor)


def may_decline(case: "Lifecycle", actor: Actor) -> bool:
    """Whoever proposed it, or finance."""
    return handles_money(case, actor) or actor.user_id == case.proposed_by_id


def decided_first(case: "Lifecycle", actor: Actor) -> bool:
    """They made the decision that is appealed."""
    return actor.user_id == case.first_decider_id


def handles_money(case: "Lifecycle", actor: Actor) -> bool:
    """Staff of finance."""
    return actor.role == User.StaffRole.FINANCE


def takes_two(minor: int, currency: str) -> bool:
    """Whether so much moves only when one person proposes it and another of finance approves."""
    return minor > limit_in(currency, settings.SECOND_APPROVAL_LIMIT)


decides = by(STAFF, when=[impartial, within_agent_limit])

# ── What a step makes of a case, where the row alone does not say ─────────────────────────────────


def after_reply(case: "Lifecycle", act: Act) -> str:
    """Back to the creator; during a review it stays where it is."""
    return AWAITING_CREATOR if case.state == MORE_INFO else case.state


def after_appeal(case: "Lifecycle", act: Act) -> str:
    """A creator's denial goes to staff, a decision of the staff's to the final review."""
    return ESCALATED if case.decided_by == CREATOR else APPEALED


def next_after_reply(case: "Lifecycle") -> Party:
    return CREATOR if case.state == AWAITING_CREATOR else STAFF


def clock_after_reply(case: "Lifecycle") -> Clock:
    """The creator's 7 days to answer, or the staff target."""
    return Clock.RESPONSE if case.state == AWAITING_CREATOR else Clock.STAFF


def clock_after_acceptance(case: "Lifecycle") -> Clock:
    """Stops once nobody could appeal any more; otherwise the other side's days go on."""
    return Clock.STOP if case.final else Clock.KEEP


def next_after_decision(case: "Lifecycle") -> Party:
    """Who could still change it: one side, or (both, or none) nobody in particular."""
    if case.final:
        return SYSTEM
    left = case.who_could_appeal()
    return left.pop() if len(left) == 1 else NOBODY


def next_after_arrival(case: "Lifecycle") -> Party:
    return NOBODY if case.state == CLOSED else SYSTEM


def told_when_final(case: "Lifecycle") -> tuple[Party, ...]:
    """Both once it is final and money moves; else the closing message follows at once."""
    return BOTH if case.final and case.remedy != Remedy.NONE else ()


class Lifecycle(models.Model):
    """The columns that steps write, and the steps. `Case` adds what a case is about."""

    state = FSMField(
        default=NEW, choices=State.choices, max_length=16, protected=True, editable=False
    )
    waiting_on = models.CharField(max_length=8, choices=Party.choices, default=NOBODY)
    due_at = models.DateTimeField(null=True)
    clock_started_at = models.DateTimeField(null=True)
    info_requests = models.PositiveSmallIntegerField(default=0)
    review_reason = models.CharField(
        max_length=20, choices=ReviewReason.choices, default=ReviewReason.NONE
    )
    decided_by = models.CharField(max_length=8, choices=Party.choices, default="")
    first_decider = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="cases_decided_first"
    )
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.OPEN)
    remedy = models.CharField(max_length=8, choices=Remedy.choices, default=Remedy.NONE)
    remedy_minor = models.BigIntegerField(default=0)
    money = models.CharField(max_length=10, choices=Money.choices, default=Money.NONE)
    final = models.BooleanField(default=False)
    appealed_by = models.CharField(max_length=8, choices=Party.choices, default="")
    denial_appealed = models.BooleanField(default=False)
    buyer_accepted = models.BooleanField(default=False)
    creator_accepted = models.BooleanField(default=False)
    proposed_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, db_index=False, related_name="cases_proposed"
    )
    proposed_step = models.CharField(max_length=24, default="")
    proposed_remedy = models.CharField(max_length=8, choices=Remedy.choices, default="")
    proposed_minor = models.BigIntegerField(default=0)
    frozen_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    if TYPE_CHECKING:  # django-fsm adds these to the class

        def get_available_state_transitions(self) -> Iterable[Any]: ...
        def get_available_user_state_transitions(self, user: Actor) -> Iterable[Any]: ...

    currency: str
    asked_minor: int
    first_decider_id: int | None
    proposed_by_id: int | None
    as_of: datetime
    """The moment by which guards judge: the door takes the database's, a page the clock's."""

    class Meta:
        abstract = True

    def who_could_appeal(self) -> set[Party]:
        """The sides that did not get all they asked for and may still say so."""
        if self.state != DECIDED or self.final:
            return set()
        if self.decided_by == CREATOR:
            return {BUYER}
        if self.appealed_by:
            return set()
        got_all = self.remedy == Remedy.REFUND and self.remedy_minor >= self.asked_minor
        sides = set() if got_all or self.buyer_accepted else {BUYER}
        if self.remedy == Remedy.REFUND and not self.creator_accepted:
            sides.add(CREATOR)
        return sides

    def move(self, row: Any, act: Act) -> None:
        """Take a step by its row, whose guards have just been asked: body, then state.

        Calling the step does the same, but asks the guards again and sends signals.
        """
        row.method(self, act)
        target = row.target
        if hasattr(target, "get_state"):
            target = target.get_state(self, row, None, args=(act,))
        if target is not None:
            Lifecycle.state.field.set_state(self, target)

    def _decide(self, act: Act, *, final: bool) -> None:
        assert act.verdict, "a decision needs a verdict"
        self.remedy, self.remedy_minor = act.verdict.remedy, act.verdict.amount_minor
        self.outcome = Outcome.CREATOR_WON if self.remedy == Remedy.NONE else Outcome.BUYER_WON
        self.decided_by, self.decided_at, self.final = act.actor.party, self.as_of, final
        self.review_reason = ReviewReason.NONE
        self._drop_proposal()

    def _drop_proposal(self) -> None:
        self.proposed_by, self.proposed_step = None, ""
        self.proposed_remedy, self.proposed_minor = "", 0

    # ── Opening ───────────────────────────────────────────────────────────────────────────────────

    @transition(field=state, source=NEW, target=OPEN, permission=by(BUYER),
                custom=effects(_("Open a case"), words=REQUIRED, clock=Clock.NOW, waits_on=SYSTEM,
                               tells=[BUYER], confirms=True))  # fmt: skip
    def open_case(self, act: Act) -> None:
        """The buyer says what went wrong with a payment that is eligible."""

    @transition(field=state, source=[OPEN, AWAITING_CREATOR], target=DECIDED,
                permission=by(SYSTEM), conditions=[time_to_refund, not_frozen],
                custom=effects(_("Refund automatically"), words=REQUIRED, clock=Clock.STOP,
                               waits_on=SYSTEM, tells=BOTH, moves_money=True))  # fmt: skip
    def auto_refund(self, act: Act) -> None:
        """A rule of the creator's matches: the buyer gets what they asked for, with its message."""
        self._decide(act, final=True)

    @transition(field=state, source=OPEN, target=AWAITING_CREATOR, permission=by(SYSTEM),
                conditions=[not_frozen],
                custom=effects(_("Plan a refund"), clock=Clock.DELAY, waits_on=SYSTEM,
                               tells=BOTH))  # fmt: skip
    def plan_refund(self, act: Act) -> None:
        """A rule with a delay matches: the refund follows, unless a side acts before."""

    @transition(field=state, source=AWAITING_CREATOR, target=AWAITING_CREATOR,
                permission=by(CREATOR, SYSTEM, when=[answers_cases]), conditions=[refund_planned],
                custom=effects(_("Cancel the planned refund"), clock=Clock.REST, waits_on=CREATOR,
                               tells=BOTH))  # fmt: skip
    def cancel_refund(self, act: Act) -> None:
        """The creator answers instead; so it is, too, when the rule no longer covers the case."""

    @transition(field=state, source=OPEN, target=AWAITING_CREATOR, permission=by(SYSTEM),
                custom=effects(_("Tell the creator"), clock=Clock.RESPONSE, waits_on=CREATOR,
                               tells=[CREATOR]))  # fmt: skip
    def notify_creator(self, act: Act) -> None:
        """No rule matches: the creator has seven days to answer."""

    # ── Between buyer and creator ─────────────────────────────────────────────────────────────────

    @transition(field=state, source=[AWAITING_CREATOR, MORE_INFO], target=DECIDED,
                permission=by(CREATOR, when=[answers_cases, within_support_limit]),
                conditions=[not_frozen],
                custom=effects(_("Accept and refund"), words=OPTIONAL, clock=Clock.STOP,
                               waits_on=SYSTEM, tells=BOTH, moves_money=True))  # fmt: skip
    def accept(self, act: Act) -> None:
        """The creator gives back what was asked for."""
        self._decide(act, final=True)

    @transition(field=state, source=[AWAITING_CREATOR, MORE_INFO], target=DECIDED,
                permission=by(CREATOR, when=[answers_cases]),
                custom=effects(_("Deny the request"), words=REQUIRED, clock=Clock.APPEAL,
                               waits_on=BUYER, tells=BOTH))  # fmt: skip
    def deny(self, act: Act) -> None:
        """The creator gives nothing back and says why; the buyer may appeal."""
        self._decide(act, final=False)

    @transition(field=state, source=[AWAITING_CREATOR, MORE_INFO], target=MORE_INFO,
                permission=by(CREATOR, when=[answers_cases]), conditions=[may_still_ask],
                custom=effects(_("Request more details"), words=REQUIRED, clock=Clock.RESPONSE,
                               waits_on=BUYER, tells=BOTH))  # fmt: skip
    def request_info(self, act: Act) -> None:
        """The creator asks the buyer for what they need to decide."""
        self.info_requests += 1

    @transition(field=state, source=[MORE_INFO, *IN_REVIEW],
                target=GET_STATE(after_reply, states=[AWAITING_CREATOR, *IN_REVIEW]),
                permission=by(*BOTH, when=[was_asked, answers_cases]),
                custom=effects(_("Answer"), words=REQUIRED, waits_on=next_after_reply, tells=BOTH,
                               clock=clock_after_reply))  # fmt: skip
    def reply(self, act: Act) -> None:
        """The side that was asked answers, and the next in turn gets a fresh clock."""

    @transition(field=state, source=[AWAITING_CREATOR, MORE_INFO], target=ESCALATED,
                permission=by(SYSTEM), conditions=[overdue, answer_due, not_frozen],
                custom=effects(_("Escalate"), clock=Clock.STAFF, waits_on=STAFF,
                               tells=BOTH))  # fmt: skip
    def escalate(self, act: Act) -> None:
        """Seven days went by without the answer that was due."""
        self.review_reason = (
            ReviewReason.BUYER_SILENT if buyer_silent(self) else ReviewReason.CREATOR_SILENT
        )

    @transition(field=state, source=[OPEN, AWAITING_CREATOR, MORE_INFO, ESCALATED], target=CLOSED,
                permission=by(BUYER),
                custom=effects(_("Withdraw the case"), words=OPTIONAL, clock=Clock.STOP,
                               waits_on=NOBODY, tells=BOTH))  # fmt: skip
    def withdraw(self, act: Act) -> None:
        """The buyer ends the case without a decision, for good."""
        self.outcome, self.closed_at = Outcome.WITHDRAWN, self.as_of
        self.review_reason = ReviewReason.NONE
        self._drop_proposal()

    # ── In front of staff ─────────────────────────────────────────────────────────────────────────

    @transition(field=state, source=IN_REVIEW, target=None, permission=by(STAFF, when=[impartial]),
                custom=effects(_("Ask a side"), words=REQUIRED, clock=Clock.RESPONSE, tells=BOTH,
                               waits_on=lambda case: case.waiting_on))  # fmt: skip
    def ask_party(self, act: Act) -> None:
        """Staff ask one side for what they need to decide."""
        assert act.asks in BOTH, "staff ask the buyer or the creator"
        self.waiting_on = act.asks

    @transition(field=state, source=ESCALATED, target=DECIDED, permission=by(SYSTEM),
                conditions=[overdue, buyer_silent, not_frozen],
                custom=effects(_("Decide without the buyer's answer"), clock=Clock.APPEAL,
                               waits_on=next_after_decision, tells=BOTH))  # fmt: skip
    def decide_unanswered(self, act: Act) -> None:
        """The buyer left a question of the staff's unanswered: decided for the creator."""
        self._decide(act, final=False)

    @transition(field=state, source=IN_REVIEW, target=None, permission=by(SYSTEM),
                conditions=[overdue, answer_due, review_goes_on, not_frozen],
                custom=effects(_("Go on without an answer"), clock=Clock.STAFF, waits_on=STAFF,
                               tells=BOTH))  # fmt: skip
    def resume_review(self, act: Act) -> None:
        """A question of the staff's went unanswered: they decide with what there is."""

    @transition(field=state, source=ESCALATED, target=DECIDED, permission=decides,
                conditions=[not_frozen],
                custom=effects(_("Decide"), words=REQUIRED, clock=Clock.APPEAL, tells=BOTH,
                               waits_on=next_after_decision, moves_money=True))  # fmt: skip
    def decide(self, act: Act) -> None:
        """Staff decide and say why; the money is reserved until nobody can appeal any more."""
        self._decide(act, final=False)
        self.first_decider = act.actor.user

    @transition(field=state, source=DECIDED,
                target=GET_STATE(after_appeal, states=[ESCALATED, APPEALED]),
                permission=by(*BOTH, when=[could_appeal, runs_the_company]),
                conditions=[appeal_open, not_frozen],
                custom=effects(_("Appeal"), words=REQUIRED, clock=Clock.STAFF, waits_on=STAFF,
                               tells=BOTH))  # fmt: skip
    def appeal(self, act: Act) -> None:
        """A side that did not get all it asked for calls for a review."""
        if self.decided_by == CREATOR:
            self.denial_appealed, self.review_reason = True, ReviewReason.DENIAL_APPEALED
        else:
            self.appealed_by = act.actor.party
            self.review_reason = ReviewReason.DECISION_APPEALED
        self.outcome = Outcome.OPEN

    @transition(field=state, source=APPEALED, target=DECIDED,
                permission=by(STAFF, when=[impartial, within_agent_limit, did_not_decide_first]),
                conditions=[not_frozen],
                custom=effects(_("Decide for good"), words=REQUIRED, clock=Clock.STOP,
                               waits_on=SYSTEM, tells=BOTH, moves_money=True))  # fmt: skip
    def decide_final(self, act: Act) -> None:
        """Somebody else of the staff decides once more, and that is final."""
        self._decide(act, final=True)

    @transition(field=state, source=APPEALED, target=DECIDED,
                permission=by(STAFF, when=[impartial, handles_money, decided_first]),
                conditions=[not_frozen],
                custom=effects(_("Decide for good, as the only reviewer"), words=REQUIRED,
                               clock=Clock.STOP, waits_on=SYSTEM, tells=BOTH,
                               moves_money=True))  # fmt: skip
    def decide_final_alone(self, act: Act) -> None:
        """The first decider reviews their own decision, because there is nobody else."""
        self._decide(act, final=True)

    @transition(field=state, source=DECIDED, target=DECIDED,
                permission=by(*BOTH, when=[could_appeal, runs_the_company]),
                conditions=[not_final, not_frozen],
                custom=effects(_("Accept the decision"), words=Words.NONE, moves_money=True,
                               clock=clock_after_acceptance,
                               waits_on=next_after_decision, tells=told_when_final))  # fmt: skip
    def accept_decision(self, act: Act) -> None:
        """A side gives up its appeal; when nobody could appeal any more, the decision is final."""
        if act.actor.party == BUYER:
            self.buyer_accepted = True
        else:
            self.creator_accepted = True
        self.final = self.decided_by == CREATOR or not self.who_could_appeal()

    @transition(field=state, source=DECIDED, target=DECIDED, permission=by(SYSTEM),
                conditions=[not_final, overdue, not_frozen],
                custom=effects(_("Make final"), clock=Clock.STOP, waits_on=SYSTEM, moves_money=True,
                               tells=told_when_final))  # fmt: skip
    def finalize(self, act: Act) -> None:
        """The days to appeal are over: what was decided is carried out."""
        self.final = True

    @transition(field=state, source=DECIDED, target=CLOSED, permission=by(SYSTEM),
                conditions=[is_final, money_settled],
                custom=effects(_("Close"), clock=Clock.STOP, waits_on=NOBODY,
                               tells=BOTH))  # fmt: skip
    def close(self, act: Act) -> None:
        """The decision is final and the money, if any, has arrived."""
        self.closed_at = self.as_of

    # ── Money on its way ──────────────────────────────────────────────────────────────────────────

    @transition(field=state, source=[DECIDED, CLOSED], target=None, permission=by(SYSTEM),
                custom=effects(_("Refund sent")))  # fmt: skip
    def refund_sent(self, act: Act) -> None:
        """The provider has taken the refund."""
        self.money = Money.SENT

    @transition(field=state, source=[DECIDED, CLOSED], target=None, permission=by(SYSTEM),
                custom=effects(_("Refund arrived"), waits_on=next_after_arrival))  # fmt: skip
    def refund_arrived(self, act: Act) -> None:
        """The provider says that the money arrived."""
        self.money = Money.ARRIVED

    @transition(field=state, source=[DECIDED, CLOSED], target=None, permission=by(SYSTEM),
                custom=effects(_("Refund failed"), clock=Clock.STAFF, waits_on=STAFF,
                               tells=BOTH))  # fmt: skip
    def refund_failed(self, act: Act) -> None:
        """The refund will not arrive: staff see to it."""
        self.money = Money.FAILED

    @transition(field=state, source=[DECIDED, CLOSED], target=None, conditions=[money_failed],
                permission=by(STAFF, when=[impartial, handles_money]),
                custom=effects(_("Try the refund again"), clock=Clock.STOP, waits_on=SYSTEM,
                               tells=BOTH, moves_money=True))  # fmt: skip
    def retry_refund(self, act: Act) -> None:
        """Finance send the refund once more, as a new refund."""
        self._drop_proposal()

    @transition(field=state, source=[DECIDED, CLOSED], target=None, conditions=[money_failed],
                permission=by(STAFF, when=[impartial, handles_money]),
                custom=effects(_("Give credits instead"), words=REQUIRED, clock=Clock.STOP,
                               waits_on=SYSTEM, tells=BOTH, moves_money=True))  # fmt: skip
    def credit_instead(self, act: Act) -> None:
        """Finance give credits because the refund cannot be made."""
        self.remedy = Remedy.CREDIT
        self._drop_proposal()

    @transition(field=state, source=[DECIDED, CLOSED], target=None, conditions=[money_failed],
                permission=by(STAFF, when=[impartial, handles_money]),
                custom=effects(_("Mark as paid by hand"), words=REQUIRED, clock=Clock.STOP,
                               waits_on=SYSTEM, tells=BOTH))  # fmt: skip
    def mark_paid(self, act: Act) -> None:
        """Finance paid outside the provider, and note the reference."""
        self.money = Money.BY_HAND
        self._drop_proposal()

    # ── Over the amount that one person may move ──────────────────────────────────────────────────

    @transition(field=state, source=[*IN_REVIEW, DECIDED, CLOSED], target=None,
                permission=by(STAFF, when=[impartial, may_propose]),
                conditions=[decidable, not_frozen],
                custom=effects(_("Propose"), words=REQUIRED, staff_only=True))  # fmt: skip
    def propose(self, act: Act) -> None:
        """Staff say what they would decide; finance approve it by deciding the same."""
        assert act.verdict, "a proposal needs a verdict"
        self.proposed_by, self.proposed_step = act.actor.user, act.proposes
        self.proposed_remedy, self.proposed_minor = act.verdict.remedy, act.verdict.amount_minor

    @transition(field=state, source=[*IN_REVIEW, DECIDED, CLOSED], target=None,
                permission=by(STAFF, when=[impartial, may_decline]), conditions=[proposal_stands],
                custom=effects(_("Decline the proposal"), words=REQUIRED,
                               staff_only=True))  # fmt: skip
    def decline_proposal(self, act: Act) -> None:
        """Finance say no and why, or whoever proposed it takes it back."""
        self._drop_proposal()

    # ── From outside ──────────────────────────────────────────────────────────────────────────────

    @transition(field=state, source=NOT_CLOSED, target=CLOSED, permission=by(SYSTEM),
                custom=effects(_("Void"), clock=Clock.STOP, waits_on=NOBODY, tells=BOTH,
                               moves_money=True))  # fmt: skip
    def void(self, act: Act) -> None:
        """The payment was refunded or charged back elsewhere: nothing is left to decide."""
        self.outcome, self.closed_at, self.final = Outcome.VOID, self.as_of, True
        self.remedy, self.remedy_minor = Remedy.NONE, 0
        self.review_reason = ReviewReason.NONE
        self._drop_proposal()

    @transition(field=state, source=NOT_CLOSED, target=None, permission=by(SYSTEM),
                conditions=[not_frozen], custom=effects(_("Freeze"), tells=BOTH))  # fmt: skip
    def freeze(self, act: Act) -> None:
        """A chargeback is open on the payment: clocks stop, nothing refunds."""
        self.frozen_at = self.as_of

    @transition(field=state, source=NOT_CLOSED, target=None, permission=by(SYSTEM),
                conditions=[frozen],
                custom=effects(_("Resume"), tells=BOTH))  # fmt: skip
    def resume(self, act: Act) -> None:
        """The bank ruled for the creator: clocks go on where they stopped."""
        if self.due_at and self.frozen_at:
            self.due_at += self.as_of - self.frozen_at
        self.frozen_at = None

    # ── Talking ───────────────────────────────────────────────────────────────────────────────────

    @transition(field=state, source=NOT_CLOSED, target=None,
                permission=by(BUYER, CREATOR, STAFF, when=[answers_cases, impartial]),
                custom=effects(_("Comment"), words=REQUIRED, tells=BOTH))  # fmt: skip
    def comment(self, act: Act) -> None:
        """Anybody of the case adds a message; it answers no question and moves no clock."""

    @transition(field=state, source=ANYWHERE, target=None, permission=by(SYSTEM),
                custom=effects(_("Refuse a file"), tells=BOTH))  # fmt: skip
    def refuse_file(self, act: Act) -> None:
        """The virus scanner found something in a file that was sent: it is not passed on."""

    @transition(field=state, source=ANYWHERE, target=None, permission=by(SYSTEM),
                custom=effects(_("Remove files")))  # fmt: skip
    def remove_files(self, act: Act) -> None:
        """Files are kept no longer: their time is over, or whoever sent them was erased."""

    @transition(field=state, source=ANYWHERE, target=None, permission=by(STAFF, when=[impartial]),
                custom=effects(_("Internal note"), words=REQUIRED, staff_only=True))  # fmt: skip
    def note(self, act: Act) -> None:
        """Staff write something down that neither side sees."""
