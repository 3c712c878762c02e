"""A short run of the torture; the long one is `make torture`."""

import json
import os
import subprocess
import sys

from tests.torture.house import HERE


def test_money_is_neither_lost_nor_paid_twice_in_a_short_run() -> None:
    asked = {"HISTORIES": "8", "KILLS": "3", "SEED": "1", "WORKERS": "2"}

    done = subprocess.run(
        [sys.executable, "-m", "tests.torture"],
        cwd=HERE,
        env={"PATH": os.environ["PATH"], **asked},
        capture_output=True,
        text=True,
    )

    said = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert said["histories"] == 8
    assert sum(said["kills"].values()) >= 3
    assert [said[name] for name in ("double", "lost", "stuck", "mismatched")] == [0, 0, 0, 0]
