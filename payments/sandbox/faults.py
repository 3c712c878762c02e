"""The misbehaviour that the sandbox was asked for.

=================  ============================================================================
kind               what happens
=================  ============================================================================
delay              the call is worked on `seconds` later
401, 429           turned away at the door; 429 with `retry_after`
500_before         an error of the provider's own, nothing done
500_after_effect   the same, but the refund is made
timeout            no answer for `seconds`; the refund is made unless `effect` is false
drop               a reset instead of an answer; likewise
half_body          the answer breaks off in the middle; likewise
decline            refused for good, with `code`
late_failure       the refund fails `seconds` after it has succeeded
wait               it waits until it is let arrive; `code` is `requires_action`, or the reason for
                   which it is pending: `processing`, `insufficient_funds`, `charge_pending`
lose, double       an event (`webhook.send`) is never sent, or sent twice
delay, reorder     it is sent `seconds` later, or after the next one
=================  ============================================================================
"""

import threading
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

OPERATIONS = frozenset(
    {
        *("refund.create", "refund.find", "refund.fetch", "dispute.find"),
        *("charge.fetch", "token.create", "webhook.send"),
    }
)
ON_THE_WIRE = frozenset({"timeout", "drop", "half_body"})
AT_THE_DOOR = frozenset({"401", "429"}) | ON_THE_WIRE
INSIDE = frozenset({"delay", "500_before", "500_after_effect", "decline", "late_failure", "wait"})
OF_EVENTS = frozenset({"lose", "double", "delay", "reorder"})


@dataclass
class Fault:
    """One kind of trouble for one operation of a provider, `times` over."""

    provider: str
    operation: str
    kind: str
    times: int = 1
    seconds: float = 0.0
    retry_after: float | None = None
    code: str = ""
    effect: bool = True

    def __post_init__(self) -> None:
        if self.provider not in ("stripe", "paypal"):
            raise ValueError(f"provider: stripe or paypal, not {self.provider!r}.")
        if self.operation not in OPERATIONS:
            raise ValueError(f"operation: one of {', '.join(sorted(OPERATIONS))}.")
        kinds = OF_EVENTS if self.operation == "webhook.send" else AT_THE_DOOR | INSIDE
        if self.kind not in kinds:
            raise ValueError(f"kind: one of {', '.join(sorted(kinds))}.")
        if self.operation != "refund.create" and self.kind in ("decline", "late_failure", "wait"):
            raise ValueError(f"{self.kind} is for refund.create.")
        if self.kind == "timeout" and not self.seconds:
            self.seconds = 60.0

    @classmethod
    def from_json(cls, asked: Any) -> "Fault":
        """What the control API was sent; raises ValueError that says what is wrong with it."""
        try:
            return cls(**asked)
        except TypeError as error:
            raise ValueError(str(error)) from error


class Faults:
    """The faults still to come, in the order they were asked for; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Ask for a fault."""
        with self._lock:
            self._coming.append(fault)

    def coming(self) -> list[Fault]:
        """What was asked for and has not happened yet."""
        with self._lock:
            return list(self._coming)

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._coming.clear()

    def take(self, provider: str, operation: str, kinds: Set[str]) -> Fault | None:
        """The next fault of these kinds for an operation, used up once; None when there is none."""
        with self._lock:
            for fault in self._coming:
                if (fault.provider, fault.operation) == (provider, operation):
                    if fault.kind not in kinds:
                        continue
                    fault.times -= 1
                    if fault.times <= 0:
                        self._coming.remove(fault)
                    return fault
        return None
