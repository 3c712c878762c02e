"""Real Celery workers and a real web server, killed at every named place while money moves.

`python -m tests.torture.kills 1000 1`: so many kills, with this seed. A supervisor keeps the
processes up, buyers and a creator act, the sweeps run every second, providers misbehave. In the end
everything heals: within two sweeps all is to be settled, and our books are those of the sandbox.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import django
import redis

django.setup()

from django.conf import settings  # noqa: E402

from marketplace.failpoints import PLACES  # noqa: E402
from marketplace.models import User  # noqa: E402
from payments.models import Payment, Refund  # noqa: E402
from resolution import cases  # noqa: E402
from resolution.cases import StepRefused  # noqa: E402
from resolution.models import Case  # noqa: E402
from resolution.terms import Reason, State  # noqa: E402
from tests import invariants  # noqa: E402
from tests.sandbox_fixture import SandboxClient  # noqa: E402
from tests.torture import oracle  # noqa: E402
from tests.torture.history import let_time_pass  # noqa: E402
from tests.torture.house import free_port, sandbox_of  # noqa: E402
from tests.torture.people import RULED, People  # noqa: E402
from tests.torture.works import Works, compare_mail, hurry, is_idle, mail_sink, sweep, wait_for  # noqa: E402

AT_LEAST = 20
"""Kills at each place, where so many are asked for that it can be."""

MOST_UNDER_WAY = 60
"""Cases that the workers have in hand at a time, at the most; in a short run twice its kills."""

SECONDS_A_KILL = 20
"""How long a run may take for each, on a machine that has other things to do."""

FREEZES = 0.04
"""How likely a process of the worker's freezes in a second."""

FROZEN = 13.0
"""Seconds for which it does: longer than its lease."""

WHOLE_WORKER_EVERY = 100
MOST_SWEEPS = 6
FEW_SWEEPS = 2

CHANCES = {
    "intent.written": 0.08,
    "intent.committed": 0.08,
    "refund.claimed": 0.12,
    "refund.calling": 0.15,
    "refund.called": 0.2,
    "refund.settling": 0.25,
    "refund.settled": 0.4,
    "event.stored": 0.12,
    "event.claimed": 0.12,
    "event.looked": 0.15,
    "message.claimed": 0.06,
    "message.sent": 0.012,
    "message.settled": 0.012,
}
"""How likely a worker dies there: the later in its work and the rarer, the more."""

TROUBLE = ("500_after_effect", "timeout", "drop", "half_body", "429", "delay")


class Kills:
    """One run: `play` answers what became of it."""

    def __init__(
        self, wanted: int, seed: str, works: Works, sandbox: SandboxClient, mail: Path
    ) -> None:
        self.wanted, self.works, self.sandbox, self.mail = wanted, works, sandbox, mail
        self.chance = random.Random(f"{seed}:kills")
        self.people = People.move_in()
        # Half of the work would be mail to them.
        User.objects.filter(team_places__role="support").update(is_active=False)
        self.valkey = redis.Redis.from_url(settings.REDIS_URL)
        self.faults: Counter[str] = Counter()
        self.findings = oracle.Findings()
        self.most = min(MOST_UNDER_WAY, 2 * wanted)
        self.whole, self.short = 0, False
        self.frozen: dict[int, float] = {}

    def play(self) -> dict[str, object]:
        """Kill until there were enough, heal, and hold the books against the sandbox's."""
        self.works.start(failpoints())
        deadline = time.monotonic() + 60 + SECONDS_A_KILL * self.wanted
        while not self._enough():
            if time.monotonic() > deadline:
                self.short = True
                break
            self._go_on()
        sweeps = self._heal()
        ledger = self.sandbox.ledger()
        for payment_id, charge_id in Payment.objects.values_list("pk", "charge_id"):
            oracle.compare(payment_id, ledger[charge_id], self.findings)
        self.findings.mismatched += invariants.violations()
        lost, unknown = compare_mail(self.mail)
        self.findings.lost += lost
        self.findings.mismatched += unknown
        return {
            "seed": "kills",
            "findings": asdict(self.findings),
            "faults": dict(self.faults),
            "refunds": Refund.objects.count(),
            "sweeps": sweeps,
            "short": self.short,
            "kills": {place: self._counted()[place] for place in PLACES}
            | ({"whole worker": self.whole} if self.whole else {}),
        }

    # ── While they are killed ─────────────────────────────────────────────────────────────────────

    def _counted(self) -> Counter[str]:
        log = Path(settings.FAILPOINTS_LOG)
        return Counter(log.read_text().split() if log.exists() else [])

    def _enough(self) -> bool:
        counted = self._counted()
        least = min(AT_LEAST, self.wanted // len(PLACES))
        return counted.total() >= self.wanted and all(counted[name] >= least for name in PLACES)

    def _go_on(self) -> None:
        """A second of the business: new cases, answers, trouble, and the sweeps."""
        self.works.keep_up()
        if self._counted().total() >= (self.whole + 1) * WHOLE_WORKER_EVERY:
            self.whole += 1
            self.works.kill_worker()
        under_way = Case.objects.exclude(state=State.CLOSED).count()
        for _ in range(max(0, min(15, self.most - under_way))):
            self._open()
        for case in Case.objects.filter(state=State.AWAITING_CREATOR)[:10]:
            self._answer(case)
        if self.chance.random() < 0.7:
            self._misbehave()
        self._freeze_and_thaw()
        hurry()
        sweep()
        time.sleep(0.5)

    def _freeze_and_thaw(self) -> None:
        """A process is stopped wherever it is; the others go on; it wakes up without its lease."""
        now = time.monotonic()
        for pid in [pid for pid, until in self.frozen.items() if until < now]:
            del self.frozen[pid]
            _tell(pid, signal.SIGCONT)
        running = [pid for pid in self.works.worker_processes() if pid not in self.frozen]
        if len(running) > 1 and self.chance.random() < FREEZES:
            frozen = self.chance.choice(running)
            self.faults["frozen"] += 1
            self.frozen[frozen] = now + FROZEN
            _tell(frozen, signal.SIGSTOP)

    def _open(self) -> None:
        name = f"k{self.chance.getrandbits(64):x}"
        payment = self.people.pay(self.chance, name, self.sandbox)
        cases.open_case(
            payment,
            self.people.buyer,
            reason=self.chance.choice([RULED, RULED, Reason.NOT_RECEIVED]),
            message="It is not what the page says.",
            asked_minor=payment.amount_minor // self.chance.randint(4, 40),
        )

    def _answer(self, case: Case) -> None:
        owner = self.people.actors[1]
        step = self.chance.choice(["accept", "accept", "accept", "deny"])
        try:
            cases.take_step(case, step, owner, message="As it is.")
            if step == "deny":
                cases.take_step(case, "accept_decision", self.people.actors[0])
        except StepRefused:
            return  # a worker was first

    def _misbehave(self) -> None:
        provider = self.chance.choice(["stripe", "paypal"])
        operation = self.chance.choice(["refund.create", "refund.create", "refund.find"])
        kind = self.chance.choice(TROUBLE)
        if operation != "refund.create" and kind == "500_after_effect":
            kind = "500_before"
        seconds = {"seconds": 0.4} if kind in ("timeout", "delay") else {}
        self.faults[kind] += 1
        self.sandbox.fault(provider, operation, kind, **seconds)

    # ── Afterwards ────────────────────────────────────────────────────────────────────────────────

    def _heal(self) -> int:
        """Start whole processes again and sweep until all is settled; answer how many sweeps."""
        self.works.stop()
        self.valkey.flushall()
        for fault in self.sandbox.control("GET", "faults")["faults"]:
            self.faults[fault["kind"]] -= fault["times"]
        self.sandbox.behave()
        self.sandbox.tell("")
        self.works.start("")
        sweeps = 0
        while sweeps < MOST_SWEEPS and (not sweeps or invariants.unsettled()):
            let_time_pass(3600)
            hurry(3600)
            sweep()
            wait_for(partial(is_idle, self.valkey), "The workers did not come to an end.")
            sweeps += 1
        left = invariants.unsettled()
        self.findings.stuck += left
        if not left and sweeps > FEW_SWEEPS:
            self.findings.stuck.append(f"It took {sweeps} sweeps to settle.")
        self.works.stop()
        return sweeps


def failpoints() -> str:
    """Every place with its chance."""
    return ",".join(f"{place}={CHANCES[place]}" for place in PLACES)


def _tell(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it was killed meanwhile


def main(wanted: int, seed: str) -> None:
    """Run it, and say in a line of JSON what became of it."""
    web, mail = free_port(), Path(settings.VAR_DIR) / "mail"
    with (
        sandbox_of(dict(os.environ), f"http://127.0.0.1:{web}") as sandbox,
        mail_sink(settings.EMAIL_PORT, mail),
    ):
        addresses = {"STRIPE_API_BASE": sandbox.stripe_url, "PAYPAL_API_BASE": sandbox.paypal_url}
        works = Works(dict(os.environ) | addresses, web)
        try:
            said = Kills(wanted, seed, works, sandbox, mail).play()
        finally:
            works.stop()
    sys.stdout.write(json.dumps(said, default=str) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(int(sys.argv[1]), sys.argv[2])
