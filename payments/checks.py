"""What settings must hold for money to be safe, checked at every start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from payments import gateways


@register()
def lease_outlasts_the_calls(**_: Any) -> list[CheckMessage]:
    """A worker holds a refund for longer than it can take to ask the provider for it."""
    longest = gateways.longest_wait()
    if longest < settings.REFUND_LEASE_SECONDS:
        return []
    return [
        Error(
            f"REFUND_LEASE_SECONDS must be more than {longest:g}: so long may one refund wait for "
            "its provider.",
            id="payments.E001",
        )
    ]
