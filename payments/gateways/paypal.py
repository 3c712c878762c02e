"""Refunds through PayPal, with `paypalrestsdk` as transport only.

A payment is a *capture* of the v2 API or, if it is old, a *sale* of the v1 API. What v1 says is put
into v2's words as soon as it is read, so the rest of the file knows one vocabulary.

PayPal's facts that this file rests on: `PayPal-Request-Id` is kept for 45 days (by v1 for 30), and
a repeat answers with the latest state; a refund without an amount returns all that is left, so it
is always sent; refunds are not listed by capture or sale, but the order names them with their
`custom_id`, the payment of a sale with their ids. A capture without an order, or a sale without a
payment (of a billing agreement), has no list at all.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import quote, urlsplit

import paypalrestsdk
import requests
from django.utils.translation import gettext_noop
from paypalrestsdk import exceptions as sdk_errors

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
    Unlisted,
)
from payments.gateways.connection import never_left, retry_after
from payments.gateways.units import paypal_decimals
from payments.money import exponent, to_decimal

logger = logging.getLogger(__name__)

STATES: Final[Mapping[str, RefundState]] = {
    "PENDING": "pending",
    "COMPLETED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}

RULINGS: Final[Mapping[str, BankState]] = {
    "RESOLVED_BUYER_FAVOUR": "lost",
    "RESOLVED_WITH_PAYOUT": "lost",
    "ACCEPTED": "lost",
    "RESOLVED_SELLER_FAVOUR": "won",
    "CANCELED_BY_BUYER": "won",
    "DENIED": "won",
    "NONE": "won",
}
"""How a resolved dispute ended; a payout may have gone to the buyer, so it counts as theirs."""

REFUSALS: Final[Mapping[str, str]] = {
    "CAPTURE_FULLY_REFUNDED": gettext_noop("PayPal has already returned all of this payment."),
    "REFUND_AMOUNT_EXCEEDED": gettext_noop(
        "PayPal has less than that left to return of this payment."
    ),
    "TRANSACTION_DISPUTED": gettext_noop("A case on this payment is open at PayPal."),
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": gettext_noop(
        "The buyer's bank has charged this payment back."
    ),
    "REFUND_TIME_LIMIT_EXCEEDED": gettext_noop("PayPal no longer refunds a payment this old."),
    "DECIMALS_NOT_SUPPORTED": gettext_noop("PayPal takes no decimals in this currency."),
    "TRANSACTION_ALREADY_REFUNDED": gettext_noop(
        "PayPal has already returned all of this payment."
    ),
    "REFUND_EXCEEDED_TRANSACTION_AMOUNT": gettext_noop("PayPal has less than that left to return."),
}
"""Refusals in our words; any other 4xx that names an issue is final too, in PayPal's words."""

OF_A_SALE: Final = ("PAY-", "PAYID-")
"""How the v1 payments begin that sales belong to; orders of v2 have no such mark."""

TOKEN_MARGIN = 60.0
"""Seconds before its end at which an access token is no longer used."""


class Transport(paypalrestsdk.Api):
    """The SDK's transport, made safe for threads, time-outs, refused tokens and broken answers.

    Raises the SDK's errors for answers that are no 2xx (400 included), `requests` errors for calls
    that got none, ValueError for a 2xx that is no JSON object, and Unavailable when there is no
    access token to be had.
    """

    def __init__(
        self, client_id: str, client_secret: str, endpoint: str, timeout: tuple[float, float]
    ) -> None:
        # Any mode but "live" logs headers and bodies, secrets included.
        super().__init__(
            mode="live",
            endpoint=endpoint.rstrip("/"),
            client_id=client_id,
            client_secret=client_secret,
        )
        self._timeout = timeout
        self._token_lock = threading.Lock()
        self._token: dict[str, Any] | None = None
        self._token_ends = 0.0
        self._local = threading.local()

    def get_token_hash(
        self,
        authorization_code: str | None = None,
        refresh_token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The access token of this process; one call gets it for all threads that wait for it."""
        with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends:
                asked_at = time.monotonic()
                self._token = self._new_token()
                lifetime = float(self._token.get("expires_in", 0))
                self._token_ends = asked_at + lifetime - TOKEN_MARGIN
            return self._token

    def _new_token(self) -> dict[str, Any]:
        """Ask for an access token; whatever fails here, no refund was asked for yet."""
        try:
            token = self.http_call(
                f"{self.token_endpoint}/v1/oauth2/token",
                "POST",
                data="grant_type=client_credentials",
                headers={
                    "Authorization": f"Basic {self.basic_auth()}",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "User-Agent": self.user_agent,
                },
            )
        except sdk_errors.ConnectionError as error:
            status, headers = error.response.status_code, error.response.headers
            refused = status in (400, 401, 403)
            if refused:
                tally.add("provider_refusals", provider="paypal")
            raise Unavailable(
                "PayPal does not accept our credentials." if refused else "PayPal gives no token.",
                retry_after(headers),
                alert=refused,
            ) from error
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(gettext_noop("PayPal gives no token.")) from error
        if not isinstance(token.get("access_token"), str):
            raise Unavailable(gettext_noop("PayPal gives no token."))
        return token

    def _forget(self, token: dict[str, Any]) -> None:
        with self._token_lock:
            if self._token is token:
                self._token = None

    def request(
        self,
        url: str,
        method: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        refresh_token: str | None = None,
    ) -> dict[str, Any]:
        """Make one call, with a fresh token and once more if PayPal refuses the one we had."""
        token = self.get_token_hash()
        try:
            return self._authorized(token, url, method, body, headers)
        except sdk_errors.UnauthorizedAccess:
            self._forget(token)
        return self._authorized(self.get_token_hash(), url, method, body, headers)

    def _authorized(
        self,
        token: dict[str, Any],
        url: str,
        method: str,
        body: object,
        headers: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        return self.http_call(
            url,
            method,
            data=None if body is None else json.dumps(body),
            headers={
                "Authorization": f"Bearer {token['access_token']}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": self.user_agent,
                **(headers or {}),
            },
        )

    def http_call(self, url: str, method: str, **kwargs: Any) -> dict[str, Any]:
        """Send over this thread's connection; follows no redirect and waits no longer than told."""
        if getattr(self._local, "session", None) is None:
            self._local.session = requests.Session()
        response = self._local.session.request(
            method,
            url,
            proxies=self.proxies,
            timeout=self._timeout,
            allow_redirects=False,
            **kwargs,
        )
        logger.info("PayPal answered %s to %s %s", response.status_code, method, urlsplit(url).path)
        answer = self.handle_response(response, response.content.decode("utf-8", "replace"))
        if not isinstance(answer, dict):
            raise ValueError("PayPal's answer is not a JSON object.")  # noqa: TRY004
        return answer


class PayPalGateway:
    """PayPal, reached over one transport; safe to share between threads."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        api_base: str = "https://api-m.paypal.com",
        *,
        timeout: tuple[float, float] = (3.0, 20.0),
    ) -> None:
        self._api = Transport(client_id, client_secret, api_base, timeout)

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back of a capture or a sale; see `Gateway.refund`."""
        value = to_paypal_value(request.amount_minor, request.currency)
        currency = request.currency.upper()
        body: dict[str, object]
        try:
            of_a_sale = self._is_sale(request)
        except Unknown as error:
            # Nothing was asked for yet.
            raise Unavailable(error.message, error.retry_after, alert=error.alert) from error
        if of_a_sale:
            path = f"v1/payments/sale/{quote(request.charge_id, safe='')}/refund"
            body = {
                "amount": {"total": value, "currency": currency},
                "invoice_number": request.refund_id,
            }
        else:
            path = f"v2/payments/captures/{quote(request.charge_id, safe='')}/refund"
            body = {
                "amount": {"value": value, "currency_code": currency},
                "custom_id": request.refund_id,
            }
            if request.note:
                body["note_to_payer"] = request.note[:255]
        headers = {
            "PayPal-Request-Id": request.idempotency_key,
            "Prefer": "return=representation",
        }
        try:
            said = self._api.post(path, body, headers=headers)
        except (sdk_errors.ConnectionError, requests.RequestException, ValueError) as error:
            raise _verdict(error) from error
        return _answer(in_v2_words(said), request)

    def find(self, request: RefundRequest) -> RefundAnswer | None:
        """Look for our id through the refunds of the payment's order, or of the sale's payment."""
        for refund in self._refunds_of(request):
            if refund.get("custom_id") == request.refund_id:
                return _answer(refund, request)
        return None

    def fetch(self, provider_id: str, request: RefundRequest) -> RefundAnswer:
        """The latest state of a refund that PayPal has."""
        of_a_sale = self._is_sale(request)
        path = "v1/payments/refund" if of_a_sale else "v2/payments/refunds"
        return _answer(in_v2_words(self._look(f"{path}/{quote(provider_id, safe='')}")), request)

    def refunds_of(self, charge: Charge) -> list[RefundSeen]:
        """Every refund of the capture or sale: as listed, or else what we have heard of."""
        try:
            return [_seen(refund) for refund in self._refunds_of(charge)]
        except Unlisted:
            return self._heard_of(charge)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("PayPal's answer could not be read.") from error

    def _heard_of(self, charge: Charge) -> list[RefundSeen]:
        """Those of the refunds that we have heard of which PayPal has, of this capture or sale."""
        of_a_sale = self._is_sale(charge)
        path = "v1/payments/refund" if of_a_sale else "v2/payments/refunds"
        named = sorted(charge.heard_of)
        found = [self._look_if_there(f"{path}/{quote(name, safe='')}") for name in named]
        try:
            return [
                _seen(in_v2_words(said))
                for said in found
                if said and (said["sale_id"] if of_a_sale else capture_of(said)) == charge.charge_id
            ]
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("PayPal's answer could not be read.") from error

    def chargebacks_of(self, charge: Charge) -> Chargebacks:
        """What has become of the disputes over the capture, PayPal's own and the banks'."""
        listed = self._look(
            f"v1/customer/disputes?page_size=50&disputed_transaction_id="
            f"{quote(charge.charge_id, safe='')}"
        )
        try:
            each = [self._dispute(dispute, charge) for dispute in listed.get("items") or []]
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("PayPal's answer could not be read.") from error
        return Chargebacks.over(each)

    def _dispute(self, listed: Mapping[str, Any], charge: Charge) -> tuple[BankState, int]:
        """The state and the sum of one dispute; only the dispute itself says how it ended."""
        if listed["status"] != "RESOLVED":
            return "open", 0
        whole = self._look(f"v1/customer/disputes/{quote(listed['dispute_id'], safe='')}")
        ruling = RULINGS.get((whole.get("dispute_outcome") or {}).get("outcome_code", ""))
        if ruling is None:
            raise Unknown("PayPal's dispute ended in a way that we do not know.", alert=True)
        return ruling, _minor(whole["dispute_amount"], charge.currency)

    def _is_sale(self, charge: RefundRequest | Charge) -> bool:
        """Whether v1 is to be asked; PayPal says it of a payment that came without its order."""
        if charge.order_id:
            return charge.order_id.startswith(OF_A_SALE)
        name = quote(charge.charge_id, safe="")
        return (
            self._look_if_there(f"v2/payments/captures/{name}") is None
            and self._look_if_there(f"v1/payments/sale/{name}") is not None
        )

    def _refunds_of(self, charge: RefundRequest | Charge) -> list[Mapping[str, Any]]:
        """The refunds of one capture or sale, in v2's words; raises Unlisted where none are."""
        try:
            if self._is_sale(charge):
                return self._refunds_of_sale(charge)
            return self._refunds_of_capture(charge)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("PayPal's answer could not be read.") from error

    def _refunds_of_capture(self, charge: RefundRequest | Charge) -> list[Mapping[str, Any]]:
        """The refunds of the capture's order, without those of its other captures."""
        order_id = charge.order_id or self._order_of(charge.charge_id)
        order = self._look(f"v2/checkout/orders/{quote(order_id, safe='')}")
        payments = [unit.get("payments", {}) for unit in order["purchase_units"]]
        captures = [capture["id"] for held in payments for capture in held.get("captures", [])]
        refunds = [refund for held in payments for refund in held.get("refunds", [])]
        if charge.charge_id not in captures:
            raise Unknown(f"PayPal's order {order_id} does not name our capture.", alert=True)
        if len(captures) == 1:
            return refunds
        return [refund for refund in refunds if capture_of(refund) == charge.charge_id]

    def _refunds_of_sale(self, charge: RefundRequest | Charge) -> list[Mapping[str, Any]]:
        """The refunds of the sale's payment; our id stands only in each refund itself."""
        payment_id = charge.order_id
        if not payment_id:
            sale = self._look(f"v1/payments/sale/{quote(charge.charge_id, safe='')}")
            payment_id = sale.get("parent_payment") or ""
        if not payment_id:
            raise Unlisted(f"PayPal keeps no list of the refunds of sale {charge.charge_id}.")
        payment = self._look(f"v1/payments/payment/{quote(payment_id, safe='')}")
        held = [row for part in payment["transactions"] for row in part["related_resources"]]
        sales = [row["sale"]["id"] for row in held if "sale" in row]
        if charge.charge_id not in sales:
            raise Unknown(f"PayPal's payment {payment_id} does not name our sale.", alert=True)
        refunds = [
            row["refund"]
            for row in held
            if "refund" in row
            and row["refund"].get("sale_id", sales[0] if len(sales) == 1 else "")
            == charge.charge_id
        ]
        return [
            in_v2_words(
                refund
                if "invoice_number" in refund
                else self._look(f"v1/payments/refund/{quote(refund['id'], safe='')}")
            )
            for refund in refunds
        ]

    def _order_of(self, charge_id: str) -> str:
        """The order that a capture belongs to, from its related ids or its `up` link."""
        capture = self._look(f"v2/payments/captures/{quote(charge_id, safe='')}")
        related = capture.get("supplementary_data", {}).get("related_ids", {}).get("order_id")
        if related:
            return str(related)
        for link in capture.get("links", []):
            # Only the id is taken from the link: its host is not ours to follow.
            head, _, order_id = urlsplit(link.get("href", "")).path.rpartition("/")
            if link.get("rel") == "up" and order_id and head.endswith("/v2/checkout/orders"):
                return order_id
        raise Unlisted(f"PayPal keeps no list of the refunds of capture {charge_id}.")

    def _look_if_there(self, path: str) -> dict[str, Any] | None:
        """Read something, or None where PayPal says that there is no such thing."""
        try:
            return self._look(path)
        except Unknown as error:
            if isinstance(error.__cause__, sdk_errors.ResourceNotFound):
                return None
            raise

    def _look(self, path: str) -> dict[str, Any]:
        """Read something; raises Unknown whatever goes wrong, as it tells nothing of a refund."""
        try:
            found: dict[str, Any] = self._api.get(path)
        except (sdk_errors.ConnectionError, requests.RequestException, ValueError) as error:
            verdict = _verdict(error)
            hopeless = isinstance(verdict, Declined)
            raise Unknown(
                verdict.message, verdict.retry_after, alert=verdict.alert or hopeless
            ) from error
        except Unavailable as error:
            raise Unknown(error.message, error.retry_after, alert=error.alert) from error
        return found


def to_paypal_value(minor: int, currency: str) -> str:
    """Our minor units as PayPal writes them: `79.00`, and `1200` where it takes no decimals.

    Raises Declined for a fraction of a currency that has none at PayPal, though it has in ISO.
    """
    value = to_decimal(minor, currency)
    if paypal_decimals(currency):
        return f"{value:f}"
    if value != value.to_integral_value():
        raise Declined("DECIMALS_NOT_SUPPORTED", REFUSALS["DECIMALS_NOT_SUPPORTED"])
    return f"{value.to_integral_value():f}"


def capture_of(refund: Mapping[str, Any]) -> str:
    """The capture that a refund is of, by its `up` link; empty when it names none."""
    for link in refund.get("links") or []:
        # Only the id is taken from the link: its host is not ours to follow.
        head, _, capture_id = urlsplit(link.get("href", "")).path.rpartition("/")
        if link.get("rel") == "up" and head.endswith("/v2/payments/captures"):
            return capture_id
    return ""


def in_v2_words(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A refund as v2 writes it, whichever of the two wrote it; of v1's, a sum may be negative."""
    if "state" not in said:
        return said
    amount = said.get("amount") or {}
    return {
        "id": said.get("id"),
        "status": str(said["state"]).upper(),
        "status_details": {"reason": said.get("reason_code") or ""},
        "amount": {
            "value": str(amount.get("total", "")).removeprefix("-"),
            "currency_code": amount.get("currency", ""),
        },
        "custom_id": said.get("invoice_number") or "",
    }


def _minor(amount: Mapping[str, str], currency: str) -> int:
    """Minor units of an amount as PayPal writes it; raises ValueError or ArithmeticError."""
    minor = Decimal(amount["value"]).scaleb(exponent(currency))
    if amount["currency_code"] != currency.upper() or minor != minor.to_integral_value():
        raise ValueError(f"{amount['value']} {amount['currency_code']} is not in {currency}.")
    return int(minor)


def _seen(said: Mapping[str, Any]) -> RefundSeen:
    """A refund as PayPal lists it."""
    currency = said["amount"]["currency_code"]
    return RefundSeen(
        answer=_read(said),
        amount_minor=_minor(said["amount"], currency),
        currency=currency,
        refund_id=str(said.get("custom_id") or ""),
    )


def _answer(said: Mapping[str, Any], request: RefundRequest) -> RefundAnswer:
    """What a refund at PayPal means to us; raises Unknown for one that is not what was asked."""
    answer = _read(said)
    amount = said.get("amount") or {}
    try:
        same_value = Decimal(amount.get("value", "")) == to_decimal(
            request.amount_minor, request.currency
        )
    except (InvalidOperation, TypeError, ValueError):
        same_value = False
    if not same_value or amount.get("currency_code") != request.currency.upper():
        raise Unknown(f"PayPal's refund {said['id']} has other terms than ours.", alert=True)
    return answer


def _read(said: Mapping[str, Any]) -> RefundAnswer:
    """The state of a refund in our words; raises Unknown for one that is not known."""
    state = STATES.get(str(said.get("status")))
    if state is None or not said.get("id"):
        raise Unknown("PayPal's answer names no state that we know.", alert=True)
    reason = (said.get("status_details") or {}).get("reason") or ""
    ended_badly = state in ("failed", "canceled")
    return RefundAnswer(
        provider_id=str(said["id"]),
        state=state,
        failure_code=(reason or state) if ended_badly else "",
        failure_message=gettext_noop("PayPal could not send the money.") if ended_badly else "",
        pending_reason=reason if state == "pending" else "",
    )


def _verdict(error: Exception) -> GatewayError:
    """Which of the three errors a failed call is."""
    if isinstance(error, requests.RequestException):
        if never_left(error):
            return Unavailable(gettext_noop("PayPal cannot be reached."))
        return Unknown(gettext_noop("The connection to PayPal broke before its answer."))
    if not isinstance(error, sdk_errors.ConnectionError):
        return Unknown("PayPal's answer could not be read.")
    status, wait = error.response.status_code, retry_after(error.response.headers)
    if status == 429:
        return Unavailable(gettext_noop("PayPal asks us to slow down."), wait)
    if status in (401, 403):
        tally.add("provider_refusals", provider="paypal")
        return Unavailable(
            gettext_noop("PayPal does not accept our credentials."), wait, alert=True
        )
    if 300 <= status < 400:
        return Unavailable("PayPal's address has moved.", wait, alert=True)
    if status == 409:
        return Unknown(gettext_noop("PayPal is still working on this refund."), wait)
    issue = _issue(error.content)
    if 400 <= status < 500 and issue is not None:
        return Declined(*issue)
    return Unknown(f"PayPal answered with an error that tells nothing ({status}).", wait)


def _issue(content: str) -> tuple[str, str] | None:
    """The code and sentence of PayPal's refusal; None when the body is not one of its errors."""
    try:
        body = json.loads(content)
        details = body.get("details") or [{}]
        issue = details[0].get("issue") or ""
        # The issues of v2 are codes, those of v1 sentences.
        code = issue if issue.isupper() else body["name"]
        message = details[0].get("description") or body.get("message") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return str(code), REFUSALS.get(code) or str(message) or "PayPal refused the refund."
