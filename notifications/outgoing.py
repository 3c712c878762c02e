"""Requests to addresses that somebody else chose: never into our own network, never for long.

An address is looked at when it is saved and again at each request, and the request goes to the very
IP address that was looked at: what the name leads to a moment later changes nothing.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
"""From the first byte to the last; a receiver that needs longer answers first and works after."""

LOOK_UP_SECONDS = 3.0
LONGEST_URL = 2000
KEPT_BYTES = 2048
MOST_BYTES = 16 * 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NEVER_V4 = [ipaddress.IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24")]
"""For special purposes, as a whole; Python takes parts of them for ordinary ones."""

NEVER_V6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
"""Inside the range of ordinary addresses, but for tunnels, tests and examples."""

ORDINARY_V6 = ipaddress.IPv6Network("2000::/3")
OURS_BY_NAME = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa")


class BadAddress(Exception):
    """Nothing is sent there; the sentence says why, to the person who gave the address."""


@dataclass(frozen=True)
class Answer:
    """What became of a request: `code` is 0 without an answer, and `error` says why."""

    code: int = 0
    body: bytes = b""
    seconds: float = 0.0
    error: str = ""
    retry_after: int = 0

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300


# ── Which addresses ───────────────────────────────────────────────────────────────────────────────


def check(url: str) -> None:
    """Raise BadAddress for one that nothing may be sent to, as far as that shows now.

    A name that leads nowhere yet is taken; it is looked up again at each request.
    """
    parts = _parts(url)
    with suppress(OSError):
        _allowed(parts, _look_up_soon(parts))


def _parts(url: str) -> SplitResult:
    """The parts of an address that reads like one of ours to call."""
    if len(url) > LONGEST_URL:
        raise BadAddress(
            _("Use an address of at most {longest_url} characters.").format(longest_url=LONGEST_URL)
        )
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadAddress(_("Use an address without spaces and special characters."))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadAddress(_("This is not a valid address.")) from None
    if parts.scheme not in _schemes() or not parts.hostname or port == 0:
        raise BadAddress(_("Use an address that starts with https://."))
    if "@" in parts.netloc:
        raise BadAddress(_("Leave the user name and the password out of the address."))
    if parts.fragment:
        raise BadAddress(_("Leave out the part after #."))
    host = parts.hostname.rstrip(".")
    if not _loopback_allowed() and (host == "localhost" or host.endswith(OURS_BY_NAME)):
        raise BadAddress(_("This address leads into a private network. Use a public one."))
    return parts


def _schemes() -> tuple[str, ...]:
    return ("https", "http") if _loopback_allowed() else ("https",)


def _loopback_allowed() -> bool:
    allowed: bool = settings.OUTGOING_WEBHOOKS_ALLOW_LOOPBACK
    return allowed


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _look_up(parts: SplitResult) -> list[Address]:
    """Every IP address that the host leads to; OSError when there is none."""
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except UnicodeError as reason:
        raise BadAddress(_("This is not a valid address.")) from reason
    return [ipaddress.ip_address(str(place[4][0]).partition("%")[0]) for place in found]


def _look_up_soon(parts: SplitResult) -> list[Address]:
    """The same while a person waits: OSError when the answer takes too long."""
    helper = ThreadPoolExecutor(1)
    try:
        return helper.submit(_look_up, parts).result(LOOK_UP_SECONDS)
    finally:
        helper.shutdown(wait=False)


def _allowed(parts: SplitResult, found: list[Address]) -> Address:
    """The IP address to talk to. One that is not public among them spoils all of them."""
    loopback = _loopback_allowed() and all(one.is_loopback for one in found)
    if loopback:
        return found[0]
    if not all(is_public(one) for one in found):
        raise BadAddress(_("This address leads into a private network. Use a public one."))
    if parts.scheme != "https":
        raise BadAddress(_("Use an address that starts with https://."))
    return found[0]


def is_public(address: Address) -> bool:
    """Whether an IP address is an ordinary one of the internet, and not one in disguise."""
    if isinstance(address, ipaddress.IPv4Address):
        special = address.is_multicast or address.is_reserved
        special = special or any(address in network for network in NEVER_V4)
        return address.is_global and not special
    if address.ipv4_mapped:
        return is_public(address.ipv4_mapped)
    return address in ORDINARY_V6 and not any(address in network for network in NEVER_V6)


# ── Sending ───────────────────────────────────────────────────────────────────────────────────────


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send one POST and answer what came of it, within seconds. Redirects are not followed."""
    began = time.monotonic()
    try:
        parts = _parts(url)
        address = _allowed(parts, _look_up(parts))
    except BadAddress as reason:
        return Answer(error=str(reason), seconds=time.monotonic() - began)
    except OSError as trouble:
        return Answer(
            error=f"The name can’t be looked up: {trouble}", seconds=time.monotonic() - began
        )
    request, answer, said = _Request(parts, address), Answer(), ""
    try:
        answer = request.post(body, headers)
    except ssl.SSLError as trouble:
        said = f"The secure connection failed: {trouble}"
    except (OSError, http.client.HTTPException, ValueError) as trouble:
        said = f"{type(trouble).__name__}: {trouble}"
    seconds = time.monotonic() - began
    if request.ran_out:
        said = f"There was no answer within {TOTAL_SECONDS:g} seconds."
    if said:
        return Answer(error=said[:300], seconds=seconds)
    return replace(answer, seconds=seconds)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass
class _Request:
    """One connection to one IP address, cut off when its time is up."""

    parts: SplitResult
    address: Address
    ran_out: bool = False
    _socket: socket.socket | None = field(default=None)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        host = self.parts.hostname or ""
        connection = http.client.HTTPConnection(host, _port(self.parts))
        watch = threading.Timer(TOTAL_SECONDS, self._cut_off)
        watch.daemon = True
        watch.start()
        try:
            connection.sock = self._connect(host)
            target = self.parts.path or "/"
            target += f"?{self.parts.query}" if self.parts.query else ""
            named = {"Host": self.parts.netloc, "Connection": "close", **headers}
            connection.request("POST", target, body, named)
            response = connection.getresponse()
            said = response.read(KEPT_BYTES)
            left = MOST_BYTES
            while left > 0 and (more := response.read(min(left, KEPT_BYTES))):
                left -= len(more)
            later = response.headers.get("Retry-After", "")
            seconds = int(later) if later.isascii() and later.isdigit() and len(later) < 6 else 0
            return Answer(response.status, said, retry_after=seconds)
        finally:
            watch.cancel()
            connection.close()

    def _connect(self, host: str) -> socket.socket:
        """To the address that was looked at, but in the host's name: in SNI and certificate too."""
        plain = socket.create_connection((str(self.address), _port(self.parts)), CONNECT_SECONDS)
        plain.settimeout(TOTAL_SECONDS)
        self._socket = plain
        if self.parts.scheme == "https":
            secure = _tls().wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            self._socket = secure
            secure.do_handshake()
        return self._socket

    def _cut_off(self) -> None:
        self.ran_out = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
