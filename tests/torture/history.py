"""Histories: cases on fresh payments, everything that can happen to them, and the healing.

A *history* is one to three payments and what is done to their cases. Some histories at a time share
a *world*: the database, the clock, the providers, Valkey and what befalls all of them; so workers,
sweeps and faults get at whatever they find, whoever's it is. In the end the world heals, and each
history is held against the providers' books.

What happens is drawn from the seed alone, each act from a chance of its own, so a world can be
played again (`AGAIN=1:50-74`). Acts at the same time really are: which of them wins may differ from
one playing to the next, and so may the moment at which a provider's event arrives.
"""

import random
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any, cast

import redis
from celery import current_app
from django.db import connection

from config.celery import QUEUES
from marketplace import clock
from notifications.models import Notification
from payments import reconciliation, refunds
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
from tests.torture.freezing import Freezing
from tests.torture.people import LONE, RULED, People

AT_ONCE = 3
MOST_SWEEPS = 12
"""Sweeps after which a world that still moves counts as stuck."""

SLOWEST = 0.45
"""Seconds that a slow provider takes: longer than our patience, which is 0.3."""

ACTS_OF_A_HISTORY = (3, 24, 6)
"""At least, at most, and what is likeliest: a few are long, most are soon over."""

DECISIONS = ("decide", "decide_final", "decide_final_alone", "propose")
BELATED = 0.9
"""Seconds that a provider works on a call that nobody waits for any more."""

FREEZING = ("refund.called", "refund.called", "refund.called", "refund.calling", "refund.claimed")
"""The places at which a worker freezes."""

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
    """What all worlds of a process share."""

    people: People
    sandbox: SandboxClient
    valkey: redis.Redis
    address: str
    freezing: Freezing
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))

    def __post_init__(self) -> None:
        self._channel = cast("Any", current_app.connection_for_read().default_channel)
        steps = self._channel.priority_steps
        self._lists = [self._channel._q_for_pri(queue, step) for queue in QUEUES for step in steps]

    def nudge(self) -> Callable[[], object] | None:
        """Take the next nudge out of Valkey: a task to run, None when there is none."""
        while (message := self._next()) is not None:
            name, args = message.headers["task"], message.decode()[0]
            # Mail is what the killed workers deliver; here it would only take time.
            if name != "resolution.tasks.deliver":
                return partial(current_app.tasks[name], *args)
        return None

    def _next(self) -> Any:
        if not self._channel.client.exists(*self._lists):
            return None
        found = (self._channel.basic_get(queue, no_ack=True) for queue in QUEUES)
        return next((message for message in found if message is not None), None)


@dataclass
class Result:
    """What became of a world."""

    seed: str
    histories: int
    findings: oracle.Findings
    faults: dict[str, int]
    refunds: int
    steps: int
    sweeps: int
    trace: list[str]


class World:
    """Some histories, and what they share; `play` answers what became of them."""

    def __init__(self, name: str, tools: Tools) -> None:
        self.name, self.tools, self.sandbox = name, tools, tools.sandbox
        self.chance = random.Random(name)
        seed, _, numbers = name.partition(":")
        first, _, last = numbers.partition("-")
        members = range(int(first), int(last or first) + 1)
        self.histories = [History(f"{seed}:{number}", self) for number in members]
        self.faults: Counter[str] = Counter()
        self.trace: list[str] = []
        self.crashes: list[str] = []
        self.steps = 0

    def play(self) -> Result:
        """Live through it, heal, and hold the books against the sandbox's."""
        self.providers_change()
        for history in self.histories:
            history.begin()
        while going_on := [history for history in self.histories if history.acts_left]:
            for history in going_on:
                history.go_on()
            self._go_on()
        findings = oracle.Findings()
        sweeps = self._heal(findings)
        ledger = self.sandbox.ledger()
        for payment in self.payments:
            oracle.compare(payment.pk, ledger[payment.charge_id], findings)
        findings.mismatched += invariants.violations(self.since) + self.crashes
        count = Refund.objects.filter(payment__in=self.payments).count()
        self.sandbox.reset()
        # Nobody delivers them here, and the next world need not wade through them.
        Notification.objects.all()._raw_delete("default")
        return Result(
            self.name, len(self.histories), findings, dict(self.faults), count, self.steps, sweeps,
            self.trace if findings.any() else [],
        )  # fmt: skip

    @property
    def payments(self) -> list[Payment]:
        return [payment for history in self.histories for payment in history.payments]

    @property
    def since(self) -> int:
        """The id before that of the first payment."""
        return self.histories[0].payments[0].pk - 1

    # ── What befalls all of them ──────────────────────────────────────────────────────────────────

    def _go_on(self) -> None:
        """What happens to everybody, by chance, after each has acted once."""
        for event, likely in BEFALLS.items():
            if self.chance.random() < likely:
                getattr(self, event)()

    def days_pass(self) -> None:
        """Time passes for the business: deadlines come, windows close."""
        days = self.chance.choice([0.5, 2, 7.1, 8])
        self.trace.append(f"{days} days pass")
        clock.advance(timedelta(days=days))

    def minutes_pass(self) -> None:
        """Time passes for leases and back-off, with nobody at work."""
        let_time_pass(self.chance.choice([2, 61, 301, 1900]))

    def a_day_passes(self) -> None:
        """So long that Stripe has forgotten its idempotency keys; PayPal keeps its own."""
        self.trace.append("a day passes")
        self.end_calls()  # a call takes less than a day
        let_time_pass(25 * 3600)
        self.sandbox.forget_keys("stripe")

    def valkey_is_emptied(self) -> None:
        """Valkey loses everything that it has."""
        self.trace.append("FLUSHALL")
        self.faults["flushall"] += 1
        self.tools.valkey.flushall()

    def providers_change(self) -> None:
        """How fast refunds arrive, and whether anybody tells; what was to go wrong may be over."""
        self.sandbox.settle_after(self.chance.choice([0, 0, 0, PENDING]))
        self.sandbox.tell(self.chance.choice([self.tools.address] * 3 + [""]))
        if self.chance.random() < 0.5:
            self._behave()

    def _behave(self) -> None:
        """Let the providers work again; what was asked for and did not happen does not count."""
        for fault in self.sandbox.control("GET", "faults")["faults"]:
            self.faults[_name(fault["operation"], fault["kind"])] -= fault["times"]
        self.sandbox.behave()

    # ── How it ends ───────────────────────────────────────────────────────────────────────────────

    def _heal(self, findings: oracle.Findings) -> int:
        """Let everything work again and run the sweeps until nothing moves; answer how many."""
        self._behave()
        self.sandbox.settle_after(0)
        self.sandbox.tell("")
        self.end_calls()
        ledger = self.sandbox.ledger()
        if any(row["state"] == "pending" for one in ledger.values() for row in one["refunds"]):
            time.sleep(PENDING)
        for payment in self.payments:
            for _ in range(ledger[payment.charge_id]["disputes"].count("open")):
                self.rule(self.chance, payment)
        self._sweep_all(look=True)
        clock.advance(timedelta(days=8))
        return self._settle_down(findings)

    def _look_up(self) -> None:
        """Finance look in PayPal's dashboard for what nothing else can tell of."""
        ledger = self.sandbox.ledger()
        for refund in Refund.objects.filter(payment__in=self.payments, alert=True):
            if not refund.wants_looking_up:
                continue
            there = ledger[refund.payment.charge_id]["refunds"]
            found = [one["id"] for one in there if one["refund_id"] == refund.public_id]
            self.trace.append(f"{refund} is looked up: {found}")
            self.faults["looked_up"] += 1
            if found:
                self.guarded(partial(reconciliation.look, refund.payment_id, found))
            else:
                self.guarded(partial(refunds.not_made, refund.pk))

    def end_calls(self) -> None:
        """Let the providers end what they still work on, though nobody waits for it any more."""
        while self.sandbox.at_work():
            time.sleep(0.02)

    def _settle_down(self, findings: oracle.Findings) -> int:
        """Sweep until nothing waits for a worker any more; answer how many sweeps that took."""
        before: object = None
        for number in range(1, MOST_SWEEPS + 1):
            self._sweep_all(look=before is not None)
            self._look_up()
            if not oracle.waiting(self.since):
                return number
            now = self._standing()
            if now == before:
                # What Stripe answers with a kept error is asked for anew when its key has gone.
                self.a_day_passes()
            before = now
        findings.stuck += oracle.waiting(self.since)
        return MOST_SWEEPS

    def _sweep_all(self, *, look: bool) -> None:
        """One turn of all sweeps, with everything that they call for."""
        let_time_pass(3600)
        if look:
            for payment in self.payments:
                self.guarded(partial(_look, payment.pk))
        for sweep in (payment_tasks.handle_events, tasks.sweep_cases, tasks.sweep_refunds):
            self.guarded(sweep)
        while (task := self.tools.nudge()) is not None:
            self.guarded(task)

    def _standing(self) -> object:
        """Everything of this world that may still move."""
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

    def rule(self, chance: random.Random, payment: Payment) -> None:
        """The bank rules on a chargeback that is open."""
        outcome = chance.choice(["won", "lost"])
        self.trace.append(f"chargeback on {payment.charge_id} {outcome}")
        self.sandbox.rule(payment.charge_id, outcome)

    # ── How it is done ────────────────────────────────────────────────────────────────────────────

    def together(self, acts: Sequence[Callable[[], object]]) -> None:
        """Start these at the same moment, each on a connection of its own, and wait for all."""
        self.steps += len(acts)
        if len(acts) == 1:
            self.guarded(acts[0])
            return
        start = Barrier(len(acts))

        def run(act: Callable[[], object]) -> None:
            start.wait(60)
            self.guarded(act)

        list(self.tools.pool.map(run, acts))

    def guarded(self, act: Callable[[], object]) -> None:
        """A refusal is an answer like any other; anything else that is raised is a finding."""
        try:
            act()
        except (StepRefused, NotEligible) as reason:
            self.trace.append(f"  refused: {reason}")
        except Exception:  # whatever it is, it is a finding
            self.crashes.append(traceback.format_exc())


class History:
    """One history of a world: its payments, and what is done to them, act by act."""

    def __init__(self, seed: str, world: World) -> None:
        self.seed, self.world, self.tools = seed, world, world.tools
        self.sandbox = world.sandbox
        self.chance = random.Random(seed)
        self.payments: list[Payment] = []
        self.acts_left = round(self.chance.triangular(*ACTS_OF_A_HISTORY))

    def begin(self) -> None:
        """Payments are made and cases opened; of some the providers make a mess from the start."""
        for number in range(self.chance.choice([1, 1, 2, 3])):
            name = f"{self.seed.replace(':', 'x')}x{number}{uuid.uuid4().hex[:6]}"
            self.payments.append(self.tools.people.pay(self.chance, name, self.sandbox))
        for payment in self.payments:
            self._open(self.chance, payment)
            if self.chance.random() < 0.8:
                self._nudged(self.chance, payment)
            for _ in range(self.chance.choice([0, 1, 1, 2])):
                self._misbehave(self.chance, payment)

    def go_on(self) -> None:
        """One more act, on one of the payments."""
        self.acts_left -= 1
        chance = random.Random(f"{self.seed}:{self.acts_left}")
        [act] = chance.choices(list(ACTS), list(ACTS.values()))
        try:
            getattr(self, f"_{act}")(chance, chance.choice(self.payments))
        except Exception:  # whatever it is, it is a finding
            self.world.crashes.append(f"{self.seed} {act}: {traceback.format_exc()}")

    def _say(self, text: str) -> None:
        self.world.trace.append(f"{self.seed} {text}")

    # ── What people do ────────────────────────────────────────────────────────────────────────────

    def _open(self, chance: random.Random, payment: Payment) -> None:
        """The buyer opens the case, sometimes twice at once."""
        asked = payment.amount_minor // chance.randint(4, 40)
        reason = chance.choice([RULED, *Reason.values])
        form_key = uuid.UUID(int=chance.getrandbits(128))
        keys: list[uuid.UUID | None] = chance.choice([[None], [None] * 2, [form_key] * 2])
        self._say(f"open {payment.charge_id} {payment.amount_minor} asks {asked} {reason}")
        opening = [
            partial(
                cases.open_case, payment, self.tools.people.buyer, reason=reason,
                message="It is not what the page says.", asked_minor=asked, form_key=key,
            )
            for key in keys
        ]  # fmt: skip
        self.world.together(opening)

    def _act(self, chance: random.Random, payment: Payment) -> None:
        """Somebody takes a step that is open to them; what it sends is often set upon at once."""
        self.world.together([self._step(chance, payment)])
        if chance.random() < 0.6:
            ways = [self._sent_at_once, self._belated, self._forgotten, self._frozen]
            [way] = chance.choices(ways, [2, 2, 3, 3])
            way(chance, payment)

    def _click_twice(self, chance: random.Random, payment: Payment) -> None:
        """The same form arrives twice at once."""
        self.world.together(
            [self._step(chance, payment, uuid.UUID(int=chance.getrandbits(128)))] * 2
        )

    def _race(self, chance: random.Random, payment: Payment) -> None:
        """Two or three people act at once, and a worker as well."""
        acts = [self._step(chance, payment) for _ in range(chance.choice([2, 2, 3]))]
        if chance.random() < 0.5:
            acts[-1] = tasks.sweep_cases
        self.world.together(acts)

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
        self._say(f"{actor.party} {actor.role}: {step} {terms.get('verdict') or ''}")
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
            self.world.together(found[start : start + at_once])

    def _swept(self, chance: random.Random, payment: Payment) -> None:
        """The sweeps run, sometimes two of a kind at once, and look after what they find."""
        sweep = chance.choice([tasks.sweep_cases, tasks.sweep_refunds, payment_tasks.handle_events])
        self.world.together([sweep] * chance.choice([1, 1, 2]))

    def _sent_at_once(self, chance: random.Random, payment: Payment) -> None:
        """Several workers go for the same refund, and one looks at the payment meanwhile."""
        for carry_out in self._carry_out(chance, payment):
            look = partial(_look, payment.pk)
            self.world.together(
                [carry_out, carry_out, look if chance.random() < 0.5 else carry_out]
            )

    def _belated(self, chance: random.Random, payment: Payment) -> None:
        """The provider works on a call longer than anybody waits, and another worker looks."""
        for carry_out in self._carry_out(chance, payment):
            self._minutes_pass()
            self._ask_for(payment.processor, "refund.create", "delay", times=1, seconds=BELATED)
            self.world.together([carry_out, partial(self._take_over, carry_out)])

    def _take_over(self, carry_out: Callable[[], object]) -> None:
        time.sleep(BELATED / 2)
        self._minutes_pass()
        carry_out()

    def _forgotten(self, chance: random.Random, payment: Payment) -> None:
        """A refund is made and nobody hears of it, not even the next day."""
        for carry_out in self._carry_out(chance, payment):
            self._minutes_pass()
            kind = chance.choice(["500_after_effect", "drop", "half_body", "500_before"])
            self._ask_for(payment.processor, "refund.create", kind, times=1)
            self.world.together([carry_out])
            if chance.random() < 0.6:
                self._a_day_passes()
            self._minutes_pass(61)
            self.world.together([carry_out] * chance.choice([1, 2]))

    def _frozen(self, chance: random.Random, payment: Payment) -> None:
        """A worker is stopped in mid-work until its lease is over; others go on; it wakes up."""
        for carry_out in self._carry_out(chance, payment):
            self._minutes_pass()
            if chance.random() < 0.7:
                code = chance.choice(REFUSALS[payment.processor])
                self._ask_for(payment.processor, "refund.create", "decline", times=1, code=code)
            place = chance.choice(FREEZING)
            self.world.steps += 1
            if not self.tools.freezing.begin(place, *carry_out.args):
                continue
            self._say(f"a worker freezes at {place}")
            self.world.faults["frozen"] += 1
            if chance.random() < 0.5:
                self._a_day_passes()
            self._minutes_pass()
            self.world.together([carry_out] * chance.choice([1, 1, 2]))
            if chance.random() < 0.3:
                self.world.together([partial(_look, payment.pk)])
            self.world.crashes += self.tools.freezing.end()

    def _minutes_pass(self, seconds: float = 301) -> None:
        """Time passes for the leases and pauses of these payments alone."""
        let_time_pass(seconds, self.payments)

    def _a_day_passes(self) -> None:
        """Likewise a day, after which Stripe has forgotten the keys of these refunds."""
        self.world.end_calls()  # a call takes less than a day
        self._minutes_pass(25 * 3600)
        for refund in Refund.objects.filter(payment__in=self.payments, elsewhere=False):
            self.sandbox.forget_keys("stripe", refund.public_id)

    def _carry_out(self, chance: random.Random, payment: Payment) -> list[partial[None]]:
        """The task for one of the payment's refunds that are under way, if any is."""
        ids = payment.refunds.filter(state__in=Refund.IN_FLIGHT).values_list("pk", flat=True)
        return [partial(tasks.carry_out, pk) for pk in chance.sample(list(ids), min(1, len(ids)))]

    def _looked_at(self, chance: random.Random, payment: Payment) -> None:
        """The payment is compared with its provider, by two at once."""
        self.world.together([partial(_look, payment.pk)] * chance.choice([1, 2]))

    # ── What happens around them ──────────────────────────────────────────────────────────────────

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
        self._say(f"{provider} {operation}: {kind} {more}")
        self.world.faults[_name(operation, kind)] += more["times"]
        self.sandbox.fault(provider, operation, kind, **more)

    def _bank(self, chance: random.Random, payment: Payment) -> None:
        """The buyer's bank takes the payment back, or rules on that."""
        charge = self._ledger(payment)
        if "open" in charge["disputes"]:
            self.world.rule(chance, payment)
        elif not charge["disputed"]:
            self._say(f"chargeback on {payment.charge_id}")
            self.world.faults["chargeback"] += 1
            self.sandbox.dispute(payment.charge_id)

    def _elsewhere(self, chance: random.Random, payment: Payment) -> None:
        """Somebody refunds in the provider's dashboard, a part or (rarely) all that is left."""
        charge = self._ledger(payment)
        left = charge["amount_minor"] - charge["refunded_minor"]
        part = left if chance.random() < 0.15 else left // chance.randint(3, 30)
        part -= part % 100  # PayPal counts forints in whole ones
        unseen = payment.charge_id.startswith(LONE)  # nobody could know of it
        if part and not charge["disputed"] and not unseen:
            self._say(f"{part} of {payment.charge_id} refunded elsewhere")
            self.world.faults["elsewhere"] += 1
            self.sandbox.refund_elsewhere(payment.charge_id, part)

    def _late_failure(self, chance: random.Random, payment: Payment) -> None:
        """A refund fails at the provider, one that had succeeded if there is one."""
        made = [row for row in self._ledger(payment)["refunds"] if row["state"] != "failed"]
        if made:
            failing = chance.choice(made)["id"]
            self._say(f"{failing} fails late")
            self.world.faults["fails_late"] += 1
            self.sandbox.fail(failing)

    def _ledger(self, payment: Payment) -> dict[str, Any]:
        return oracle.charge_of(payment, self.sandbox)


ACTS = {
    "act": 30,
    "click_twice": 5,
    "race": 8,
    "nudged": 28,
    "swept": 9,
    "sent_at_once": 4,
    "looked_at": 3,
    "belated": 1.5,
    "forgotten": 2,
    "frozen": 3,
    "misbehave": 22,
    "bank": 2,
    "elsewhere": 3,
    "late_failure": 3,
}
"""What can happen to one history, and how often compared with the rest."""

BEFALLS = {
    "days_pass": 0.07,
    "minutes_pass": 0.08,
    "a_day_passes": 0.04,
    "valkey_is_emptied": 0.013,
    "providers_change": 0.08,
}
"""What can happen to a whole world, and how likely each time that all have acted."""

TIME_PASSES = """
    WITH events AS (
        UPDATE payments_providerevent SET next_attempt_at = next_attempt_at - %(by)s::interval
         WHERE processed_at IS NULL)
    UPDATE payments_refund
       SET next_attempt_at = next_attempt_at - %(by)s::interval,
           lease_until = lease_until - %(by)s::interval,
           first_sent_at = first_sent_at - %(by)s::interval,
           in_doubt_since = in_doubt_since - %(by)s::interval
     WHERE state IN ('pending', 'submitting', 'requires_action')
       AND (%(only)s::bigint[] IS NULL OR payment_id = ANY(%(only)s))
"""


def let_time_pass(seconds: float, payments: Iterable[Payment] | None = None) -> None:
    """Move the machine's time on for every lease, pause and key by moving these back; not mail's.

    With payments, for their refunds alone; events have no such owner.
    """
    only = None if payments is None else [payment.pk for payment in payments]
    with connection.cursor() as cursor:
        cursor.execute(TIME_PASSES, {"by": f"{seconds} seconds", "only": only})


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
