"""The places at which a worker can be made to die or freeze, and who may ask for that."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from marketplace.failpoints import PLACES, armed
from payments import checks
from tests.config.test_settings import ENOUGH, HERE, start

PASS_TWICE = """
import django
django.setup()
from marketplace.failpoints import failpoint
failpoint("refund.called")
print("once", flush=True)
failpoint("refund.called")
print("twice", flush=True)
"""


def test_a_process_dies_at_the_pass_that_was_named_and_leaves_a_line(tmp_path: Path) -> None:
    log = tmp_path / "deaths"
    wanted = {"FAILPOINTS": "refund.called=#2", "FAILPOINTS_LOG": str(log)}
    place = {"DJANGO_SETTINGS_MODULE": "config.settings", "VAR_DIR": str(tmp_path), "DEMO": "1"}

    done = subprocess.run(
        [sys.executable, "-c", PASS_TWICE],
        cwd=HERE,
        env={"PATH": os.environ["PATH"], **place, **wanted},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")
    assert log.read_text() == "refund.called\n"


def test_a_process_stops_at_a_place_until_it_is_let_go_on(tmp_path: Path) -> None:
    place = {"DJANGO_SETTINGS_MODULE": "config.settings", "VAR_DIR": str(tmp_path), "DEMO": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PASS_TWICE],
        cwd=HERE,
        env={"PATH": os.environ["PATH"], **place, "FAILPOINTS": "refund.called=stop"},
        stdout=subprocess.PIPE,
        text=True,
    )

    stops = 0
    while os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]):
        stops += 1
        process.send_signal(signal.SIGCONT)

    assert (stops, process.communicate()[0]) == (2, "once\ntwice\n")


def test_production_does_not_start_with_a_place_to_die_at() -> None:
    done = start(**ENOUGH, FAILPOINTS="refund.called=0.1")

    assert done.returncode == 1
    assert "FAILPOINTS is for tests and must not be set." in done.stderr


def test_each_place_is_passed_somewhere_in_the_product() -> None:
    parts = ("marketplace", "notifications", "payments", "resolution")
    code = "".join(file.read_text() for part in parts for file in (HERE / part).rglob("*.py"))

    assert [place for place in PLACES if f'failpoint("{place}")' not in code] == []


@pytest.mark.parametrize("asked", ["refund.lost=0.5", "refund.called", "refund.called=2", "a=#0"])
def test_a_place_or_a_number_that_there_is_not_is_refused(asked: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        armed(asked)


def test_a_lease_that_a_provider_can_outlast_is_refused(settings: Settings) -> None:
    settings.GATEWAY_TIMEOUT = (3.0, 20.0)
    settings.REFUND_LEASE_SECONDS = 279
    too_short = [error.id for error in checks.lease_outlasts_the_calls()]
    settings.REFUND_LEASE_SECONDS = 280
    long_enough = checks.lease_outlasts_the_calls()

    assert (too_short, long_enough) == (["payments.E001"], [])
