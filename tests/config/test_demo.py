"""The demo's supervisor, with small processes of its own in the place of the product's."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from config import demo
from config.demo import Demo, DemoFailed, Part
from config.embedded import Embedded

HERE = Path(__file__).resolve().parent.parent.parent

ENVIRONMENT = dict(os.environ)
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
HAVE_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
PARENT = [sys.executable, "-c", HAVE_A_CHILD]
FALL = [sys.executable, "-c", "import sys; sys.exit('no luck')"]


@pytest.fixture
def said() -> list[str]:
    """What the supervisor has told the terminal."""
    return []


@pytest.fixture
def running(tmp_path: Path, said: list[str]) -> Iterator[Demo]:
    """A demo without any parts yet."""
    running = Demo(tmp_path, "127.0.0.1", demo.free_port(), said.append)
    yield running
    running.stop()


def wait_until(fact: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def exists(pid: int) -> bool:
    """Whether a process runs (one that has ended and waits to be collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def look_after_until(running: Demo, fact: Callable[[], bool]) -> None:
    def look() -> bool:
        running.look_after_parts()
        return fact()

    wait_until(look)


def look_after_without_pauses(running: Demo, part: Part) -> None:
    while True:
        part.next_start = 0
        running.look_after_parts()


def test_a_part_that_falls_is_started_again_and_the_terminal_hears_of_it(
    running: Demo, said: list[str]
):
    part = running.start("sleeper", *SLEEP, environment=ENVIRONMENT)
    running.ready = True
    wait_until(lambda: "up" in part.output())
    assert part.process is not None
    first = part.process.pid

    part.process.kill()
    look_after_until(running, lambda: part.falls == 1)
    look_after_until(running, lambda: part.process is not None)

    assert part.process.pid != first
    assert said == [f"sleeper stopped with code -9; it is started again in 1 s. See {part.log}"]


def test_the_pause_grows_with_each_fall(running: Demo, said: list[str]):
    part = running.start("faller", *FALL, environment=ENVIRONMENT)
    running.ready = True

    for falls in (1, 2, 3):
        part.next_start = 0
        look_after_until(running, lambda: part.falls == falls)  # noqa: B023

    assert [sentence.split("again in ")[1].split(".")[0] for sentence in said] == [
        "1 s",
        "2 s",
        "4 s",
    ]


def test_a_part_that_never_starts_ends_the_demo_with_its_own_words(running: Demo):
    part = running.start("faller", *FALL, environment=ENVIRONMENT)

    with pytest.raises(DemoFailed) as failure:
        look_after_without_pauses(running, part)

    assert str(failure.value) == "faller does not start:\n\nno luck\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_stopping_leaves_no_process_behind(running: Demo):
    part = running.start("parent", *PARENT, environment=ENVIRONMENT)
    wait_until(lambda: "\n" in part.output())
    assert part.process is not None
    pids = [part.process.pid, int(part.output())]

    running.stop()

    wait_until(lambda: [exists(pid) for pid in pids] == [False, False])


def test_one_state_folder_is_for_one_demo(running: Demo):
    other = Demo(running.state, "127.0.0.1", demo.free_port(), print)

    with running.alone(), pytest.raises(DemoFailed) as refusal, other.alone():
        pass

    assert str(refusal.value) == f"A demo is running with {running.state}. Stop it first."


def test_a_port_that_is_taken_is_named(running: Demo, tmp_path: Path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running.port = listener.getsockname()[1]

        with pytest.raises(DemoFailed) as refusal, running.alone():
            pass

    assert str(refusal.value) == (
        f"Port {running.port} is taken. Choose another one: make demo PORT=8001"
    )


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
@pytest.mark.skipif(
    Path("/usr/bin/chromium").exists(), reason="tests/e2e start, use and stop the same demo"
)
def test_the_whole_demo_starts_can_be_used_and_stops_without_a_trace(tmp_path: Path):
    state = tmp_path / "state"
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(state)}
    command = [sys.executable, "manage.py", "demo", "--port", "0"]
    with (tmp_path / "said").open("w+") as said:
        whole = subprocess.Popen(command, cwd=HERE, env=environment, stdout=said, stderr=said)

    wait_until(lambda: whole.poll() is not None or "Stop with" in said_in(tmp_path), seconds=120)
    [address] = re.findall(r"The demo is ready: (\S+)/", said_in(tmp_path))
    with urlopen(f"{address}/readyz") as answer:
        ready = answer.status
    listed = subprocess.run(
        [sys.executable, "manage.py", "demo_accounts", "--json"],
        cwd=HERE,
        env=environment,
        capture_output=True,
        check=True,
    )
    whole.send_signal(signal.SIGINT)

    assert ready == 200
    assert {account["role"] for account in json.loads(listed.stdout)["users"]} == {
        "buyer",
        "owner",
        "support",
        "viewer",
        "agent",
        "finance",
    }
    assert whole.wait(60) == 0
    assert processes_of(state) == []
    Embedded(state).remove()


def said_in(folder: Path) -> str:
    return (folder / "said").read_text()


def processes_of(state: Path) -> list[str]:
    """The commands of all processes that belong to a state folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            whole = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(state).encode() in whole:
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
