"""Every job, one after the other, each in a process of its own: `make bench`."""

import subprocess
import sys

JOBS = ("bench.sweeps", "bench.outbox")


def main() -> None:
    sys.exit(max(subprocess.run([sys.executable, "-m", job]).returncode for job in JOBS))


if __name__ == "__main__":
    main()
