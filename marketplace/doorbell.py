"""Nudges to the workers. A nudge holds no truth: whatever one loses, the sweeps find."""

import logging
import time
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

LONG = 1.0
"""Seconds after which a nudge that came to nothing has kept somebody waiting."""

QUIET = 20.0
"""Seconds for which this process then nudges nobody; a sweep comes by as soon."""

_quiet_until = 0.0


def ring(task: str, *args: Any) -> None:
    """Ask a worker to run a task by name, once the present transaction is committed."""
    transaction.on_commit(lambda: _send(task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    """Nudge, unless Valkey has just kept somebody waiting for nothing."""
    global _quiet_until
    began = time.monotonic()
    if began < _quiet_until:
        return
    try:
        current_app.send_task(task, args=args, retry=False)
    except OperationalError as trouble:
        log.warning("No nudge for %s, the next sweep will find it: %s", task, trouble)
        if time.monotonic() - began > LONG:
            _quiet_until = time.monotonic() + QUIET
