"""The watch over tasks: what each belongs to, how long it takes, and when the sweeps last ran."""

import logging
import time
from importlib import import_module
from typing import Any

from celery import Task, signals
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from config.models import SweepRun
from marketplace import tally, trail

log = logging.getLogger(__name__)

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 240)
"""Seconds that a task may take at most, to be counted in each bucket; the rest is in `+Inf`."""

_begun: dict[str, float] = {}


def start() -> None:
    """Watch over every task that this process sends or runs. Nothing runs tasks but workers."""
    signals.before_task_publish.connect(_take_the_request_along, weak=False)
    signals.task_prerun.connect(_begin, weak=False)
    signals.task_postrun.connect(_end, weak=False)
    if settings.TRACES_TO:
        signals.worker_process_init.connect(_trace, weak=False)


def _trace(**_: Any) -> None:
    import_module("config.traces").start("worker")


def _take_the_request_along(headers: dict[str, Any], **_: Any) -> None:
    """Whatever a nudge sets off is found by the id of the request that has sent it."""
    if request := trail.present().get("request"):
        headers["request_id"] = request


def _begin(task_id: str, task: Task, **_: Any) -> None:
    _begun[task_id] = time.monotonic()
    request = task.request.get("request_id") or (task.request.headers or {}).get("request_id")
    trail.start(task=str(task.name), task_id=task_id, **({"request": request} if request else {}))


def _end(task_id: str, task: Task, state: str | None = None, **_: Any) -> None:
    took = time.monotonic() - _begun.pop(task_id, time.monotonic())
    ended(str(task.name), took, failed=state != "SUCCESS")
    trail.start()


def ended(name: str, seconds: float, *, failed: bool) -> None:
    """Count a task that has ended; of one of the schedule, write down when."""
    bucket = next((str(most) for most in BUCKETS if seconds <= most), "+Inf")
    task = ("task", name)
    tally.add_all(
        {
            ("task_seconds_bucket", (("le", bucket), task)): 1,
            ("task_seconds_sum", (task,)): seconds,
            ("tasks", (("outcome", "failed" if failed else "succeeded"), task)): 1,
        }
    )
    if name in settings.CELERY_BEAT_SCHEDULE:
        said = {"ended_at": timezone.now(), "seconds": seconds, "failed": failed}
        try:
            SweepRun.objects.update_or_create(task=name, defaults=said)
        except DatabaseError as trouble:
            log.warning("That %s has run is not written down: %s", name, trouble)
