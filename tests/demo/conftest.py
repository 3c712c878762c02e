"""The demo's story, told once against a real sandbox and looked at by every test here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from payments import gateways
from tests.sandbox_fixture import SandboxClient, sandbox_process

__all__ = ["sandbox_process"]


@pytest.fixture(scope="package")
def told(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    sandbox_process: SandboxClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SandboxClient]:
    """The demo as it is when it has just been loaded. Nothing of it is there afterwards."""
    folder: Path = tmp_path_factory.mktemp("demo")
    sandbox_process.reset()
    demo = override_settings(
        DEMO=True,
        CLOCK_FILE=str(folder / "clock"),
        STRIPE_API_KEY="sk_test_sandbox",
        STRIPE_API_BASE=sandbox_process.stripe_url,
        PAYPAL_CLIENT_ID="sandbox-client",
        PAYPAL_CLIENT_SECRET="sandbox-secret",
        PAYPAL_API_BASE=sandbox_process.paypal_url,
    )
    with demo, django_db_blocker.unblock(), transaction.atomic():
        gateways.forget_gateways()
        call_command("demo_data", verbosity=0)
        yield sandbox_process
        transaction.set_rollback(True)
    gateways.forget_gateways()
