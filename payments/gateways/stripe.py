"""Refunds through Stripe, by its own SDK.

Stripe's facts that this file rests on: an idempotency key answers the same for a day, errors of its
own (500) included; other parameters under a known key are refused; refunds are listed by charge or
payment intent, never by metadata; amounts are in Stripe's units, which are not ISO's throughout.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import stripe
from django.utils.translation import gettext_noop
from stripe.params import DisputeListParams, RefundCreateParams, RefundListParams

from marketplace import tally
from payments.gateways import (
    BankState,
    Charge,
    Chargebacks,
    Declined,
    GatewayError,
    RefundAnswer,
    RefundRequest,
    RefundSeen,
    RefundState,
    Unavailable,
    Unknown,
)
from payments.gateways.connection import never_left, retry_after
from payments.gateways.units import smallest_step, stripe_decimals
from payments.money import exponent

STATES: Final[Mapping[str, RefundState]] = {
    "pending": "pending",
    "requires_action": "requires_action",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}

CHARGEBACKS: Final[Mapping[str, BankState]] = {
    "needs_response": "open",
    "under_review": "open",
    "appeal_needs_response": "open",
    "appeal_under_review": "open",
    "won": "won",
    "lost": "lost",
    # The bank only asks: no money has moved, and a refund is what settles it.
    "warning_needs_response": "",
    "warning_under_review": "",
    "warning_closed": "",
    "prevented": "",
}

FAILURES: Final[Mapping[str, str]] = {
    "charge_for_pending_refund_disputed": gettext_noop(
        "The buyer disputed the charge at their bank."
    ),
    "declined": gettext_noop("The buyer's bank declined the refund."),
    "expired_or_canceled_card": gettext_noop("The card has expired or was canceled."),
    "insufficient_funds": gettext_noop("There was not enough money in the account to refund from."),
    "lost_or_stolen_card": gettext_noop("The card was reported lost or stolen."),
    "merchant_request": gettext_noop("It was canceled on request."),
}
NO_REASON: Final = gettext_noop("Stripe could not send the money.")
"""Our words are kept in English, and told in the reader's language: `Refund.why_not`."""


class StripeGateway:
    """Stripe, reached over one client; safe to share between threads."""

    def __init__(
        self,
        api_key: str,
        api_base: str = "https://api.stripe.com",
        *,
        timeout: tuple[float, float] = (3.0, 20.0),
        retries_of_reads: int = 2,
    ) -> None:
        self._retries_of_reads = retries_of_reads
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base.rstrip("/")},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout),
        )
        self._refunds, self._disputes = client.v1.refunds, client.v1.disputes

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back; see `Gateway.refund`.

        The SDK is not let to retry: its last error would hide what an earlier attempt has done.
        """
        params: RefundCreateParams = {
            "amount": to_stripe_units(request.amount_minor, request.currency),
            "metadata": {"refund_id": request.refund_id},
            "reason": "requested_by_customer",
        }
        _name_charge(params, request)
        options = self._options(request, retries=0)
        options["idempotency_key"] = request.idempotency_key
        try:
            return _answer(self._refunds.create(params, options), request)
        except stripe.StripeError as error:
            raise _verdict(error) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Unknown("Stripe's answer could not be read.") from error

    def find(self, request: RefundRequest) -> RefundAnswer | None:
        """Look through all refunds of the charge, to the last page, for our id."""
        params: RefundListParams = {"limit": 100}
        _name_charge(params, request)
        try:
            page = self._refunds.list(params, self._options(request, self._retries_of_reads))
            for refund in page.auto_paging_iter():
                metadata = refund.to_dict().get("metadata") or {}
                if metadata.get("refund_id") == request.refund_id:
                    return _answer(refund, request)
        except stripe.StripeError as error:
            raise _look_failed(error) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Unknown("Stripe's answer could not be read.") from error
        return None

    def fetch(self, provider_id: str, request: RefundRequest) -> RefundAnswer:
        """The latest state of a refund that Stripe has."""
        try:
            options = self._options(request, self._retries_of_reads)
            return _answer(self._refunds.retrieve(provider_id, options=options), request)
        except stripe.StripeError as error:
            raise _look_failed(error) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Unknown("Stripe's answer could not be read.") from error

    def refunds_of(self, charge: Charge) -> list[RefundSeen]:
        """Every refund of the charge, to the last page."""
        params: RefundListParams = {"limit": 100}
        _name_charge(params, charge)
        try:
            page = self._refunds.list(params, self._options(charge, self._retries_of_reads))
            return [_seen(refund.to_dict()) for refund in page.auto_paging_iter()]
        except stripe.StripeError as error:
            raise _look_failed(error) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("Stripe's answer could not be read.") from error

    def chargebacks_of(self, charge: Charge) -> Chargebacks:
        """What has become of the charge's disputes; an inquiry of the bank is none."""
        params: DisputeListParams = {"limit": 100}
        _name_charge(params, charge)
        try:
            page = self._disputes.list(params, self._options(charge, self._retries_of_reads))
            return Chargebacks.over(
                (
                    CHARGEBACKS[dispute.status],
                    from_stripe_units(dispute.amount, dispute.currency),
                )
                for dispute in page.auto_paging_iter()
            )
        except stripe.StripeError as error:
            raise _look_failed(error) from error
        except KeyError as error:
            raise Unknown("Stripe's dispute is in no state that we know.", alert=True) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Unknown("Stripe's answer could not be read.") from error

    def _options(self, request: RefundRequest | Charge, retries: int) -> stripe.RequestOptions:
        options: stripe.RequestOptions = {"max_network_retries": retries}
        if request.account:
            options["stripe_account"] = request.account
        return options


def to_stripe_units(minor: int, currency: str) -> int:
    """Our minor units in Stripe's: the same but for a few (ISK and UGX have two decimals there).

    Raises Declined for an amount that Stripe has no whole number for, and for thousandths that are
    no whole hundredths: of the currencies with three decimals Stripe takes the last as 0 only.
    """
    shift = _digits_apart(currency)
    if shift >= 0:
        units, rest = minor * 10**shift, minor % smallest_step("stripe", currency)
    else:
        units, rest = divmod(minor, 10**-shift)
    if rest:
        code = currency.upper()
        raise Declined("amount_not_representable", f"Stripe has no such fraction of {code}.")
    return units


def from_stripe_units(units: int, currency: str) -> int:
    """Stripe's units in our minor ones; raises ValueError for a fraction that ours have not."""
    shift = _digits_apart(currency)
    if shift <= 0:
        return int(units * 10**-shift)
    minor, rest = divmod(units, 10**shift)
    if rest:
        raise ValueError(f"{units} of Stripe's units are no whole number of {currency.upper()}.")
    return int(minor)


def _digits_apart(currency: str) -> int:
    """How many more decimals Stripe counts in than ISO does."""
    return stripe_decimals(currency) - exponent(currency)


def _name_charge(
    params: RefundCreateParams | RefundListParams | DisputeListParams,
    request: RefundRequest | Charge,
) -> None:
    """Say which charge is meant; Stripe takes a charge and a payment intent by its own name."""
    if request.charge_id.startswith("pi_"):
        params["payment_intent"] = request.charge_id
    else:
        params["charge"] = request.charge_id


def _answer(refund: stripe.Refund, request: RefundRequest) -> RefundAnswer:
    """What a refund at Stripe means to us; raises Unknown for one that is not what was asked."""
    said = refund.to_dict()
    answer = _read(said)
    asked = (to_stripe_units(request.amount_minor, request.currency), request.currency.lower())
    if (said.get("amount"), said.get("currency")) != asked:
        raise Unknown(f"Stripe's refund {said['id']} has other terms than ours.", alert=True)
    return answer


def _seen(said: Mapping[str, Any]) -> RefundSeen:
    """A refund as Stripe lists it."""
    return RefundSeen(
        answer=_read(said),
        amount_minor=from_stripe_units(said["amount"], said["currency"]),
        currency=said["currency"].upper(),
        refund_id=str((said.get("metadata") or {}).get("refund_id") or ""),
    )


def _read(said: Mapping[str, Any]) -> RefundAnswer:
    """The state of a refund in our words; raises Unknown for one that is not known."""
    state = STATES.get(said.get("status") or "")
    if state is None or not said.get("id"):
        raise Unknown("Stripe's answer names no state that we know.", alert=True)
    ended_badly = state in ("failed", "canceled")
    code = (said.get("failure_reason") or state) if ended_badly else ""
    return RefundAnswer(
        provider_id=said["id"],
        state=state,
        failure_code=code,
        failure_message=FAILURES.get(code, NO_REASON) if code else "",
        pending_reason=(said.get("pending_reason") or "") if state == "pending" else "",
    )


def _verdict(error: stripe.StripeError) -> GatewayError:
    """Which of the three errors a failed refund call is."""
    if isinstance(error, stripe.APIConnectionError):
        if never_left(error.__cause__):
            return Unavailable(gettext_noop("Stripe cannot be reached."))
        return Unknown(gettext_noop("The connection to Stripe broke before its answer."))
    wait = retry_after(cast("Mapping[str, str]", error.headers))
    if isinstance(error, stripe.RateLimitError):
        return Unavailable(gettext_noop("Stripe asks us to slow down."), wait)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        tally.add("provider_refusals", provider="stripe")
        return Unavailable(gettext_noop("Stripe does not accept our key."), wait, alert=True)
    if isinstance(error, stripe.IdempotencyError):
        return Unknown(gettext_noop("Stripe knows this key with other terms."), wait, alert=True)
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError):
        return Declined(
            error.code or (error.error.type if error.error else None) or "invalid_request_error",
            error.user_message or gettext_noop("Stripe refused the refund."),
        )
    if error.http_status == 409:
        return Unknown(gettext_noop("Stripe is still working on this refund."), wait)
    return Unknown(f"Stripe answered with an error of its own ({error.http_status}).", wait)


def _look_failed(error: stripe.StripeError) -> Unknown:
    """The same for a look-up, which says nothing of the refund whatever became of the look."""
    found = _verdict(error)
    hopeless = isinstance(found, Declined)
    return Unknown(found.message, found.retry_after, alert=found.alert or hopeless)
