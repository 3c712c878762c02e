"""A company's own system: a real HTTP server that keeps what it was sent, and can misbehave."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django import Settings
from whop_sdk.lib.verify_webhook import unwrap


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def checked(self, secret: str) -> dict[str, Any]:
        """The event, if the client's own function takes its signature for good."""
        return unwrap(self.body, headers=self.headers, key=secret)


@dataclass
class Receiver:
    """What was received, and what will be answered: `codes` first, then `always`.

    A path in `waits_for` is answered only once its condition holds, or after five seconds.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    always: int = 200
    waits_for: dict[str, Callable[[], bool]] = field(default_factory=dict)
    answer: bytes = b'{"ok": true}'
    headers: dict[str, str] = field(default_factory=dict)

    def types(self) -> list[str]:
        return [one.event["type"] for one in self.received]


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A receiver on this machine, which the settings allow to be called."""
    settings.OUTGOING_WEBHOOKS_ALLOW_LOOPBACK = True
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.received.append(Received(self.path, dict(self.headers.items()), body))
            ready, patience = kept.waits_for.get(self.path), time.monotonic() + 5
            while ready and not ready() and time.monotonic() < patience:
                time.sleep(0.01)
            self.send_response(kept.codes.pop(0) if kept.codes else kept.always)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(kept.answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()
