"""What a log line says of the work it belongs to, and how an id travels to a worker."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import shared_task
from django.test import Client
from pytest_django import Settings

from config.logs import OneLine
from marketplace import trail
from marketplace.models import User
from resolution.models import Case

log = logging.getLogger("tests.told")


class Lines(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(OneLine())
        self.written: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(json.loads(self.format(record)))

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.written if line["logger"] == logger]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.django_db
def test_a_request_is_one_line_that_says_who_and_which_case_but_not_the_address(
    client: Client, bea: User, case: Case, lines: Lines
) -> None:
    client.force_login(bea)

    answer = client.get(f"/hub/cases/{case.public_id}/?after=typed-by-somebody")

    [line] = lines.of("config.middleware")
    assert line.pop("ms") > 0
    assert line.pop("at")
    assert line == {
        "level": "info",
        "logger": "config.middleware",
        "message": "answered",
        "request": answer.headers["X-Request-ID"],
        "user": bea.public_id,
        "case": case.public_id,
        "view": "hub-case",
        "method": "GET",
        "status": 200,
    }


@pytest.mark.django_db
def test_a_link_that_lets_somebody_in_is_in_no_line(client: Client, lines: Lines) -> None:
    client.get("/password-reset/MQ/set-password-0123456789/")

    assert [line["view"] for line in lines.of("config.middleware")] == ["password_reset_confirm"]
    assert "0123456789" not in json.dumps(lines.of("config.middleware"))


def test_what_a_load_balancer_asks_all_the_time_is_in_no_line(client: Client, lines: Lines) -> None:
    client.get("/livez")

    assert lines.of("config.middleware") == []


@pytest.mark.parametrize("said", ["4f1c2ab0-77aa", "0123456789abcdef" * 4])
def test_the_id_that_a_proxy_gives_is_kept(client: Client, said: str) -> None:
    answer = client.get("/livez", headers={"X-Request-ID": said})

    assert answer.headers["X-Request-ID"] == said


@pytest.mark.parametrize(
    "said", ["short", "a" * 65, 'with "quotes" and spaces', "<script>alert", "é" * 9]
)
def test_an_id_that_is_not_well_formed_is_replaced(client: Client, said: str) -> None:
    answer = client.get("/livez", headers={"X-Request-ID": said})

    assert trail.WELL_FORMED.fullmatch(answer.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] != said


def test_every_request_has_an_id_of_its_own_and_none_is_left_behind(client: Client) -> None:
    ids = {client.get("/livez").headers["X-Request-ID"] for _ in range(3)}

    assert len(ids) == 3
    assert trail.present() == {}


@pytest.mark.django_db
def test_the_page_for_an_error_of_ours_has_the_reference_that_the_log_has(
    client: Client, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    from config import views

    def breaks() -> bool:
        raise ZeroDivisionError

    monkeypatch.setitem(views.READINESS, "database", breaks)
    client.raise_request_exception = False

    answer = client.get("/readyz")

    reference = answer.headers["X-Request-ID"]
    assert answer.status_code == 500
    assert f"<code>{reference}</code>" in answer.content.decode()
    [told] = lines.of("django.request")
    assert (told["request"], "ZeroDivisionError" in told["traceback"]) == (reference, True)


@shared_task(name="tests.tell")
def tell() -> None:
    log.info("done")


def test_a_nudge_takes_the_id_of_its_request_along_and_nothing_of_its_person(
    settings: Settings,
) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as valkey:
        valkey.delete("tests-logs")
        with trail.work(request="the-id-of-a-request", user="user_1"):
            tell.apply_async(queue="tests-logs", retry=False)
        [sent] = [json.loads(message) for message in valkey.lrange("tests-logs", 0, -1)]
        valkey.delete("tests-logs")

    assert sent["headers"]["request_id"] == "the-id-of-a-request"
    assert "user_1" not in json.dumps(sent)


def test_what_a_task_logs_has_the_id_that_it_came_with(lines: Lines) -> None:
    ran = tell.apply(headers={"request_id": "the-id-of-a-request"})

    [line] = lines.of("tests.told")
    assert (line["request"], line["task"], line["task_id"]) == (
        "the-id-of-a-request", "tests.tell", ran.id,
    )  # fmt: skip
    assert trail.present() == {}
