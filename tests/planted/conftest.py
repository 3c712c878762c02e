"""The marketplace of the state machine, for scenarios that are written out."""

from tests.stateful.conftest import sandbox, sandbox_process, world

__all__ = ["sandbox", "sandbox_process", "world"]
