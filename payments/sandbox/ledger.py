"""What the sandbox providers know: charges, their refunds, and the idempotency keys in use.

Every change is one record, applied to memory and appended to a journal of JSON lines, so that a
restart finds it again. How far a refund has come is decided when it is read, from the clock.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

RefundState = Literal["pending", "requires_action", "succeeded", "failed"]
DisputeState = Literal["open", "won", "lost"]


class UnknownCharge(LookupError):
    """No such charge, or not on that account."""


class OverRefund(ValueError):
    """More than is left of the charge; `left` in minor units."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} minor units are left.")
        self.left = left


@dataclass
class Charge:
    """A payment at a provider. `id` is what was registered: `ch_…`, `pi_…`, or a capture's.

    A `sale` is one of PayPal's v1 API; its `order_id` is the payment that it belongs to, if any.
    """

    processor: str
    id: str
    amount_minor: int
    currency: str
    order_id: str = ""
    account: str = ""
    sale: bool = False
    create_calls: int = 0


@dataclass
class Refund:
    """Money on its way back; times are seconds since 1970.

    `waits` says why it is not under way yet, until it arrives: `requires_action`, or the reason for
    which it is pending.
    """

    id: str
    charge_id: str
    amount_minor: int
    currency: str
    our_id: str
    created: float
    settles_at: float
    fails_at: float | None = None
    failure_reason: str = ""
    waits: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> RefundState:
        now = time.time()
        if self.fails_at is not None and self.fails_at <= now:
            return "failed"
        if self.waits:
            return "requires_action" if self.waits == "requires_action" else "pending"
        return "succeeded" if self.settles_at <= now else "pending"


@dataclass
class Dispute:
    """The buyer's bank takes a charge back, or tried to."""

    id: str
    charge_id: str
    amount_minor: int
    currency: str
    opened: float
    state: DisputeState = "open"


@dataclass
class Answered:
    """What was answered under an idempotency key."""

    fingerprint: str
    status: int
    body: Any
    refund_id: str = ""


class Ledger:
    """The providers' own books, safe to share between threads.

    `lock` is held by whoever needs a look and a change to be one act. `refund_changes` and
    `dispute_changes` are called with whatever has just come to be, or changed.
    """

    def __init__(self, journal: Path | None = None, settle_seconds: float = 5.0) -> None:
        self.lock = threading.RLock()
        self.settle_seconds = settle_seconds
        self.refund_changes: Callable[[Refund], None] = lambda refund: None
        self.dispute_changes: Callable[[Dispute], None] = lambda dispute: None
        self._journal: TextIO | None = None
        self._forget()
        if journal is not None:
            self._open(journal)

    def _forget(self) -> None:
        self.charges: dict[str, Charge] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self._refunds_of: dict[str, list[Refund]] = {}
        self._answers: dict[str, Answered] = {}

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = 0
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                self._apply(record.pop("kind"), record)
                whole += len(line)
        # A line that was cut off by a kill never happened.
        with path.open("r+b") as file:
            file.truncate(whole)
        self._journal = path.open("a", encoding="utf-8")

    def _write(self, kind: str, **values: Any) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps({"kind": kind, **values}) + "\n")
            self._journal.flush()
        self._apply(kind, values)

    def _apply(self, kind: str, record: dict[str, Any]) -> None:
        match kind:
            case "charge":
                charge = Charge(**record)
                self.charges[charge.id] = charge
            case "dispute":
                dispute = Dispute(**record)
                self.disputes[dispute.id] = dispute
            case "ruling":
                self.disputes[record["id"]].state = record["state"]
            case "refund":
                refund = Refund(**record)
                self.refunds[refund.id] = refund
                self._refunds_of.setdefault(refund.charge_id, []).append(refund)
            case "failure":
                refund = self.refunds[record["id"]]
                refund.fails_at, refund.failure_reason = record["at"], record["reason"]
            case "arrival":
                refund = self.refunds[record["id"]]
                refund.waits, refund.settles_at = "", record["at"]
            case "call":
                self.charges[record["id"]].create_calls += 1
            case "answer":
                key = record.pop("key")
                self._answers[key] = Answered(**record)
            case "keys_forgotten":
                whose, holding = record.get("provider", ""), record.get("holding", "")
                for key in list(self._answers):
                    if key.startswith(whose) and holding in key:
                        del self._answers[key]

    def close(self) -> None:
        """Close the journal."""
        with self.lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def reset(self) -> None:
        """Forget everything, the journal included."""
        with self.lock:
            self._forget()
            if self._journal is not None:
                self._journal.truncate(0)

    def register(self, charge: Charge) -> None:
        """Take note of a payment that was made; one that is known already stays as it is."""
        with self.lock:
            if charge.id not in self.charges:
                self._write("charge", **asdict(charge))

    def dispute(self, charge_id: str, amount_minor: int | None = None) -> Dispute:
        """Open a chargeback, over all of the charge unless told; raises UnknownCharge."""
        with self.lock:
            charge = self.charges.get(charge_id)
            if charge is None:
                raise UnknownCharge(charge_id)
            dispute = Dispute(
                id=_new_id(charge.processor, "dp"),
                charge_id=charge_id,
                amount_minor=amount_minor or charge.amount_minor,
                currency=charge.currency,
                opened=time.time(),
            )
            self._write("dispute", **asdict(dispute))
            self.dispute_changes(self.disputes[dispute.id])
            return self.disputes[dispute.id]

    def rule(self, charge_id: str, state: DisputeState) -> Dispute:
        """Let the bank rule on the chargeback that is open; raises UnknownCharge without one."""
        with self.lock:
            for dispute in self.disputes_of(charge_id):
                if dispute.state == "open":
                    self._write("ruling", id=dispute.id, state=state)
                    self.dispute_changes(dispute)
                    return dispute
            raise UnknownCharge(f"an open dispute of {charge_id}")

    def disputes_of(self, charge_id: str) -> list[Dispute]:
        """The chargebacks of a charge, oldest first."""
        with self.lock:
            return [each for each in self.disputes.values() if each.charge_id == charge_id]

    def is_charged_back(self, charge: Charge) -> bool:
        """Whether the bank holds the money or has given it to the buyer."""
        return any(each.state != "won" for each in self.disputes_of(charge.id))

    def charge(self, charge_id: str, processor: str, account: str = "") -> Charge:
        """A charge of a processor, on an account; raises UnknownCharge."""
        charge = self.charges.get(charge_id)
        if charge is None or (charge.processor, charge.account) != (processor, account):
            raise UnknownCharge(charge_id)
        return charge

    def refunds_of(self, charge: Charge) -> list[Refund]:
        """The refunds of a charge, oldest first."""
        return list(self._refunds_of.get(charge.id, []))

    def refunded_minor(self, charge: Charge) -> int:
        """What has gone back or is on its way; a failed refund counts for nothing."""
        refunds = self._refunds_of.get(charge.id, [])
        return sum(refund.amount_minor for refund in refunds if refund.state != "failed")

    def count_call(self, charge: Charge) -> None:
        """Note that a refund of the charge was asked for, whatever comes of it."""
        with self.lock:
            self._write("call", id=charge.id)

    def refund(
        self,
        charge: Charge,
        amount_minor: int,
        our_id: str,
        *,
        fails_after: float | None = None,
        waits: str = "",
        **details: Any,
    ) -> Refund:
        """Give money back; raises OverRefund. `fails_after` settling, in seconds, it fails late."""
        with self.lock:
            left = charge.amount_minor - self.refunded_minor(charge)
            if amount_minor > left:
                raise OverRefund(left)
            now = time.time()
            settles_at = now + self.settle_seconds
            refund = Refund(
                id=_new_id(charge.processor),
                charge_id=charge.id,
                amount_minor=amount_minor,
                currency=charge.currency,
                our_id=our_id,
                created=now,
                settles_at=settles_at,
                fails_at=None if fails_after is None else settles_at + fails_after,
                failure_reason="" if fails_after is None else "expired_or_canceled_card",
                waits=waits,
                details=details,
            )
            self._write("refund", **asdict(refund))
            self.refund_changes(self.refunds[refund.id])
            return self.refunds[refund.id]

    def fail(self, refund_id: str, reason: str) -> Refund:
        """Let a refund fail now, even one that has succeeded; raises KeyError."""
        with self.lock:
            refund = self.refunds[refund_id]
            self._write("failure", id=refund_id, at=time.time(), reason=reason)
            self.refund_changes(refund)
            return refund

    def arrive(self, refund_id: str) -> Refund:
        """Let a refund that is under way, or waits, arrive now; raises KeyError."""
        with self.lock:
            self._write("arrival", id=refund_id, at=time.time())
            return self.refunds[refund_id]

    def answered(self, key: str) -> Answered | None:
        """What was answered under this idempotency key before."""
        return self._answers.get(key)

    def remember(
        self, key: str, fingerprint: str, status: int, body: object, refund_id: str = ""
    ) -> None:
        """Keep an answer for the next call with the same idempotency key."""
        with self.lock:
            self._write(
                "answer",
                key=key,
                fingerprint=fingerprint,
                status=status,
                body=body,
                refund_id=refund_id,
            )

    def forget_keys(self, provider: str = "", holding: str = "") -> None:
        """Prune the idempotency keys, as Stripe may after a day; of one provider or of both.

        Only those that hold a word, if one is given.
        """
        with self.lock:
            self._write("keys_forgotten", provider=provider, holding=holding)

    def as_witness(self, only: str = "") -> list[dict[str, Any]]:
        """Every charge, or one, with refunds and totals, to check the caller's books against."""
        with self.lock:
            return [
                {
                    **asdict(charge),
                    "disputed": self.is_charged_back(charge),
                    "disputes": [each.state for each in self.disputes_of(charge.id)],
                    "refunded_minor": self.refunded_minor(charge),
                    "refunds": [
                        {
                            "id": refund.id,
                            "refund_id": refund.our_id,
                            "amount_minor": refund.amount_minor,
                            "currency": refund.currency,
                            "state": refund.state,
                            "created": refund.created,
                        }
                        for refund in self.refunds_of(charge)
                    ],
                }
                for charge in ([self.charges[only]] if only else self.charges.values())
            ]


def _new_id(processor: str, kind: str = "re") -> str:
    if processor == "stripe":
        return f"{kind}_{secrets.token_hex(12)}"
    if kind == "dp":
        return f"PP-D-{secrets.randbelow(10**12):012}"
    return secrets.token_hex(9)[:17].upper()
