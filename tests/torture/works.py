"""The product as it runs: a web server, a worker and a mail sink, each a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.parser import BytesHeaderParser
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import redis
from django.conf import settings
from django.db.models import F

from config.celery import QUEUES, app
from config.demo import Part
from notifications.models import Notification
from payments.models import ProviderEvent, Refund

SECONDS_TO_START = 180

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
                *("--queues", ",".join(QUEUES), "--without-mingle", "--without-gossip"),
                *("--without-heartbeat", "--loglevel", "CRITICAL"),
            ],
        }
        for name, command in commands.items():
            self.add(name, command, environment)
        wait_for(self._answers, "The web server did not start.")

    def add(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Start one more part."""
        part = Part(name, command, self.folder / f"{name}.log", environment or self.environment)
        part.start()
        self.parts.append(part)

    def end(self, name: str) -> None:
        """Kill one part, and wait until it is gone."""
        for part in [part for part in self.parts if part.name == name]:
            part.kill()
            if part.process is not None:
                part.process.wait()
            self.parts.remove(part)

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

    def worker_processes(self) -> list[int]:
        """The processes that do the worker's tasks, where the system tells (Linux)."""
        ids = [part.process.pid for part in self.parts if part.name == "worker" and part.process]
        files = [Path(f"/proc/{pid}/task/{pid}/children") for pid in ids]
        return [int(pid) for file in files if file.exists() for pid in file.read_text().split()]

    def freeze(self, name: str) -> None:
        """Stop a part with all of its processes, until it is let `thaw`."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for part in self.parts:
            if part.name == name and part.process is not None:
                os.killpg(part.process.pid, number)

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


def sweep() -> None:
    """What beat sends."""
    for task in SWEEPS:
        app.send_task(task)


def is_idle(valkey: redis.Redis) -> bool:
    """Nothing waits in Valkey, and no worker holds anything."""
    for _ in range(3):
        if any(valkey.llen(queue) for queue in QUEUES):
            return False
        if valkey.hlen("unacked"):
            return False
        time.sleep(0.1)
    return True


def hurry(seconds: float = 400) -> None:
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


def wait_for(fact: Callable[[], bool], otherwise: str) -> None:
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


def compare_mail(folder: Path) -> tuple[list[str], list[str]]:
    """Sentences for what was sent and has not arrived in the sink, and for what is none of ours."""
    arrived = set()
    for file in folder.glob("*.eml"):
        with file.open("rb") as mail:
            name = BytesHeaderParser().parse(mail)["Message-ID"]
        arrived.add(str(name).strip().strip("<>").partition("@")[0])
    state = dict(Notification.objects.values_list("public_id", "state"))
    sent = {name for name, told in state.items() if told == Notification.State.SENT}
    return (
        [f"{name} was sent and never arrived." for name in sorted(sent - arrived)],
        [f"{name} arrived, and is none of ours." for name in sorted(arrived - set(state))],
    )
