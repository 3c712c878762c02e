"""Stripe's part of the sandbox: refunds, and the charges they belong to."""

import json
import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from payments.money import exponent, format_money
from payments.sandbox.faults import INSIDE, Fault, Faults
from payments.sandbox.ledger import Charge, Dispute, Ledger, OverRefund, Refund, UnknownCharge
from payments.sandbox.wire import Request, Response

CREATE_PARAMS = frozenset({"amount", "charge", "payment_intent", "reason"})
DIGITS_APART = {"ISK": 2, "UGX": 2}
"""Currencies that Stripe counts in hundredths although they have none."""
THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Currencies whose third decimal has to be 0, for the sake of the card networks."""


class StripeApi:
    """Answers Stripe's calls from the ledger, with Stripe's idempotency and errors."""

    name = "stripe"

    def __init__(self, ledger: Ledger, faults: Faults) -> None:
        self._ledger = ledger
        self._faults = faults
        self._running: set[str] = set()
        self._routes: list[tuple[str, str, str, Callable[..., Response]]] = [
            ("POST", r"/v1/refunds", "refund.create", self._create),
            ("GET", r"/v1/refunds", "refund.find", self._list),
            ("GET", r"/v1/refunds/([^/]+)", "refund.fetch", self._fetch),
            ("GET", r"/v1/disputes", "dispute.find", self._disputes),
            ("GET", r"/v1/charges/([^/]+)", "charge.fetch", self._charge),
            ("GET", r"/v1/payment_intents/([^/]+)", "charge.fetch", self._intent),
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
        return request.headers.get("Idempotency-Key") or ""

    def turned_away(self, status: int, retry_after: float | None = None) -> Response:
        """What Stripe says at the door: 401, or 429."""
        if status == 401:
            return _error(401, "invalid_request_error", "", "Invalid API Key provided.")
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return _error(429, "invalid_request_error", "rate_limit", "Too many requests.", headers)

    def broken(self) -> Response:
        """Stripe's own error."""
        return _error(
            500,
            "api_error",
            "",
            "An unknown error occurred.",
            {"Stripe-Should-Retry": "false"},
        )

    def _answer(
        self,
        operation: str,
        act: Callable[..., Response],
        request: Request,
        ids: tuple[str, ...],
    ) -> Response:
        if not re.fullmatch(r"Bearer (sk|rk)_\S+", request.headers.get("Authorization") or ""):
            return self.turned_away(401)
        if operation == "refund.create":
            return self._create(request)
        fault = self._faults.take(self.name, operation, INSIDE)
        if fault is not None and fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault is not None:
            return self.broken()
        try:
            return act(request, *ids)
        except UnknownCharge as missing:
            return _missing(str(missing), "charge")

    def _create(self, request: Request) -> Response:
        """Make a refund once per key: the first answer is given again, a 500 included."""
        params, account = request.form(), _account(request)
        key = f"stripe:{account}:{self.key_of(request) or secrets.token_hex()}"
        fingerprint = json.dumps(params, sort_keys=True)
        with self._ledger.lock:
            before = self._ledger.answered(key)
            if key in self._running:
                return _error(
                    409,
                    "idempotency_error",
                    "idempotency_key_in_use",
                    "There is currently another in-progress request using this key.",
                )
            if before is not None and before.fingerprint != fingerprint:
                return _error(
                    400,
                    "idempotency_error",
                    "",
                    "Keys for idempotent requests can only be used with the same parameters they "
                    "were first used with.",
                )
            if before is not None:
                headers = {"Idempotent-Replayed": "true"}
                if before.status == 500:
                    headers["Stripe-Should-Retry"] = "false"
                return Response(before.status, before.body, headers)
            self._running.add(key)
        try:
            fault = self._faults.take(self.name, "refund.create", INSIDE)
            if fault is not None and fault.kind == "delay":
                time.sleep(fault.seconds)
            with self._ledger.lock:
                refused = self._refused_at_once(params, account)
                if refused is not None:
                    return refused
                response = self._execute(params, account, fault)
                self._ledger.remember(key, fingerprint, response.status, response.body)
                return response
        finally:
            self._running.discard(key)

    def _refused_at_once(self, params: dict[str, str], account: str) -> Response | None:
        """Bad parameters: refused before the endpoint runs, so nothing is kept under the key."""
        for name in params:
            if name not in CREATE_PARAMS and not re.fullmatch(r"metadata\[\w{1,40}\]", name):
                return _error(
                    400,
                    "invalid_request_error",
                    "parameter_unknown",
                    f"Received unknown parameter: {name}",
                    param=name,
                )
        if ("charge" in params) == ("payment_intent" in params):
            return _error(
                400,
                "invalid_request_error",
                "parameter_missing",
                "One of the following params should be provided: payment_intent or charge.",
            )
        amount = params.get("amount")
        if amount is not None and not re.fullmatch(r"[1-9][0-9]{0,11}", amount):
            return _error(
                400,
                "invalid_request_error",
                "parameter_invalid_integer",
                f"Invalid integer: {amount}",
                param="amount",
            )
        field = "charge" if "charge" in params else "payment_intent"
        try:
            self._find(params[field], account)
        except UnknownCharge:
            return _missing(params[field], field)
        return None

    def _execute(self, params: dict[str, str], account: str, fault: Fault | None) -> Response:
        charge = self._find(params.get("charge") or params["payment_intent"], account)
        self._ledger.count_call(charge)
        kind = fault.kind if fault else ""
        if kind == "500_before":
            return self.broken()
        if kind == "decline" and fault is not None:
            code = fault.code or "charge_disputed"
            return _error(400, "invalid_request_error", code, "The charge cannot be refunded.")
        if self._ledger.is_charged_back(charge):
            message = f"Charge {_charge_id(charge)} has been charged back; cannot issue a refund."
            return _error(400, "invalid_request_error", "charge_disputed", message)
        left = charge.amount_minor - self._ledger.refunded_minor(charge)
        if left == 0:
            message = f"Charge {_charge_id(charge)} has already been refunded."
            return _error(400, "invalid_request_error", "charge_already_refunded", message)
        amount, rest = (
            divmod(int(params["amount"]), _units(charge)) if "amount" in params else (left, 0)
        )
        if "amount" in params and charge.currency.upper() in THREE_DECIMALS and amount % 10:
            message = f"Invalid amount. {charge.currency} amounts must be divisible by 10."
            return _error(400, "invalid_request_error", "", message, param="amount")
        if rest:
            return _error(
                400,
                "invalid_request_error",
                "invalid_charge_amount_no_decimal_compatible",
                f"Invalid amount. {charge.currency} amounts must be divisible by {_units(charge)}.",
                param="amount",
            )
        metadata = {
            name[len("metadata[") : -1]: value
            for name, value in params.items()
            if name.startswith("metadata[")
        }
        try:
            refund = self._ledger.refund(
                charge,
                amount,
                metadata.get("refund_id", ""),
                fails_after=fault.seconds if fault and kind == "late_failure" else None,
                waits=(fault.code or "processing") if fault and kind == "wait" else "",
                metadata=metadata,
                reason=params.get("reason"),
            )
        except OverRefund as over:
            asked, remaining = (format_money(n, charge.currency) for n in (amount, over.left))
            return _error(
                400,
                "invalid_request_error",
                "",
                f"Refund amount ({asked}) is greater than unrefunded amount on charge "
                f"({remaining})",
                param="amount",
            )
        if kind == "500_after_effect":
            return self.broken()
        return Response(200, self.refund(refund))

    def _list(self, request: Request) -> Response:
        """The refunds of a charge, newest first."""
        query = request.query
        refunds = []
        field = "charge" if "charge" in query else "payment_intent"
        if field in query:
            try:
                refunds = self._ledger.refunds_of(self._find(query[field], _account(request)))
            except UnknownCharge:
                return _missing(query[field], field)
        refunds.reverse()
        return _page("/v1/refunds", query, [self.refund(refund) for refund in refunds])

    def _disputes(self, request: Request) -> Response:
        """The disputes of a charge, newest first."""
        field = "charge" if "charge" in request.query else "payment_intent"
        try:
            charge = self._find(request.query.get(field, ""), _account(request))
        except UnknownCharge:
            return _missing(request.query.get(field, ""), field)
        found = [self.dispute(each) for each in reversed(self._ledger.disputes_of(charge.id))]
        return _page("/v1/disputes", request.query, found)

    def _fetch(self, request: Request, refund_id: str) -> Response:
        refund = self._ledger.refunds.get(refund_id)
        if refund is None:
            return _missing(refund_id, "id", "refund")
        try:
            self._ledger.charge(refund.charge_id, self.name, _account(request))
        except UnknownCharge:
            return _missing(refund_id, "id", "refund")
        return Response(200, self.refund(refund))

    def _charge(self, request: Request, charge_id: str) -> Response:
        return Response(200, self.charge(self._find(charge_id, _account(request))))

    def charge(self, charge: Charge) -> dict[str, Any]:
        """A charge as Stripe writes it."""
        refunded = self._ledger.refunded_minor(charge)
        return {
            "id": _charge_id(charge),
            "object": "charge",
            "amount": charge.amount_minor * _units(charge),
            "amount_refunded": refunded * _units(charge),
            "currency": charge.currency.lower(),
            "disputed": bool(self._ledger.disputes_of(charge.id)),
            "paid": True,
            "payment_intent": _intent_id(charge),
            "refunded": refunded == charge.amount_minor,
            "status": "succeeded",
        }

    def dispute(self, dispute: Dispute) -> dict[str, Any]:
        """A dispute as Stripe writes it."""
        charge = self._ledger.charges[dispute.charge_id]
        return {
            "id": dispute.id,
            "object": "dispute",
            "amount": dispute.amount_minor * _units(charge),
            "charge": _charge_id(charge),
            "created": int(dispute.opened),
            "currency": dispute.currency.lower(),
            "is_charge_refundable": False,
            "metadata": {},
            "payment_intent": _intent_id(charge),
            "reason": "product_unacceptable",
            "status": "needs_response" if dispute.state == "open" else dispute.state,
        }

    def _intent(self, request: Request, intent_id: str) -> Response:
        charge = self._find(intent_id, _account(request))
        return Response(
            200,
            {
                "id": intent_id,
                "object": "payment_intent",
                "amount": charge.amount_minor * _units(charge),
                "currency": charge.currency.lower(),
                "latest_charge": _charge_id(charge),
                "status": "succeeded",
            },
        )

    def _find(self, wanted: str, account: str) -> Charge:
        """A charge by its own id or its payment intent's; raises UnknownCharge."""
        try:
            return self._ledger.charge(wanted, self.name, account)
        except UnknownCharge:
            if not wanted.startswith("ch_"):
                raise
            return self._ledger.charge(f"pi_{wanted.removeprefix('ch_')}", self.name, account)

    def refund(self, refund: Refund) -> dict[str, Any]:
        """A refund as Stripe writes it."""
        charge = self._ledger.charges[refund.charge_id]
        state = refund.state
        body = {
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount_minor * _units(charge),
            "balance_transaction": None,
            "charge": _charge_id(charge),
            "created": int(refund.created),
            "currency": refund.currency.lower(),
            "metadata": refund.details.get("metadata", {}),
            "payment_intent": _intent_id(charge),
            "reason": refund.details.get("reason"),
            "status": state,
        }
        if state == "failed":
            body["failure_reason"] = refund.failure_reason
        if state == "pending":
            body["pending_reason"] = refund.waits or "processing"
        return body


def _page(url: str, query: dict[str, str], rows: list[dict[str, Any]]) -> Response:
    """The part of a list, newest first, that a call asks for: 10 rows unless told otherwise."""
    ids = [row["id"] for row in rows]
    limit = query.get("limit", "10")
    if not (limit.isdigit() and 1 <= int(limit) <= 100):
        return _error(400, "invalid_request_error", "", "Invalid limit: 1 to 100.", param="limit")
    start, end = 0, len(ids)
    for cursor in ("starting_after", "ending_before"):
        if cursor in query and query[cursor] not in ids:
            return _missing(query[cursor], cursor)
    if "ending_before" in query:
        end = ids.index(query["ending_before"])
        start = max(0, end - int(limit))
        has_more = start > 0
    else:
        if "starting_after" in query:
            start = ids.index(query["starting_after"]) + 1
        end = min(end, start + int(limit))
        has_more = end < len(ids)
    page = rows[start:end]
    return Response(200, {"object": "list", "url": url, "has_more": has_more, "data": page})


def _account(request: Request) -> str:
    return request.headers.get("Stripe-Account") or ""


def _units(charge: Charge) -> int:
    """How many of Stripe's units one of our minor units is."""
    shift = DIGITS_APART.get(charge.currency.upper(), 0)
    return int(10 ** max(0, shift - exponent(charge.currency)))


def _charge_id(charge: Charge) -> str:
    """A charge that was registered by its payment intent has an id of its own."""
    return f"ch_{charge.id.removeprefix('pi_')}" if charge.id.startswith("pi_") else charge.id


def _intent_id(charge: Charge) -> str | None:
    return charge.id if charge.id.startswith("pi_") else None


def _missing(wanted: str, param: str, what: str = "") -> Response:
    what = what or ("payment_intent" if param == "payment_intent" else "charge")
    return _error(
        404, "invalid_request_error", "resource_missing", f"No such {what}: '{wanted}'", None, param
    )


def _error(
    status: int,
    error_type: str,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    param: str = "",
) -> Response:
    error = {"type": error_type, "message": message}
    if code:
        error["code"] = code
    if param:
        error["param"] = param
    return Response(
        status, {"error": error}, {"Request-Id": f"req_{secrets.token_hex(7)}", **(headers or {})}
    )
