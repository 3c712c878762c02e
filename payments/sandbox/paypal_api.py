"""PayPal's part of the sandbox: access tokens, captures and sales, their refunds, and orders."""

import base64
import binascii
import re
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from payments.money import exponent, to_decimal
from payments.sandbox.faults import INSIDE, Fault, Faults
from payments.sandbox.ledger import Charge, Dispute, Ledger, OverRefund, Refund, UnknownCharge
from payments.sandbox.wire import Request, Response

STATUS = {
    "pending": "PENDING",
    "requires_action": "PENDING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
}
WITHOUT_DECIMALS = frozenset({"HUF", "JPY", "TWD"})
OUTCOMES = {"won": "RESOLVED_SELLER_FAVOUR", "lost": "RESOLVED_BUYER_FAVOUR"}
V1_NAMES = {
    "CAPTURE_FULLY_REFUNDED": "TRANSACTION_ALREADY_REFUNDED",
    "REFUND_AMOUNT_EXCEEDED": "REFUND_EXCEEDED_TRANSACTION_AMOUNT",
    "REFUND_TIME_LIMIT_EXCEEDED": "REFUND_TIME_LIMIT_EXCEEDED",
}
TOKEN_SECONDS = 32_400


class PayPalApi:
    """Answers PayPal's calls from the ledger, with PayPal's idempotency and errors."""

    name = "paypal"

    def __init__(self, ledger: Ledger, faults: Faults) -> None:
        self._ledger = ledger
        self._faults = faults
        self._tokens: dict[str, float] = {}
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._routes: list[tuple[str, str, str, Callable[..., Response]]] = [
            ("POST", r"/v1/oauth2/token", "token.create", self._token),
            ("POST", r"/v2/payments/captures/([^/]+)/refund", "refund.create", self._create),
            ("GET", r"/v2/payments/refunds/([^/]+)", "refund.fetch", self._fetch),
            ("GET", r"/v2/payments/captures/([^/]+)", "charge.fetch", self._capture),
            ("GET", r"/v2/checkout/orders/([^/]+)", "refund.find", self._order),
            ("POST", r"/v1/payments/sale/([^/]+)/refund", "refund.create", self._create),
            ("GET", r"/v1/payments/refund/([^/]+)", "refund.fetch", self._fetch),
            ("GET", r"/v1/payments/sale/([^/]+)", "charge.fetch", self._sale),
            ("GET", r"/v1/payments/payment/([^/]+)", "refund.find", self._payment),
            ("GET", r"/v1/customer/disputes", "dispute.find", self._disputes),
            ("GET", r"/v1/customer/disputes/([^/]+)", "dispute.find", self._dispute),
        ]

    def route(self, request: Request) -> tuple[str, Callable[[], Response]] | None:
        """The operation that a call asks for, and how to carry it out; None for no such call."""
        for method, path, operation, act in self._routes:
            found = re.fullmatch(path, request.path)
            if found and method == request.method:
                return operation, partial(self._answer, operation, act, request, found.groups())
        return None

    def key_of(self, request: Request) -> str:
        """The idempotency key of a call, for the log."""
        return request.headers.get("PayPal-Request-Id") or ""

    def turned_away(self, status: int, retry_after: float | None = None) -> Response:
        """What PayPal says at the door: 401, or 429."""
        if status == 401:
            return Response(
                401, {"error": "invalid_token", "error_description": "Token signature failed"}
            )
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return _error(429, "RATE_LIMIT_REACHED", "", "Too many requests.", headers)

    def broken(self) -> Response:
        """PayPal's own error."""
        return _error(500, "INTERNAL_SERVER_ERROR", "", "An internal server error occurred.")

    def end_tokens(self) -> None:
        """Let every access token end now."""
        with self._lock:
            self._tokens.clear()

    def _answer(
        self,
        operation: str,
        act: Callable[..., Response],
        request: Request,
        ids: tuple[str, ...],
    ) -> Response:
        if operation != "token.create" and not self._authorized(request):
            return self.turned_away(401)
        if operation == "refund.create":
            return self._create(request, *ids)
        fault = self._faults.take(self.name, operation, INSIDE)
        if fault is not None and fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault is not None:
            return self.broken()
        return act(request, *ids)

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
        with self._lock:
            return scheme == "Bearer" and self._tokens.get(token, 0.0) > time.monotonic()

    def _token(self, request: Request) -> Response:
        scheme, _, credentials = (request.headers.get("Authorization") or "").partition(" ")
        try:
            client, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            client = secret = ""
        if scheme != "Basic" or not client or not secret:
            return Response(
                401,
                {"error": "invalid_client", "error_description": "Client Authentication failed"},
            )
        if request.form().get("grant_type") != "client_credentials":
            return Response(400, {"error": "unsupported_grant_type"})
        token = f"A21AA{secrets.token_urlsafe(40)}"
        with self._lock:
            self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return Response(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        )

    def _create(self, request: Request, capture_id: str) -> Response:
        """Refund a capture once per request id: a repeat gives the latest state of that refund."""
        key = f"paypal:{capture_id}:{self.key_of(request) or secrets.token_hex()}"
        whole = "return=representation" in (request.headers.get("Prefer") or "")
        with self._ledger.lock:
            if key in self._running:
                return _error(
                    409,
                    "RESOURCE_CONFLICT",
                    "PREVIOUS_REQUEST_IN_PROGRESS",
                    "A previous request on this resource is currently in progress.",
                )
            before = self._ledger.answered(key)
            if before is not None:
                refund = self._ledger.refunds[before.refund_id]
                return Response(200, self.refund(refund, whole=whole))
            self._running.add(key)
        try:
            fault = self._faults.take(self.name, "refund.create", INSIDE)
            if fault is not None and fault.kind == "delay":
                time.sleep(fault.seconds)
            with self._ledger.lock:
                response = self._execute(request, capture_id, key, fault, whole=whole)
            return _in_v1_words(response) if request.path.startswith("/v1/") else response
        finally:
            self._running.discard(key)

    def _execute(
        self, request: Request, capture_id: str, key: str, fault: Fault | None, *, whole: bool
    ) -> Response:
        try:
            charge = self._charge(request, capture_id)
            body = request.json()
            asked = body.get("amount")
            if charge.sale and asked is not None:
                asked = {"currency_code": asked["currency"], "value": asked["total"]}
        except UnknownCharge:
            return _missing()
        except (ValueError, AttributeError, LookupError, TypeError):
            return _error(400, "INVALID_REQUEST", "MALFORMED_REQUEST_JSON", "Malformed JSON.")
        self._ledger.count_call(charge)
        kind = fault.kind if fault else ""
        if kind == "500_before":
            return self.broken()
        if kind == "decline" and fault is not None:
            return _refused(fault.code or "TRANSACTION_DISPUTED", "The refund is refused.")
        if self._ledger.is_charged_back(charge):
            return _refused(
                "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
                "Refunds are not allowed on this capture due to a chargeback on the card or bank.",
            )
        left = charge.amount_minor - self._ledger.refunded_minor(charge)
        if left == 0:
            return _refused("CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded")
        amount = _minor(asked, charge) if asked is not None else left
        if isinstance(amount, Response):
            return amount
        try:
            refund = self._ledger.refund(
                charge,
                amount,
                str(body.get("invoice_number" if charge.sale else "custom_id", "")),
                fails_after=fault.seconds if fault and kind == "late_failure" else None,
                waits=(fault.code or "ECHECK") if fault and kind == "wait" else "",
                note=body.get("note_to_payer"),
            )
        except OverRefund:
            return _refused(
                "REFUND_AMOUNT_EXCEEDED",
                "The refund amount must be less than or equal to the capture amount that has not "
                "yet been refunded.",
            )
        self._ledger.remember(key, "", 201, None, refund.id)
        if kind == "500_after_effect":
            return self.broken()
        return Response(201, self.refund(refund, whole=whole))

    def _charge(self, request: Request, charge_id: str) -> Charge:
        """The charge of a call; each API knows its own alone, and raises UnknownCharge."""
        charge = self._ledger.charge(charge_id, self.name)
        if charge.sale != request.path.startswith("/v1/"):
            raise UnknownCharge(charge_id)
        return charge

    def _fetch(self, request: Request, refund_id: str) -> Response:
        refund = self._ledger.refunds.get(refund_id)
        try:
            self._charge(request, refund.charge_id if refund else "")
        except UnknownCharge:
            return _missing()
        assert refund is not None
        return Response(200, self.refund(refund))

    def _capture(self, request: Request, capture_id: str) -> Response:
        try:
            charge = self._charge(request, capture_id)
        except UnknownCharge:
            return _missing()
        return Response(200, self._as_capture(charge, request))

    def _sale(self, request: Request, sale_id: str) -> Response:
        try:
            charge = self._charge(request, sale_id)
        except UnknownCharge:
            return _missing()
        return Response(200, self._as_sale(charge))

    def _as_sale(self, charge: Charge) -> dict[str, Any]:
        """A sale as v1 writes it; one of a billing agreement belongs to no payment."""
        refunded = self._ledger.refunded_minor(charge)
        state = "refunded" if refunded == charge.amount_minor else "partially_refunded"
        sale: dict[str, Any] = {
            "id": charge.id,
            "state": state if refunded else "completed",
            "amount": _v1_amount(charge.amount_minor, charge.currency),
        }
        return sale | ({"parent_payment": charge.order_id} if charge.order_id else {})

    def _payment(self, request: Request, payment_id: str) -> Response:
        """A payment of v1 with what belongs to it: sales, and refunds without our ids."""
        with self._ledger.lock:
            sales = [
                charge
                for charge in self._ledger.charges.values()
                if charge.processor == self.name and charge.sale and charge.order_id == payment_id
            ]
            held: list[dict[str, Any]] = [{"sale": self._as_sale(charge)} for charge in sales]
            for charge in sales:
                for refund in self._ledger.refunds_of(charge):
                    short = self.refund(refund)
                    del short["invoice_number"]
                    held.append({"refund": short})
        if not sales:
            return _missing()
        transactions = [{"related_resources": held}]
        return Response(200, {"id": payment_id, "state": "approved", "transactions": transactions})

    def _order(self, request: Request, order_id: str) -> Response:
        with self._ledger.lock:
            captured = [
                charge
                for charge in self._ledger.charges.values()
                if (charge.processor, charge.sale, charge.order_id) == (self.name, False, order_id)
            ]
            units = [
                {
                    "reference_id": "default",
                    "payments": {
                        "captures": [self._as_capture(charge, request)],
                        "refunds": [
                            self.refund(refund) for refund in self._ledger.refunds_of(charge)
                        ],
                    },
                }
                for charge in captured
            ]
        if not units:
            return _missing()
        return Response(
            200,
            {"id": order_id, "status": "COMPLETED", "intent": "CAPTURE", "purchase_units": units},
        )

    def _disputes(self, request: Request) -> Response:
        """The disputes over a transaction; how one ended is only said in full."""
        found = self._ledger.disputes_of(request.query.get("disputed_transaction_id", ""))
        listed = ("dispute_id", "create_time", "status", "dispute_amount")
        rows = [{name: self.dispute(each)[name] for name in listed} for each in found]
        return Response(200, {"items": rows, "links": []})

    def _dispute(self, request: Request, dispute_id: str) -> Response:
        dispute = self._ledger.disputes.get(dispute_id)
        return _missing() if dispute is None else Response(200, self.dispute(dispute))

    def dispute(self, dispute: Dispute) -> dict[str, Any]:
        """A dispute as PayPal writes it."""
        opened = datetime.fromtimestamp(dispute.opened, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        body: dict[str, Any] = {
            "dispute_id": dispute.id,
            "create_time": opened,
            "disputed_transactions": [{"seller_transaction_id": dispute.charge_id}],
            "reason": "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED",
            "status": "WAITING_FOR_SELLER_RESPONSE" if dispute.state == "open" else "RESOLVED",
            "dispute_amount": _amount(dispute.amount_minor, dispute.currency),
            "dispute_life_cycle_stage": "CHARGEBACK",
        }
        if dispute.state != "open":
            body["dispute_outcome"] = {"outcome_code": OUTCOMES[dispute.state]}
        return body

    def _as_capture(self, charge: Charge, request: Request) -> dict[str, Any]:
        refunded = self._ledger.refunded_minor(charge)
        origin = f"http://{request.headers.get('Host') or 'localhost'}"
        return {
            "id": charge.id,
            "status": (
                "COMPLETED"
                if not refunded
                else "REFUNDED"
                if refunded == charge.amount_minor
                else "PARTIALLY_REFUNDED"
            ),
            "amount": _amount(charge.amount_minor, charge.currency),
            "final_capture": True,
            "links": [
                {
                    "href": f"{origin}/v2/payments/captures/{charge.id}",
                    "rel": "self",
                    "method": "GET",
                },
                {
                    "href": f"{origin}/v2/checkout/orders/{charge.order_id}",
                    "rel": "up",
                    "method": "GET",
                },
            ]
            if charge.order_id
            else [],
        }

    def refund(self, refund: Refund, *, whole: bool = True) -> dict[str, Any]:
        """A refund as PayPal writes it."""
        charge = self._ledger.charges[refund.charge_id]
        if charge.sale:
            return _v1_refund(refund, charge)
        status: dict[str, Any] = {"id": refund.id, "status": STATUS[refund.state]}
        if not whole:
            return status
        if refund.state == "pending":
            status["status_details"] = {"reason": refund.waits or "ECHECK"}
        made = datetime.fromtimestamp(refund.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return status | {
            "amount": _amount(refund.amount_minor, refund.currency),
            "custom_id": refund.our_id,
            "note_to_payer": refund.details.get("note") or "",
            "create_time": made,
            "update_time": made,
            "links": [
                {
                    "href": f"https://api-m.paypal.com/v2/payments/captures/{refund.charge_id}",
                    "rel": "up",
                    "method": "GET",
                }
            ],
        }


def _minor(asked: Any, charge: Charge) -> int | Response:
    """The minor units of an amount as PayPal takes it, or the refusal of it."""
    try:
        currency, written = asked["currency_code"], asked["value"]
        value = Decimal(written)
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return _error(400, "INVALID_REQUEST", "INVALID_PARAMETER_SYNTAX", "Invalid amount.")
    if not value.is_finite() or value <= 0:
        return _refused("CANNOT_BE_ZERO_OR_NEGATIVE", "Must be greater than zero.")
    if currency != charge.currency.upper():
        return _refused(
            "REFUND_CAPTURE_CURRENCY_MISMATCH", "Refund must be in the same currency as the capture"
        )
    if currency in WITHOUT_DECIMALS and "." in written:
        return _refused("DECIMALS_NOT_SUPPORTED", "Currency does not support decimals.")
    minor = value.scaleb(exponent(currency))
    if minor != minor.to_integral_value():
        return _refused("DECIMAL_PRECISION", "The value has too many decimals.")
    return int(minor)


def _amount(minor: int, currency: str) -> dict[str, str]:
    value = to_decimal(minor, currency)
    if currency.upper() in WITHOUT_DECIMALS:
        value = value.quantize(Decimal(1))
    return {"value": f"{value:f}", "currency_code": currency.upper()}


def _v1_amount(minor: int, currency: str) -> dict[str, str]:
    amount = _amount(minor, currency)
    return {"total": amount["value"], "currency": amount["currency_code"]}


def _v1_refund(refund: Refund, charge: Charge) -> dict[str, Any]:
    """A refund of a sale, as v1 writes it."""
    made = datetime.fromtimestamp(refund.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "id": refund.id,
        "state": STATUS[refund.state].lower(),
        "amount": _v1_amount(refund.amount_minor, refund.currency),
        "sale_id": charge.id,
        "invoice_number": refund.our_id,
        "create_time": made,
        "update_time": made,
    }
    if refund.state == "pending":
        body["reason_code"] = refund.waits or "ECHECK"
    return body | ({"parent_payment": charge.order_id} if charge.order_id else {})


def _in_v1_words(response: Response) -> Response:
    """A refusal as v1 writes it: with a name of its own, and without issues."""
    body: Any = response.body
    if response.status != 422:
        return response
    name = V1_NAMES.get(body["details"][0]["issue"], "TRANSACTION_REFUSED")
    return _error(400, name, "", body["message"])


def _missing() -> Response:
    return _error(
        404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist."
    )


def _refused(issue: str, description: str) -> Response:
    return _error(422, "UNPROCESSABLE_ENTITY", issue, description)


def _error(
    status: int, name: str, issue: str, description: str, headers: dict[str, str] | None = None
) -> Response:
    debug_id = secrets.token_hex(7)
    body: dict[str, object] = {"name": name, "message": description, "debug_id": debug_id}
    if issue:
        body["details"] = [{"issue": issue, "description": description}]
    return Response(status, body, {"PayPal-Debug-Id": debug_id, **(headers or {})})
