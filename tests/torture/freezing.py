"""A worker that is stopped in the middle of its work, and goes on when its lease is long over.

It is a process of its own that stops by SIGSTOP at a named place (marketplace/failpoints.py) and is
let go on by SIGCONT, as happens to a machine that swaps, or in a container that is paused. It
stops once more when its work is done, after a line that says what it fell over, if anything.
"""

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.torture.house import HERE


class Freezing:
    """Has refunds carried out by a worker that freezes, one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._fell_over: list[str] = []

    def begin(self, place: str, refund_id: int) -> bool:
        """Let it carry out a refund; answer whether it is frozen now, not done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{place} {refund_id}\n")
        self._process.stdin.flush()
        return not self._is_done()

    def end(self) -> list[str]:
        """Let it wake up and end its work; answer what it has fallen over since the last time."""
        while True:
            self._process.send_signal(signal.SIGCONT)
            if self._is_done():
                fell_over, self._fell_over = self._fell_over, []
                return fell_over

    def _is_done(self) -> bool:
        """Wait until it stops; answer whether that is because it has nothing more to do."""
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise RuntimeError("The worker that freezes has ended.")
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return False
        if said := json.loads(self._process.stdout.readline()):
            self._fell_over.append(said)
        self._process.send_signal(signal.SIGCONT)
        return True


@contextmanager
def freezing_worker(environment: dict[str, str]) -> Iterator[Freezing]:
    """Start such a worker; it ends with us."""
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.torture.freezing"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE, env=environment,
            )
        )  # fmt: skip
        stack.callback(process.kill)
        yield Freezing(process)


def main() -> None:
    """Carry out what is asked for, a line each: the place to freeze at, and the refund."""
    import django

    django.setup()

    from django.conf import settings

    from resolution.tasks import carry_out
    from tests.torture.mistakes import mistaken

    with mistaken(os.environ.get("MISTAKE", "")):
        for line in sys.stdin:
            place, refund_id = line.split()
            settings.FAILPOINTS = f"{place}=stop"
            fell_over = ""
            try:
                carry_out(int(refund_id))
            except Exception:  # whatever it is, it is a finding
                fell_over = traceback.format_exc()
            sys.stdout.write(json.dumps(fell_over) + "\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
