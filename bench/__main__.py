"""Every job, one after the other, each in a process of its own: `make bench`."""

import subprocess
import sys

from bench.measure import head

JOBS = (
    "bench.sweeps",
    "bench.outbox",
    "bench.pages",
    "bench.intake",
    "bench.server",
    "bench.memory",
)


def main() -> None:
    head()
    sys.exit(max(subprocess.run([sys.executable, "-m", job]).returncode for job in JOBS))


if __name__ == "__main__":
    main()
