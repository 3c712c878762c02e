"""What time it is for the business; leases and back-off use the machine's own clock instead.

In the demo and in tests every clock can be moved forward: `CLOCK_FILE` names a file that holds an
offset in seconds, shared by all processes. Without the setting the offset is always zero.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone


def offset() -> timedelta:
    """How far the business clock runs ahead of the machine's."""
    path = getattr(settings, "CLOCK_FILE", None)
    if not path:
        return timedelta()
    try:
        return timedelta(seconds=float(Path(path).read_text() or 0))
    except FileNotFoundError:
        return timedelta()


def now() -> datetime:
    """The present moment for every date that people see and every deadline."""
    return timezone.now() + offset()


def database_now() -> datetime:
    """The present moment by the database's clock: the one to judge a deadline by under a lock.

    Unlike `now()` in SQL it moves within a transaction, so it is read after the lock is held.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC) + offset()


def advance(by: timedelta) -> timedelta:
    """Move the business clock forward for all processes and answer the new offset.

    Raises RuntimeError where `CLOCK_FILE` is not set: a production clock is never moved.
    """
    path = getattr(settings, "CLOCK_FILE", None)
    if not path:
        raise RuntimeError("CLOCK_FILE is not set, so this clock cannot be moved.")
    moved = offset() + by
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_text(str(moved.total_seconds()))
    fresh.replace(target)
    return moved
