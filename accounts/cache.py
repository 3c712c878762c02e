"""The cache that all processes share: it counts attempts to log in, and holds no truth.

While Redis does not answer, each process counts for itself, so that people can still log in and
guessing is still slowed down; a little less, as each process has a count of its own.
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

log = logging.getLogger(__name__)

REST = 5.0  # seconds without asking a Redis that did not answer


class Plainly:
    """Values as JSON: what stands in Redis is data and never code, as pickles would be."""

    def __init__(self, protocol: Any = None) -> None:
        pass

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class SharedCache(RedisCache):
    """Redis, and the memory of this process while Redis does not answer."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = params.setdefault("OPTIONS", {})
        options |= {
            "serializer": Plainly,
            "socket_connect_timeout": 0.25,
            "socket_timeout": 0.25,
        }
        super().__init__(server, params)
        self._own = LocMemCache(f"instead of {server}", {"TIMEOUT": self.default_timeout})
        self._resting_until = 0.0

    def _ask(self, shared: Callable[[], Any], own: Callable[[], Any]) -> Any:
        if time.monotonic() >= self._resting_until:
            try:
                return shared()
            except RedisError as trouble:
                log.warning("Each process counts for itself for the moment: %s", trouble)
                self._resting_until = time.monotonic() + REST
        return own()

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> bool:
        added: bool = self._ask(
            lambda: super(SharedCache, self).add(key, value, *args, **kwargs),
            lambda: self._own.add(key, value, *args, **kwargs),
        )
        return added

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(
            lambda: super(SharedCache, self).get(key, *args, **kwargs),
            lambda: self._own.get(key, *args, **kwargs),
        )

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        self._ask(
            lambda: super(SharedCache, self).set(key, value, *args, **kwargs),
            lambda: self._own.set(key, value, *args, **kwargs),
        )

    def incr(self, key: Any, *args: Any, **kwargs: Any) -> int:
        counted: int = self._ask(
            lambda: super(SharedCache, self).incr(key, *args, **kwargs),
            lambda: self._own.incr(key, *args, **kwargs),
        )
        return counted

    def delete(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        deleted: bool = self._ask(
            lambda: super(SharedCache, self).delete(key, *args, **kwargs),
            lambda: self._own.delete(key, *args, **kwargs),
        )
        return deleted
