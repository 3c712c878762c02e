"""The credits ledger: double entry, append-only. Credits cost the creator nothing.

`grant` gives credits in place of a payment's money. `adjust` changes them by hand: finance say why,
and over the limit for one person somebody else of finance approves.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum, Window
from django.utils.translation import gettext as _

from marketplace import clock
from marketplace.models import User
from payments.models import (
    CreditAccount,
    CreditAdjustment,
    CreditEntry,
    CreditTransfer,
    Payment,
)
from payments.money import format_money, limit_in
from payments.refunds import OverRefund

State = CreditAdjustment.State


class AdjustmentRefused(Exception):
    """Credits cannot be changed like that; the text says why, to whoever tried."""


def grant(
    payment: Payment, amount_minor: int, *, key: str, cause: str, note: str, about: str = ""
) -> CreditTransfer:
    """Credit the payment's buyer with `amount_minor`, out of the platform's goodwill budget, once.

    The same key answers with the booking that it made the first time. Runs inside the caller's
    transaction. Raises OverRefund when the payment has less than that left to give back.
    """
    known = CreditTransfer.objects.filter(key=key).first()
    if known:
        return known
    with transaction.atomic():
        left = F("amount_minor") - F("refunded_minor") - F("reserved_minor") - F("credited_minor")
        booked = (
            Payment.objects.filter(pk=payment.pk)
            .alias(left=left)
            .filter(left__gte=amount_minor)
            .update(credited_minor=F("credited_minor") + amount_minor)
        )
        if not booked or amount_minor <= 0:
            raise OverRefund(_("The payment has less than that left to give back."))
        transfer = CreditTransfer.objects.create(
            key=key, cause=cause, payment=payment, note=note, about=about
        )
        _book(transfer, account_of(payment.buyer, payment.currency), amount_minor)
    return transfer


def account_of(user: User, currency: str) -> CreditAccount:
    """A buyer's account in one currency, opened at its first use."""
    account, _ = CreditAccount.objects.get_or_create(
        kind=CreditAccount.Kind.BUYER, user=user, currency=currency
    )
    return account


def _book(transfer: CreditTransfer, buyer: CreditAccount, amount_minor: int) -> None:
    """Put the amount on the buyer's account and take it from the goodwill budget."""
    goodwill, _ = CreditAccount.objects.get_or_create(
        kind=CreditAccount.Kind.GOODWILL, user=None, currency=buyer.currency
    )
    CreditEntry.objects.bulk_create(
        [
            CreditEntry(transfer=transfer, account=buyer, amount_minor=amount_minor),
            CreditEntry(transfer=transfer, account=goodwill, amount_minor=-amount_minor),
        ]
    )


# ── By hand ───────────────────────────────────────────────────────────────────────────────────────


def takes_two(amount_minor: int, currency: str) -> bool:
    """Whether so much, given or taken, is more than one person may change alone."""
    return abs(amount_minor) > limit_in(currency, settings.SECOND_APPROVAL_LIMIT)


def adjust(
    user: User, currency: str, amount_minor: int, *, reason: str, by: User, form_key: UUID
) -> CreditAdjustment:
    """Give credits, or take them back, for a reason that the buyer reads; once for each form.

    Over the limit for one person nothing is booked yet: the adjustment waits for somebody else.
    Raises AdjustmentRefused for more than the buyer has, for one's own credits, and for somebody
    who is not of finance.
    """
    with transaction.atomic():
        account = _locked(account_of(user, currency).pk)
        known = CreditAdjustment.objects.filter(form_key=form_key).first()
        if known:
            return known
        _check(account, amount_minor, by)
        adjustment = CreditAdjustment(
            form_key=form_key, account=account, amount_minor=amount_minor, reason=reason,
            asked_by=by,
        )  # fmt: skip
        if not takes_two(amount_minor, currency):
            _settle(adjustment)
        adjustment.save(force_insert=True)
    return adjustment


def approve(adjustment_id: int, by: User) -> CreditAdjustment:
    """Book an adjustment that somebody else of finance has asked for; raises AdjustmentRefused."""
    with transaction.atomic():
        adjustment = _waiting(adjustment_id)
        if adjustment.asked_by_id == by.pk:
            raise AdjustmentRefused(_("You asked for this yourself: somebody else approves it."))
        _check(adjustment.account, adjustment.amount_minor, by)
        _settle(adjustment)
        adjustment.settled_by = by
        adjustment.save()
    return adjustment


def decline(adjustment_id: int, by: User, note: str) -> CreditAdjustment:
    """End an adjustment that waits, without a booking; raises AdjustmentRefused."""
    with transaction.atomic():
        adjustment = _waiting(adjustment_id)
        _check_person(adjustment.account, by)
        adjustment.state, adjustment.note = State.DECLINED, note
        adjustment.settled_by, adjustment.settled_at = by, clock.now()
        adjustment.save()
    return adjustment


def _locked(account_id: int) -> CreditAccount:
    """The account, locked: who changes its balance by hand waits here for one another."""
    return CreditAccount.objects.select_for_update(no_key=True).get(pk=account_id)


def _waiting(adjustment_id: int) -> CreditAdjustment:
    """The adjustment, with its account locked, if it still waits."""
    account_id = CreditAdjustment.objects.values_list("account_id", flat=True).get(pk=adjustment_id)
    account = _locked(account_id)
    adjustment = CreditAdjustment.objects.select_related("settled_by").get(pk=adjustment_id)
    if not adjustment.is_waiting:
        who = adjustment.settled_by.name if adjustment.settled_by else "Somebody"
        raise AdjustmentRefused(
            _("{who} was faster: it is {lower} already.").format(
                who=who, lower=adjustment.get_state_display().lower()
            )
        )
    adjustment.account = account
    return adjustment


def _check_person(account: CreditAccount, by: User) -> None:
    if by.staff_role != User.StaffRole.FINANCE:
        raise AdjustmentRefused(_("Only finance change credits."))
    if account.user_id == by.pk:
        raise AdjustmentRefused(_("These are your own credits: a colleague sees to them."))


def _check(account: CreditAccount, amount_minor: int, by: User) -> None:
    _check_person(account, by)
    held = balance(account)
    if held + amount_minor < 0:
        most = format_money(held, account.currency)
        raise AdjustmentRefused(
            _("The buyer has {most} in credits: no more can be taken back.").format(most=most)
        )


def _settle(adjustment: CreditAdjustment) -> None:
    """Book an adjustment; who approved it, if it took two, is for the caller to say."""
    adjustment.transfer = CreditTransfer.objects.create(
        key=f"{adjustment.public_id}:adjustment",
        cause=adjustment.public_id,
        note=adjustment.reason,
    )
    _book(adjustment.transfer, adjustment.account, adjustment.amount_minor)
    adjustment.state, adjustment.settled_at = State.BOOKED, clock.now()


# ── What there is ─────────────────────────────────────────────────────────────────────────────────


def balance(account: CreditAccount) -> int:
    """What is on one account, in minor units."""
    return account.entries.aggregate(total=Sum("amount_minor"))["total"] or 0


def balances(user: User) -> Sequence[tuple[str, int]]:
    """The buyer's credits as (currency, minor units), a row for each currency ever credited."""
    rows = (
        CreditEntry.objects.filter(account__kind=CreditAccount.Kind.BUYER, account__user=user)
        .values_list("account__currency")
        .annotate(total=Sum("amount_minor"))
        .order_by("account__currency")
    )
    return list(rows)


def statement(user: User) -> QuerySet[Any]:
    """Every entry on the buyer's credits, newest first.

    Its `balance_minor` is what the account of that currency held once it was booked.
    """
    return (
        CreditEntry.objects.filter(account__kind=CreditAccount.Kind.BUYER, account__user=user)
        .annotate(
            balance_minor=Window(
                Sum("amount_minor"), partition_by=F("account_id"), order_by=F("id").asc()
            )
        )
        .select_related("transfer__payment__product", "account")
        .order_by("-id")
    )
