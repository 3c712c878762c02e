"""What the system does by itself: finds cases whose time or news has come, and takes their steps.

Every rule is the lifecycle's and every change goes through the door of `cases`. All of it is safe
to run at any time, any number of times, from any number of workers.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.db.models import F, Q

from marketplace import clock
from payments.models import Payment, Refund
from resolution import rules
from resolution.cases import BATCH, CaseChanged, is_open, take_step, take_step_on_all
from resolution.lifecycle import refund_planned
from resolution.models import Case, CaseQuerySet, Rule, RuleUse
from resolution.terms import BOTH, SYSTEM, Act, Money, Party, Remedy, State


def advance(case_ids: Sequence[int]) -> None:
    """Take whatever step of the system's is due on these cases. Safe to call at any time."""
    cases = list(Case.objects.filter(pk__in=case_ids))
    if _triage([case.pk for case in cases if case.state == State.OPEN]):
        cases = list(Case.objects.filter(pk__in=case_ids))
    now = clock.database_now()
    for case in cases:
        case.as_of = now
    _carry_out_plans([c.pk for c in cases if refund_planned(c) and is_open(c, "auto_refund")])
    for step in ("escalate", "decide_unanswered", "resume_review", "finalize", "close"):
        due = []
        for case in cases:
            case.as_of = now
            if is_open(case, step):
                due.append(case.pk)
        if take_step_on_all(due, step):
            cases = list(Case.objects.filter(pk__in=case_ids))


def sweep(limit: int = 5 * BATCH) -> int:
    """Find every case on which a step of the system's is due, and take it; answer how many."""
    now = clock.database_now()
    due = Case.objects.filter(frozen_at=None, due_at__lte=now).exclude(state=State.CLOSED)
    asked = due.filter(waiting_on__in=BOTH)
    found = {
        "escalate": asked.filter(state__in=[State.AWAITING_CREATOR, State.MORE_INFO]),
        "decide_unanswered": asked.filter(state=State.ESCALATED, waiting_on=Party.BUYER),
        "resume_review": asked.filter(state__in=[State.ESCALATED, State.APPEALED]),
        "finalize": due.filter(state=State.DECIDED, final=False),
        "close": Case.objects.filter(state=State.DECIDED, final=True).filter(
            Q(remedy=Remedy.NONE) | Q(money__in=[Money.ARRIVED, Money.BY_HAND])
        ),
    }
    done = _triage(list(due.filter(state=State.OPEN).values_list("pk", flat=True)[:limit]))
    planned = _planned().filter(due_at__lte=now, frozen_at=None).order_by("due_at", "pk")
    done += _carry_out_plans(list(planned.values_list("pk", flat=True)[:limit]))
    for step, cases in found.items():
        ids = list(cases.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])
        done += len(take_step_on_all(ids, step))
    return done


def _planned() -> CaseQuerySet:
    """The cases whose refund a rule has put off."""
    return Case.objects.filter(state=State.AWAITING_CREATOR, waiting_on=Party.SYSTEM)


def _triage(case_ids: Sequence[int]) -> int:
    """Refund new cases that a rule covers, now or later, and hand the others to their creators."""
    if not case_ids:
        return 0
    with_rules = Rule.objects.filter(enabled=True).values("company")
    asked = Case.objects.filter(pk__in=case_ids, company__in=with_rules)
    covered = set(asked.values_list("pk", flat=True))
    triage = _Triage()
    done = take_step_on_all(sorted(covered), "auto_refund", triage.refunds)
    done += take_step_on_all(list(triage.later), "plan_refund", triage.plans)
    left = [pk for pk in case_ids if pk not in covered] + list(triage.left)
    done += take_step_on_all(left, "notify_creator", triage.others)
    rules.switch_off_where_troubled(
        ruling.rule.pk for ruling in triage.left.values() if ruling and ruling.turned_away
    )
    return len(done)


class _Triage:
    """What is done to new cases of companies with rules.

    `later` are those whose rule waits with the refund; `left` those that none covers, or that a
    limit turns away. A case that somebody else holds is in neither, and waits for the next sweep.
    """

    def __init__(self) -> None:
        self.later: dict[int, rules.Ruling] = {}
        self.left: dict[int, rules.Ruling | None] = {}

    def refunds(self, cases: Sequence[Case]) -> Mapping[int, Act]:
        return self._acts(cases, delayed=False)

    def plans(self, cases: Sequence[Case]) -> Mapping[int, Act]:
        return self._acts(cases, delayed=True)

    def _acts(self, cases: Sequence[Case], *, delayed: bool) -> Mapping[int, Act]:
        rulings = rules.rulings(cases, clock.database_now())
        acts = {}
        for case in cases:
            ruling = rulings.get(case.pk)
            if ruling is None or ruling.turned_away:
                self.left[case.pk] = ruling
            elif bool(ruling.rule.delay_hours) != delayed:
                self.later[case.pk] = ruling
            else:
                acts[case.pk] = _plan(ruling) if delayed else _refund(case, ruling)
        return acts

    def others(self, cases: Sequence[Case]) -> Mapping[int, Act]:
        """Hand a case to its creator, and say so where a limit of a rule turned it away."""
        turned = {pk: ruling for pk, ruling in self.left.items() if ruling}
        known = {rule.pk for rule in rules.hold(pk__in={r.rule.pk for r in turned.values()})}
        acts = dict.fromkeys([case.pk for case in cases], Act(SYSTEM))
        for pk, ruling in turned.items():
            if ruling.rule.pk in known:
                acts[pk] = Act(SYSTEM, facts=ruling.facts | {"turned_away": ruling.turned_away})
        return acts


def _refund(case: Case, ruling: rules.Ruling) -> Act:
    message = rules.fill_in(ruling.rule.message, rules.values_for(case, ruling.amount_minor))
    return Act(SYSTEM, message=message, facts=ruling.facts)


def _plan(ruling: rules.Ruling) -> Act:
    return Act(SYSTEM, wait=timedelta(hours=ruling.rule.delay_hours), facts=ruling.facts)


def _carry_out_plans(case_ids: Sequence[int]) -> int:
    """Refund where a rule planned it and still covers the case; hand the others to the creators."""
    lapsed: list[int] = []

    def acts(cases: Sequence[Case]) -> Mapping[int, Act]:
        standing = rules.planned_rulings(cases)
        with_bank = Payment.Chargeback.OPEN
        lapsed.extend(
            case.pk
            for case in cases
            if case.pk not in standing and case.payment.chargeback != with_bank
        )
        return {case.pk: _refund(case, standing[case.pk]) for case in cases if case.pk in standing}

    if not case_ids:
        return 0
    done = take_step_on_all(case_ids, "auto_refund", acts)
    return len(done) + len(take_step_on_all(lapsed, "cancel_refund"))


def notice_refund(case_id: int) -> None:
    """Write on the timeline how far the case's refund has come. Safe to call at any time."""
    case = Case.objects.select_related("refund").get(pk=case_id)
    step = _news_of_refund(case)
    if step and case.refund:
        facts = {
            "refund": case.refund.public_id,
            "amount_minor": case.refund.amount_minor,
            "currency": case.currency,
            "way_back": case.payment.way_back,
        }
        if step == "refund_failed":
            facts["failure"] = case.refund.failure_message or case.refund.failure_code
        try:
            take_step(case, step, SYSTEM, facts=facts, seen_version=case.version)
        except CaseChanged:
            return
        if step == "refund_failed":
            uses = RuleUse.objects.filter(case=case, rule__isnull=False)
            rules.switch_off_where_troubled(uses.values_list("rule", flat=True))
        notice_refund(case_id)


def _news_of_refund(case: Case) -> str | None:
    """The step that the timeline lacks, given the refund's state."""
    refund = case.refund
    if refund is None or case.remedy != Remedy.REFUND or not case.final:
        return None
    state = refund.state
    handed_over = bool(refund.provider_id) or state == Refund.State.SUCCEEDED
    if case.money == Money.REQUESTED and handed_over:
        return "refund_sent"
    if case.money == Money.SENT and state == Refund.State.SUCCEEDED:
        return "refund_arrived"
    if state in (Refund.State.FAILED, Refund.State.CANCELED) and case.money in (
        Money.REQUESTED,
        Money.SENT,
        Money.ARRIVED,
    ):
        return "refund_failed"
    return None


def with_news_of_refunds(limit: int = BATCH) -> list[int]:
    """Ids of cases whose refund has come further than their timeline tells."""
    handed = Case.objects.filter(money=Money.REQUESTED, remedy=Remedy.REFUND).exclude(
        refund__provider_id="", refund__state__in=Refund.RESERVING
    )
    arrived = Case.objects.filter(money=Money.SENT, refund__state=Refund.State.SUCCEEDED)
    failed = Case.objects.filter(
        money__in=[Money.REQUESTED, Money.SENT, Money.ARRIVED],
        remedy=Remedy.REFUND,
        refund__state__in=[Refund.State.FAILED, Refund.State.CANCELED],
    )
    ids = handed.values_list("pk") | arrived.values_list("pk") | failed.values_list("pk")
    return [pk for (pk,) in ids[:limit]]


def notice_payment(case_id: int) -> None:
    """Do what has become of the payment outside of its case calls for. Safe to call at any time.

    Refunded in full or taken back by the bank voids the case; while the bank looks into it the case
    is frozen, and when it rules for the creator the case goes on.
    """
    case = Case.objects.select_related("payment", "refund").get(pk=case_id)
    step, why = _news_of_payment(case)
    if step:
        facts = {"why": why} if why else {}
        try:
            take_step(case, step, SYSTEM, facts=facts, seen_version=case.version)
        except CaseChanged:
            notice_payment(case_id)


def _news_of_payment(case: Case) -> tuple[str, str]:
    """The step that the case lacks, given its payment, and for which reason; both may be empty."""
    bank = case.payment.chargeback
    if case.state == State.CLOSED:
        return "", ""
    if bank == Payment.Chargeback.LOST:
        return ("", "") if _is_being_paid(case) else ("void", "charged_back")
    if _is_refunded_without(case):
        return ("", "") if _is_being_paid(case) else ("void", "refunded")
    if bank == Payment.Chargeback.OPEN and not case.frozen_at:
        return "freeze", ""
    if bank == Payment.Chargeback.WON and case.frozen_at:
        return "resume", ""
    return "", ""


PAID = (Money.SENT, Money.ARRIVED, Money.BY_HAND)


def _is_being_paid(case: Case) -> bool:
    """What the case gives has been given, or the provider has it: it runs its course."""
    handed_over = (Refund.State.SUBMITTING, Refund.State.REQUIRES_ACTION, Refund.State.SUCCEEDED)
    return case.money in PAID or (case.refund is not None and case.refund.state in handed_over)


def _is_refunded_without(case: Case) -> bool:
    """All of the payment has arrived back at the buyer, none of it by this case."""
    if case.payment.refunded_minor < case.payment.amount_minor:
        return False
    arrived = case.payment.refunds.filter(state=Refund.State.SUCCEEDED)
    others = arrived.exclude(pk=case.refund_id or 0)
    return sum(refund.amount_minor for refund in others) >= case.payment.amount_minor


def with_news_of_payments(limit: int = BATCH) -> list[int]:
    """Ids of cases that do not say yet what has become of their payment elsewhere."""
    running = Case.objects.exclude(state=State.CLOSED)
    bank = Payment.Chargeback
    elsewhere = Refund.objects.filter(elsewhere=True, state=Refund.State.SUCCEEDED)
    found = (
        running.filter(payment__chargeback=bank.OPEN, frozen_at=None),
        running.filter(payment__chargeback=bank.WON, frozen_at__isnull=False),
        running.filter(payment__chargeback=bank.LOST).exclude(money__in=PAID),
        running.filter(
            payment__in=elsewhere.values("payment"),
            payment__refunded_minor=F("payment__amount_minor"),
        ).exclude(money__in=PAID),
    )
    return list({pk for cases in found for pk in cases.values_list("pk", flat=True)[:limit]})
