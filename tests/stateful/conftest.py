"""A marketplace with everybody in it, a clock that can be moved, and mail that stays here."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.sandbox_fixture import SandboxClient, sandbox, sandbox_process
from tests.stateful.world import World

__all__ = ["sandbox", "sandbox_process"]


@pytest.fixture
def world(
    transactional_db: None, sandbox: SandboxClient, settings: Settings, tmp_path: Path
) -> World:
    """Everybody, before anything has happened."""
    authority = tmp_path / "authority.pem"
    authority.write_text(sandbox.control("GET", "authority")["pem"])
    settings.PAYPAL_WEBHOOK_CA = str(authority)
    settings.CLOCK_FILE = str(tmp_path / "clock")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    made = World(sandbox)
    made.settle_in()
    return made
