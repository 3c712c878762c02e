"""Real Celery workers and a real web server, killed at every named place while money moves.

`python -m tests.torture.kills 1000 1`: so many kills, with this seed. A supervisor keeps the
processes up, buyers and a creator act, the sweeps run every second, providers misbehave. In the end
everything heals: within two sweeps all is to be settled, and our books are those of the sandbox.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import django
import redis

django.setup()

from django.conf import settings  # noqa: E402
from django.db.models import F  # noqa: E402

from config.celery import app  # noqa: E402
from config.demo import Part  # noqa: E402
from marketplace.failpoints import PLACES  # noqa: E402
from marketplace.models import User  # noqa: E402
from notifications.models import Notification  # noqa: E402
from payments.models import Payment, ProviderEvent, Refund  # noqa: E402
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

AT_LEAST = 20
"""Kills at each place, where so many are asked for that it can be."""

MOST_UNDER_WAY = 60
"""Cases that the workers have in hand at a time, at the most; in a short run twice its kills."""

SECONDS_A_KILL = 3
SECONDS_TO_START = 180
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
SWEEPS = (
    "resolution.tasks.sweep_cases",
    "resolution.tasks.sweep_refunds",
    "resolution.tasks.deliver",
    "payments.tasks.handle_events",
)


class Works:
    """The product's processes, kept up; with places to die at, or without."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.environment, self.port = environment, port
        self.folder = Path(settings.VAR_DIR)
        self.parts: list[Part] = []

    def start(self, failpoints: str) -> None:
        """Start the web server and the worker; they die where it says."""
        environment = self.environment | {"FAILPOINTS": failpoints}
        python = sys.executable
        commands = {
            "web": [
                *(python, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{self.port}"),
                *("--worker-class", "gthread", "--workers", "1", "--threads", "2", "--preload"),
                *("--no-control-socket", "--log-level", "critical"),
            ],
            "worker": [
                *(python, "-m", "celery", "-A", "config", "worker", "--concurrency", "3"),
                *("--queues", "nudges,sweeps", "--without-mingle", "--without-gossip"),
                *("--without-heartbeat", "--loglevel", "CRITICAL"),
            ],
        }
        for name, command in commands.items():
            part = Part(name, command, self.folder / f"{name}.log", environment)
            part.start()
            self.parts.append(part)
        _wait_for(self._answers, "The web server did not start.")

    def keep_up(self) -> None:
        """Start again what has fallen whole."""
        for part in self.parts:
            if part.has_fallen:
                part.start()

    def kill_worker(self) -> None:
        """Kill the worker with all of its processes."""
        for part in self.parts:
            if part.name == "worker":
                part.kill()

    def stop(self) -> None:
        """Kill everything, as a power cut does."""
        for part in self.parts:
            part.kill()
            if part.process is not None:
                part.process.wait()
        self.parts.clear()

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


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
        self._compare_mail()
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
        _hurry()
        self._sweep()
        time.sleep(0.5)

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

    def _sweep(self) -> None:
        """What beat sends."""
        for task in SWEEPS:
            app.send_task(task, queue="sweeps")

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
            _hurry(3600)
            self._sweep()
            _wait_for(self._idle, "The workers did not come to an end.")
            sweeps += 1
        left = invariants.unsettled()
        self.findings.stuck += left
        if not left and sweeps > FEW_SWEEPS:
            self.findings.stuck.append(f"It took {sweeps} sweeps to settle.")
        self.works.stop()
        return sweeps

    def _idle(self) -> bool:
        """Nothing waits in Valkey, and no worker holds anything."""
        for _ in range(3):
            if self.valkey.llen("nudges") or self.valkey.llen("sweeps"):
                return False
            if self.valkey.hlen("unacked"):
                return False
            time.sleep(0.1)
        return True

    def _compare_mail(self) -> None:
        """Each message that was sent has arrived, under its own id and no other."""
        arrived = set()
        for file in self.mail.glob("*.eml"):
            mail = message_from_bytes(file.read_bytes(), policy=modern)
            arrived.add(str(mail["Message-ID"]).strip("<>").partition("@")[0])
        state = dict(Notification.objects.values_list("public_id", "state"))
        sent = {name for name, told in state.items() if told == Notification.State.SENT}
        self.findings.lost += [f"{name} was sent and never arrived." for name in sent - arrived]
        unknown = arrived - set(state)
        self.findings.mismatched += [f"{name} arrived, and is none of ours." for name in unknown]


def failpoints() -> str:
    """Every place with its chance."""
    return ",".join(f"{place}={CHANCES[place]}" for place in PLACES)


def _hurry(seconds: float = 400) -> None:
    """Let leases of events and mail run out at once: they are minutes long, a refund's is not."""
    by = timedelta(seconds=seconds)
    ProviderEvent.objects.filter(processed_at=None).update(
        next_attempt_at=F("next_attempt_at") - by
    )
    Notification.objects.filter(state__in=["pending", "sending"]).update(
        next_attempt_at=F("next_attempt_at") - by, lease_until=F("lease_until") - by
    )
    Refund.objects.filter(state__in=Refund.IN_FLIGHT, lease_until=None).update(
        next_attempt_at=F("next_attempt_at") - by
    )


def _wait_for(fact: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not fact():
        if time.monotonic() > deadline:
            raise SystemExit(otherwise)
        time.sleep(0.1)


@contextmanager
def mail_sink(port: int, folder: Path) -> Iterator[None]:
    """A mail server that keeps each message as a file."""
    folder.mkdir()
    command = [sys.executable, "-m", "config.mail_sink", "--port", str(port)]
    with subprocess.Popen([*command, "--folder", str(folder)]) as process:
        yield
        process.terminate()


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
