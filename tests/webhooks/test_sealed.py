"""Secrets in the database: nobody reads them there, and their key can be changed."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from marketplace import sealed
from marketplace.models import Company
from notifications.models import WebhookEndpoint

NEW, OLD = "the new key, long enough for this", "the old key, long enough for this"

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(company: Company) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(company=company, url="https://a.example", events=[])


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM notifications_webhookendpoint")
        [[found]] = cursor.fetchall()
    return str(found)


def put(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notifications_webhookendpoint SET secret = %s", [text])


def secret() -> str:
    return WebhookEndpoint.objects.get().secret


def test_what_is_in_the_database_does_not_tell_the_secret(endpoint: WebhookEndpoint) -> None:
    assert stored().startswith("sealed:")
    assert endpoint.secret[3:] not in stored()
    assert secret() == endpoint.secret


def test_the_same_secret_looks_different_each_time(endpoint: WebhookEndpoint) -> None:
    once = stored()
    endpoint.save()

    assert stored() != once
    assert secret() == endpoint.secret


def test_a_secret_from_before_they_were_sealed_works_and_is_sealed(
    endpoint: WebhookEndpoint,
) -> None:
    put("ws_in_the_clear")

    assert secret() == "ws_in_the_clear"
    assert (sealed.reseal(), sealed.reseal()) == (1, 0)
    assert "clear" not in stored()
    assert secret() == "ws_in_the_clear"


def test_a_key_is_changed_without_a_moment_without_secrets(
    endpoint: WebhookEndpoint, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SEALING_KEYS = [OLD]
    endpoint.save()
    settings.SEALING_KEYS = [NEW, OLD]
    assert secret() == endpoint.secret

    call_command("reseal")
    settings.SEALING_KEYS = [NEW]

    assert capsys.readouterr().out == "1 sealed; all secrets are under the first key now.\n"
    assert secret() == endpoint.secret


def test_a_key_that_went_too_early_is_named_as_the_reason(
    endpoint: WebhookEndpoint, settings: Settings
) -> None:
    settings.SEALING_KEYS = [NEW]

    with pytest.raises(sealed.CannotOpen, match="not among SEALING_KEY any more"):
        secret()
    with pytest.raises(CommandError, match="not among SEALING_KEY any more"):
        call_command("reseal")


def test_a_secret_that_somebody_has_tampered_with_is_not_used(endpoint: WebhookEndpoint) -> None:
    put(stored()[:-8] + "AAAAAAA=")

    with pytest.raises(sealed.CannotOpen, match="was changed"):
        secret()


def test_nobody_looks_a_secret_up(endpoint: WebhookEndpoint) -> None:
    with pytest.raises(TypeError, match="sealed"):
        WebhookEndpoint.objects.filter(secret=endpoint.secret).exists()
