"""Whether a webhook really comes from its provider. Checks raw bytes; stores nothing.

Stripe signs time and body with a secret that both know, anew for each attempt. PayPal signs an id,
a time, our webhook's id and the body's CRC 32 with a certificate whose address it sends along: that
address must be PayPal's own, and the certificate must be issued for PayPal by an authority that
everybody trusts. Without the first check a forger could name their own.
"""

import base64
import binascii
import logging
import re
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from django.conf import settings
from requests.utils import DEFAULT_CA_BUNDLE_PATH

log = logging.getLogger(__name__)

STRIPE_TOLERANCE = 300
"""Seconds that an attempt of Stripe's may be old, or ahead of our clock."""

PAYPAL_TOLERANCE = 4 * 24 * 60 * 60
"""PayPal repeats an event for three days under the time of its first attempt."""

LARGEST_CERTIFICATE = 64 * 1024
CERTIFICATE_LIFE = 3600.0
"""Seconds for which a certificate that was checked is used again."""

_CERTIFICATE_PATH = re.compile(r"/v1/notifications/certs/CERT-[A-Za-z0-9_-]{1,128}")


class Forged(Exception):
    """The webhook is not the provider's, or not fresh; the text says what is wrong with it."""


class CannotCheck(Exception):
    """The provider's certificate cannot be had just now: the provider shall try again later."""


@dataclass(frozen=True)
class Issuer:
    """Where PayPal's certificates are found, and in whose name they are."""

    origins: frozenset[str]
    name: str


LIVE: Final = Issuer(
    frozenset({"https://api.paypal.com", "https://api-m.paypal.com"}),
    "messageverificationcerts.paypal.com",
)
PAYPAL_SANDBOX: Final = Issuer(
    frozenset({"https://api.sandbox.paypal.com", "https://api-m.sandbox.paypal.com"}),
    "messageverificationcerts.sandbox.paypal.com",
)


def check(provider: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raise Forged unless `body` was signed by the provider, or CannotCheck when that is open."""
    if provider == "stripe":
        _check_stripe(body, headers.get("Stripe-Signature", ""))
    else:
        _check_paypal(body, headers)


def _check_stripe(body: bytes, header: str) -> None:
    """One of our secrets (two while one replaces the other) signed it, just now."""
    import stripe  # a sixth of a second that other requests need not wait for

    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret, STRIPE_TOLERANCE)
        except (ValueError, stripe.SignatureVerificationError):
            continue
        # The SDK takes any time in the future.
        times = [part[2:] for part in header.split(",") if part.startswith("t=")]
        if int(times[0]) > time.time() + STRIPE_TOLERANCE:
            raise Forged("The signature is of the future.")
        return
    raise Forged("The signature is not Stripe's, or too old.")


def _check_paypal(body: bytes, headers: Mapping[str, str]) -> None:
    if not settings.PAYPAL_WEBHOOK_ID:
        raise Forged("No PayPal webhook is set up.")
    transmission = headers.get("Paypal-Transmission-Id", "")
    sent = headers.get("Paypal-Transmission-Time", "")
    if headers.get("Paypal-Auth-Algo", "") != "SHA256withRSA":
        raise Forged("The signature is of another kind.")
    _check_age(sent)
    try:
        signature = base64.b64decode(headers.get("Paypal-Transmission-Sig", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Forged("The signature is no base 64.") from None
    signed = f"{transmission}|{sent}|{settings.PAYPAL_WEBHOOK_ID}|{zlib.crc32(body)}".encode()
    key = certificates.key_at(headers.get("Paypal-Cert-Url", ""))
    try:
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Forged("The signature is not PayPal's, or the body was changed.") from None


def _check_age(sent: str) -> None:
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError:
        raise Forged("The transmission has no time.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if abs((datetime.now(UTC) - moment).total_seconds()) > PAYPAL_TOLERANCE:
        raise Forged("The transmission is too old.")


class Certificates:
    """PayPal's certificates, checked once and kept for an hour; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, rsa.RSAPublicKey]] = {}

    def key_at(self, url: str) -> rsa.RSAPublicKey:
        """The key of the certificate at an address of PayPal's; raises Forged or CannotCheck."""
        authority = settings.PAYPAL_WEBHOOK_CA
        issuer = _issuer()
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if (
            origin not in issuer.origins
            or not _CERTIFICATE_PATH.fullmatch(parts.path)
            or url != origin + parts.path
        ):
            raise Forged("The certificate is not at an address of PayPal's.")
        with self._lock:
            until, key = self._known.get((url, authority), (0.0, None))
        if key is None or until < time.monotonic():
            key = _key_of(_fetch(url), issuer.name, authority)
            with self._lock:
                if len(self._known) >= 16:
                    self._known.clear()
                self._known[(url, authority)] = (time.monotonic() + CERTIFICATE_LIFE, key)
        return key


certificates = Certificates()


def _issuer() -> Issuer:
    """PayPal's own addresses; with an authority of our own, that of the sandbox on this machine."""
    if settings.PAYPAL_WEBHOOK_CA:
        return Issuer(frozenset({settings.PAYPAL_API_BASE}), LIVE.name)
    return PAYPAL_SANDBOX if settings.PAYPAL_API_BASE in PAYPAL_SANDBOX.origins else LIVE


def _fetch(url: str) -> bytes:
    """The certificates at an address that was checked; follows no redirect."""
    try:
        with requests.get(url, timeout=(3, 5), allow_redirects=False, stream=True) as answer:
            if answer.status_code == 404:
                raise Forged("PayPal has no such certificate.")
            if answer.status_code != 200:
                raise CannotCheck(f"PayPal's certificate: status {answer.status_code}.")
            found: bytes = answer.raw.read(LARGEST_CERTIFICATE + 1, decode_content=True)
    except (requests.RequestException, OSError) as error:
        raise CannotCheck("PayPal's certificate cannot be had.") from error
    return found


def _key_of(pem: bytes, name: str, authority: str) -> rsa.RSAPublicKey:
    """The key of a certificate that is valid now and leads back to an authority we trust."""
    try:
        leaf, *between = x509.load_pem_x509_certificates(pem[:LARGEST_CERTIFICATE])
        store = Store(_trusted(authority or DEFAULT_CA_BUNDLE_PATH))
        verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName(name))
        verifier.verify(leaf, between)
    except (ValueError, VerificationError) as error:
        raise Forged("The certificate is not PayPal's.") from error
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise Forged("The certificate has a key of another kind.")
    return key


def _trusted(path: str) -> list[x509.Certificate]:
    """The authorities in a file, without those that are too odd to be read."""
    end = b"-----END CERTIFICATE-----"
    found = []
    for one in Path(path).read_bytes().split(end)[:-1]:
        try:
            found.append(x509.load_pem_x509_certificate(one + end))
        except ValueError:
            log.info("One of the trusted authorities in %s cannot be read.", path)
    return found
