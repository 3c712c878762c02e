"""Counts that any process adds to and the page of metrics reads, kept in Valkey.

Workers have no page of their own, so what they count is kept where the web can see it. The counts
are for watching and hold no truth: without Valkey nothing is counted and nobody is held up.
"""

import json
import logging
import time
from collections.abc import Mapping
from functools import cache

import redis
from django.conf import settings

log = logging.getLogger(__name__)

KEY = "resolution:tally"
REST = 5  # seconds without asking a Valkey that did not answer

_resting_until = 0.0

Counted = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels, the labels in the order of their names."""


@cache
def valkey(url: str) -> "redis.Redis":
    """Valkey for what may be lost: whoever asks waits a quarter of a second for it at most."""
    return redis.Redis.from_url(url, socket_connect_timeout=0.25, socket_timeout=0.25)


def add(name: str, by: float = 1, **labels: str) -> None:
    """Add to one count."""
    add_all({(name, tuple(sorted(labels.items()))): by})


def add_all(counts: Counted) -> None:
    """Add to several counts with one message."""
    global _resting_until
    if time.monotonic() < _resting_until:
        return
    try:
        with valkey(settings.REDIS_URL).pipeline(transaction=False) as commands:
            for (name, labels), by in counts.items():
                commands.hincrbyfloat(KEY, json.dumps([name, dict(labels)]), by)
            commands.execute()
    except redis.RedisError as trouble:
        log.warning("Nothing is counted for the moment: %s", trouble)
        _resting_until = time.monotonic() + REST


def read() -> Counted:
    """All that was counted since Valkey last forgot. Raises redis.RedisError."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    kept: Mapping[bytes, bytes] = valkey(settings.REDIS_URL).hgetall(KEY)  # type: ignore[assignment]
    for field, value in kept.items():
        name, labels = json.loads(field)
        found[name, tuple(sorted(labels.items()))] = float(value)
    return found
