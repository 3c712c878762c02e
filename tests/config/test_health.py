"""What a load balancer is told."""

import json
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from config import views


def answer(client: Client) -> tuple[int, dict[str, object]]:
    response = client.get("/readyz")
    return response.status_code, json.loads(response.content)


def test_a_running_process_is_alive_without_looking_at_anything(client):
    response = client.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_it_is_ready_when_everything_a_request_needs_answers(client):
    assert answer(client) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_without_a_broker_it_is_not_ready_and_says_so(client, settings: Settings, tmp_path: Path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody-listens.sock"

    status = answer(client)

    assert status == (503, {"status": "not ready", "not_ready": ["broker"]})


@pytest.mark.django_db
def test_with_a_migration_to_run_it_is_not_ready_and_says_so(client):
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder

    views._all_migrations_are_applied.cache_clear()
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")

    status = answer(client)

    assert status == (503, {"status": "not ready", "not_ready": ["migrations"]})


@pytest.mark.django_db
def test_without_a_place_for_files_it_is_not_ready_and_says_so(client, settings: Settings):
    local = {**settings.STORAGES["default"], "OPTIONS": {"location": "/dev/null/files"}}
    settings.STORAGES = {**settings.STORAGES, "default": local}

    status = answer(client)

    assert status == (503, {"status": "not ready", "not_ready": ["storage"]})
