"""The supervisor of the demo: starts every part of the product, keeps them up, stops them all.

The parts run as they would anywhere else, as processes that are told by environment variables where
to find each other. What is particular to a demo is what they are pointed at: embedded servers,
sandbox payment providers, a mail sink, a clock that can be moved.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.db import connections

from config.celery import QUEUES
from config.env import ACCOUNTS_FILE, DEMO_FILE
from marketplace.models import User

LOOK_AGAIN_SECONDS = 0.2
SECONDS_TO_GET_READY = 120
SECONDS_TO_STOP = 10
LONGEST_BACK_OFF_SECONDS = 30
STEADY_AFTER_SECONDS = 60
TRIES_BEFORE_READY = 3


class DemoFailed(Exception):
    """The demo cannot run; the message says why, in words for the terminal."""


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or the process was told to stop."""


@dataclass
class Part:
    """One process of the demo, and how it has fared."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    falls: int = 0
    next_start: float = 0
    output_from: int = 0

    def start(self) -> None:
        """Start the process in a group of its own, so that Ctrl-C reaches only the supervisor."""
        # Where the system can, the kernel stops the part should the supervisor be killed outright.
        tether = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with self.log.open("ab") as output:
            self.output_from = output.tell()
            self.process = subprocess.Popen(
                [*tether, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self.started_at = time.monotonic()

    @property
    def has_fallen(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def output(self) -> str:
        """What the process has said since its last start."""
        with self.log.open("rb") as log:
            log.seek(self.output_from)
            return log.read().decode(errors="replace")

    def ask_to_stop(self) -> None:
        """Tell the process alone: it knows in which order its own children stop."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the process and whatever it has started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the whole group is gone already


@dataclass
class Demo:
    """The demo of one state folder on one port."""

    state: Path
    host: str
    port: int
    tell: Callable[[str], None]
    parts: list[Part] = field(default_factory=list)
    ready: bool = False

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the state folder and find the port free, or raise DemoFailed."""
        with only_one(self.state):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, self.port))
                except OSError:
                    raise DemoFailed(
                        f"Port {self.port} is taken. Choose another one: make demo PORT=8001"
                    ) from None
                self.port = probe.getsockname()[1]
            yield

    def settings(self) -> dict[str, str]:
        """The variables by which the parts, and commands run by hand, find each other.

        Kept in the state folder for the latter: see `config.env.environment`.
        """
        sandbox_port, mail_port = free_port(), free_port()
        variables = {
            "DEMO": "1",
            "SITE_URL": self.address,
            "CLOCK_FILE": str(self.state / "clock"),
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "STRIPE_API_BASE": f"http://127.0.0.1:{sandbox_port}",
            "STRIPE_API_KEY": "sk_test_demo",
            "PAYPAL_API_BASE": f"http://127.0.0.1:{sandbox_port}",
            "PAYPAL_CLIENT_ID": "demo",
            "PAYPAL_CLIENT_SECRET": "demo",
            "STRIPE_WEBHOOK_SECRET": "whsec_demo",
            "PAYPAL_WEBHOOK_ID": "WH-DEMO",
            "PAYPAL_WEBHOOK_CA": str(self.state / "sandbox-authority.pem"),
        }
        for name in ("DATABASE_URL", "REDIS_URL"):
            if os.environ.get(name):
                variables[name] = os.environ[name]
        return variables

    def start(self, name: str, *command: str, environment: dict[str, str]) -> Part:
        """Add a part and start it."""
        folder = self.state / "log"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{name}.log"
        log.unlink(missing_ok=True)
        part = Part(name, list(command), log, environment)
        self.parts.append(part)
        part.start()
        return part

    def wait_for(self, answers: Callable[[], bool], what: str) -> None:
        """Wait, restarting what falls. Raises DemoFailed after two minutes."""
        deadline = time.monotonic() + SECONDS_TO_GET_READY
        while not answers():
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} did not get ready: see {self.state / 'log'}.")
            self.look_after_parts()
            time.sleep(LOOK_AGAIN_SECONDS)

    def look_after_parts(self) -> None:
        """Restart each part that has fallen, later each time it falls again."""
        now = time.monotonic()
        for part in self.parts:
            if part.has_fallen:
                self._note_fall(part, now)
            if part.process is None and now >= part.next_start:
                part.start()

    def _note_fall(self, part: Part, now: float) -> None:
        assert part.process is not None
        part.falls = 1 if now - part.started_at > STEADY_AFTER_SECONDS else part.falls + 1
        if not self.ready and part.falls >= TRIES_BEFORE_READY:
            raise DemoFailed(f"{part.name} does not start:\n\n{part.output()[-2000:]}")
        pause = min(2 ** (part.falls - 1), LONGEST_BACK_OFF_SECONDS)
        self.tell(
            f"{part.name} stopped with code {part.process.returncode}; "
            f"it is started again in {pause} s. See {part.log}"
        )
        part.kill()
        part.process = None
        part.next_start = now + pause

    def stop(self) -> None:
        """Stop every part, those that use others first; none is left behind."""
        for part in reversed(self.parts):
            part.ask_to_stop()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for part in reversed(self.parts):
            if part.process is not None:
                try:
                    part.process.wait(max(0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self.tell(f"{part.name} did not stop in time and is killed.")
                part.kill()
                part.process.wait()


def run(state: Path, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Run the demo until it is told to stop. The database is there and migrated.

    Raises DemoFailed when it cannot, with every part stopped.
    """
    demo = Demo(state, host, port, tell)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with demo.alone():
        try:
            _start_all(demo)
            while True:
                demo.look_after_parts()
                time.sleep(LOOK_AGAIN_SECONDS)
        except Stopped:
            tell("\nStopping.")
        finally:
            # A second Ctrl-C does not leave half of the parts behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            demo.stop()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _start_all(demo: Demo) -> None:
    variables = demo.settings()
    environment = {
        **os.environ,
        **variables,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "VAR_DIR": str(demo.state),
        "PYTHONUNBUFFERED": "1",
    }
    keep_private(demo.state / DEMO_FILE, variables)
    python = sys.executable
    sandbox_port = variables["STRIPE_API_BASE"].rsplit(":", 1)[1]
    mail_port = variables["EMAIL_URL"].rsplit(":", 1)[1]

    sandbox = demo.start(
        *("sandbox", python, "-m", "payments.sandbox", "--port", sandbox_port),
        *("--state", str(demo.state / "sandbox.jsonl")),
        *("--webhook-url", f"http://127.0.0.1:{demo.port}"),
        *("--authority", variables["PAYPAL_WEBHOOK_CA"]),
        environment=environment,
    )
    demo.start(
        *("mail", python, "-m", "config.mail_sink", "--port", mail_port),
        *("--folder", str(demo.state / "mail")),
        environment=environment,
    )
    demo.wait_for(lambda: '"stripe"' in sandbox.output(), "The sandbox of the payment providers")

    manage = [python, "manage.py"]
    if not _has_data():
        demo.tell("Loading the demo's data")
        if subprocess.run([*manage, "demo_data"], env=environment).returncode:
            raise DemoFailed("The demo's data could not be loaded. Start over: make demo-reset")

    demo.start(
        *("web", python, "-m", "gunicorn", "--config", "python:config.gunicorn"),
        *("--bind", f"{demo.host}:{demo.port}", "--graceful-timeout", "5"),
        environment=environment,
    )
    celery = [python, "-m", "celery", "-A", "config"]
    worker = demo.start(
        *("worker", *celery, "worker", "--concurrency", "2", "--queues", ",".join(QUEUES)),
        *("--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "INFO"),
        environment=environment,
    )
    demo.start(*("beat", *celery, "beat", "--pidfile", ""), environment=environment)
    demo.wait_for(lambda: is_ready(demo.host, demo.port), "The web server")
    demo.wait_for(lambda: " ready." in worker.output(), "The Celery worker")
    demo.ready = True
    accounts = _one_account_a_role([*manage, "demo_accounts", "--json"], environment)
    keep_private(demo.state / ACCOUNTS_FILE, accounts)
    _say_what_is_where(demo, accounts)


def _has_data() -> bool:
    has_data = User.objects.exists()
    connections.close_all()
    return has_data


def _one_account_a_role(command: list[str], environment: dict[str, str]) -> list[dict[str, Any]]:
    listed = subprocess.run(command, env=environment, capture_output=True, text=True)
    if listed.returncode:
        raise DemoFailed(f"The demo's accounts could not be listed:\n\n{listed.stderr}")
    first_of_role: dict[str, dict[str, Any]] = {}
    for account in json.loads(listed.stdout)["users"]:
        first_of_role.setdefault(account["role"], account)
    people = User.objects.filter(email__in=[found["email"] for found in first_of_role.values()])
    names = dict(people.values_list("email", "name"))
    connections.close_all()
    return [found | {"name": names[found["email"]]} for found in first_of_role.values()]


def _say_what_is_where(demo: Demo, accounts: list[dict[str, Any]]) -> None:
    demo.tell("")
    demo.tell(f"The demo is ready: {demo.address}/")
    demo.tell("")
    for account in accounts:
        demo.tell(f"  {account['role']:<8} {account['email']:<34} {account['password']}")
    demo.tell("")
    demo.tell(f"  E-mail   {demo.address}/dev/mailbox/")
    demo.tell(f"  Logs     {demo.state / 'log'}")
    demo.tell("  Let time pass: .venv/bin/python manage.py demo_advance --days 7")
    demo.tell("  Stop with Ctrl-C")


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the state folder as a demo does. Raises DemoFailed when a demo holds it."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"A demo is running with {state}. Stop it first.") from None
        yield


def keep_private(path: Path, value: Any) -> None:
    """Write JSON that only this account may read; a reader sees the old or the new whole."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(value, indent=1))
    fresh.replace(path)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(host: str, port: int) -> bool:
    try:
        with urlopen(f"http://{host}:{port}/readyz", timeout=5) as answer:  # nosec B310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
