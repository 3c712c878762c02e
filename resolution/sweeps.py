"""What the system does by itself: finds cases whose time or news has come, and takes their steps.

Every rule is the lifecycle's and every change goes through the door of `cases`. All of it is safe
to run at any time, any number of times, from any number of workers.
"""

from collections.abc import Sequence

from django.db.models import F, Q

from marketplace import clock
from payments.models import Payment, Refund
from resolution import rules
from resolution.cases import BATCH, CaseChanged, is_open, take_step, take_step_on_all
from resolution.models import Case
from resolution.terms import BOTH, SYSTEM, Act, Money, Party, Remedy, State


def advance(case_ids: Sequence[int]) -> None:
    """Take whatever step of the system's is due on these cases. Safe to call at any time."""
    cases = list(Case.objects.filter(pk__in=case_ids))
    if _triage([case.pk for case in cases if case.state == State.OPEN]):
        cases = list(Case.objects.filter(pk__in=case_ids))
    now = clock.database_now()
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
    for step, cases in found.items():
        ids = list(cases.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])
        done += len(take_step_on_all(ids, step))
    return done


def _triage(case_ids: Sequence[int]) -> int:
    """Refund new cases that a rule covers, and hand the others to their creators."""
    if not case_ids:
        return 0
    cases = Case.objects.filter(pk__in=case_ids).select_related(
        "payment", "buyer", "product", "company"
    )
    by_company = rules.rules_by_company(case.company_id for case in cases)
    matched = {
        case.pk: rule
        for case in cases
        if (rule := rules.first_match(case, by_company.get(case.company_id, ())))
        and case.payment.refundable_minor > 0
        and case.payment.chargeback != Payment.Chargeback.OPEN
    }

    def answer(case: Case) -> Act:
        rule = matched[case.pk]
        amount = min(case.asked_minor, case.payment.refundable_minor)
        message = rules.fill_in(rule.message, rules.values_for(case, amount))
        named = {"id": rule.pk, "version": rule.version, "name": rule.name}
        return Act(SYSTEM, message=message, facts={"rule": named})

    done = take_step_on_all(list(matched), "auto_refund", answer)
    others = [pk for pk in case_ids if pk not in matched]
    return len(done) + len(take_step_on_all(others, "notify_creator"))


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
