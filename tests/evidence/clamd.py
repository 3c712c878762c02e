"""A server that speaks the protocol of clamd, for tests: it finds one known text, like a signature.

It is as strict as clamd is: a stream ends with an empty part, and one that is too long is broken
off. The real one is tried in `test_clamd.py`, where it is installed.
"""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNATURE = b"RC-TEST-VIRUS-\x9c\x21"
NAME = "RC.Test.Virus"


class Clamd(socketserver.ThreadingTCPServer):
    """Answers INSTREAM; `longest` is its StreamMaxLength, `garbled` makes it answer nonsense."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.longest = 25 * 2**20
        self.garbled = False
        self.scanned: list[int] = []

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.server_address[:2]
        return str(host), port


class _Conversation(socketserver.BaseRequestHandler):
    server: Clamd

    def handle(self) -> None:
        if self._exactly(10) != b"zINSTREAM\0":
            self.request.sendall(b"UNKNOWN COMMAND\0")
            return
        content = b""
        while (length := struct.unpack(">I", self._exactly(4))[0]) > 0:
            content += self._exactly(length)
            if len(content) > self.server.longest:
                self.request.sendall(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.server.scanned.append(len(content))
        if self.server.garbled:
            self.request.sendall(b"stream: perhaps\0")
        elif SIGNATURE in content:
            self.request.sendall(f"stream: {NAME} FOUND\0".encode())
        else:
            self.request.sendall(b"stream: OK\0")

    def _exactly(self, many: int) -> bytes:
        content = b""
        while len(content) < many:
            part = self.request.recv(many - len(content))
            if not part:
                raise ConnectionResetError
            content += part
        return content


@contextmanager
def running() -> Iterator[Clamd]:
    """A clamd on a free port of this machine."""
    with Clamd() as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who hangs up, does
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def nobody_there() -> tuple[str, int]:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    return host, port
