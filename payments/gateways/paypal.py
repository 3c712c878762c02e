"""Refunds through PayPal's v2 API, with `paypalrestsdk` as transport only.

PayPal's facts that this file rests on: `PayPal-Request-Id` is kept for 45 days, and a repeat
answers with the latest state; a refund without an amount returns all that is left, so it is always
sent; refunds are not listed by capture, but the order names them with their `custom_id`.
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
from paypalrestsdk import exceptions as sdk_errors

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
    "CAPTURE_FULLY_REFUNDED": "PayPal has already returned all of this payment.",
    "REFUND_AMOUNT_EXCEEDED": "PayPal has less than that left to return of this payment.",
    "TRANSACTION_DISPUTED": "A case on this payment is open at PayPal.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "The buyer's bank has charged this payment back.",
    "REFUND_TIME_LIMIT_EXCEEDED": "PayPal no longer refunds a payment this old.",
    "DECIMALS_NOT_SUPPORTED": "PayPal takes no decimals in this currency.",
}
"""Refusals in our words; any other 4xx that names an issue is final too, in PayPal's words."""

WITHOUT_DECIMALS: Final = frozenset({"HUF", "JPY", "TWD"})
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
            raise Unavailable(
                "PayPal does not accept our credentials." if refused else "PayPal gives no token.",
                retry_after(headers),
                alert=refused,
            ) from error
        except (requests.RequestException, ValueError) as error:
            raise Unavailable("PayPal gives no token.") from error
        if not isinstance(token.get("access_token"), str):
            raise Unavailable("PayPal gives no token.")
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
        """Give money back of a capture; see `Gateway.refund`."""
        body: dict[str, object] = {
            "amount": {
                "value": to_paypal_value(request.amount_minor, request.currency),
                "currency_code": request.currency.upper(),
            },
            "custom_id": request.refund_id,
        }
        if request.note:
            body["note_to_payer"] = request.note[:255]
        try:
            said = self._api.post(
                f"v2/payments/captures/{quote(request.charge_id, safe='')}/refund",
                body,
                headers={
                    "PayPal-Request-Id": request.idempotency_key,
                    "Prefer": "return=representation",
                },
            )
        except (sdk_errors.ConnectionError, requests.RequestException, ValueError) as error:
            raise _verdict(error) from error
        return _answer(said, request)

    def find(self, request: RefundRequest) -> RefundAnswer | None:
        """Look through the refunds of the payment's order for our id."""
        for refund in self._refunds_of(request):
            if refund.get("custom_id") == request.refund_id:
                return _answer(refund, request)
        return None

    def fetch(self, provider_id: str, request: RefundRequest) -> RefundAnswer:
        """The latest state of a refund that PayPal has."""
        return _answer(self._look(f"v2/payments/refunds/{quote(provider_id, safe='')}"), request)

    def refunds_of(self, charge: Charge) -> list[RefundSeen]:
        """Every refund of the capture, as its order lists them."""
        try:
            return [_seen(refund) for refund in self._refunds_of(charge)]
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

    def _refunds_of(self, charge: RefundRequest | Charge) -> list[Mapping[str, Any]]:
        """The refunds of the capture's order, without those of its other captures."""
        order_id = charge.order_id or self._order_of(charge.charge_id)
        order = self._look(f"v2/checkout/orders/{quote(order_id, safe='')}")
        try:
            payments = [unit.get("payments", {}) for unit in order["purchase_units"]]
            captures = [capture["id"] for held in payments for capture in held.get("captures", [])]
            refunds = [refund for held in payments for refund in held.get("refunds", [])]
            if charge.charge_id not in captures:
                raise Unknown(f"PayPal's order {order_id} does not name our capture.", alert=True)
            if len(captures) == 1:
                return refunds
            return [refund for refund in refunds if capture_of(refund) == charge.charge_id]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unknown("PayPal's answer could not be read.") from error

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
        raise Unknown(f"PayPal names no order for {charge_id}.", alert=True)

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
    if currency.upper() not in WITHOUT_DECIMALS:
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
        failure_message="PayPal could not send the money." if ended_badly else "",
        pending_reason=reason if state == "pending" else "",
    )


def _verdict(error: Exception) -> GatewayError:
    """Which of the three errors a failed call is."""
    if isinstance(error, requests.RequestException):
        if never_left(error):
            return Unavailable("PayPal cannot be reached.")
        return Unknown("The connection to PayPal broke before its answer.")
    if not isinstance(error, sdk_errors.ConnectionError):
        return Unknown("PayPal's answer could not be read.")
    status, wait = error.response.status_code, retry_after(error.response.headers)
    if status == 429:
        return Unavailable("PayPal asks us to slow down.", wait)
    if status in (401, 403):
        return Unavailable("PayPal does not accept our credentials.", wait, alert=True)
    if 300 <= status < 400:
        return Unavailable("PayPal's address has moved.", wait, alert=True)
    if status == 409:
        return Unknown("PayPal is still working on this refund.", wait)
    issue = _issue(error.content)
    if 400 <= status < 500 and issue is not None:
        return Declined(*issue)
    return Unknown(f"PayPal answered with an error that tells nothing ({status}).", wait)


def _issue(content: str) -> tuple[str, str] | None:
    """The code and sentence of PayPal's refusal; None when the body is not one of its errors."""
    try:
        body = json.loads(content)
        details = body.get("details") or [{}]
        code = details[0].get("issue") or body["name"]
        message = details[0].get("description") or body.get("message") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return str(code), REFUSALS.get(code) or str(message) or "PayPal refused the refund."
