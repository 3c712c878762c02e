"""Traces go where the settings say, and nothing of it is there when they say nothing."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HERE = Path(__file__).resolve().parent.parent.parent
WORK = """
import json, sys
from config.wsgi import application
from django.conf import settings
if settings.TRACES_TO:
    import requests
    from celery import shared_task
    from django.db import connection
    from django.test import Client
    from opentelemetry import trace
    @shared_task(name="tests.traced")
    def traced():
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", ["canary-of-a-statement"])
    Client(headers={"User-Agent": "canary-agent", "X-Request-ID": "the-id-of-a-request"}).get(
        "/livez?typed=canary-of-an-address")
    traced.apply()
    requests.get(sys.argv[1] + "/provider?typed=canary-of-a-call")
    trace.get_tracer_provider().force_flush()
parts = ("exporter", "instrumentation")  # redis-py loads the rest wherever it is installed
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "opentelemetry"
                  and len(name.split(".")) > 1 and name.split(".")[1] in parts]))
"""


class Collector(ThreadingHTTPServer):
    """Takes OTLP in over HTTP."""

    got: list[bytes]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                self.server.got.append(body)  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector(("127.0.0.1", 0), Collector.Handler)
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def run(*arguments: str, **more: str) -> list[str]:
    """Work in a process of its own, and answer what it has loaded of OpenTelemetry."""
    from django.db import connection

    at = connection.settings_dict
    database = f"postgres://{at['USER']}@/postgres?host={at['HOST']}"
    own = {"DJANGO_SETTINGS_MODULE": "config.settings", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    told = {"DATABASE_URL": database, "ALLOWED_HOSTS": "testserver", **more}
    done = subprocess.run(
        [sys.executable, "-c", WORK, *arguments], cwd=HERE, capture_output=True, text=True,
        env={**os.environ, **own, **told}, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_without_somebody_to_send_them_to_nothing_of_it_is_loaded() -> None:
    assert run() == []


@pytest.mark.django_db
def test_what_happens_is_told_without_what_people_typed(collector: Collector) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"

    assert run(address, OTEL_EXPORTER_OTLP_ENDPOINT=address) != []

    spans = {}
    for body in collector.got:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    spans[span.name] = {one.key: one.value.string_value for one in span.attributes}
    assert {"GET livez", "run/tests.traced", "SELECT", "GET"} <= set(spans)
    assert spans["GET livez"]["resolution.request"] == "the-id-of-a-request"
    assert [body for body in collector.got if b"canary" in body] == []
