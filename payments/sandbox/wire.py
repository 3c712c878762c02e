"""HTTP on a real socket: reads requests, sends answers, and breaks them where told to."""

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

LARGEST_BODY = 4_000_000


@dataclass(frozen=True)
class Request:
    """One call as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    def form(self) -> dict[str, str]:
        """The body as a form, Stripe's way: `metadata[refund_id]` is a key like any other."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; raises ValueError."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """One answer (JSON, or bytes as they are), and how it reaches the caller.

    Whole, cut in half, never, or as a reset.
    """

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Literal["whole", "half_body", "timeout", "drop"] = "whole"
    seconds: float = 0.0


class Server(ThreadingHTTPServer):
    """Serves one application, a function from a request to its response, a thread a connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], application: Callable[[Request], Response]):
        super().__init__(address, _Handler)
        self.application = application
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def shutdown(self) -> None:
        """Stop, and wake the answers that are being held back."""
        self.closing.set()
        super().shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Sandbox"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Calls are kept in the sandbox's own log, without secrets."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            self._send(413, b"{}", {})
            return
        address = urlsplit(self.path)
        response = self.server.application(
            Request(
                method=self.command,
                path=unquote(address.path),
                query=dict(parse_qsl(address.query, keep_blank_values=True)),
                headers=self.headers,
                body=self.rfile.read(length),
            )
        )
        self._deliver(response)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve  # noqa: N815

    def _deliver(self, response: Response) -> None:
        whole = response.body
        body = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
        match response.delivery:
            case "whole":
                self._send(response.status, body, response.headers)
            case "half_body":
                self.close_connection = True
                self._send(response.status, body[: len(body) // 2], response.headers, len(body))
            case "timeout":
                self.close_connection = True
                self.server.closing.wait(response.seconds)
            case "drop":
                self.close_connection = True
                # Lingering for no time at all makes the kernel send a reset.
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.connection.close()

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # The caller no longer waits.
