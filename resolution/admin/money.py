"""Everything about money that waits for somebody here, on one page.

Refunds that failed, what needs a second person, refunds that a provider keeps waiting, and books
that differ. Nothing of a decision's money is lost as long as it is on this page or has arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace.models import User
from payments.models import CreditAdjustment, Discrepancy, ProviderEvent, Refund
from payments.money import format_money
from resolution.forms.decisions import RetryForm
from resolution.lifecycle import takes_two
from resolution.models import Case
from resolution.terms import Money, Remedy

SHOWN = 50
LONG = timedelta(days=3)
"""A refund that has been handed over for so long is worth a look, though nothing is wrong yet."""


@dataclass(frozen=True)
class Task:
    """One row: what it is about, what has happened, and where it is seen to.

    `retry` sends a failed refund again from here, to `retry_href`, where one person may do that.
    """

    href: str
    title: str
    ref: str
    amount: str
    what: str
    since: Any
    tag: str = ""
    retry: RetryForm | None = None

    @property
    def retry_href(self) -> str:
        case = self.retry.case if self.retry else None
        return reverse("admin:resolution_case_act", args=[case.public_id, "retry"]) if case else ""


@dataclass(frozen=True)
class Tasks:
    """Tasks of one kind: as many as fit on the page, and how many there are."""

    id: str
    title: str
    about: str
    rows: Sequence[Task]
    count: int
    more_href: str = ""


def failed(user: User) -> Tasks:
    """Refunds that failed for good, or gave way: to be sent again, credited, or paid by hand."""
    found = (
        Case.objects.needs_staff()
        .filter(money=Money.FAILED)
        .select_related("refund", "buyer", "company", "proposed_by")
        .order_by("due_at", "pk")
    )
    rows = [
        Task(
            href=f"{_case(case)}#money",
            title=_("{buyer} and {company}").format(
                buyer=case.buyer.name, company=case.company.name
            ),
            ref=case.public_id,
            amount=format_money(case.remedy_minor, case.currency),
            what=_why_failed(case),
            since=case.clock_started_at,
            tag=_answered(case, user),
            retry=_retry(case, user),
        )
        for case in found[:SHOWN]
    ]
    queue = reverse("admin:resolution_case_changelist", query={"why": "refund"})
    about = _("Send it again, give credits instead, or pay by hand and note the reference.")
    return Tasks("failed", _("Refunds that failed"), about, rows, found.count(), queue)


def proposed(user: User) -> Tasks:
    """Decisions and credits that one person has proposed: somebody else says yes or no."""
    found = (
        Case.objects.needs_staff()
        .exclude(proposed_by=None)
        .select_related("buyer", "company", "proposed_by")
        .order_by("due_at", "pk")
    )
    rows = [
        Task(
            href=f"{_case(case)}#proposal",
            title=_("{buyer} and {company}").format(
                buyer=case.buyer.name, company=case.company.name
            ),
            ref=case.public_id,
            amount=format_money(case.proposed_minor, case.currency),
            what=_answered(case, user),
            since=case.updated_at,
        )
        for case in found[:SHOWN]
    ]
    adjustments = CreditAdjustment.objects.filter(state=CreditAdjustment.State.WAITING)
    named = adjustments.select_related("account__user", "asked_by").order_by("pk")
    for adjustment in named[:SHOWN]:
        buyer = adjustment.account.user
        assert buyer, "only buyers' credits are adjusted"
        what = (
            _("You asked for it: {reason}").format(reason=adjustment.reason)
            if adjustment.asked_by_id == user.pk
            else _("{asked_by} asked for it: {reason}").format(
                asked_by=adjustment.asked_by.name, reason=adjustment.reason
            )
        )
        rows.append(
            Task(
                href=reverse("admin:payments_creditaccount_of", args=[buyer.public_id]),
                title=_("Credits of {buyer}").format(buyer=buyer.name),
                ref=adjustment.public_id,
                amount=format_money(adjustment.amount_minor, adjustment.account.currency),
                what=what,
                since=adjustment.asked_at,
            )
        )
    count = found.count() + adjustments.count()
    queue = reverse("admin:resolution_case_changelist", query={"why": "second"})
    about = _("Over the limit for one person: somebody else of finance approves or declines.")
    return Tasks("proposed", _("Needs a second person"), about, rows, count, queue)


def kept_waiting() -> "QuerySet[Refund]":
    """Refunds that waiting alone does not help: a refused key, an answer nobody understands."""
    return Refund.objects.filter(alert=True, state__in=Refund.IN_FLIGHT)


def waiting() -> Tasks:
    """Those, with what the provider said."""
    found = kept_waiting().select_related("payment__company").order_by("pk")
    rows = [_of_refund(refund, refund.why_it_waits) for refund in found[:SHOWN]]
    about = _("Nothing is lost: each goes out by itself once its cause is mended.")
    refunds = reverse("admin:payments_refund_changelist", query={"alert__exact": "1"})
    return Tasks("waiting", _("Refunds that wait for us"), about, rows, found.count(), refunds)


def slow() -> Tasks:
    """Refunds that the provider has had for days."""
    found = (
        Refund.objects.filter(
            state__in=Refund.IN_FLIGHT, alert=False, first_sent_at__lt=timezone.now() - LONG
        )
        .select_related("payment__company")
        .order_by("first_sent_at")
    )
    rows = [_of_refund(refund, _how_far(refund)) for refund in found[:SHOWN]]
    about = ngettext(
        "Handed over more than {days} day ago and not yet arrived. Banks can take ten.",
        "Handed over more than {days} days ago and not yet arrived. Banks can take ten.",
        LONG.days,
    ).format(days=LONG.days)
    return Tasks("slow", _("Long under way"), about, rows, found.count())


def differing() -> Tasks:
    """Books that differ from the provider's."""
    found = (
        Discrepancy.objects.filter(gone_at=None, settled_at=None)
        .select_related("payment")
        .order_by("pk")
    )
    rows = [
        Task(
            href=reverse("admin:payments_discrepancy_change", args=[row.pk]),
            title=row.get_kind_display(),
            ref=row.payment.public_id,
            amount=format_money(row.payment.amount_minor, row.payment.currency),
            what=row.detail,
            since=row.found_at,
        )
        for row in found[:SHOWN]
    ]
    about = _("Our books and a provider’s say different things. Settle each with a note.")
    return Tasks(
        "differing", _("Discrepancies"), about, rows, found.count(),
        reverse("admin:payments_discrepancy_changelist", query={"standing": "open"}),
    )  # fmt: skip


def stuck_events() -> int:
    """How many of the providers' events could not be handled yet."""
    return ProviderEvent.objects.filter(processed_at=None).exclude(error="").count()


def _case(case: Case) -> str:
    return reverse("admin:resolution_case_change", args=[case.public_id])


def _why_failed(case: Case) -> str:
    told = case.refund.why_not if case.refund else ""
    return told or _("The provider gave no reason.")


def _retry(case: Case, user: User) -> RetryForm | None:
    """The form to send a refund again, for one of finance; a large sum takes two, on its page."""
    alone = not takes_two(case.remedy_minor, case.currency) and case.proposed_by_id is None
    return RetryForm(case) if alone and user.staff_role == User.StaffRole.FINANCE else None


PROPOSED = {
    "retry_refund": _lazy("{name} proposed to send it again"),
    "credit_instead": _lazy("{name} proposed credits instead"),
    "mark_paid": _lazy("{name} proposed to pay by hand"),
}
DECIDED = {
    Remedy.REFUND: _lazy("{name} proposed a refund"),
    Remedy.CREDIT: _lazy("{name} proposed credits"),
    Remedy.NONE: _lazy("{name} proposed no refund"),
}
MINE = {
    "retry_refund": _lazy("You proposed to send it again"),
    "credit_instead": _lazy("You proposed credits instead"),
    "mark_paid": _lazy("You proposed to pay by hand"),
}
MINE_DECIDED = {
    Remedy.REFUND: _lazy("You proposed a refund"),
    Remedy.CREDIT: _lazy("You proposed credits"),
    Remedy.NONE: _lazy("You proposed no refund"),
}


def _answered(case: Case, user: User) -> str:
    """Who proposed what; nothing where nobody did."""
    if case.proposed_by is None:
        return ""
    mine = case.proposed_by_id == user.pk
    after_failure, decided = (MINE, MINE_DECIDED) if mine else (PROPOSED, DECIDED)
    said = after_failure.get(case.proposed_step) or decided[Remedy(case.proposed_remedy)]
    return str(said).format(name=case.proposed_by.name)


def _how_far(refund: Refund) -> str:
    if not refund.provider_id:
        return _("No clear answer yet: it is looked for before it is asked for again.")
    waits_for = refund.failure_code.replace("_", " ").lower()
    has_it = _("The provider has it.")
    return f"{has_it} ({waits_for})" if waits_for else has_it


def _of_refund(refund: Refund, what: str) -> Task:
    return Task(
        href=reverse("admin:payments_refund_change", args=[refund.pk]),
        title=_("{processor} refund of {company}").format(
            processor=refund.payment.get_processor_display(), company=refund.payment.company.name
        ),
        ref=refund.public_id,
        amount=format_money(refund.amount_minor, refund.currency),
        what=what,
        since=refund.created_at,
    )
