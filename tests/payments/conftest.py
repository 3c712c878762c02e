"""What the tests of payments may ask for."""

from tests.sandbox_fixture import listening, sandbox, sandbox_process

__all__ = ["listening", "sandbox", "sandbox_process"]
