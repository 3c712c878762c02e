"""Whether a process of this machine does its work: `python -m config.healthcheck web|worker|beat`.

For what starts processes and starts them again; it ends with 0 or 1 and says why.
"""

import argparse
import os
import socket
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from config.celery import app

PORT = os.environ.get("PORT", "8000")
BEAT_WRITES_EVERY = 180  # seconds; it writes down how far it is
SECONDS = 5


def web() -> str:
    """Why this machine's web server cannot answer requests, or nothing."""
    host = urlsplit(os.environ.get("SITE_URL", "http://localhost")).netloc
    asks = Request(f"http://127.0.0.1:{PORT}/readyz", headers={"Host": host})
    try:
        with urlopen(asks, timeout=SECONDS):  # noqa: S310 (of this machine)
            return ""
    except HTTPError as answer:
        return answer.read().decode(errors="replace")
    except OSError as trouble:
        return str(trouble)


def worker() -> str:
    """Why this machine's worker takes no tasks, or nothing."""
    name = f"celery@{socket.gethostname()}"
    said = app.control.inspect(destination=[name], timeout=SECONDS).ping()
    return "" if said else f"{name} does not answer"


def beat() -> str:
    """Why this machine's beat seems to stand still, or nothing."""
    schedule = Path(app.conf.beat_schedule_filename)
    written = [file.stat().st_mtime for file in schedule.parent.glob(f"{schedule.name}*")]
    if written and time.time() - max(written) < 2 * BEAT_WRITES_EVERY:
        return ""
    return f"{schedule} was not written for too long"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("process", choices=["web", "worker", "beat"])
    asked = {"web": web, "worker": worker, "beat": beat}[parser.parse_args().process]
    sys.exit(asked() or 0)
