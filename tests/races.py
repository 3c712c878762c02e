"""Several people at the same moment, thousands of times over: `make races` (ROUNDS=10000 SEED=1).

=======  ===========================================================================================
opening  one buyer opens a case twice, by one form or by two; one case
answer   accept, escalate and withdraw on the second on which the answer is overdue
appeal   an appeal against the end of its window, within a millisecond of it
reply    a reply against its deadline, likewise
upload   four files at once of somebody who may have three unsent
sending  two messages at once with the same files, in opposite order; one has them
=======  ===========================================================================================

WORKERS (2) processes play ROUNDS rounds in all, each on a database of its own, and in each round
one of these. All start at a barrier, on connections of their own, and go through the same doors as
the pages. An outcome is *illegal* when the lifecycle or the clock would not have it; an *error* is
whatever a person would have been shown as ours, such as a deadlock. In the end the promises of
tests/invariants.py are asked for, and every timeline is checked.

Prints one line of JSON; the exit status is 0 only when nothing was illegal, an error, or broken.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from marketplace import clock
from payments.models import Payment
from resolution import cases, evidence, sweeps
from resolution.cases import StepRefused, take_step
from resolution.eligibility import NotEligible
from resolution.evidence import RefusedFile
from resolution.management.commands.verify_timeline import flaws
from resolution.models import Attachment, Case
from resolution.terms import Remedy, Verdict
from tests import invariants
from tests.evidence import hostile
from tests.torture.house import HERE, open_house
from tests.torture.people import People

AT_ONCE = 4
WAIT = 600
A_MILLISECOND = 0.001
AHEAD = 0.12
"""Seconds before its deadline at which a race gets ready."""


@dataclass
class Tally:
    """How the rounds ended."""

    rounds: int = 0
    seed: str = "1"
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    illegal: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        return not (self.illegal or self.errors or self.broken)

    def count(self, kind: str, outcome: str) -> None:
        """Note how a round of a kind ended."""
        self.rounds += 1
        self.outcomes.setdefault(kind, Counter())[outcome] += 1

    def add(self, said: dict[str, Any]) -> None:
        """Add what a worker says."""
        self.rounds += said["rounds"]
        for kind, outcomes in said["outcomes"].items():
            self.outcomes.setdefault(kind, Counter()).update(outcomes)
        for name in ("illegal", "errors", "broken"):
            getattr(self, name).extend(said[name])

    def line(self) -> str:
        counts = {name: len(getattr(self, name)) for name in ("illegal", "errors", "broken")}
        outcomes = {kind: dict(sorted(found.items())) for kind, found in self.outcomes.items()}
        return json.dumps(vars(self) | counts | {"outcomes": dict(sorted(outcomes.items()))})


def play(seed: str, rounds: int) -> Tally:
    """Play so many rounds on the database of this process."""
    races = Races(seed)
    try:
        for _ in range(rounds):
            races.play()
    finally:
        races.close()
    races.tally.broken += invariants.violations() + list(flaws(list(Case.objects.order_by("pk"))))
    return races.tally


class Races:
    """The people, and one round after another."""

    def __init__(self, seed: str) -> None:
        self.people = People.move_in()
        self.buyer, self.owner = self.people.actors[:2]
        self.judge = self.people.actors[4]
        self.chance = random.Random(seed)
        self.tally = Tally(seed=seed)
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.kinds: list[Callable[[], str]] = [
            self._opening, self._answer, self._appeal, self._reply, self._upload, self._sending,
        ]  # fmt: skip

    def play(self, race: Callable[[], str] | None = None) -> None:
        """One round of a kind, or of some kind."""
        race = race or self.chance.choice(self.kinds)
        self.tally.count(race.__name__.strip("_"), race())

    def close(self) -> None:
        """Let go of the connections of all threads."""
        start = threading.Barrier(AT_ONCE)

        def end() -> None:
            start.wait(WAIT)
            connection.close()

        for ended in [self.pool.submit(end) for _ in range(AT_ONCE)]:
            ended.result()
        self.pool.shutdown()

    # ── The races ─────────────────────────────────────────────────────────────────────────────────

    def _opening(self) -> str:
        payment = self._payment()
        one_form = self.chance.random() < 0.5
        keys = [uuid4()] * 2 if one_form else [uuid4(), uuid4()]
        ends = self._at_once([partial(self._open, payment, form_key=key) for key in keys])
        found = list(Case.objects.filter(payment=payment))
        wanted = ["done", "done"] if one_form else ["NotEligible", "done"]
        steps = list(found[0].events.values_list("step", flat=True)) if found else []
        if len(found) != 1 or sorted(ends) != sorted(wanted) or steps != ["open_case"]:
            self._illegal(f"opening: {len(found)} cases, {ends}, {steps}")
        return "by one form" if one_form else "by two"

    def _answer(self) -> str:
        case = self._waiting()
        self._to_the_deadline_of(case)
        self._at_once(
            [
                self._in_time(partial(take_step, case, "accept", self.owner)),
                self._in_time(partial(sweeps.advance, [case.pk])),
                self._in_time(partial(take_step, case, "withdraw", self.buyer)),
            ]
        )
        steps = self._steps(case, after="notify_creator")
        legal: tuple[list[str], ...] = (
            ["accept"],
            ["withdraw"],
            ["escalate"],
            ["escalate", "withdraw"],
            [],
        )
        # Before the deadline nobody has to escalate, and a sweep that was held off comes again.
        if steps not in legal or not steps:
            self._illegal(f"answer: {steps} of {case.public_id}")
        return ", ".join(steps)

    def _appeal(self) -> str:
        case = self._waiting()
        take_step(case, "deny", self.owner, message="It is as described.")
        if self.chance.random() < 0.3:
            take_step(case, "appeal", self.buyer, message="It is not.")
            verdict = Verdict(Remedy.NONE)
            take_step(case, "decide", self.judge, message="It is.", verdict=verdict)
        last = self._steps(case)[-1]
        self._to_the_deadline_of(case)
        self._at_once(
            [
                self._in_time(partial(take_step, case, "appeal", self.buyer, message="No.")),
                self._in_time(partial(sweeps.advance, [case.pk])),
            ]
        )
        return self._before_or_after(case, last, "appeal", ["finalize", "finalize, close"])

    def _reply(self) -> str:
        case = self._waiting()
        take_step(case, "request_info", self.owner, message="Which one?")
        self._to_the_deadline_of(case)
        self._at_once(
            [
                self._in_time(partial(take_step, case, "reply", self.buyer, message="This.")),
                self._in_time(partial(sweeps.advance, [case.pk])),
            ]
        )
        return self._before_or_after(case, "request_info", "reply", ["escalate"])

    def _upload(self) -> str:

        def add(number: int) -> None:
            evidence.accept(_picture(f"{number}.png"), self.people.buyer)

        ends = self._at_once([partial(add, number) for number in range(AT_ONCE)])
        kept = Attachment.objects.filter(uploader=self.people.buyer, event=None)
        if len(kept) != settings.MAX_UNSENT_FILES or ends.count("done") != len(kept):
            self._illegal(f"upload: {len(kept)} files kept, {ends}")
        whole = [each for each in kept if each.file.storage.exists(str(each.file.name))]
        if len(whole) != len(kept):
            self._illegal("upload: a file without its bytes")
        outcome = f"{len(kept)} of {AT_ONCE}"
        self._tidy_up()
        return outcome

    def _sending(self) -> str:
        files = [evidence.accept(_picture(f"{n}.png"), self.people.buyer) for n in range(3)]
        pair = [self._waiting(), self._waiting()]
        ways: list[Sequence[Attachment]] = [files, files[::-1]]
        ends = self._at_once(
            [
                partial(take_step, case, "comment", self.buyer, message="See.", files=way)
                for case, way in zip(pair, ways, strict=True)
            ]
        )
        for each in files:
            each.refresh_from_db()
        if sorted(ends) != ["StepRefused", "done"] or len({each.event_id for each in files}) != 1:
            self._illegal(f"sending: {ends}")
        self._tidy_up()
        return "one has them"

    # ── How it is done ────────────────────────────────────────────────────────────────────────────

    def _tidy_up(self) -> None:
        """Give up what was not sent, and have it removed."""
        for each in Attachment.objects.filter(uploader=self.people.buyer, event=None):
            evidence.discard(self.people.buyer, each.public_id)
        evidence.remove_unsent()

    def _payment(self) -> Payment:
        return Payment.objects.create(
            buyer=self.people.buyer,
            company=self.people.company,
            product=self.people.product,
            processor="stripe",
            currency="USD",
            amount_minor=6400,
            charge_id=f"ch_{uuid4().hex}",
            method="Visa ending 4242",
            paid_at=clock.now() - timedelta(days=1),
        )

    def _open(self, payment: Payment, **more: Any) -> Case:
        return cases.open_case(
            payment,
            self.people.buyer,
            reason="not_as_described",
            message="It is not what the page says.",
            asked_minor=2500,
            **more,
        )

    def _waiting(self) -> Case:
        """A case that waits for its creator."""
        case = self._open(self._payment())
        sweeps.advance([case.pk])
        case.refresh_from_db()
        return case

    def _to_the_deadline_of(self, case: Case) -> None:
        """Move the clock to just before the case's date, and note when that comes."""
        due_at = Case.objects.get(pk=case.pk).due_at
        assert due_at is not None, f"{case.public_id} waits for nobody."
        clock.advance(due_at - clock.now() - timedelta(seconds=AHEAD))
        self._due_at, self._due = due_at, (due_at - clock.offset()).timestamp()

    def _in_time(self, act: Callable[[], object]) -> Callable[[], object]:
        """The act within a millisecond of the deadline, before it or after."""
        moment = self._due + self.chance.uniform(-A_MILLISECOND, A_MILLISECOND)

        def wait_and_act() -> None:
            time.sleep(max(0, moment - time.time() - A_MILLISECOND))
            while time.time() < moment:
                pass
            act()

        return wait_and_act

    def _before_or_after(self, case: Case, last: str, answer: str, ends: list[str]) -> str:
        """How a race against a deadline ended: an answer before it, the system's step after it."""

        # The system may have looked a moment too early; it looks again.
        sweeps.advance([case.pk])
        steps = ", ".join(self._steps(case, after=last))
        event = case.events.filter(step__in=[answer, ends[0].split(",")[0]]).latest("seq")
        on_time = event.created_at < self._due_at
        if steps not in [answer, *ends]:
            self._illegal(f"{answer}: {steps!r} of {case.public_id}")
        # A late reply counts until somebody has escalated; an appeal only within its window.
        elif (event.step != answer and on_time) or (event.step == "appeal" and not on_time):
            self._illegal(f"{event.step} of {case.public_id}, {event.created_at - self._due_at}")
        return steps

    def _steps(self, case: Case, after: str = "") -> list[str]:
        """The steps of a case, or those that followed the last of a name."""
        steps = list(case.events.order_by("seq").values_list("step", flat=True))
        return steps[len(steps) - steps[::-1].index(after) :] if after else steps

    def _at_once(self, acts: Sequence[Callable[[], object]]) -> list[str]:
        """Do all of this at the same moment; answer `done`, or the name of each refusal."""
        start = threading.Barrier(len(acts))

        def run(act: Callable[[], object]) -> str:
            start.wait(WAIT)
            try:
                act()
            except (StepRefused, NotEligible, RefusedFile) as refusal:
                return "StepRefused" if isinstance(refusal, StepRefused) else type(refusal).__name__
            except Exception as problem:  # whatever it is, a person would have seen an error page
                self.tally.errors.append(f"{type(problem).__name__}: {problem}")
                return "error"
            return "done"

        return list(self.pool.map(run, acts))

    def _illegal(self, what: str) -> None:
        self.tally.illegal.append(what)


def _picture(name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, hostile.picture())


# ── The command ───────────────────────────────────────────────────────────────────────────────────


def say(text: str) -> None:
    """A line for whoever waits at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Share the rounds out to processes, add up, print the closing line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    rounds, workers = int(os.environ.get("ROUNDS") or 10_000), int(os.environ.get("WORKERS") or 2)
    tally = Tally(seed=os.environ.get("SEED") or "1")
    with open_house() as house, ExitStack() as stack:
        running = []
        for number in range(workers):
            name = f"races_{number}"
            house.add_database(name)
            share = rounds // workers + (number < rounds % workers)
            separate = {
                "REDIS_URL": f"{house.servers.redis_url}?db={number}",
                "BROKER_URL": f"{house.servers.redis_url}?virtual_host={number}",
                "MAX_UNSENT_FILES": "3",
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.races", f"{tally.seed}:{number}", str(share)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=HERE,
                env=house.environment(name, **separate),
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            running.append(process)
        for process in running:
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit("A process of the races ended before its work did.")
            tally.add(json.loads(said))
    tally.seconds = round(time.monotonic() - began, 1)
    for name in ("illegal", "errors", "broken"):
        for one in getattr(tally, name)[:20]:
            say(f"{name}: {one}")
    say(tally.line())
    return 0 if tally.sound else 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(vars(play(sys.argv[1], int(sys.argv[2])))))
    else:
        sys.exit(main())
