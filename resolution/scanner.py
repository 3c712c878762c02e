"""Asks clamd, the daemon of ClamAV, whether there is a virus in a file.

What follows from its answer is in `resolution/custody.py`.
"""

import socket
import struct
from collections.abc import Iterable
from contextlib import closing

from django.conf import settings

CONNECT_SECONDS = 5
ANSWER_SECONDS = 120
LONGEST_ANSWER = 4096


class ScannerUnavailable(Exception):
    """The scanner cannot be reached, or broke off: nothing is known of any file."""


class NotScanned(Exception):
    """The scanner answers, but not about this file: larger than it takes, or not readable to it."""


def virus_in(chunks: Iterable[bytes]) -> str:
    """The name of what clamd finds in a file; empty when it finds nothing.

    Raises ScannerUnavailable or NotScanned when there is no answer to that.
    """
    answer = _ask(chunks)
    if answer == "stream: OK":
        return ""
    if answer.startswith("stream: ") and answer.endswith(" FOUND"):
        return answer.removeprefix("stream: ").removesuffix(" FOUND") or "unnamed"
    if answer.endswith("ERROR"):
        raise NotScanned(answer)
    raise ScannerUnavailable(f"clamd answered {answer!r}")


def _ask(chunks: Iterable[bytes]) -> str:
    """One INSTREAM conversation: each part behind its length, a length of nothing at the end."""
    try:
        with closing(_connect()) as clamd:
            clamd.settimeout(ANSWER_SECONDS)
            clamd.sendall(b"zINSTREAM\0")
            try:
                for chunk in chunks:
                    clamd.sendall(struct.pack(">I", len(chunk)) + chunk)
                clamd.sendall(bytes(4))
            except (BrokenPipeError, ConnectionResetError):
                # Of a stream that is too long clamd hangs up before its end; why is still to read.
                return _read(clamd)
            return _read(clamd)
    except OSError as reason:
        raise ScannerUnavailable(f"clamd can’t be asked: {reason}") from reason


def _connect() -> socket.socket:
    where = settings.CLAMD
    if where is None:
        raise ScannerUnavailable("CLAMD_URL is not set.")
    if isinstance(where, tuple):
        return socket.create_connection(where, timeout=CONNECT_SECONDS)
    clamd = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    clamd.settimeout(CONNECT_SECONDS)
    try:
        clamd.connect(where)
    except OSError:
        clamd.close()
        raise
    return clamd


def _read(clamd: socket.socket) -> str:
    answer = b""
    while not answer.endswith(b"\0"):
        part = clamd.recv(LONGEST_ANSWER)
        answer += part
        if not part or len(answer) > LONGEST_ANSWER:
            raise ScannerUnavailable("clamd broke off its answer.")
    return answer.rstrip(b"\0").decode(errors="replace").strip()
