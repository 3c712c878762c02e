"""What the sandbox providers tell of by themselves: signed events, sent to one address each.

Like the originals they come at least once, in any order, and again until they are answered with a
2xx. Stripe signs each attempt anew with a shared secret; PayPal signs once, with a certificate that
it names in a header and whose authority is made up at the start (`authority_pem`).

Faults of `webhook.send`: `lose`, `double`, `delay` by `seconds`, and `reorder`, which lets the next
event go first.
"""

import base64
import heapq
import hmac
import itertools
import json
import secrets
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from payments.sandbox.faults import OF_EVENTS, Faults

CERTIFIED_NAME = "messageverificationcerts.paypal.com"
PATIENCE = 1.0
"""Seconds that an event waits for another one to overtake it."""

TRIES = 20
LONGEST_PAUSE = 60.0

Told = tuple[str, dict[str, Any]]
"""The type of an event, and the object that it is about."""


@dataclass
class Delivery:
    """One event on its way."""

    provider: str
    body: bytes
    id: str
    sent_first: str
    tries: int = 0


class Webhooks:
    """Sends events from a thread of its own; safe to share between threads."""

    def __init__(
        self, faults: Faults, url: str, stripe_secret: str, paypal_webhook_id: str
    ) -> None:
        self.url = self._first_url = url.rstrip("/")
        self.own_url = ""
        self._faults = faults
        self._stripe_secret = stripe_secret
        self._paypal_webhook_id = paypal_webhook_id
        self._signer: Signer | None = None
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, Callable[[], list[Delivery]] | Delivery]] = []
        self._overtaken: list[Delivery] = []
        self._wake = threading.Condition()
        self._closing = False
        self.keeps = False
        self._kept: list[tuple[float, int, str, Callable[[], Told]]] = []
        self._http = requests.Session()
        self._http.trust_env = False
        threading.Thread(target=self._run, daemon=True, name="webhooks").start()

    @property
    def signer(self) -> "Signer":
        """PayPal's certificate, made at its first use."""
        with self._wake:
            if self._signer is None:
                self._signer = Signer()
            return self._signer

    def tell(self, provider: str, at: float, what: Callable[[], Told]) -> None:
        """Let an event go out at a moment; what it says is asked for then."""
        if self.keeps:
            with self._wake:
                heapq.heappush(self._kept, (at, next(self._numbers), provider, what))
        elif self.url:
            self._put(at, lambda: [self._event(provider, *what())])

    def forget(self) -> None:
        """Let nothing of what waits go out, and go back to the first address."""
        with self._wake:
            self._waiting.clear()
            self._overtaken.clear()
            self._kept.clear()
            self.keeps = False
            self.url = self._first_url

    def take_kept(self) -> list[dict[str, Any]]:
        """The events whose moment has come and that were kept, signed but never sent; each once."""
        taken = []
        with self._wake:
            while self._kept and self._kept[0][0] <= time.time():
                taken.append(heapq.heappop(self._kept))
        found = []
        for _, _, provider, what in taken:
            event = self._event(provider, *what())
            headers = self.headers_for(event)
            found.append({"provider": provider, "body": event.body.decode(), "headers": headers})
        return found

    def close(self) -> None:
        """Send nothing more."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def _put(self, at: float, what: Callable[[], list[Delivery]] | Delivery) -> None:
        with self._wake:
            heapq.heappush(self._waiting, (at, next(self._numbers), what))
            self._wake.notify()

    def _event(self, provider: str, kind: str, about: dict[str, Any]) -> Delivery:
        now = datetime.now(UTC)
        event: dict[str, Any]
        if provider == "stripe":
            event = {
                "id": f"evt_{secrets.token_hex(12)}",
                "object": "event",
                "api_version": "2026-10-28.dahlia",
                "created": int(now.timestamp()),
                "data": {"object": about},
                "livemode": False,
                "type": kind,
            }
        else:
            event = {
                "id": f"WH-{secrets.token_hex(8).upper()}",
                "event_version": "1.0",
                "create_time": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "resource_type": "dispute" if "DISPUTE" in kind else "refund",
                "event_type": kind,
                "resource": about,
            }
        return Delivery(
            provider,
            json.dumps(event).encode(),
            id=secrets.token_hex(16),
            sent_first=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closing and not (
                    self._waiting and self._waiting[0][0] <= time.time()
                ):
                    soon = self._waiting[0][0] - time.time() if self._waiting else None
                    self._wake.wait(soon)
                if self._closing:
                    return
                what = heapq.heappop(self._waiting)[2]
            if isinstance(what, Delivery):
                self._deliver(what)
            else:
                for delivery in what():
                    self._set_out(delivery)

    def _set_out(self, delivery: Delivery) -> None:
        """Send an event, or misbehave as asked."""
        fault = self._faults.take(delivery.provider, "webhook.send", OF_EVENTS)
        kind = fault.kind if fault else ""
        if kind == "lose":
            return
        if fault and kind == "delay":
            self._put(time.time() + fault.seconds, delivery)
            return
        if kind == "reorder":
            self._overtaken.append(delivery)
            self._put(time.time() + PATIENCE, self._let_go)
            return
        for _ in range(2 if kind == "double" else 1):
            self._deliver(delivery)
        for overtaken in self._let_go():
            self._deliver(overtaken)

    def _let_go(self) -> list[Delivery]:
        with self._wake:
            overtaken, self._overtaken = self._overtaken, []
        return overtaken

    def _deliver(self, delivery: Delivery) -> None:
        """Send an event once; without a 2xx it is sent again, later each time."""
        delivery.tries += 1
        url = self.url
        if not url:
            return
        try:
            answer = self._http.post(
                f"{url}/webhooks/{delivery.provider}/",
                data=delivery.body,
                headers={"Content-Type": "application/json", **self.headers_for(delivery)},
                timeout=10,
                allow_redirects=False,
            )
            if answer.ok:
                return
        except requests.RequestException:
            pass  # Nobody answers: later.
        if delivery.tries < TRIES:
            self._put(time.time() + min(LONGEST_PAUSE, 2.0 ** (delivery.tries - 1)), delivery)

    def headers_for(self, delivery: Delivery) -> dict[str, str]:
        """The headers that prove where an event comes from."""
        if delivery.provider == "stripe":
            now = str(int(time.time()))
            signed = f"{now}.".encode() + delivery.body
            signature = hmac.new(self._stripe_secret.encode(), signed, "sha256").hexdigest()
            return {"Stripe-Signature": f"t={now},v1={signature}"}
        signed = "|".join(
            (
                delivery.id,
                delivery.sent_first,
                self._paypal_webhook_id,
                str(zlib.crc32(delivery.body)),
            )
        ).encode()
        return {
            "PAYPAL-TRANSMISSION-ID": delivery.id,
            "PAYPAL-TRANSMISSION-TIME": delivery.sent_first,
            "PAYPAL-TRANSMISSION-SIG": self.signer.sign(signed),
            "PAYPAL-CERT-URL": f"{self.own_url}/v1/notifications/certs/{self.signer.name}",
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        }

    def sign(self, provider: str, body: str) -> dict[str, str]:
        """Headers for any body, as if it were an event."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.headers_for(Delivery(provider, body.encode(), secrets.token_hex(16), now))


class Signer:
    """A certificate authority of a moment, and the certificate that it has issued."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sandbox authority")])
        authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = f"CERT-{secrets.token_hex(8)}"

        def certificate(subject: x509.Name, key: Any) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(authority)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(days=1))
                .not_valid_after(now + timedelta(days=365))
            )

        root = (
            certificate(authority, authority_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(authority_id, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        leaf = (
            certificate(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CERTIFIED_NAME)]), self._key
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(CERTIFIED_NAME)]), critical=False
            )
            .add_extension(
                x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id),
                critical=False,
            )
            .sign(authority_key, hashes.SHA256())
        )
        self.authority_pem = root.public_bytes(serialization.Encoding.PEM).decode()
        self.certificate_pem = leaf.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, signed: bytes) -> str:
        """RSA over SHA-256, in base 64."""
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
