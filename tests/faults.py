"""What is around the product breaks, and nothing is lost for it: `make faults` (BACKLOG=10000).

A real web server and real workers run on PostgreSQL and Valkey of their own, with the sandbox
providers and a mail sink. Each fault below happens while people act; then it is over, and within
two sweeps all has to be settled: refunds arrived, cases closed, mail delivered, and our books those
of the providers.

===================  ===============================================================================
valkey_emptied       all nudges are lost
valkey_frozen        it is stopped (SIGSTOP) while people act, who have to get their answers
valkey_restarted     it comes back empty, and the workers find it again by themselves
postgres_restarted   at once (SIGQUIT), in mid-sweep: what was begun is undone and done again
commit_unanswered    the connection breaks after COMMIT was sent: of a step, and of each of a refund
mail_down            the mail server is away; cases go on, and the mail leaves later
two_of_everything    two beats and two workers; each case is escalated once, each message sent once
backlog              so many cases are overdue at once; a new one gets its turn meanwhile
===================  ===============================================================================

Refused and dropped mail is in tests/notifications/test_outbox.py, storage that fails in
tests/evidence/, and people at the same moment in tests/races.py.

`FAULTS=mail_down,backlog` plays some of them. Prints one line of JSON; the exit status is 0 only
when everything came out right.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()

import redis
from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import InterfaceError, OperationalError, connection

from bench.load import load_cases, overdue_first
from config.celery import QUEUES
from config.embedded import Embedded
from marketplace import clock
from payments import refunds
from payments.models import Payment, Refund
from resolution import cases
from resolution.models import Case, Event
from resolution.terms import Reason, State
from tests import invariants
from tests.sandbox_fixture import SandboxClient
from tests.torture import oracle
from tests.torture.history import let_time_pass
from tests.torture.house import HERE, free_port, open_house, sandbox_of
from tests.torture.people import People
from tests.torture.works import Works, compare_mail, hurry, is_idle, sweep, wait_for

SOCKET = ".s.PGSQL.5432"
FEW_SWEEPS = 2
MOST_SWEEPS = 6
PATIENCE = 4
"""Seconds within which people get their answers on average while Valkey is frozen."""

TURN = 60
"""Seconds within which a new case has its turn, whatever waits in front of it."""


class Broken(Exception):
    """A promise was broken; the sentence says which."""


class Faults:
    """The product in its surroundings, and each fault as a method."""

    def __init__(self, works: Works, sandbox: SandboxClient, servers: Embedded, mail: Path) -> None:
        self.works, self.sandbox, self.servers, self.mail = works, sandbox, servers, mail
        self.people = People.move_in()
        self.buyer, self.owner = self.people.actors[:2]
        self.chance = random.Random("faults")
        self.valkey = redis.Redis.from_url(settings.REDIS_URL)

    # ── The faults ────────────────────────────────────────────────────────────────────────────────

    def valkey_emptied(self) -> dict[str, object]:
        self.works.freeze("worker")
        self._people_act()
        self.valkey.flushall()
        self.works.thaw("worker")
        return self._settles()

    def valkey_frozen(self) -> dict[str, object]:
        pid = self.valkey.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            self._people_act(3)
            longest = (time.monotonic() - began) / 9
        finally:
            os.kill(pid, signal.SIGCONT)
        if longest > PATIENCE:
            raise Broken(f"An act took {longest:.0f} seconds.")
        return {"seconds_an_act": round(longest, 1)} | self._settles()

    def valkey_restarted(self) -> dict[str, object]:
        self._people_act()
        self._settles()  # so that the workers are there, and in the middle of waiting for more
        self._people_act()
        self.valkey.shutdown(nosave=True)
        self._people_act(2)
        self.servers.start()
        return self._settles()

    def postgres_restarted(self) -> dict[str, object]:
        waiting = [self._open(reason=Reason.NOT_RECEIVED).pk for _ in range(40)]
        self._settles()
        clock.advance(timedelta(days=7, minutes=1))
        for _ in range(3):
            sweep()
            time.sleep(self.chance.uniform(0.02, 0.2))
            self._restart_postgres()
        settled = self._settles()
        if _escalated(waiting) != len(waiting):
            raise Broken(f"{len(waiting)} cases were escalated {_escalated(waiting)} times.")
        return settled

    def commit_unanswered(self) -> dict[str, object]:
        case = self._accepted_by_a_form_that_is_cut_off()
        if [event.step for event in case.events.all()].count("accept") != 1:
            raise Broken("A form that was sent again counted twice.")
        settled = self._settles()
        for number in (1, 2, 3):  # the claim, the note before the call, the settlement
            case = self._open(reason=Reason.NOT_RECEIVED)
            self._settles()
            self.works.freeze("worker")
            cases.take_step(case, "accept", self.owner)
            refund = Refund.objects.get(payment=case.payment_id)
            with self._losing_the_answer_to_commit(number):
                _cut_off(partial(refunds.send, refund.pk))
            self.works.thaw("worker")
            settled = self._settles()
        return settled

    def _accepted_by_a_form_that_is_cut_off(self) -> Case:
        case = self._open(reason=Reason.NOT_RECEIVED)
        self._settles()
        accept = partial(cases.take_step, case, "accept", self.owner, form_key=uuid4())
        with self._losing_the_answer_to_commit(1):
            _cut_off(accept)
        accept()
        return case

    def mail_down(self) -> dict[str, object]:
        self.works.end("mail")
        opened = [case.pk for case in self._people_act()]
        self._sweep_once()
        if Case.objects.filter(pk__in=opened, state=State.OPEN).exists():
            raise Broken("Cases waited for the mail.")
        self.start_mail()
        return self._settles()

    def two_of_everything(self) -> dict[str, object]:
        waiting = [self._open(reason=Reason.NOT_RECEIVED).pk for _ in range(20)]
        self._settles()
        clock.advance(timedelta(days=7, minutes=1))
        self._start_more_workers_and_beats()
        self._people_act()
        _wait_while(lambda: _escalated(waiting) < len(waiting))
        time.sleep(3)
        for name in ("beat-1", "beat-2", "worker-2"):
            self.works.end(name)
        if _escalated(waiting) != len(waiting):
            raise Broken(f"{len(waiting)} cases were escalated {_escalated(waiting)} times.")
        return self._settles()

    def backlog(self) -> dict[str, object]:
        """Alone on its database: a case has no past there."""
        overdue = Case.objects.filter(state=State.AWAITING_CREATOR)
        waiting = overdue.count()
        began = time.monotonic()
        sweep()
        new = self._open(reason=Reason.NOT_RECEIVED)
        _wait_while(lambda: Case.objects.get(pk=new.pk).state == State.OPEN)
        turn = time.monotonic() - began
        left = overdue.exclude(pk=new.pk).count()
        if turn > TURN:
            raise Broken(f"A new case waited for {turn:.0f} seconds behind {waiting} others.")
        while overdue.exclude(pk=new.pk).exists():
            if time.monotonic() - began > TURN + waiting / 10:
                raise Broken(f"Of {waiting} cases {overdue.count()} still wait.")
            sweep()
            time.sleep(1)
        return {
            "cases": waiting,
            "left_at_its_turn": left,
            "its_turn_after": round(turn, 1),
            "drained_after": round(time.monotonic() - began, 1),
        }

    # ── How it is done ────────────────────────────────────────────────────────────────────────────

    def tell_of(self, name: str) -> dict[str, object]:
        """Play one fault; answer what is to be said of it, and what was broken."""
        began = time.monotonic()
        told: dict[str, object] = {"broken": ""}
        try:
            told |= getattr(self, name)()
        except Broken as promise:
            told["broken"] = str(promise)
        return told | {"seconds": round(time.monotonic() - began, 1)}

    def start_mail(self) -> None:
        """Start the mail sink."""
        command = [sys.executable, "-m", "config.mail_sink", "--port", str(settings.EMAIL_PORT)]
        self.works.add("mail", [*command, "--folder", str(self.mail)])
        wait_for(_answers_mail, "The mail sink did not start.")

    def _people_act(self, number: int = 5) -> list[Case]:
        """Buyers open cases; some the company's rule refunds, the others its owner accepts."""
        opened = [self._open(reason=Reason.CANCELED) for _ in range(number)]
        for case in [self._open(reason=Reason.NOT_RECEIVED) for _ in range(number)]:
            opened.append(case)
            if Case.objects.get(pk=case.pk).state == State.AWAITING_CREATOR:
                cases.take_step(case, "accept", self.owner)
        return opened

    def _open(self, *, reason: str) -> Case:
        payment = self.people.pay(self.chance, f"f{uuid4().hex[:12]}", self.sandbox)
        return cases.open_case(
            payment,
            self.people.buyer,
            reason=reason,
            message="It is not what the page says.",
            asked_minor=payment.amount_minor // 10,
        )

    def _sweep_once(self) -> None:
        let_time_pass(3600)
        hurry(3600)
        sweep()
        wait_for(partial(is_idle, self.valkey), "The workers did not come to an end.")

    def _settles(self) -> dict[str, object]:
        """Sweep until all is settled; raises Broken when that takes long, or something is wrong."""
        sweeps = 0
        while sweeps < MOST_SWEEPS and (not sweeps or invariants.unsettled()):
            self._sweep_once()
            sweeps += 1
        wrong = invariants.unsettled()
        if not wrong and sweeps > FEW_SWEEPS:
            wrong = [f"It took {sweeps} sweeps to settle."]
        found = oracle.Findings()
        ledger = self.sandbox.ledger()
        for payment_id, charge_id in Payment.objects.values_list("pk", "charge_id"):
            oracle.compare(payment_id, ledger[charge_id], found)
        wrong += [*found.double, *found.lost, *found.stuck, *found.mismatched]
        wrong += invariants.violations()
        wrong += [each for one in compare_mail(self.mail) for each in one]
        if wrong:
            raise Broken("\n".join(wrong[:20]))
        return {"sweeps": sweeps}

    def _start_more_workers_and_beats(self) -> None:
        celery = [sys.executable, "-m", "celery", "-A", "config"]
        worker = ["worker", "--concurrency", "2", "--queues", ",".join(QUEUES)]
        self.works.add("worker-2", [*celery, *worker, "--hostname", "second@%h"])
        often = self.works.environment | {"SWEEP_SECONDS": "1"}
        for name in ("beat-1", "beat-2"):
            schedule = ["beat", "--schedule", str(self.works.folder / name), "--pidfile", ""]
            self.works.add(name, [*celery, *schedule], often)

    def _restart_postgres(self) -> None:
        """End it at once, as a crash does, and start it again."""
        pid = int((self.servers.postgres_data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.02)
        connection.close()
        self.servers.start()

    @contextmanager
    def _losing_the_answer_to_commit(self, number: int) -> Iterator[None]:
        """Our own connection breaks when the database has carried out the so-manieth COMMIT."""
        host = connection.settings_dict["HOST"]
        connection.close()
        folder = Path(settings.VAR_DIR) / "cut"
        folder.mkdir(exist_ok=True)
        with _Cutting(Path(host), folder, number):
            connection.settings_dict["HOST"] = str(folder)
            try:
                yield
            finally:
                connection.close()
                connection.settings_dict["HOST"] = host


class _Cutting:
    """Stands between us and PostgreSQL, and cuts the line before the answer to a COMMIT."""

    def __init__(self, host: Path, folder: Path, number: int) -> None:
        self.there, self.here, self.left = host / SOCKET, folder / SOCKET, number

    def __enter__(self) -> None:
        self.here.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.here))
        self.listener.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.there))
            for one_way in (self._ask, self._answer):
                threading.Thread(target=one_way, args=[client, server], daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while asked := client.recv(65536):
                self.left -= b"COMMIT\0" in asked
                server.sendall(asked)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while answer := server.recv(65536):
                if self.left == 0:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer)


def _cut_off(act: Callable[[], object]) -> None:
    """Do it, and see it fail for want of an answer."""
    try:
        act()
    except (OperationalError, InterfaceError):
        connection.close()
        return
    raise Broken("The connection was to break, and did not.")


def _answers_mail() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", settings.EMAIL_PORT)) == 0


def _escalated(case_ids: list[int]) -> int:
    """How often these cases were, all together."""
    return Event.objects.filter(case__in=case_ids, step="escalate").count()


def _wait_while(fact: Callable[[], bool]) -> None:
    began = time.monotonic()
    while fact() and time.monotonic() - began < 2 * TURN:
        time.sleep(0.2)


# ── The command ───────────────────────────────────────────────────────────────────────────────────

ALL = (
    *("valkey_emptied", "valkey_frozen", "valkey_restarted", "postgres_restarted"),
    *("commit_unanswered", "mail_down", "two_of_everything", "backlog"),
)


def play(state: Path, names: list[str]) -> dict[str, object]:
    """Play these faults in the house of this state folder; answer what is to be said of each."""
    web, mail = free_port(), Path(settings.VAR_DIR) / "mail"
    if "backlog" in names:
        waiting = int(os.environ.get("BACKLOG") or 10_000)
        load_cases(waiting, overdue_first(waiting), big=False)
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models()):
                cursor.execute(statement)
    with sandbox_of(dict(os.environ), f"http://127.0.0.1:{web}") as sandbox:
        addresses = {"STRIPE_API_BASE": sandbox.stripe_url, "PAYPAL_API_BASE": sandbox.paypal_url}
        works = Works(dict(os.environ) | addresses, web)
        settings.STRIPE_API_BASE = sandbox.stripe_url
        settings.PAYPAL_API_BASE = sandbox.paypal_url
        faults = Faults(works, sandbox, Embedded(state), mail)
        try:
            works.start("")
            faults.start_mail()
            return {name: faults.tell_of(name) for name in names}
        finally:
            works.stop()


def main() -> int:
    """Play each fault that is asked for, print the closing line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    asked = [name for name in os.environ.get("FAULTS", "").split(",") if name] or list(ALL)
    told: dict[str, dict[str, object]] = {}
    with open_house(durable=True) as house:
        together = [name for name in asked if name != "backlog"]
        for database, names in (("faults", together), ("backlog", ["backlog"])):
            if not set(names) & set(asked):
                continue
            house.add_database(database)
            # Short enough to run out while it lasts, and longer than a refund can take: checks.py.
            short = {"REFUND_LEASE_SECONDS": "11", "REFUND_DOUBT_SECONDS": "1"}
            mail = {"EMAIL_URL": f"smtp://127.0.0.1:{free_port()}"}
            done = subprocess.run(
                [sys.executable, "-m", "tests.faults", str(house.state), *names],
                cwd=HERE,
                env=house.environment(database, **short, **mail)
                | {"BACKLOG": os.environ.get("BACKLOG", "")},
                stdout=subprocess.PIPE,
                text=True,
            )
            ended: dict[str, dict[str, object]] = {
                name: {"broken": "Its process ended early."} for name in names
            }
            told |= ended if done.returncode else json.loads(done.stdout)
    sound = all(not one["broken"] for one in told.values())
    line = {"sound": sound, "faults": told, "seconds": round(time.monotonic() - began, 1)}
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if sound else 1


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.stdout.write(json.dumps(play(Path(sys.argv[1]), sys.argv[2:])))
    else:
        sys.exit(main())
