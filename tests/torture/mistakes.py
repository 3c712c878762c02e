"""Known mistakes, made on purpose, to see in how many histories the torture catches them.

`MISTAKE="settled without a look at the lease" HISTORIES=200 make torture`. They are those of
tests/planted; a run with one is to find something, and exits with 1 when it does.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mistaken(name: str) -> Iterator[None]:
    """Make the mistake of this name from here on; none without a name, LookupError for no such."""
    if not name:
        yield
        return
    from tests.planted.test_planted import BUGS

    plants = {bug[0]: bug[1] for bug in BUGS}
    with plants[name]():
        yield
