"""The sandbox as one application: Stripe's calls, PayPal's, and the control API.

=================================  ================================================================
call                               what it does
=================================  ================================================================
GET /healthz                       answers that it is up
POST /_sandbox/charges             registers payments: one or a list of `processor`, `id`,
                                   `amount_minor`, `currency`, `order_id`, `account`
POST /_sandbox/charges/ID/dispute  opens a chargeback; DELETE ends it
GET /_sandbox/ledger               every charge with its refunds, totals and calls
POST /_sandbox/faults              asks for a fault (faults.py); DELETE takes back what is to come
POST /_sandbox/refunds/ID/fail     lets a refund fail now, after success too; `reason` if any
POST /_sandbox/settings            `settle_seconds` from now on
GET /_sandbox/log                  the calls seen: method, path, key, status; DELETE empties it
DELETE /_sandbox/keys              prunes the idempotency keys
DELETE /_sandbox/tokens            ends PayPal's access tokens
DELETE /_sandbox/                  forgets everything
=================================  ================================================================

Refunds change with time, when they are read. What announces changes (the providers' signed
webhooks) belongs beside the two APIs, fed from the ledger.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from payments.sandbox.faults import AT_THE_DOOR, ON_THE_WIRE, Fault, Faults
from payments.sandbox.ledger import Charge, Ledger, UnknownCharge
from payments.sandbox.paypal_api import PayPalApi
from payments.sandbox.stripe_api import StripeApi
from payments.sandbox.wire import Request, Response, Server

LOG_LENGTH = 10_000


class Sandbox:
    """Both providers over one ledger; `answer` is the application that a Server serves."""

    def __init__(self, journal: Path | None = None, settle_seconds: float = 5.0) -> None:
        self.ledger = Ledger(journal, settle_seconds)
        self.faults = Faults()
        self._paypal = PayPalApi(self.ledger, self.faults)
        self._apis = (StripeApi(self.ledger, self.faults), self._paypal)
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._controls: list[tuple[str, str, Callable[..., Response]]] = [
            ("GET", r"/healthz", lambda request: Response(200, {"status": "ok"})),
            ("POST", r"/_sandbox/charges", self._register),
            ("POST", r"/_sandbox/charges/([^/]+)/dispute", self._dispute),
            ("DELETE", r"/_sandbox/charges/([^/]+)/dispute", self._end_dispute),
            ("GET", r"/_sandbox/ledger", self._witness),
            ("POST", r"/_sandbox/faults", self._misbehave),
            ("DELETE", r"/_sandbox/faults", self._behave),
            ("POST", r"/_sandbox/refunds/([^/]+)/fail", self._fail),
            ("POST", r"/_sandbox/settings", self._set),
            ("GET", r"/_sandbox/log", lambda request: Response(200, {"calls": list(self._log)})),
            ("DELETE", r"/_sandbox/log", self._empty_log),
            ("DELETE", r"/_sandbox/keys", self._forget_keys),
            ("DELETE", r"/_sandbox/tokens", self._end_tokens),
            ("DELETE", r"/_sandbox/", self._reset),
        ]

    def serve(self, host: str, port: int) -> Server:
        """A server for this sandbox, listening; port 0 finds a free one."""
        return Server((host, port), self.answer)

    def answer(self, request: Request) -> Response:
        """Answer one call, or misbehave as asked."""
        for api in self._apis:
            routed = api.route(request)
            if routed is not None:
                operation, act = routed
                response, fault = self._with_faults(api, operation, act)
                self._log.append(
                    {
                        "at": time.time(),
                        "provider": api.name,
                        "operation": operation,
                        "method": request.method,
                        "path": request.path,
                        "idempotency_key": api.key_of(request),
                        "status": response.status,
                        "fault": fault.kind if fault else "",
                    }
                )
                return response
        for method, path, control in self._controls:
            found = re.fullmatch(path, request.path)
            if found and method == request.method:
                return _or_bad_request(partial(control, request, *found.groups()))
        return _complaint(404, f"No such call: {request.method} {request.path}")

    def _with_faults(
        self, api: StripeApi | PayPalApi, operation: str, act: Callable[[], Response]
    ) -> tuple[Response, Fault | None]:
        fault = self.faults.take(api.name, operation, AT_THE_DOOR)
        if fault is None:
            return act(), None
        if fault.kind not in ON_THE_WIRE:
            return api.turned_away(int(fault.kind), fault.retry_after), fault
        response = act() if fault.effect else api.broken()
        return replace(response, delivery=fault.kind, seconds=fault.seconds), fault  # type: ignore[arg-type]

    def _register(self, request: Request) -> Response:
        asked = request.json()
        charges = [Charge(**one) for one in (asked if isinstance(asked, list) else [asked])]
        for charge in charges:
            if charge.processor not in ("stripe", "paypal") or charge.amount_minor <= 0:
                raise ValueError(f"Not a charge of stripe or paypal: {charge}")
        for charge in charges:
            self.ledger.register(charge)
        return Response(200, {"known": len(self.ledger.charges)})

    def _dispute(self, request: Request, charge_id: str) -> Response:
        self.ledger.dispute(charge_id, is_open=True)
        return Response(200, {"id": charge_id, "disputed": True})

    def _end_dispute(self, request: Request, charge_id: str) -> Response:
        self.ledger.dispute(charge_id, is_open=False)
        return Response(200, {"id": charge_id, "disputed": False})

    def _witness(self, request: Request) -> Response:
        return Response(200, {"charges": self.ledger.as_witness()})

    def _misbehave(self, request: Request) -> Response:
        fault = Fault.from_json(request.json())
        self.faults.add(fault)
        return Response(200, {"asked": fault.kind, "times": fault.times})

    def _behave(self, request: Request) -> Response:
        self.faults.clear()
        return Response(200, {})

    def _fail(self, request: Request, refund_id: str) -> Response:
        reason = request.json().get("reason", "lost_or_stolen_card")
        refund = self.ledger.fail(refund_id, reason)
        return Response(200, {"id": refund.id, "state": refund.state})

    def _set(self, request: Request) -> Response:
        self.ledger.settle_seconds = float(request.json()["settle_seconds"])
        return Response(200, {"settle_seconds": self.ledger.settle_seconds})

    def _empty_log(self, request: Request) -> Response:
        self._log.clear()
        return Response(200, {})

    def _forget_keys(self, request: Request) -> Response:
        self.ledger.forget_keys()
        return Response(200, {})

    def _end_tokens(self, request: Request) -> Response:
        self._paypal.end_tokens()
        return Response(200, {})

    def _reset(self, request: Request) -> Response:
        self.ledger.reset()
        self.faults.clear()
        self._log.clear()
        self._paypal.end_tokens()
        return Response(200, {})


def _or_bad_request(act: Callable[[], Response]) -> Response:
    """Carry out a control call; one that makes no sense is told so."""
    try:
        return act()
    except (UnknownCharge, KeyError) as missing:
        return _complaint(404, f"Not known: {missing}")
    except (ValueError, TypeError, AttributeError) as nonsense:
        return _complaint(400, str(nonsense))


def _complaint(status: int, message: str) -> Response:
    return Response(status, {"error": {"type": HTTPStatus(status).phrase, "message": message}})
