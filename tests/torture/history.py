"""One history: a few cases on fresh payments, everything that can happen to them, and the healing.

What happens is drawn from the seed alone, each act from a chance of its own, so a history can be
played again (`HISTORY=seed`). Acts at the same time really are: which of them wins may differ from
one playing to the next, and so may the moment at which a provider's event arrives.
"""

import random
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import redis
from celery import current_app
from django.db.models import F

from marketplace import clock
from notifications.models import Notification
from payments import reconciliation
from payments import tasks as payment_tasks
from payments.gateways import GatewayError
from payments.models import Payment, ProviderEvent, Refund
from resolution import cases, tasks
from resolution.cases import AFTER_FAILURE, StepRefused
from resolution.eligibility import NotEligible
from resolution.lifecycle import IN_REVIEW
from resolution.models import Case
from resolution.terms import BOTH, Actor, Reason, Remedy, Verdict
from tests import invariants
from tests.sandbox_fixture import SandboxClient
from tests.torture import oracle
from tests.torture.people import LONE, RULED, People

AT_ONCE = 3
MOST_SWEEPS = 12
"""Sweeps after which a history that still moves counts as stuck."""

SLOWEST = 0.45
"""Seconds that a slow provider takes: longer than our patience, which is 0.3."""

DECISIONS = ("decide", "decide_final", "decide_final_alone", "propose")
FROZEN = 0.9
"""Seconds that a call takes which outlives its worker's lease."""

PENDING = 0.2
"""Seconds that a refund is under way at its provider, when it does not arrive at once."""

LIKELY = {"accept": 9, "decide": 6, "decide_final": 6, "retry_refund": 5, "deny": 2}
UNLIKELY = {"comment": 0.3, "note": 0.1, "withdraw": 0.3, "propose": 1.5, "decline_proposal": 0.2}

WIRE = ("timeout", "drop", "half_body")
MISBEHAVIOUR = {
    "refund.create": (
        *("500_before", "500_after_effect", "500_after_effect", *WIRE, *WIRE),
        *("429", "401", "delay", "delay", "decline", "late_failure"),
    ),
    "refund.find": (*WIRE, "500_before", "429", "401", "delay"),
    "refund.fetch": (*WIRE, "500_before", "429", "delay"),
    "dispute.find": (*WIRE, "500_before", "429"),
    "token.create": (*WIRE, "500_before", "401", "429"),
    "webhook.send": ("lose", "double", "delay", "reorder"),
}
REFUSALS = {
    "stripe": ["charge_disputed", "charge_already_refunded", "insufficient_funds"],
    "paypal": ["TRANSACTION_DISPUTED", "REFUND_TIME_LIMIT_EXCEEDED", "CAPTURE_FULLY_REFUNDED"],
}


@dataclass
class Tools:
    """What all histories of a worker share."""

    people: People
    sandbox: SandboxClient
    valkey: redis.Redis
    address: str
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))

    def __post_init__(self) -> None:
        self._channel: Any = current_app.connection_for_read().default_channel

    def nudge(self) -> Callable[[], object] | None:
        """Take the next nudge out of Valkey: a task to run, None when there is none."""
        while (message := self._channel.basic_get("nudges", no_ack=True)) is not None:
            name, args = message.headers["task"], message.decode()[0]
            # Mail is what the killed workers deliver; here it would only take time.
            if name != "resolution.tasks.deliver":
                return partial(current_app.tasks[name], *args)
        return None


@dataclass
class Result:
    """What became of a history."""

    seed: str
    findings: oracle.Findings
    faults: dict[str, int]
    refunds: int
    steps: int
    sweeps: int
    trace: list[str]


class History:
    """One history, played by `play`."""

    def __init__(self, seed: str, tools: Tools) -> None:
        self.seed, self.tools = seed, tools
        self.sandbox = tools.sandbox
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.trace: list[str] = []
        self.crashes: list[str] = []
        self.steps = 0
        self.slow, self.slow_until = False, 0.0
        self.payments: list[Payment] = []

    def play(self) -> Result:
        """Live through it, heal, and hold the books against the sandbox's."""
        self.sandbox.settle_after(self.chance.choice([0, 0, 0, PENDING]))
        self.sandbox.tell(self.chance.choice([self.tools.address] * 3 + [""]))
        for number in range(self.chance.choice([1, 1, 2, 3])):
            name = f"{self.seed.replace(':', 'x')}x{number}{uuid.uuid4().hex[:6]}"
            self.payments.append(self.tools.people.pay(self.chance, name, self.sandbox))
        for payment in self.payments:
            self._open(self.chance, payment)
            if self.chance.random() < 0.8:
                self._nudged(self.chance, payment)
            for _ in range(self.chance.choice([0, 1, 1, 2])):
                self._misbehave(self.chance, payment)
        for number in range(self.chance.randint(10, 26)):
            chance = random.Random(f"{self.seed}:{number}")
            [act] = chance.choices(list(ACTS), list(ACTS.values()))
            try:
                getattr(self, f"_{act}")(chance, chance.choice(self.payments))
            except Exception:  # whatever it is, it is a finding
                self.crashes.append(f"{act}: {traceback.format_exc()}")
        findings = oracle.Findings()
        sweeps = self._heal(findings)
        for payment in self.payments:
            oracle.compare(payment.pk, self.sandbox, findings)
        findings.mismatched += invariants.violations(self.payments[0].pk - 1) + self.crashes
        count = Refund.objects.filter(payment__in=self.payments).count()
        return Result(
            self.seed, findings, dict(self.faults), count, self.steps, sweeps,
            self.trace if findings.any() else [],
        )  # fmt: skip

    # ── What people do ────────────────────────────────────────────────────────────────────────────

    def _open(self, chance: random.Random, payment: Payment) -> None:
        """The buyer opens the case, sometimes twice at once."""
        asked = payment.amount_minor // chance.randint(4, 40)
        reason = chance.choice([RULED, *Reason.values])
        form_key = uuid.UUID(int=chance.getrandbits(128))
        keys: list[uuid.UUID | None] = chance.choice([[None], [None] * 2, [form_key] * 2])
        self.trace.append(f"open {payment.charge_id} {payment.amount_minor} asks {asked} {reason}")
        opening = [
            partial(
                cases.open_case, payment, self.tools.people.buyer, reason=reason,
                message="It is not what the page says.", asked_minor=asked, form_key=key,
            )
            for key in keys
        ]  # fmt: skip
        self._together(opening)

    def _act(self, chance: random.Random, payment: Payment) -> None:
        """Somebody takes a step that is open to them; what it sends is often set upon at once."""
        self._together([self._step(chance, payment)])
        if chance.random() < 0.6:
            [way] = chance.choices([self._sent_at_once, self._frozen, self._forgotten], [2, 3, 3])
            way(chance, payment)

    def _click_twice(self, chance: random.Random, payment: Payment) -> None:
        """The same form arrives twice at once."""
        self._together([self._step(chance, payment, uuid.UUID(int=chance.getrandbits(128)))] * 2)

    def _race(self, chance: random.Random, payment: Payment) -> None:
        """Two or three people act at once, and a worker as well."""
        acts = [self._step(chance, payment) for _ in range(chance.choice([2, 2, 3]))]
        if chance.random() < 0.5:
            acts[-1] = tasks.sweep_cases
        self._together(acts)

    def _step(
        self, chance: random.Random, payment: Payment, form_key: uuid.UUID | None = None
    ) -> Callable[[], object]:
        """A step on the payment's case by somebody who may take it, all its terms made up."""
        case = Case.objects.select_related("payment").filter(payment=payment).first()
        if case is None:
            return lambda: None
        found = [
            (step, actor) for actor in self.tools.people.actors for step in _open_to(case, actor)
        ]
        if not found:
            return lambda: None
        weights = [LIKELY.get(step) or UNLIKELY.get(step) or 1 for step, _ in found]
        [(step, actor)] = chance.choices(found, weights)
        if step in UNLIKELY and chance.random() > UNLIKELY[step]:
            return lambda: None
        terms: dict[str, Any] = {"message": "As it is.", "form_key": form_key}
        if chance.random() < 0.5:
            terms["seen_version"] = case.version
        if step == "ask_party":
            terms["asks"] = chance.choice(BOTH)
        elif step == "mark_paid":
            terms["reference"] = "Bank transfer 7"
        elif step == "propose" and case.state not in IN_REVIEW:
            terms["proposes"] = chance.choice(AFTER_FAILURE)
        elif step in DECISIONS:
            terms["verdict"] = _verdict(chance, case, step)
        self.trace.append(f"{actor.party} {actor.role}: {step} {terms.get('verdict') or ''}")
        return partial(cases.take_step, case, step, actor, **terms)

    # ── What workers do ───────────────────────────────────────────────────────────────────────────

    def _nudged(self, chance: random.Random, payment: Payment) -> None:
        """Workers follow nudges: in turn or at once, some twice, some never."""
        found = []
        for _ in range(chance.randint(1, 6)):
            task = self.tools.nudge()
            if task is None:
                break
            found += [task] * chance.choices([0, 1, 2], [1, 7, 2])[0]
        at_once = chance.choice([1, 2, 3])
        for start in range(0, len(found), at_once):
            self._together(found[start : start + at_once])

    def _swept(self, chance: random.Random, payment: Payment) -> None:
        """The sweeps run, sometimes two of a kind at once, and look after what they find."""
        sweep = chance.choice([tasks.sweep_cases, tasks.sweep_refunds, payment_tasks.handle_events])
        self._together([sweep] * chance.choice([1, 1, 2]))

    def _sent_at_once(self, chance: random.Random, payment: Payment) -> None:
        """Several workers go for the same refund, and one looks at the payment meanwhile."""
        for carry_out in self._carry_out(chance, payment):
            look = partial(_look, payment.pk)
            self._together([carry_out, carry_out, look if chance.random() < 0.5 else carry_out])

    def _frozen(self, chance: random.Random, payment: Payment) -> None:
        """A worker waits for a slow provider until its lease runs out, and another takes over."""
        for carry_out in self._carry_out(chance, payment):
            let_time_pass(301)
            self._ask_for(payment.processor, "refund.create", "delay", times=1, seconds=FROZEN)
            self._together([carry_out, partial(self._take_over, carry_out)])
            self.slow_until = time.monotonic() + FROZEN

    def _take_over(self, carry_out: Callable[[], object]) -> None:
        time.sleep(FROZEN / 2)
        let_time_pass(301)
        carry_out()

    def _forgotten(self, chance: random.Random, payment: Payment) -> None:
        """A refund is made and nobody hears of it, not even the next day."""
        for carry_out in self._carry_out(chance, payment):
            let_time_pass(301)
            kind = chance.choice(["500_after_effect", "drop", "half_body", "500_before"])
            self._ask_for(payment.processor, "refund.create", kind, times=1)
            self._together([carry_out])
            if chance.random() < 0.6:
                self._a_day_passes(chance, payment)
            let_time_pass(61)
            self._together([carry_out] * chance.choice([1, 2]))

    def _carry_out(self, chance: random.Random, payment: Payment) -> Iterable[Callable[[], object]]:
        """The task for one of the payment's refunds that are under way, if any is."""
        ids = payment.refunds.filter(state__in=Refund.IN_FLIGHT).values_list("pk", flat=True)
        return [partial(tasks.carry_out, pk) for pk in chance.sample(list(ids), min(1, len(ids)))]

    def _looked_at(self, chance: random.Random, payment: Payment) -> None:
        """The payment is compared with its provider, by two at once."""
        self._together([partial(_look, payment.pk)] * chance.choice([1, 2]))

    # ── What happens around them ──────────────────────────────────────────────────────────────────

    def _days_pass(self, chance: random.Random, payment: Payment) -> None:
        """Time passes for the business: deadlines come, windows close."""
        days = chance.choice([0.5, 2, 7.1, 8])
        self.trace.append(f"{days} days pass")
        clock.advance(timedelta(days=days))

    def _minutes_pass(self, chance: random.Random, payment: Payment) -> None:
        """Time passes for leases and back-off, with nobody at work."""
        let_time_pass(chance.choice([2, 61, 301, 1900]))

    def _a_day_passes(self, chance: random.Random, payment: Payment) -> None:
        """So long that Stripe has forgotten its idempotency keys; PayPal keeps its own."""
        self._end_calls()  # a call takes less than a day
        let_time_pass(25 * 3600)
        self.sandbox.control("DELETE", "keys", {"provider": "stripe"})

    def _misbehave(self, chance: random.Random, payment: Payment) -> None:
        """The provider is asked to misbehave, at once or when its turn comes."""
        provider = payment.processor
        operations = ["refund.create"] * 12 + ["refund.find"] * 3 + ["webhook.send"] * 2
        operations += ["refund.fetch", "dispute.find"] + ["token.create"] * (provider == "paypal")
        operation = chance.choice(operations)
        kind = chance.choice(MISBEHAVIOUR[operation])
        more: dict[str, Any] = {"times": chance.choice([1, 1, 2, 4])}
        if kind in ("timeout", "delay"):
            more["seconds"] = SLOWEST
        elif kind == "late_failure":
            more["seconds"] = 0.05
        elif kind == "429":
            more["retry_after"] = chance.choice([None, 1, 30])
        elif kind == "decline":
            more["code"] = chance.choice(REFUSALS[provider])
        if kind in WIRE:
            more["effect"] = chance.random() < 0.7
        self._ask_for(provider, operation, kind, **more)
        if kind == "401":
            self.sandbox.end_tokens()

    def _ask_for(self, provider: str, operation: str, kind: str, **more: Any) -> None:
        """Ask the sandbox for one kind of trouble."""
        self.trace.append(f"{provider} {operation}: {kind} {more}")
        self.faults[_name(operation, kind)] += more["times"]
        self.slow |= kind == "delay"
        self.sandbox.fault(provider, operation, kind, **more)

    def _bank(self, chance: random.Random, payment: Payment) -> None:
        """The buyer's bank takes the payment back, or rules on that."""
        is_open = self._ledger(payment)["disputed"]
        if is_open:
            self._rule(chance, payment)
        else:
            self.trace.append(f"chargeback on {payment.charge_id}")
            self.faults["chargeback"] += 1
            self.sandbox.dispute(payment.charge_id)

    def _elsewhere(self, chance: random.Random, payment: Payment) -> None:
        """Somebody refunds in the provider's dashboard, a part or (rarely) all that is left."""
        charge = self._ledger(payment)
        left = charge["amount_minor"] - charge["refunded_minor"]
        part = left if chance.random() < 0.15 else left // chance.randint(3, 30)
        part -= part % 100  # PayPal counts forints in whole ones
        unseen = payment.charge_id.startswith(LONE)  # nobody could know of it
        if part and not charge["disputed"] and not unseen:
            self.trace.append(f"{part} of {payment.charge_id} refunded elsewhere")
            self.faults["elsewhere"] += 1
            self.sandbox.refund_elsewhere(payment.charge_id, part)

    def _late_failure(self, chance: random.Random, payment: Payment) -> None:
        """A refund fails at the provider, one that had succeeded if there is one."""
        made = [row for row in self._ledger(payment)["refunds"] if row["state"] != "failed"]
        if made:
            failing = chance.choice(made)["id"]
            self.trace.append(f"{failing} fails late")
            self.faults["fails_late"] += 1
            self.sandbox.fail(failing)

    def _valkey_empty(self, chance: random.Random, payment: Payment) -> None:
        """Valkey loses everything that it has."""
        self.trace.append("FLUSHALL")
        self.faults["flushall"] += 1
        self.tools.valkey.flushall()

    # ── How it ends ───────────────────────────────────────────────────────────────────────────────

    def _heal(self, findings: oracle.Findings) -> int:
        """Let everything work again and run the sweeps until nothing moves; answer how many."""
        for fault in self.sandbox.control("GET", "faults")["faults"]:
            self.faults[_name(fault["operation"], fault["kind"])] -= fault["times"]
        self.sandbox.behave()
        self.sandbox.settle_after(0)
        self.sandbox.tell("")
        self._end_calls()
        for payment in self.payments:
            if any(row["state"] == "pending" for row in self._ledger(payment)["refunds"]):
                time.sleep(PENDING)
            self._rule(self.chance, payment)
        self._sweep_all(look=True)
        clock.advance(timedelta(days=8))
        return self._settle_down(findings)

    def _end_calls(self) -> None:
        """Let the provider end what it still works on, though nobody waits for it any more."""
        left = self.slow_until - time.monotonic()
        time.sleep(max(left, SLOWEST if self.slow else 0, 0))

    def _settle_down(self, findings: oracle.Findings) -> int:
        """Sweep until nothing waits for a worker any more; answer how many sweeps that took."""
        before: object = None
        for number in range(1, MOST_SWEEPS + 1):
            self._sweep_all(look=before is not None)
            if not oracle.waiting(self.payments[0].pk - 1):
                return number
            now = self._standing()
            if now == before:
                # What Stripe answers with a kept error is asked for anew when its key has gone.
                self._a_day_passes(self.chance, self.payments[0])
            before = now
        findings.stuck += oracle.waiting(self.payments[0].pk - 1)
        return MOST_SWEEPS

    def _sweep_all(self, *, look: bool) -> None:
        """One turn of all sweeps, with everything that they call for."""
        let_time_pass(3600)
        if look:
            for payment in self.payments:
                self._guarded(partial(_look, payment.pk))
        for sweep in (payment_tasks.handle_events, tasks.sweep_cases, tasks.sweep_refunds):
            self._guarded(sweep)
        while (task := self.tools.nudge()) is not None:
            self._guarded(task)

    def _standing(self) -> object:
        """Everything of this history that may still move."""
        return (
            list(
                Refund.objects.filter(payment__in=self.payments)
                .order_by("pk")
                .values_list("public_id", "state", "provider_id")
            ),
            list(
                Case.objects.filter(payment__in=self.payments)
                .order_by("pk")
                .values_list("public_id", "state", "money", "last_seq")
            ),
            ProviderEvent.objects.filter(processed_at=None).count(),
        )

    def _rule(self, chance: random.Random, payment: Payment) -> None:
        """The bank rules on a chargeback that is open."""
        for _ in range(5):
            charge = self._ledger(payment)
            if "open" not in charge["disputes"]:
                return
            outcome = chance.choice(["won", "lost"])
            self.trace.append(f"chargeback on {payment.charge_id} {outcome}")
            self.sandbox.rule(payment.charge_id, outcome)

    # ── How it is done ────────────────────────────────────────────────────────────────────────────

    def _ledger(self, payment: Payment) -> dict[str, Any]:
        return oracle.charge_of(payment, self.sandbox)

    def _together(self, acts: list[Any]) -> None:
        """Start these at the same moment, each on a connection of its own, and wait for all."""
        self.steps += len(acts)
        if len(acts) == 1:
            self._guarded(acts[0])
            return
        start = Barrier(len(acts))

        def run(act: Callable[[], object]) -> None:
            start.wait(10)
            self._guarded(act)

        list(self.tools.pool.map(run, acts))

    def _guarded(self, act: Callable[[], object]) -> None:
        """A refusal is an answer like any other; anything else that is raised is a finding."""
        try:
            act()
        except (StepRefused, NotEligible) as reason:
            self.trace.append(f"  refused: {reason}")
        except Exception:  # whatever it is, it is a finding
            self.crashes.append(traceback.format_exc())


ACTS = {
    "act": 30,
    "click_twice": 5,
    "race": 8,
    "nudged": 28,
    "swept": 9,
    "sent_at_once": 4,
    "looked_at": 3,
    "days_pass": 8,
    "minutes_pass": 9,
    "a_day_passes": 5,
    "frozen": 2,
    "forgotten": 2,
    "misbehave": 22,
    "bank": 2,
    "elsewhere": 3,
    "late_failure": 3,
    "valkey_empty": 1.5,
}
"""What can happen, and how often compared with the rest."""


def let_time_pass(seconds: float) -> None:
    """Move the machine's time on for every lease, pause and key by moving these back."""
    by = timedelta(seconds=seconds)
    Refund.objects.filter(state__in=Refund.IN_FLIGHT).update(
        next_attempt_at=F("next_attempt_at") - by,
        lease_until=F("lease_until") - by,
        first_sent_at=F("first_sent_at") - by,
        in_doubt_since=F("in_doubt_since") - by,
    )
    ProviderEvent.objects.filter(processed_at=None).update(
        next_attempt_at=F("next_attempt_at") - by
    )
    Notification.objects.filter(state__in=["pending", "sending"]).update(
        next_attempt_at=F("next_attempt_at") - by, lease_until=F("lease_until") - by
    )


def _name(operation: str, kind: str) -> str:
    """What a fault is counted as."""
    return f"webhook_{kind}" if operation == "webhook.send" else kind


def _look(payment_id: int) -> None:
    """Compare one payment with its provider's books, whether or not it answers."""
    try:
        reconciliation.look(payment_id)
    except GatewayError:
        return


def _open_to(case: Case, actor: Actor) -> list[str]:
    return list(cases.steps_for(case, actor))


def _verdict(chance: random.Random, case: Case, step: str) -> Verdict:
    """What is proposed already, or something new: a part of what was asked for, or a bit more."""
    if step != "propose" and case.proposed_by_id and chance.random() < 0.8:
        return Verdict(Remedy(case.proposed_remedy), case.proposed_minor)
    [remedy] = chance.choices([Remedy.REFUND, Remedy.CREDIT, Remedy.NONE], [7, 2, 1])
    amount = chance.randint(1, case.asked_minor + case.asked_minor // 2)
    return Verdict(remedy, 0 if remedy == Remedy.NONE else amount)
