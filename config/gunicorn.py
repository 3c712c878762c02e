"""How gunicorn serves the project: `gunicorn --config python:config.gunicorn config.wsgi`.

Its processes share a folder, made anew at each start, so that each can answer for all of them when
the metrics are asked for.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

# prometheus_client looks for the folder when it is imported.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="resolution-metrics-")

from prometheus_client import multiprocess

wsgi_app = "config.wsgi"
worker_class = "gthread"
workers = int(os.environ.get("WEB_PROCESSES", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
limit_request_line = 8190  # 250 ids of files in an address of the API
control_socket_disable = True
graceful_timeout = 20
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def child_exit(server: Any, worker: Any) -> None:
    """Keep what a process that ended has counted, without its own gauges."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
