"""What the page of metrics says, who may read it, and what is made of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings as configured
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from config import metrics, watch
from config.models import SweepRun
from marketplace import clock, tally
from marketplace.models import User
from notifications.models import Notification
from payments.models import Discrepancy, ProviderEvent, Refund
from resolution.models import Attachment, Case
from tests.conftest import Later
from tests.people import MakePayment

HERE = Path(__file__).resolve().parent.parent.parent
TOKEN = "a-token-of-the-tests-for-metrics"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _read_anew(settings: Settings) -> Iterator[None]:
    settings.METRICS_TOKENS = [TOKEN]
    metrics.collected.kept_until = 0
    tally.valkey(settings.REDIS_URL).delete(tally.KEY)
    yield
    metrics.collected.kept_until = 0


def read(client: Client) -> dict[str, dict[tuple[str, ...], float]]:
    """All values, by name and then by the values of their labels."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


# ── Who may read ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("said", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_nobody_reads_them_without_the_token(client: Client, said: str | None) -> None:
    answer = client.get("/metrics", headers={} if said is None else {"Authorization": said})

    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_there_is_no_such_page_until_a_token_is_set(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKENS = []

    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_while_one_token_replaces_another_both_are_good(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKENS = ["the-former-one-is-still-good", TOKEN]

    assert read(client)["resolution_source_answers"] == {("database",): 1, ("valkey",): 1}


# ── What is counted in the database ───────────────────────────────────────────────────────────────


def test_it_tells_what_is_under_way_and_how_late(
    client: Client, later: Later, waiting_case: Case, make_payment: MakePayment, bea: User
) -> None:
    refund = Refund.objects.create(
        payment=make_payment(processor="paypal"), amount_minor=100, currency="USD",
        key="one", cause=waiting_case.public_id, alert=True,
    )  # fmt: skip
    Discrepancy.objects.create(payment=refund.payment, kind="sums", detail="They do not add up.")
    ProviderEvent.objects.create(provider="stripe", event_id="evt_1", type="t", payload="{}")
    Attachment.objects.create(
        uploader=bea, filename="proof.png", size=1, sha256="0" * 64, content_type="image/png",
        kind="image", state="checking", scan_at=clock.now(),
    )  # fmt: skip
    Notification.objects.update(state="dead")
    later(timedelta(days=8))

    told = read(client)

    assert told["resolution_cases"]["awaiting_creator", "creator"] == 1
    assert told["resolution_cases_overdue"] == {("creator",): 1}
    [due_at] = Case.objects.values_list("due_at", flat=True)
    assert due_at is not None
    late = (clock.now() - due_at).total_seconds()
    assert told["resolution_case_overdue_seconds"]["creator",] == pytest.approx(late, abs=5)
    assert told["resolution_refunds"] == {("paypal", "pending"): 1}
    assert told["resolution_refund_oldest_seconds"]["paypal", "pending"] == pytest.approx(
        timedelta(days=8).total_seconds(), abs=60
    )
    assert told["resolution_refunds_wanting_somebody"] == {("paypal",): 1}
    assert told["resolution_discrepancies"] == {("sums",): 1}
    assert told["resolution_inbox_events"] == {("stripe",): 1}
    assert told["resolution_files_in_quarantine"] == {(): 1}
    assert told["resolution_quarantine_oldest_seconds"][()] == pytest.approx(8 * 86400, abs=60)
    assert told["resolution_messages_given_up"] == {(): Notification.objects.count()}
    assert "resolution_message_late_seconds" not in told


def test_mail_without_a_server_is_late_since_it_was_written(client: Client, bea: User) -> None:
    now = clock.now()
    common = {"recipient": bea, "kind": "k", "about": "a", "thread": "t"}
    Notification.objects.create(
        key="1", created_at=now - timedelta(hours=2), error="No server.",
        next_attempt_at=now + timedelta(seconds=30), **common,
    )  # fmt: skip
    Notification.objects.create(
        key="2", created_at=now - timedelta(hours=9),
        next_attempt_at=now + timedelta(hours=1), **common,
    )  # fmt: skip

    told = read(client)

    assert told["resolution_messages_waiting"] == {(): 2}
    assert told["resolution_message_late_seconds"][()] == pytest.approx(7200, abs=5)


def test_it_asks_the_database_once_for_each_value_and_then_not_for_a_while(client: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        read(client)
        read(client)

    assert len(asked) == len(metrics.GAUGES)


def test_without_valkey_the_rest_is_told(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody-listens.sock"

    told = read(client)

    assert told["resolution_source_answers"] == {("database",): 1, ("valkey",): 0}
    assert told["resolution_messages_waiting"] == {(): 0}


# ── What is counted as it happens ─────────────────────────────────────────────────────────────────


def test_workers_tell_how_long_tasks_took_and_when_a_sweep_last_ran(client: Client) -> None:
    watch.ended("resolution.tasks.deliver", 0.2, failed=False)
    watch.ended("resolution.tasks.deliver", 300, failed=True)
    watch.ended("resolution.tasks.carry_out", 0.02, failed=False)

    told = read(client)

    assert told["resolution_tasks_total"] == {
        ("succeeded", "resolution.tasks.deliver"): 1,
        ("failed", "resolution.tasks.deliver"): 1,
        ("succeeded", "resolution.tasks.carry_out"): 1,
    }
    buckets = told["resolution_task_seconds_bucket"]
    assert [buckets[le, "resolution.tasks.deliver"] for le in ("0.1", "0.5", "240", "+Inf")] == [
        0, 1, 1, 2,
    ]  # fmt: skip
    assert told["resolution_task_seconds_sum"]["resolution.tasks.deliver",] == pytest.approx(300.2)
    assert list(told["resolution_sweep_age_seconds"]) == [("resolution.tasks.deliver",)]
    assert told["resolution_sweep_failed"] == {("resolution.tasks.deliver",): 1}
    assert SweepRun.objects.get().seconds == 300


def test_counting_never_holds_a_task_up(settings: Settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody-listens.sock"
    try:
        watch.ended("resolution.tasks.deliver", 1, failed=False)
    finally:
        tally._resting_until = 0.0

    assert SweepRun.objects.get().task == "resolution.tasks.deliver"


def test_a_page_is_measured_by_its_name_and_not_by_its_address(client: Client) -> None:
    client.get("/hub/cases/reso_00000000000000/")
    client.generic("MADE-UP", "/not-here-either/")
    client.get("/nothing-here/")

    counted = read(client)["resolution_request_seconds_count"]

    assert counted["GET", "3xx", "hub-case"] >= 1
    assert counted["other", "4xx", "none"] >= 1
    assert counted["GET", "4xx", "none"] >= 1
    assert not [labels for labels in counted if "/" in labels[2] or labels[0] == "MADE-UP"]


def test_several_processes_of_a_server_answer_for_all_of_them(tmp_path: Path) -> None:
    """Each counts a request of its own; a third reads both."""
    code = (
        "import sys, django; django.setup()\n"
        "from config import metrics\n"
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from prometheus_client.multiprocess import MultiProcessCollector\n"
        "if sys.argv[1] == 'count': metrics.measured('hub', 'GET', 200, 0.2); sys.exit()\n"
        "registry = CollectorRegistry(); MultiProcessCollector(registry)\n"
        "print(generate_latest(registry).decode())"
    )
    environment = os.environ | {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEMO": "1", "DATABASE_URL": "postgres://nobody@localhost/none", "REDIS_URL": "redis://localhost",
    }  # fmt: skip

    def run(what: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, what], cwd=HERE, env=environment,
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    run("count")
    run("count")

    assert 'resolution_request_seconds_count{method="GET",status="2xx",view="hub"} 2.0' in run(
        "read"
    )


# ── What is made of it ────────────────────────────────────────────────────────────────────────────

ALERTS = [
    rule
    for group in yaml.safe_load((HERE / "deploy/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def test_every_metric_that_an_alert_asks_for_is_told(client: Client) -> None:
    watch.ended("resolution.tasks.deliver", 1, failed=False)
    client.get("/hub/")
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    told = {sample for family in text_string_to_metric_families(text) for sample in _names(family)}

    asked = {name for rule in ALERTS for name in re.findall(r"\bresolution_[a-z_]+", rule["expr"])}

    assert sorted(asked - told) == []
    assert len(asked) > 15


def _names(family: Any) -> set[str]:
    kinds = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
    return {family.name + end for end in kinds.get(family.type, ("",))}


def test_every_label_that_an_alert_asks_for_is_one_of_its_metric() -> None:
    labels = {gauge.name: set(gauge.labels) for gauge in metrics.GAUGES} | {
        "resolution_request_seconds_count": {"view", "method", "status"},
        "resolution_request_seconds_bucket": {"view", "method", "status", "le"},
        "resolution_tasks_total": {"task", "outcome"},
    }
    for rule in ALERTS:
        for name, asked in re.findall(r"(resolution_[a-z_]+)\{([^}]*)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)\s*=", asked)) <= labels[name], rule["alert"]


def test_every_alert_says_what_to_do() -> None:
    runbook = (HERE / "docs/operations.md").read_text().split("## Runbook")[1]
    texts = re.split(r"^### ", runbook, flags=re.MULTILINE)[1:]
    parts = {text.split("\n", 1)[0]: text for text in texts}

    assert sorted(rule["alert"] for rule in ALERTS) == sorted(parts)
    for rule in ALERTS:
        name = rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        for heading in ("**Means** ", "**Hurts** ", "**Look** ", "**Do** "):
            assert parts[name].count(heading) == 1, (name, heading)


def test_each_metric_is_explained() -> None:
    explained = (HERE / "docs/operations.md").read_text().split("## Runbook")[0]

    for gauge in metrics.GAUGES:
        assert f"`{gauge.name}`" in explained


def test_the_schedule_says_how_often_each_task_runs() -> None:
    assert all(entry["options"]["expires"] for entry in configured.CELERY_BEAT_SCHEDULE.values())
