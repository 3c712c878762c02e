"""Nudges to the workers. A nudge holds no truth: whatever one loses, the sweeps find."""

import logging
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def ring(task: str, *args: Any) -> None:
    """Ask a worker to run a task by name, once the present transaction is committed."""
    transaction.on_commit(lambda: _send(task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(task, args=args, retry=False)
    except OperationalError as trouble:
        log.warning("No nudge for %s, the next sweep will find it: %s", task, trouble)
