"""How many requests a token may make a minute, counted in Redis.

The count is a courtesy to everybody else and holds no truth: without Redis nobody is held up.
"""

import logging
import time
from functools import cache

import redis
from django.conf import settings

from api.errors import ApiError
from api.models import ApiToken

log = logging.getLogger(__name__)

WINDOW = 60  # seconds
REST = 5  # seconds without asking a Redis that did not answer

_resting_until = 0.0


@cache
def _counter() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=0.25, socket_timeout=0.25
    )


def check(token: ApiToken) -> None:
    """Count this request; raise ApiError 429 with `Retry-After` when it is one too many."""
    global _resting_until
    now = time.time()
    if now < _resting_until:
        return
    window = int(now // WINDOW)
    name = f"api:{token.public_id}:{window}"
    try:
        with _counter().pipeline(transaction=False) as commands:
            commands.incr(name)
            commands.expire(name, 2 * WINDOW)
            count = commands.execute()[0]
    except redis.RedisError as trouble:
        log.warning("Requests are not counted for the moment: %s", trouble)
        _resting_until = now + REST
        return
    if count > settings.API_REQUESTS_A_MINUTE:
        wait = max(1, round((window + 1) * WINDOW - now))
        raise ApiError(
            429,
            "rate_limited",
            f"At most {settings.API_REQUESTS_A_MINUTE} requests a minute. Wait {wait} seconds.",
            headers={"Retry-After": str(wait)},
        )
