"""What a failed HTTP call gives away: whether it can have arrived, and how long to wait."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from requests import exceptions as requests_errors

LONGEST_WAIT = 3600.0
"""Seconds; a provider that asks for more is asked again after an hour all the same."""


def never_left(error: BaseException | None) -> bool:
    """Whether a failed call certainly never reached the provider: no address, no connection.

    Anything that could have happened after the first byte was sent is False.
    """
    if isinstance(error, requests_errors.ConnectTimeout | requests_errors.InvalidURL):
        return True
    if not isinstance(error, requests_errors.ConnectionError) or not error.args:
        return False
    # Only an error in making the connection has a reason; one in using it is reported bare.
    reason = getattr(error.args[0], "reason", None)
    if isinstance(error, requests_errors.SSLError):
        return isinstance(getattr(reason, "args", (None,))[0], ssl.SSLCertVerificationError)
    return isinstance(getattr(reason, "__cause__", None), OSError)


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or up to a date; None without."""
    asked = next((v for k, v in (headers or {}).items() if k.lower() == "retry-after"), "").strip()
    if asked.isascii() and asked.isdigit():
        return min(float(asked), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT)
