"""The sandbox as one application: Stripe's calls, PayPal's, and the control API.

=================================  ================================================================
call                               what it does
=================================  ================================================================
GET /healthz                       answers that it is up
POST /_sandbox/charges             registers payments: one or a list of `processor`, `id`,
                                   `amount_minor`, `currency`, `order_id`, `account`, `sale`
POST /_sandbox/charges/ID/refunds  refunds all that is left, or `amount_minor`, as a person in the
                                   provider's dashboard does
POST /_sandbox/charges/ID/dispute  opens a chargeback, or ends it with `outcome` won or lost;
                                   DELETE ends it as won
GET /_sandbox/ledger               every charge, or the one of `charge`, with its refunds, totals
                                   and calls
POST /_sandbox/faults              asks for a fault (faults.py); GET answers what is still to come,
                                   DELETE takes that back
POST /_sandbox/refunds/ID/fail     lets a refund fail now, after success too; `reason` if any
POST /_sandbox/refunds/ID/arrive   lets a refund arrive that is pending or requires action
POST /_sandbox/settings            `settle_seconds` from now on; `webhook_url` for the events, or
                                   `keep_events` to have them fetched instead of sent
GET /_sandbox/events               the events that were kept, signed, each once
GET /_sandbox/authority            the certificate by which PayPal's events are checked
POST /_sandbox/sign/PROVIDER       the headers that prove any `body` to be the provider's event
GET /_sandbox/log                  the calls seen: method, path, key, status; DELETE empties it
GET /_sandbox/at-work              how many calls it is working on at this moment
DELETE /_sandbox/keys              prunes the idempotency keys, of one `provider` or of both; only
                                   those that hold a word, if `holding` gives one
DELETE /_sandbox/tokens            ends PayPal's access tokens
DELETE /_sandbox/                  forgets everything
=================================  ================================================================

Refunds change with time, when they are read. Every change is told by a signed event (webhooks.py)
where there is an address to send it to.
"""

import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from payments.sandbox.faults import AT_THE_DOOR, ON_THE_WIRE, Fault, Faults
from payments.sandbox.ledger import Charge, Dispute, Ledger, Refund, UnknownCharge
from payments.sandbox.paypal_api import PayPalApi
from payments.sandbox.stripe_api import StripeApi
from payments.sandbox.webhooks import Told, Webhooks
from payments.sandbox.wire import Request, Response, Server

LOG_LENGTH = 10_000


class Sandbox:
    """Both providers over one ledger; `answer` is the application that a Server serves.

    `answered` counts the providers' own calls by operation.
    """

    def __init__(
        self,
        journal: Path | None = None,
        settle_seconds: float = 5.0,
        *,
        webhook_url: str = "",
        stripe_secret: str = "whsec_sandbox",  # noqa: S107 it guards made-up money
        paypal_webhook_id: str = "WH-SANDBOX",
    ) -> None:
        self.ledger = Ledger(journal, settle_seconds)
        self.faults = Faults()
        self.webhooks = Webhooks(self.faults, webhook_url, stripe_secret, paypal_webhook_id)
        self._stripe = StripeApi(self.ledger, self.faults)
        self._paypal = PayPalApi(self.ledger, self.faults)
        self._apis = (self._stripe, self._paypal)
        self.ledger.refund_changes = self._tell_of_refund
        self.ledger.dispute_changes = self._tell_of_dispute
        self.answered: Counter[str] = Counter()
        self._at_work: set[object] = set()
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._controls: list[tuple[str, str, Callable[..., Response]]] = [
            ("GET", r"/healthz", lambda request: Response(200, {"status": "ok"})),
            ("POST", r"/_sandbox/charges", self._register),
            ("GET", r"/v1/notifications/certs/([^/]+)", self._certificate),
            ("POST", r"/_sandbox/charges/([^/]+)/refunds", self._refund_elsewhere),
            ("POST", r"/_sandbox/charges/([^/]+)/dispute", self._dispute),
            ("DELETE", r"/_sandbox/charges/([^/]+)/dispute", self._end_dispute),
            ("GET", r"/_sandbox/authority", self._authority),
            ("POST", r"/_sandbox/sign/(stripe|paypal)", self._sign),
            ("GET", r"/_sandbox/ledger", self._witness),
            ("POST", r"/_sandbox/faults", self._misbehave),
            ("GET", r"/_sandbox/faults", self._to_come),
            ("DELETE", r"/_sandbox/faults", self._behave),
            ("POST", r"/_sandbox/refunds/([^/]+)/fail", self._fail),
            ("POST", r"/_sandbox/refunds/([^/]+)/arrive", self._arrive),
            ("POST", r"/_sandbox/settings", self._set),
            ("GET", r"/_sandbox/events", self._events),
            ("GET", r"/_sandbox/log", lambda request: Response(200, {"calls": list(self._log)})),
            ("DELETE", r"/_sandbox/log", self._empty_log),
            ("GET", r"/_sandbox/at-work", self._count_work),
            ("DELETE", r"/_sandbox/keys", self._forget_keys),
            ("DELETE", r"/_sandbox/tokens", self._end_tokens),
            ("DELETE", r"/_sandbox/", self._reset),
        ]

    def arrive(self, refund_id: str) -> Refund:
        """Let a refund arrive that is under way or waits, and tell of it; raises KeyError."""
        refund = self.ledger.arrive(refund_id)
        self._tell_of_arrival(refund)
        return refund

    def serve(self, host: str, port: int) -> Server:
        """A server for this sandbox, listening; port 0 finds a free one."""
        server = Server((host, port), self.answer)
        self.webhooks.own_url = server.url
        return server

    def answer(self, request: Request) -> Response:
        """Answer one call, or misbehave as asked."""
        for api in self._apis:
            routed = api.route(request)
            if routed is not None:
                operation, act = routed
                call = object()
                self._at_work.add(call)
                try:
                    response, fault = self._with_faults(api, operation, act)
                finally:
                    self._at_work.discard(call)
                self.answered[operation] += 1
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

    def _refund_elsewhere(self, request: Request, charge_id: str) -> Response:
        charge = self.ledger.charges[charge_id]
        left = charge.amount_minor - self.ledger.refunded_minor(charge)
        refund = self.ledger.refund(charge, int(request.json().get("amount_minor", left)), "")
        return Response(200, {"id": refund.id, "state": refund.state})

    def _dispute(self, request: Request, charge_id: str) -> Response:
        asked = request.json()
        outcome = asked.get("outcome", "open")
        if outcome not in ("open", "won", "lost"):
            raise ValueError("outcome: won or lost.")
        if outcome == "open":
            dispute = self.ledger.dispute(charge_id, asked.get("amount_minor"))
        else:
            dispute = self.ledger.rule(charge_id, outcome)
        return Response(200, {"id": dispute.id, "state": dispute.state})

    def _end_dispute(self, request: Request, charge_id: str) -> Response:
        dispute = self.ledger.rule(charge_id, "won")
        return Response(200, {"id": dispute.id, "state": dispute.state})

    def _certificate(self, request: Request, name: str) -> Response:
        signer = self.webhooks.signer
        if name != signer.name:
            raise KeyError(name)
        return Response(200, signer.certificate_pem.encode())

    def _authority(self, request: Request) -> Response:
        return Response(200, {"pem": self.webhooks.signer.authority_pem})

    def _sign(self, request: Request, provider: str) -> Response:
        return Response(200, self.webhooks.sign(provider, request.json()["body"]))

    def _tell_of_refund(self, refund: Refund) -> None:
        """Announce a refund that is new or has failed, and its arrival when that comes."""
        now = time.time()
        charge = self.ledger.charges[refund.charge_id]
        stripe, paypal = self._stripe, self._paypal
        if charge.processor == "paypal":
            kinds = {"succeeded": "", "failed": "FAILED"}

            def told() -> Told:
                kind = kinds.get(refund.state, "PENDING")
                arrived = f"PAYMENT.{'SALE' if charge.sale else 'CAPTURE'}.REFUNDED"
                return f"PAYMENT.REFUND.{kind}" if kind else arrived, paypal.refund(refund)

            moments = {now, refund.settles_at, refund.fails_at or now}
            for moment in sorted(at for at in moments if at >= now):
                self.webhooks.tell("paypal", moment, told)
            return
        if refund.fails_at is None or refund.fails_at > now:
            self.webhooks.tell("stripe", now, lambda: ("refund.created", stripe.refund(refund)))
            self.webhooks.tell("stripe", now, lambda: ("charge.refunded", stripe.charge(charge)))
            at = max(refund.settles_at, now)
            self.webhooks.tell("stripe", at, lambda: ("refund.updated", stripe.refund(refund)))
        if refund.fails_at is not None:
            at = max(refund.fails_at, now)
            self.webhooks.tell("stripe", at, lambda: ("refund.failed", stripe.refund(refund)))
            self.webhooks.tell(
                "stripe", at, lambda: ("charge.refund.updated", stripe.refund(refund))
            )

    def _tell_of_arrival(self, refund: Refund) -> None:
        """Announce that a refund which was let wait has arrived."""
        now, charge = time.time(), self.ledger.charges[refund.charge_id]
        if charge.processor == "stripe":
            stripe = self._stripe
            self.webhooks.tell("stripe", now, lambda: ("refund.updated", stripe.refund(refund)))
        else:
            kind = f"PAYMENT.{'SALE' if charge.sale else 'CAPTURE'}.REFUNDED"
            self.webhooks.tell("paypal", now, lambda: (kind, self._paypal.refund(refund)))

    def _tell_of_dispute(self, dispute: Dispute) -> None:
        now, is_open = time.time(), dispute.state == "open"
        if self.ledger.charges[dispute.charge_id].processor == "stripe":
            kind = "charge.dispute.created" if is_open else "charge.dispute.closed"
            self.webhooks.tell("stripe", now, lambda: (kind, self._stripe.dispute(dispute)))
        else:
            name = "CUSTOMER.DISPUTE.CREATED" if is_open else "CUSTOMER.DISPUTE.RESOLVED"
            self.webhooks.tell("paypal", now, lambda: (name, self._paypal.dispute(dispute)))

    def _witness(self, request: Request) -> Response:
        return Response(200, {"charges": self.ledger.as_witness(request.query.get("charge", ""))})

    def _misbehave(self, request: Request) -> Response:
        fault = Fault.from_json(request.json())
        self.faults.add(fault)
        return Response(200, {"asked": fault.kind, "times": fault.times})

    def _to_come(self, request: Request) -> Response:
        return Response(200, {"faults": [asdict(fault) for fault in self.faults.coming()]})

    def _behave(self, request: Request) -> Response:
        self.faults.clear()
        return Response(200, {})

    def _fail(self, request: Request, refund_id: str) -> Response:
        reason = request.json().get("reason", "lost_or_stolen_card")
        refund = self.ledger.fail(refund_id, reason)
        return Response(200, {"id": refund.id, "state": refund.state})

    def _arrive(self, request: Request, refund_id: str) -> Response:
        refund = self.arrive(refund_id)
        return Response(200, {"id": refund.id, "state": refund.state})

    def _events(self, request: Request) -> Response:
        return Response(200, {"events": self.webhooks.take_kept()})

    def _set(self, request: Request) -> Response:
        asked = request.json()
        self.ledger.settle_seconds = float(asked.get("settle_seconds", self.ledger.settle_seconds))
        self.webhooks.url = str(asked.get("webhook_url", self.webhooks.url)).rstrip("/")
        self.webhooks.keeps = bool(asked.get("keep_events", self.webhooks.keeps))
        return Response(
            200,
            {"settle_seconds": self.ledger.settle_seconds, "webhook_url": self.webhooks.url},
        )

    def _empty_log(self, request: Request) -> Response:
        self._log.clear()
        return Response(200, {})

    def _forget_keys(self, request: Request) -> Response:
        asked = request.json()
        self.ledger.forget_keys(asked.get("provider", ""), asked.get("holding", ""))
        return Response(200, {})

    def _count_work(self, request: Request) -> Response:
        return Response(200, {"calls": len(self._at_work)})

    def _end_tokens(self, request: Request) -> Response:
        self._paypal.end_tokens()
        return Response(200, {})

    def _reset(self, request: Request) -> Response:
        self.webhooks.forget()
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
