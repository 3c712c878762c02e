"""Nudges to the workers. A nudge holds no truth: whatever one loses, the sweeps find.

A task without arguments sees to all that waits. While a nudge for it is under way another would
change nothing, and sending one costs a page or a webhook more than storing what it is about: so
one is `pending` at a time, until the task has begun (`answer`).
"""

import logging
import time
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from marketplace.tally import valkey

log = logging.getLogger(__name__)

LONG = 1.0
"""Seconds after which a nudge that came to nothing has kept somebody waiting."""

QUIET = 20.0
"""Seconds for which this process then nudges nobody; a sweep comes by as soon."""

PENDING_MS = 5_000
"""How long a nudge counts as under way: for no longer does one that was lost hold others back."""

_quiet_until = 0.0
_alone_until = 0.0


def ring(task: str, *args: Any) -> None:
    """Ask a worker to run a task by name, once the present transaction is committed."""
    transaction.on_commit(lambda: _send(task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    """Nudge, unless Valkey has just kept somebody waiting for nothing."""
    global _quiet_until
    began = time.monotonic()
    if began < _quiet_until or (not args and _is_pending(task)):
        return
    try:
        current_app.send_task(task, args=args, retry=False)
    except OperationalError as trouble:
        log.warning("No nudge for %s, the next sweep will find it: %s", task, trouble)
        if time.monotonic() - began > LONG:
            _quiet_until = time.monotonic() + QUIET


def answer(task: str) -> None:
    """Begin with a task that is rung without arguments: what is stored from now on rings anew."""
    try:
        valkey(settings.REDIS_URL).delete(_mark(task))
    except redis.RedisError as trouble:
        log.warning("Who rings for %s within five seconds waits for a sweep: %s", task, trouble)


def _is_pending(task: str) -> bool:
    """Whether a nudge for this task is under way; if not, one is from now on.

    Without Valkey nobody knows, and after it kept somebody waiting nobody asks for a while.
    """
    global _alone_until
    if time.monotonic() < _alone_until:
        return False
    try:
        return not valkey(settings.REDIS_URL).set(_mark(task), 1, nx=True, px=PENDING_MS)
    except redis.RedisError as trouble:
        log.warning("Every nudge is sent for the moment: %s", trouble)
        _alone_until = time.monotonic() + QUIET
        return False


def _mark(task: str) -> str:
    return f"resolution:pending:{task}"
