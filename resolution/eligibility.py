"""Which payments a case can be opened for, and the sentence that says why one cannot."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketplace.models import User
from payments.models import Payment


class NotEligible(Exception):
    """No case can be opened for this payment; the text says why, to the buyer."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def filing_ends_at(payment: Payment) -> datetime:
    """The last moment at which a case can be opened for the payment."""
    return payment.paid_at + timedelta(days=settings.FILING_DAYS)


def check(payment: Payment, buyer: User, *, now: datetime, has_case: bool) -> None:
    """Raise NotEligible unless `buyer` may open a case for `payment` at `now`.

    A pure check of what is given: under a lock for the truth, without one for a page.
    """
    if payment.buyer_id != buyer.pk:
        raise NotEligible("not_yours", _("This payment isn’t yours."))
    if has_case:
        raise NotEligible("has_case", _("This payment already has a case. Each can have one."))
    if payment.processor == Payment.Processor.CRYPTO:
        raise NotEligible(
            "crypto", _("Crypto payments can’t be reversed, so a case can’t refund them.")
        )
    if payment.processor == Payment.Processor.COINBASE:
        raise NotEligible(
            "coinbase",
            _("Coinbase Commerce payments can’t be reversed, so a case can’t refund them."),
        )
    if payment.processor not in Payment.REVERSIBLE:
        raise NotEligible(
            "processor", _("Only payments made through Stripe or PayPal can have a case.")
        )
    if payment.chargeback == Payment.Chargeback.OPEN:
        raise NotEligible(
            "chargeback", _("Your bank is already looking into this payment, so it decides.")
        )
    if payment.chargeback == Payment.Chargeback.LOST:
        raise NotEligible("charged_back", _("Your bank already returned this payment to you."))
    if payment.refunded_minor >= payment.amount_minor:
        raise NotEligible("refunded", _("This payment was already refunded in full."))
    if payment.refundable_minor <= 0:
        raise NotEligible("refunding", _("All of this payment is already on its way back to you."))
    if now > filing_ends_at(payment):
        raise NotEligible(
            "expired",
            ngettext(
                "The {days} day to open a case for this payment is over.",
                "The {days} days to open a case for this payment are over.",
                settings.FILING_DAYS,
            ).format(days=settings.FILING_DAYS),
        )


def why_not(payment: Payment, buyer: User, *, now: datetime, has_case: bool) -> NotEligible | None:
    """The reason why a case cannot be opened, or None when it can."""
    try:
        check(payment, buyer, now=now, has_case=has_case)
    except NotEligible as reason:
        return reason
    return None
