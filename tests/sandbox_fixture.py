"""The payment providers' sandbox for tests: a real process, reached through the real SDKs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from payments import gateways

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class SandboxClient:
    """The sandbox's control API. Registering and the ledger are in our minor units."""

    stripe_url: str
    paypal_url: str
    _session: requests.Session = field(default_factory=requests.Session, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._session.trust_env = False

    def register(
        self,
        processor: str,
        charge_id: str,
        amount_minor: int,
        currency: str = "USD",
        *,
        order_id: str = "",
        account: str = "",
        sale: bool = False,
    ) -> None:
        """Tell a provider of a payment that was made through it."""
        self.control(
            "POST",
            "charges",
            {
                "processor": processor,
                "id": charge_id,
                "amount_minor": amount_minor,
                "currency": currency,
                "order_id": order_id,
                "account": account,
                "sale": sale,
            },
        )

    def fault(self, provider: str, operation: str, kind: str, **more: Any) -> None:
        """Ask a provider to misbehave, once unless `times` says more; see sandbox/faults.py."""
        asked = {"provider": provider, "operation": operation, "kind": kind, **more}
        self.control("POST", "faults", asked)

    def behave(self) -> None:
        """Take back the faults still to come."""
        self.control("DELETE", "faults")

    def settle_after(self, seconds: float) -> None:
        """How long refunds that are made from now on stay pending."""
        self.control("POST", "settings", {"settle_seconds": seconds})

    def fail(self, provider_id: str, reason: str = "lost_or_stolen_card") -> None:
        """Let a refund fail now, also after it has succeeded."""
        self.control("POST", f"refunds/{provider_id}/fail", {"reason": reason})

    def arrive(self, provider_id: str) -> None:
        """Let a refund arrive that is pending or requires action."""
        self.control("POST", f"refunds/{provider_id}/arrive")

    def keep_events(self) -> None:
        """Keep the events from now on, for `events` to fetch, instead of sending them."""
        self.control("POST", "settings", {"keep_events": True})

    def events(self) -> list[dict[str, Any]]:
        """The events that were kept since, each with `provider`, `body` and `headers`."""
        kept: list[dict[str, Any]] = self.control("GET", "events")["events"]
        return kept

    def dispute(self, charge_id: str, **more: Any) -> None:
        """Open a chargeback on a charge, over `amount_minor` if not all of it."""
        self.control("POST", f"charges/{charge_id}/dispute", more)

    def rule(self, charge_id: str, outcome: str) -> None:
        """Let the bank rule on the chargeback: `won` for the seller or `lost`."""
        self.control("POST", f"charges/{charge_id}/dispute", {"outcome": outcome})

    def refund_elsewhere(self, charge_id: str, amount_minor: int | None = None) -> str:
        """Refund in the provider's dashboard, all that is left unless told; answer its id."""
        asked = {} if amount_minor is None else {"amount_minor": amount_minor}
        found: str = self.control("POST", f"charges/{charge_id}/refunds", asked)["id"]
        return found

    def tell(self, url: str) -> None:
        """Send an event about every change to the product at `url`."""
        self.control("POST", "settings", {"webhook_url": url})

    def sign(self, provider: str, body: str) -> dict[str, str]:
        """The headers that prove a body to be the provider's event."""
        return self.control("POST", f"sign/{provider}", {"body": body})

    def forget_keys(self, provider: str = "", holding: str = "") -> None:
        """Prune the idempotency keys, of one provider or of both, or those that hold a word."""
        self.control("DELETE", "keys", {"provider": provider, "holding": holding})

    def at_work(self) -> bool:
        """Whether a provider still works on a call, though perhaps nobody waits for it any more."""
        return bool(self.control("GET", "at-work")["calls"])

    def end_tokens(self) -> None:
        """Let PayPal's access tokens end now."""
        self.control("DELETE", "tokens")

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Every charge by its id, with `refunds`, `refunded_minor` and `create_calls`."""
        return {charge["id"]: charge for charge in self.control("GET", "ledger")["charges"]}

    def calls(self, operation: str = "") -> list[dict[str, Any]]:
        """The calls that the providers saw, of one operation or all."""
        calls: list[dict[str, Any]] = self.control("GET", "log")["calls"]
        return [call for call in calls if operation in ("", call["operation"])]

    def reset(self) -> None:
        """Forget everything and behave; refunds settle at once."""
        self.control("DELETE", "")
        self.settle_after(0)

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One call of the control API."""
        response = self._session.request(
            method, f"{self.stripe_url}/_sandbox/{path}", json=body or {}, timeout=60
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[SandboxClient]:
    """One sandbox for all tests of a worker."""
    command = [sys.executable, "-m", "payments.sandbox", "--port", "0", "--settle-seconds", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield SandboxClient(stripe_url=said["stripe"], paypal_url=said["paypal"])
        process.terminate()


@pytest.fixture
def listening(
    sandbox: "SandboxClient", live_server: LiveServer, settings: Settings, tmp_path: Path
) -> str:
    """The product on a real socket, told of every change at the sandbox; answers its address."""
    authority = tmp_path / "authority.pem"
    authority.write_text(sandbox.control("GET", "authority")["pem"])
    settings.PAYPAL_WEBHOOK_CA = str(authority)
    sandbox.tell(live_server.url)
    return str(live_server.url)


@pytest.fixture
def sandbox(sandbox_process: SandboxClient, settings: Settings) -> SandboxClient:
    """The sandbox as new, with the settings pointing to it; refunds settle at once."""
    sandbox_process.reset()
    settings.STRIPE_API_KEY = "sk_test_sandbox"
    settings.STRIPE_API_BASE = sandbox_process.stripe_url
    settings.PAYPAL_CLIENT_ID = "sandbox-client"
    settings.PAYPAL_CLIENT_SECRET = "sandbox-secret"
    settings.PAYPAL_API_BASE = sandbox_process.paypal_url
    gateways.forget_gateways()
    return sandbox_process
