"""The real worker over each broker that is supported: `make brokers`.

Over the tests' own Valkey, and over RabbitMQ where it is installed or RABBITMQ_URL names one. The
processes are those of production; what is checked is what people rely on: a nudge is followed, a
worker that is stopped ends what it runs, a task whose process was killed comes again, and neither
tasks that come twice nor two beats do anything twice.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery, shared_task
from django.conf import settings
from django.db import connection

from config.celery import QUEUES, transport_options
from marketplace.models import User
from resolution import cases
from resolution.models import Case, Event
from tests.people import MakePayment

pytestmark = pytest.mark.django_db(transaction=True)
RABBITMQ = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin:/usr/sbin:/usr/local/sbin")
PATIENCE = 60.0
CASES = 20


@shared_task(name="tests.brokers.write_slowly")
def write_slowly(path: str) -> None:
    """Write down the beginning, and some seconds later the end."""
    with Path(path).open("a") as book:
        print("began", os.getpid(), file=book, flush=True)
        time.sleep(3)
        print("ended", os.getpid(), file=book, flush=True)


def wait_for(fact: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < until, f"{what} did not happen in {PATIENCE:.0f} seconds"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a RabbitMQ of our own, or of the one that the environment names."""
    if given := os.environ.get("RABBITMQ_URL"):
        yield given
        return
    if RABBITMQ is None:
        pytest.skip("RabbitMQ is not installed.")
    home = tmp_path_factory.mktemp("rabbitmq")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"tests{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(port + 1 if port < 65_000 else port - 1),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen([RABBITMQ], env=environment, stdout=log, stderr=log)
        try:
            url = f"amqp://guest:guest@127.0.0.1:{port}/"
            wait_for(lambda: _answers(url), "The start of RabbitMQ")
            yield url
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _answers(url: str) -> bool:
    try:
        with Celery(broker=url).connection_for_read() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=2)
    except OSError:
        return False
    return True


@pytest.fixture(params=["valkey", "rabbitmq"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a broker, which this process's nudges go to as well, with empty queues."""
    from config.celery import app

    url = settings.REDIS_URL if request.param == "valkey" else request.getfixturevalue("rabbitmq")
    spoken = url.replace("unix://", "redis+socket://", 1)
    before = app.conf.broker_url, app.conf.broker_transport_options
    app.conf.update(broker_url=spoken, broker_transport_options=transport_options(url))
    app.pool.force_close_all()  # type: ignore[attr-defined]  # its types lack it
    with app.connection_for_write() as held:
        for queue in app.amqp.queues.values():
            bound = queue(held.default_channel)
            bound.declare()
            bound.purge()
    yield url
    app.pool.force_close_all()  # type: ignore[attr-defined]  # its types lack it
    app.conf.update(broker_url=before[0], broker_transport_options=before[1])


class Processes:
    """Workers and beats of the product, on the tests' database and a broker."""

    def __init__(self, broker: str, folder: Path) -> None:
        host, name = connection.settings_dict["HOST"], connection.settings_dict["NAME"]
        user = connection.settings_dict["USER"]
        self.folder, self.running = folder, list[subprocess.Popen[bytes]]()
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"postgres://{user}@/{name}?host={host}",
            "REDIS_URL": settings.REDIS_URL,
            "BROKER_URL": broker,
            "SWEEP_SECONDS": "1",
            "VAR_DIR": str(folder),
            "DEMO": "1",
        }

    def worker(self, name: str = "one") -> subprocess.Popen[bytes]:
        log = self.folder / f"{name}.log"
        process = self._start(
            log, "worker", "--concurrency", "2", "--queues", ",".join(QUEUES), "--hostname",
            f"{name}@tests", "--include", "tests.brokers", "--loglevel", "INFO",
        )  # fmt: skip
        wait_for(lambda: " ready." in log.read_text(), "The start of the worker")
        return process

    def beat(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            self.folder / f"{name}.log", "beat", "--pidfile", "", "--schedule",
            str(self.folder / name),
        )  # fmt: skip

    def _start(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "config", *arguments]
        with log.open("w") as out:
            process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out)
        self.running.append(process)
        return process

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(PATIENCE)


@pytest.fixture
def processes(broker: str, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(broker, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def opened(make_payment: MakePayment, bea: User) -> list[Case]:
    """Cases that nobody has looked at; each rang for it."""
    return [
        cases.open_case(
            make_payment(), bea, reason="not_as_described", message="No.", asked_minor=6400
        )
        for _ in range(CASES)
    ]


def test_a_nudge_is_followed(broker: str, processes: Processes, opened: list[Case]) -> None:
    processes.worker()

    wait_for(lambda: not Case.objects.filter(state="open").exists(), "The creators hearing of it")

    assert Event.objects.filter(step="notify_creator").count() == CASES


def test_a_worker_that_is_told_to_stop_ends_what_it_runs(
    processes: Processes, tmp_path: Path
) -> None:
    book, later = tmp_path / "book", tmp_path / "later"
    worker = processes.worker()
    write_slowly.apply_async((str(book),), queue="chores")
    wait_for(book.exists, "The beginning of the task")

    worker.send_signal(signal.SIGTERM)
    write_slowly.apply_async((str(later),), queue="chores")
    ended = worker.wait(PATIENCE)
    left_alone = not later.exists()
    processes.worker("two")
    wait_for(lambda: later.exists() and "ended" in later.read_text(), "The other task")

    assert (ended, left_alone) == (0, True)
    assert [line.split()[0] for line in book.read_text().splitlines()] == ["began", "ended"]
    assert later.read_text().count("began") == 1


def test_a_task_whose_process_was_killed_comes_again(processes: Processes, tmp_path: Path) -> None:
    book = tmp_path / "book"
    processes.worker()
    write_slowly.apply_async((str(book),), queue="chores")
    wait_for(lambda: book.exists() and book.read_text().endswith("\n"), "The beginning of the task")

    os.kill(int(book.read_text().split()[1]), signal.SIGKILL)

    wait_for(lambda: "ended" in book.read_text(), "The second try")
    lines = [line.split()[0] for line in book.read_text().splitlines()]
    assert lines == ["began", "began", "ended"]


def test_two_beats_two_workers_and_every_nudge_five_times_do_nothing_twice(
    processes: Processes, opened: list[Case]
) -> None:
    from resolution.tasks import advance, deliver, sweep_cases

    for case in opened:
        for _ in range(4):
            advance.delay([case.pk])
    for _ in range(5):
        sweep_cases.delay()
        deliver.delay()

    processes.beat("first")
    processes.beat("second")
    processes.worker("one")
    processes.worker("two")
    wait_for(lambda: not Case.objects.filter(state="open").exists(), "The creators hearing of it")
    time.sleep(3 * float(processes.environment["SWEEP_SECONDS"]))

    steps = Counter(Event.objects.values_list("case", "step"))
    assert steps == {(c.pk, step): 1 for c in opened for step in ("open_case", "notify_creator")}


def test_without_a_broker_a_page_does_not_wait(
    make_payment: MakePayment, bea: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from config.celery import app

    for url in ("redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"):
        monkeypatch.setitem(app.conf, "broker_url", url)
        monkeypatch.setitem(app.conf, "broker_transport_options", transport_options(url))
        app.pool.force_close_all()  # type: ignore[attr-defined]  # its types lack it
        began = time.monotonic()
        case = cases.open_case(
            make_payment(), bea, reason="not_as_described", message="No.", asked_minor=6400
        )
        assert time.monotonic() - began < 8
        assert Case.objects.get(pk=case.pk).state == "open"
    app.pool.force_close_all()  # type: ignore[attr-defined]  # its types lack it
