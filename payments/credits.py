"""The credits ledger: double entry, append-only. Credits cost the creator nothing."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, QuerySet, Sum

from marketplace.models import User
from payments.models import CreditAccount, CreditEntry, CreditTransfer, Payment
from payments.refunds import OverRefund


def grant(
    payment: Payment, amount_minor: int, *, key: str, cause: str, note: str
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
            raise OverRefund("The payment has less than that left to give back.")
        transfer = CreditTransfer.objects.create(key=key, cause=cause, payment=payment, note=note)
        buyer, _ = CreditAccount.objects.get_or_create(
            kind=CreditAccount.Kind.BUYER, user_id=payment.buyer_id, currency=payment.currency
        )
        goodwill, _ = CreditAccount.objects.get_or_create(
            kind=CreditAccount.Kind.GOODWILL, user=None, currency=payment.currency
        )
        CreditEntry.objects.bulk_create(
            [
                CreditEntry(transfer=transfer, account=buyer, amount_minor=amount_minor),
                CreditEntry(transfer=transfer, account=goodwill, amount_minor=-amount_minor),
            ]
        )
    return transfer


def balances(user: User) -> Sequence[tuple[str, int]]:
    """The buyer's credits as (currency, minor units), a row for each currency ever credited."""
    rows = (
        CreditEntry.objects.filter(account__kind=CreditAccount.Kind.BUYER, account__user=user)
        .values_list("account__currency")
        .annotate(total=Sum("amount_minor"))
        .order_by("account__currency")
    )
    return list(rows)


def statement(user: User) -> QuerySet[CreditEntry]:
    """Every booking on the buyer's credits, newest first."""
    return (
        CreditEntry.objects.filter(account__kind=CreditAccount.Kind.BUYER, account__user=user)
        .select_related("transfer__payment__product", "account")
        .order_by("-id")
    )
