"""What a payment provider is asked, what it answers, and the three ways in which it fails.

Gateways take plain values, return plain values, and save no models. The one for a processor comes
from `gateway_for`; each keeps its provider's ways (ids, units, errors) to itself.
"""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from django.conf import settings

RefundState = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
BankState = Literal["", "open", "won", "lost"]

TIMEOUT = (3.0, 20.0)
"""Seconds to connect, and to wait for the answer, unless the setting GATEWAY_TIMEOUT says so."""

CALLS_IN_A_ROW = 12
"""More than one refund ever takes: a token, a look with its retries, the call, another look."""

CALLS_TO_ASK = 4
"""Of those, what asking for the refund takes: a token, two looks at what it is of, the call."""

PAUSES = 3.0
"""Seconds that Stripe's SDK lets go by between the retries of two looks."""


@dataclass(frozen=True)
class RefundRequest:
    """The terms of one refund, the same for every attempt under the same idempotency key."""

    refund_id: str
    """Ours, `rfnd_…`; travels along, so that a look-up at the provider finds it."""
    charge_id: str
    amount_minor: int
    currency: str
    idempotency_key: str
    account: str = ""
    """The Stripe Connect account that the charge was made on."""
    order_id: str = ""
    """What PayPal lists the refunds under: an order, or the payment (`PAY-…`) of an old sale."""
    note: str = ""
    """A line for the buyer, where the provider shows one."""


@dataclass(frozen=True)
class RefundAnswer:
    """What the provider says of a refund, in our words."""

    provider_id: str
    state: RefundState
    failure_code: str = ""
    failure_message: str = ""
    pending_reason: str = ""


@dataclass(frozen=True)
class Charge:
    """A payment as its provider knows it."""

    charge_id: str
    currency: str
    account: str = ""
    order_id: str = ""
    heard_of: frozenset[str] = frozenset()
    """The provider's ids of refunds that we know or were told of: where it keeps no list, they are
    asked for one by one."""


@dataclass(frozen=True)
class RefundSeen:
    """A refund in the provider's list, whoever asked for it."""

    answer: RefundAnswer
    amount_minor: int
    currency: str
    refund_id: str = ""
    """Ours, `rfnd_…`, when it was made by us."""


@dataclass(frozen=True)
class Chargebacks:
    """How the buyer's bank sees a charge: over all of its chargebacks, and the sum lost by them.

    One that is open counts before one that is lost, and that before one that is won.
    """

    state: BankState = ""
    lost_minor: int = 0

    @classmethod
    def over(cls, found: Iterable[tuple[BankState, int]]) -> "Chargebacks":
        """All chargebacks of a charge as one, from the state and the sum of each."""
        each = list(found)
        states = [state for state, _ in each]
        worst: BankState = next((s for s in ("open", "lost", "won") if s in states), "")
        return cls(worst, sum(minor for state, minor in each if state == "lost"))


class GatewayError(Exception):
    """A call to a provider that gave no answer to go on.

    `retry_after` is in seconds, when the provider names a wait. `alert` asks for a person: waiting
    alone mends nothing.
    """

    def __init__(self, message: str, retry_after: float | None = None, alert: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.alert = alert


class Declined(GatewayError):
    """The provider refused for good: no money moved, and asking again changes nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(GatewayError):
    """Certainly not done: the request never arrived, or was turned away at the door."""


class Unknown(GatewayError):
    """Perhaps done: handed over without a clear answer. Look it up before anything else."""


class Unlisted(Unknown):
    """The provider keeps no list in which a refund of this payment could be looked for.

    What tells a repeat from a second refund is then the idempotency key alone.
    """


class Gateway(Protocol):
    """One payment provider."""

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back; the same idempotency key gives the same refund.

        Raises Declined, Unavailable or Unknown.
        """
        ...

    def find(self, request: RefundRequest) -> RefundAnswer | None:
        """Look for a refund by our id; None only when the provider answered that it has none.

        Raises Unknown whatever goes wrong: a look that failed tells nothing of the refund. Raises
        Unlisted where there is nothing to look through.
        """
        ...

    def fetch(self, provider_id: str, request: RefundRequest) -> RefundAnswer:
        """The latest state of a refund that the provider has; raises Unknown like `find`."""
        ...

    def refunds_of(self, charge: Charge) -> list[RefundSeen]:
        """Every refund of a charge, also those made without us; raises Unknown like `find`.

        Where the provider keeps no list: those of its refunds that we have heard of.
        """
        ...

    def chargebacks_of(self, charge: Charge) -> Chargebacks:
        """What the bank says of a charge; raises Unknown like `find`."""
        ...


_ACCESS = {
    "stripe": ("STRIPE_API_KEY", "STRIPE_API_BASE"),
    "paypal": ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_API_BASE"),
}
"""The settings that open each provider, in the order its gateway takes them."""

_gateways: dict[tuple[object, ...], Gateway] = {}
_making = threading.Lock()


def gateway_for(processor: str) -> Gateway:
    """The gateway for `stripe` or `paypal` as settings have it now, one per process.

    Raises LookupError for a processor that gives nothing back (crypto).
    """
    if processor not in _ACCESS:
        raise LookupError(f"No gateway gives money back through {processor!r}.")
    access: tuple[str, ...] = tuple(getattr(settings, name) for name in _ACCESS[processor])
    timeout = _timeout()
    known = (processor, *access, timeout)
    with _making:
        if known not in _gateways:
            _gateways[known] = _make(processor, access, timeout)
        return _gateways[known]


def _timeout() -> tuple[float, float]:
    timeout: tuple[float, float] = getattr(settings, "GATEWAY_TIMEOUT", TIMEOUT)
    return timeout


def longest_wait() -> float:
    """Seconds that bringing one refund a step further can wait for a provider."""
    return CALLS_IN_A_ROW * sum(_timeout()) + PAUSES


def longest_call() -> float:
    """Seconds that asking a provider for a refund can take, once nothing is to be looked up."""
    return CALLS_TO_ASK * sum(_timeout())


def _make(processor: str, access: tuple[str, ...], timeout: tuple[float, float]) -> Gateway:
    """Imports its provider's SDK only here: Stripe's alone takes a sixth of a second."""
    if processor == "stripe":
        from payments.gateways.stripe import StripeGateway

        return StripeGateway(*access, timeout=timeout)
    from payments.gateways.paypal import PayPalGateway

    return PayPalGateway(*access, timeout=timeout)


def forget_gateways() -> None:
    """Drop the gateways with their connections and tokens; the next call makes them anew."""
    global _making
    _making = threading.Lock()
    _gateways.clear()


# A forked worker must not share its parent's sockets.
os.register_at_fork(after_in_child=forget_gateways)
