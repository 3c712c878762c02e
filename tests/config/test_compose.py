"""What docker-compose.yml and the image promise. `make rehearse` runs the commands themselves."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.celery import QUEUES
from tests.config.test_settings import ENOUGH

HERE = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOTS = {"migrate", "bucket", "s3-owner"}
OURS = {"migrate", "web", "worker", "courier", "beat"}
KNOWN = {
    "build", "image", "command", "environment", "depends_on", "deploy", "healthcheck", "init",
    "ports", "profiles", "read_only", "restart", "secrets", "security_opt", "shm_size",
    "stop_grace_period", "tmpfs", "user", "volumes", "cap_add", "cap_drop",
}  # fmt: skip

each = pytest.mark.parametrize("name", sorted(SERVICES))


def test_every_part_of_the_product_is_there() -> None:
    assert {*OURS, "postgres", "valkey", "s3", "mail"} < set(SERVICES)


@each
def test_a_service_can_do_no_more_than_its_work(name: str) -> None:
    service = SERVICES[name]

    assert set(service) <= KNOWN
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    if name == "s3-owner":  # hands a volume over, and ends
        assert service["cap_add"] == ["CHOWN"]
    else:
        assert "cap_add" not in service
        assert service["user"] not in {"root", "0", "0:0"}


@each
def test_a_service_says_whether_it_is_well_or_ends(name: str) -> None:
    service = SERVICES[name]

    assert ("healthcheck" in service) is (name not in ONE_SHOTS)
    assert service["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped")


@each
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        ends = needed in ONE_SHOTS
        assert needed in SERVICES
        assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
    if name in OURS - {"migrate"}:
        assert "migrate" in SERVICES[name]["depends_on"]


@each
def test_nothing_is_reached_from_outside_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each
def test_an_image_is_one_of_a_version(name: str) -> None:
    if name not in OURS:
        assert re.search(r":[\w.-]*\d[\w.-]*$", SERVICES[name]["image"])


@each
def test_a_volume_is_declared_or_a_file_of_ours(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (HERE / source).is_file()


def test_the_product_gets_every_setting_that_it_needs() -> None:
    for name in OURS:
        assert set(ENOUGH) <= set(SERVICES[name]["environment"])


def test_the_workers_listen_to_every_queue() -> None:
    heard = {
        queue
        for service in SERVICES.values()
        if "worker" in (command := service.get("command", []))
        for queue in command[command.index("--queues") + 1].split(",")
    }

    assert heard == set(QUEUES)


def test_the_image_holds_every_part_of_the_code() -> None:
    dockerfile = (HERE / "Dockerfile").read_text()
    project = tomllib.loads((HERE / "pyproject.toml").read_text())
    packages = project["tool"]["importlinter"]["root_packages"]

    for folder in (*packages, "locale", "static", "templates"):
        assert f"COPY {folder} {folder}\n" in dockerfile
    assert "\nUSER app\n" in dockerfile
