"""Where requests of ours may go: to the internet, and to nobody inside."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from marketplace.models import Company
from notifications import outgoing, webhooks
from notifications.models import WebhookEndpoint
from notifications.outgoing import Answer, BadAddress
from tests.webhooks.receiver import Receiver

PRIVATE = "This address leads into a private network. Use a public one."
HTTPS = "Use an address that starts with https://."

REFUSED = {
    "http://93.184.216.34/": HTTPS,
    "ftp://93.184.216.34/": HTTPS,
    "//93.184.216.34/": HTTPS,
    "https:///path": HTTPS,
    "https://93.184.216.34:0/": HTTPS,
    "https://93.184.216.34:99999/": "This is not a valid address.",
    "https://[::1/": "This is not a valid address.",
    "https://user:pass@93.184.216.34/": "Leave the user name and the password out of the address.",
    "https://93.184.216.34/#part": "Leave out the part after #.",
    "https://93.184.216.34/a b": "Use an address without spaces and special characters.",
    "https://93.184.216.34\\@10.0.0.1/": "Use an address without spaces and special characters.",
    "https://93.184.216.34/\r\nHost: x": "Use an address without spaces and special characters.",
    "https://bücher.example/": "Use an address without spaces and special characters.",
    "https://93.184.216.34/" + "a" * 2000: "Use an address of at most 2000 characters.",
    "https://localhost/": PRIVATE,
    "https://localhost./": PRIVATE,
    "https://shop.localhost/": PRIVATE,
    "https://printer.local/": PRIVATE,
    "https://metadata.google.internal/": PRIVATE,
    "https://127.0.0.1/": PRIVATE,
    "https://127.1/": PRIVATE,
    "https://2130706433/": PRIVATE,
    "https://0x7f.0.0.1/": PRIVATE,
    "https://0177.0.0.1/": PRIVATE,
    "https://0.0.0.0/": PRIVATE,
    "https://10.1.2.3/": PRIVATE,
    "https://172.16.0.1/": PRIVATE,
    "https://192.168.1.1:8443/": PRIVATE,
    "https://169.254.169.254/latest/meta-data/": PRIVATE,
    "https://100.64.0.1/": PRIVATE,
    "https://198.18.0.1/": PRIVATE,
    "https://224.0.0.1/": PRIVATE,
    "https://240.0.0.1/": PRIVATE,
    "https://255.255.255.255/": PRIVATE,
    "https://[::]/": PRIVATE,
    "https://[::1]/": PRIVATE,
    "https://[::ffff:127.0.0.1]/": PRIVATE,
    "https://[::ffff:169.254.169.254]/": PRIVATE,
    "https://[64:ff9b::a00:1]/": PRIVATE,
    "https://[2002:7f00:1::]/": PRIVATE,
    "https://[2001:0:7f00:1::]/": PRIVATE,
    "https://[2001:db8::1]/": PRIVATE,
    "https://[fe80::1]/": PRIVATE,
    "https://[fc00::1]/": PRIVATE,
    "https://[fec0::1]/": PRIVATE,
    "https://[ff02::1]/": PRIVATE,
    "https://[fd00:ec2::254]/": PRIVATE,
}


@pytest.mark.parametrize(("url", "sentence"), REFUSED.items(), ids=lambda value: value[:48])
def test_an_address_that_nothing_may_be_sent_to_is_refused_when_saved_and_when_sent(
    url: str, sentence: str, no_connections: list[Any]
) -> None:
    with pytest.raises(BadAddress) as refusal:
        outgoing.check(url)
    answer = outgoing.post(url, b"{}", {})

    assert str(refusal.value) == sentence
    assert (answer.code, answer.error) == (0, sentence)
    assert no_connections == []


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a connection was tried to, none of which is reached."""
    tried: list[Any] = []

    def refuse(address: Any, *_: Any) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried


@pytest.fixture
def leads_to(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What names lead to: one list of addresses for each look-up, the last one for all others."""
    answers: list[list[str]] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host[0].isdigit():
            found = [host]
        else:
            found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


def test_the_request_goes_to_the_address_that_was_looked_at(
    leads_to: list[list[str]], no_connections: list[Any]
) -> None:
    leads_to += [["93.184.216.34"], ["127.0.0.1"]]
    outgoing.post("https://shop.example/hook", b"{}", {})

    assert no_connections == [("93.184.216.34", 443)]


def test_a_name_that_leads_inside_after_it_was_saved_is_not_called(
    leads_to: list[list[str]], no_connections: list[Any]
) -> None:
    leads_to += [["93.184.216.34"], ["169.254.169.254"]]
    outgoing.check("https://rebind.example/hook")
    answer = outgoing.post("https://rebind.example/hook", b"{}", {})

    assert answer.error == PRIVATE
    assert no_connections == []


def test_one_private_address_among_public_ones_spoils_the_name(
    leads_to: list[list[str]], no_connections: list[Any]
) -> None:
    leads_to += [["93.184.216.34", "10.0.0.5"]]
    answer = outgoing.post("https://mixed.example/", b"{}", {})

    assert answer.error == PRIVATE
    assert no_connections == []


def test_development_lifts_it_for_this_machine_alone(settings: Settings) -> None:
    settings.OUTGOING_WEBHOOKS_ALLOW_LOOPBACK = True

    outgoing.check("http://127.0.0.1:9/hook")
    outgoing.check("http://localhost:9/hook")
    for url in ("http://93.184.216.34/", "https://10.0.0.1/", "http://192.168.0.1/"):
        with pytest.raises(BadAddress):
            outgoing.check(url)


@pytest.mark.django_db
def test_an_endpoint_cannot_be_saved_with_such_an_address(company: Company) -> None:
    with pytest.raises(webhooks.WebhookRefused) as refusal:
        webhooks.make_endpoint(company, "https://10.0.0.1/", list(webhooks.EVENTS))

    assert (str(refusal.value), refusal.value.field) == (PRIVATE, "url")
    assert WebhookEndpoint.objects.count() == 0


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.always, receiver.headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    answer = outgoing.post(f"{receiver.url}/hook?a=1", b"{}", {})

    assert (answer.code, answer.ok) == (307, False)
    assert [one.path for one in receiver.received] == ["/hook?a=1"]


def test_only_the_beginning_of_an_answer_is_read(receiver: Receiver) -> None:
    receiver.answer = b"x" * 5_000_000
    answer = outgoing.post(receiver.url, b"{}", {})

    assert answer.code == 200
    assert answer.body == b"x" * outgoing.KEPT_BYTES


def test_an_endpoint_that_does_not_come_to_an_end_is_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_WEBHOOKS_ALLOW_LOOPBACK = True
    monkeypatch.setattr(outgoing, "TOTAL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server,), daemon=True).start()
        began = time.monotonic()
        answer = outgoing.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})

    assert answer == Answer(error="There was no answer within 0.3 seconds.", seconds=answer.seconds)
    assert time.monotonic() - began < 2


def _drip(server: socket.socket) -> None:
    """Answer one header after the other, for ever."""
    connection, _ = server.accept()
    with connection:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"X-More: 1\r\n")
                time.sleep(0.05)
        except OSError:
            return


# ── Secure connections ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Iterator[tuple[int, list[str | None]]]:
    """A TLS server on this machine with a certificate for shop.example, whose maker we trust.

    The port, and the server names that it was asked for.
    """
    settings.OUTGOING_WEBHOOKS_ALLOW_LOOPBACK = True
    pem = _certificate("shop.example")
    (tmp_path / "shop.pem").write_bytes(pem)
    monkeypatch.setattr(
        outgoing, "_tls", lambda: ssl.create_default_context(cadata=_certificate_part(pem))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "shop.pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)

    def serve(server: socket.socket) -> None:
        while True:
            try:
                with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                    # To its last byte: what is left unread when it closes would break the answer.
                    told = b""
                    while not told.endswith(b"\r\n\r\n{}"):
                        more = connection.recv(4096)
                        if not more:
                            break
                        told += more
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            except ssl.SSLError:
                continue
            except OSError:
                return

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(server,), daemon=True)
    thread.start()
    yield server.getsockname()[1], asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(2)


def _certificate_part(pem: bytes) -> str:
    return pem[pem.index(b"-----BEGIN CERTIFICATE") :].decode()


def _certificate(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def test_the_connection_to_a_checked_address_is_in_the_hosts_name(
    shop: tuple[int, list[str | None]], leads_to: list[list[str]]
) -> None:
    port, asked = shop
    leads_to += [["127.0.0.1"]]
    theirs = outgoing.post(f"https://shop.example:{port}/hook", b"{}", {})
    other = outgoing.post(f"https://bank.example:{port}/hook", b"{}", {})

    assert (theirs.code, theirs.error) == (204, "")
    assert other.code == 0
    assert other.error.startswith("The secure connection failed: ")
    assert asked == ["shop.example", "bank.example"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("8.8.8.8", True), ("2606:4700::1111", True),
        ("192.0.2.1", False), ("198.51.100.1", False), ("192.0.0.8", False), ("::", False),
        ("::ffff:8.8.8.8", True), ("100::1", False), ("5f00::1", False), ("3fff::1", False),
    ],
)  # fmt: skip
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert outgoing.is_public(ipaddress.ip_address(address)) is public
