"""The product running by itself, as `make demo` starts it, in a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default as modern
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from config.embedded import Embedded
from config.env import DEMO_FILE

CHROMIUM = Path("/usr/bin/chromium")
HERE = Path(__file__).resolve().parent.parent.parent
SECONDS_TO_START = 180
SECONDS_TO_STOP = 60
SECONDS_FOR_MAIL = 20
LOOK_AGAIN_SECONDS = 0.1
SWEEP_SECONDS = 2
SETTLE_SECONDS = 2
"""How long the sandbox's refunds are under way: seen as sent before they arrive."""


def _headline_of(mail: Any) -> str:
    """What is new in an e-mail: its subject is that of its whole conversation."""
    [title] = re.findall(r"<title>(.*?)</title>", mail.get_body(("html",)).get_content())
    return unescape(title)


@dataclass
class Stack:
    """A running demo: where it is, who can log in, which payments are good for what."""

    state: Path
    process: subprocess.Popen[bytes]
    base_url: str = ""
    taken: set[str] = field(default_factory=set)

    @property
    def said(self) -> str:
        """What the demo has told the terminal."""
        return (self.state / "said").read_text()

    @cached_property
    def environment(self) -> dict[str, str]:
        return _environment(self.state)

    def manage(self, *command: str) -> str:
        """Run a command of the project by hand beside the demo, and answer what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=HERE,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @cached_property
    def accounts(self) -> dict[str, Any]:
        """Users and payments, as they were before anybody did anything."""
        listed: dict[str, Any] = json.loads(self.manage("demo_accounts", "--json"))
        return listed

    def take_payment(
        self, buyer: str, processor: str, fits: Callable[[str], bool] = lambda payment: True
    ) -> str:
        """An eligible payment of a buyer's that no test has used, and that fits."""
        for row in self.accounts["payments"]["eligible"]:
            right = (row["buyer"], row["processor"]) == (buyer, processor)
            if right and row["id"] not in self.taken and fits(row["id"]):
                self.taken.add(row["id"])
                payment: str = row["id"]
                return payment
        raise AssertionError(f"{buyer} has no payment by {processor} left.")

    def mail_about(self, case: str, recipient: str, *, at_least: int = 0) -> list[str]:
        """What the e-mails to somebody say that lead to a case, in a line each, oldest first.

        Waits until there are so many: the last of them may still be leaving.
        """
        deadline = time.monotonic() + SECONDS_FOR_MAIL
        while True:
            found = []
            for file in sorted((self.state / "mail").glob("*.eml")):
                mail = message_from_bytes(file.read_bytes(), policy=modern)
                text = mail.get_body(("plain",))
                leads_there = text and f"/cases/{case}/" in text.get_content()
                if leads_there and str(mail["X-Envelope-To"]) == recipient:
                    found.append(_headline_of(mail))
            if len(found) >= at_least or time.monotonic() > deadline:
                return found
            time.sleep(LOOK_AGAIN_SECONDS)

    def advance(self, days: float) -> None:
        """Let time pass for every clock of the business."""
        self.manage("demo_advance", "--days", str(days))

    def let_refunds_settle(self, seconds: float) -> None:
        """Have the sandbox's refunds arrive so long after they were asked for."""
        address = json.loads((self.state / DEMO_FILE).read_text())["STRIPE_API_BASE"]
        body = json.dumps({"settle_seconds": seconds}).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{address}/_sandbox/settings", body, headers)) as answer:
            assert answer.status == 200

    def wait_until_ready(self) -> None:
        self._wait_for(lambda: "Stop with Ctrl-C" in self.said, "did not get ready")
        [self.base_url] = re.findall(r"The demo is ready: (\S+)/", self.said)
        with urlopen(f"{self.base_url}/readyz") as answer:
            assert answer.status == 200

    def stop(self) -> None:
        """Tell the demo to stop. Nothing that belongs to it is left running."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS_TO_STOP)
        left = processes_of(self.state)
        assert (code, left) == (0, []), self.said

    def _wait_for(self, fact: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not fact():
            assert self.process.poll() is None, f"The demo ended:\n{self.said}"
            assert time.monotonic() < deadline, f"The demo {otherwise}:\n{self.said}"
            time.sleep(LOOK_AGAIN_SECONDS)


def _environment(state: Path) -> dict[str, str]:
    """Nothing of the tests' own settings, and no database but the demo's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"VAR_DIR": str(state), "SWEEP_SECONDS": str(SWEEP_SECONDS)}


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Start the demo on a free port, and stop it without a trace."""
    state = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))  # paths of sockets have to be short
    state.chmod(0o711)
    with (state / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", "0"],
            cwd=HERE,
            env=_environment(state),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    stack = Stack(state, process)
    try:
        stack.wait_until_ready()
        stack.let_refunds_settle(SETTLE_SECONDS)
        yield stack
        stack.stop()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(SECONDS_TO_STOP)
        Embedded(state).remove()
        shutil.rmtree(state, ignore_errors=True)


def processes_of(state: Path) -> list[str]:
    """The commands of all processes that belong to a state folder, where the system can tell."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            whole = (process / "environ").read_bytes() + command
        except OSError:
            continue  # it has ended, or it is somebody else's
        if str(state).encode() in whole:
            found.append(command.decode(errors="replace").replace("\0", " "))
    return found
