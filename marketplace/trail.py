"""What the present piece of work belongs to: a request, a task, a person, a case.

Log lines carry it, and nudges take the request's id along, so that one id finds all that a click
has set off. It holds public ids and names of ours only, never what people have typed.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

WELL_FORMED = re.compile(r"[0-9A-Za-z-]{8,64}")

_present: ContextVar[Mapping[str, str] | None] = ContextVar("trail", default=None)


def present() -> Mapping[str, str]:
    """What is known of the work that runs here, by name."""
    return _present.get() or {}


def note(**facts: str) -> None:
    """Add to what is known of the present work; where there is none, nothing is kept."""
    known = _present.get()
    if known is not None:
        _present.set({**known, **facts})


def start(**facts: str) -> None:
    """Begin a piece of work in a process that does one after the other; with no facts, end it."""
    _present.set(facts or None)


@contextmanager
def work(**facts: str) -> Iterator[None]:
    """A piece of work of which this much is known; what is noted meanwhile ends with it."""
    token = _present.set(facts)
    try:
        yield
    finally:
        _present.reset(token)


def request_id(said: str | None) -> str:
    """The id that a proxy has given a request where it is well-formed, else a new one."""
    return said if said and WELL_FORMED.fullmatch(said) else uuid.uuid4().hex
