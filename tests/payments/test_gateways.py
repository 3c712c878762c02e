"""Both gateways against the sandbox providers, through the real SDKs over a real socket."""

import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest
from pytest_django import Settings

from payments.gateways import (
    Charge,
    Declined,
    Gateway,
    RefundAnswer,
    RefundRequest,
    Unavailable,
    Unknown,
    Unlisted,
    gateway_for,
)
from payments.gateways.connection import retry_after
from payments.gateways.paypal import to_paypal_value
from payments.gateways.stripe import to_stripe_units
from tests.sandbox_fixture import SandboxClient

PROVIDERS = ["stripe", "paypal"]
CHARGES = {"stripe": "ch_79", "paypal": "8MC585209K746392H"}

both = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture
def refund(sandbox: SandboxClient, provider: str) -> RefundRequest:
    """Ten dollars back of a payment of 79, in parts: a full refund's cap would hide doubles."""
    sandbox.register(provider, CHARGES[provider], 7900, order_id="5O190127TN364715T")
    return RefundRequest(
        refund_id="rfnd_one",
        charge_id=CHARGES[provider],
        amount_minor=1000,
        currency="USD",
        idempotency_key="rfnd_one:1",
        order_id="5O190127TN364715T" if provider == "paypal" else "",
        note="Refund for Trading Room",
    )


@pytest.fixture
def gateway(sandbox: SandboxClient, provider: str) -> Gateway:
    return gateway_for(provider)


def made(sandbox: SandboxClient, refund: RefundRequest) -> list[tuple[str, int]]:
    """What the provider itself says was refunded: our ids and the amounts."""
    refunds = sandbox.ledger()[refund.charge_id]["refunds"]
    return [(one["refund_id"], one["amount_minor"]) for one in refunds]


class TestRefunding:
    @both
    def test_a_refund_is_made_and_carries_our_id(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answer = gateway.refund(refund)

        assert answer == RefundAnswer(provider_id=answer.provider_id, state="succeeded")
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_a_refund_under_way_is_pending_until_the_provider_says_otherwise(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.settle_after(0.3)

        first = gateway.refund(refund)
        threading.Event().wait(0.4)
        later = gateway.fetch(first.provider_id, refund)

        reason = {"ch_79": "processing"}.get(refund.charge_id, "ECHECK")
        assert (first.state, first.pending_reason) == ("pending", reason)
        assert (later.state, later.pending_reason) == ("succeeded", "")

    @both
    def test_the_same_key_gives_the_same_refund(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answers = [gateway.refund(refund) for _ in range(3)]

        assert answers == [answers[0]] * 3
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_two_keys_give_two_refunds(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        first = gateway.refund(refund)
        second = gateway.refund(replace(refund, refund_id="rfnd_two", idempotency_key="rfnd_two:1"))

        assert first.provider_id != second.provider_id
        assert made(sandbox, refund) == [("rfnd_one", 1000), ("rfnd_two", 1000)]

    @both
    def test_a_known_key_with_other_terms_is_in_doubt_and_wants_a_person(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(refund)

        with pytest.raises(Unknown) as trouble:
            gateway.refund(replace(refund, amount_minor=2000))

        assert trouble.value.alert is True
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_more_than_is_left_is_declined(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(refund)

        with pytest.raises(Declined) as refusal:
            gateway.refund(replace(refund, amount_minor=7000, idempotency_key="rfnd_two:1"))

        told = {
            "ch_79": (
                "invalid_request_error",
                "Refund amount ($70.00) is greater than unrefunded amount on charge ($69.00)",
            )
        }.get(
            refund.charge_id,
            (
                "REFUND_AMOUNT_EXCEEDED",
                "PayPal has less than that left to return of this payment.",
            ),
        )
        assert (refusal.value.code, refusal.value.message) == told
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_a_payment_refunded_in_full_is_declined(
        self, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(replace(refund, amount_minor=7900))

        with pytest.raises(Declined) as refusal:
            gateway.refund(replace(refund, idempotency_key="rfnd_two:1"))

        codes = {"ch_79": "charge_already_refunded"}
        assert refusal.value.code == codes.get(refund.charge_id, "CAPTURE_FULLY_REFUNDED")

    @both
    def test_a_payment_under_a_chargeback_is_declined(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.dispute(refund.charge_id)

        with pytest.raises(Declined) as refusal:
            gateway.refund(refund)

        codes = {"ch_79": "charge_disputed"}
        assert refusal.value.code == codes.get(
            refund.charge_id, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
        )
        assert made(sandbox, refund) == []

    @both
    def test_an_unknown_payment_is_declined(self, gateway: Gateway, refund: RefundRequest) -> None:
        with pytest.raises(Declined) as refusal:
            gateway.refund(replace(refund, charge_id="ch_nowhere"))

        codes = {"ch_79": "resource_missing"}
        assert refusal.value.code == codes.get(refund.charge_id, "INVALID_RESOURCE_ID")

    @pytest.mark.parametrize("provider", ["paypal"])
    @pytest.mark.parametrize(
        "code",
        [
            "CAPTURE_FULLY_REFUNDED",
            "TRANSACTION_DISPUTED",
            "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
            "REFUND_TIME_LIMIT_EXCEEDED",
            "DECIMALS_NOT_SUPPORTED",
            "PAYEE_ACCOUNT_RESTRICTED",
        ],
    )
    def test_what_paypal_refuses_is_declined_with_its_code(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, code: str
    ) -> None:
        sandbox.fault("paypal", "refund.create", "decline", code=code)

        with pytest.raises(Declined) as refusal:
            gateway.refund(refund)

        assert refusal.value.code == code

    @pytest.mark.parametrize("provider", ["stripe"])
    def test_a_payment_intent_is_refunded_and_found_like_a_charge(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.register("stripe", "pi_79", 7900)
        by_intent = replace(refund, charge_id="pi_79")

        answer = gateway.refund(by_intent)

        assert gateway.find(by_intent) == answer
        assert made(sandbox, by_intent) == [("rfnd_one", 1000)]

    @pytest.mark.parametrize("provider", ["stripe"])
    def test_a_charge_of_a_connected_account_is_only_there(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.register("stripe", "ch_cleo", 7900, account="acct_cleo")
        theirs = replace(refund, charge_id="ch_cleo", account="acct_cleo")

        answer = gateway.refund(theirs)
        with pytest.raises(Declined) as refusal:
            gateway.refund(replace(theirs, account=""))

        assert gateway.find(theirs) == gateway.fetch(answer.provider_id, theirs) == answer
        assert refusal.value.code == "resource_missing"

    @pytest.mark.parametrize("provider", ["stripe"])
    def test_each_page_and_each_dispute_of_a_connected_account_is_asked_for_there(
        self, sandbox: SandboxClient, gateway: Gateway
    ) -> None:
        sandbox.register("stripe", "ch_cleo", 7900, account="acct_cleo")
        for _ in range(101):
            sandbox.refund_elsewhere("ch_cleo", 1)
        sandbox.dispute("ch_cleo")
        theirs = Charge("ch_cleo", "USD", account="acct_cleo")

        seen, bank = gateway.refunds_of(theirs), gateway.chargebacks_of(theirs)

        assert len(seen) == 101
        assert bank.state == "open"
        with pytest.raises(Unknown):
            gateway.chargebacks_of(replace(theirs, account=""))


class TestCurrencies:
    @both
    @pytest.mark.parametrize(
        ("currency", "paid", "back"), [("JPY", 1200, 700), ("EUR", 1200, 701), ("HUF", 120000, 300)]
    )
    def test_each_currency_goes_back_in_its_own_units(
        self,
        sandbox: SandboxClient,
        gateway: Gateway,
        refund: RefundRequest,
        currency: str,
        paid: int,
        back: int,
    ) -> None:
        provider = "stripe" if refund.charge_id == "ch_79" else "paypal"
        sandbox.register(provider, f"ch_{currency}", paid, currency, order_id="9XY")
        asked = replace(
            refund,
            charge_id=f"ch_{currency}",
            currency=currency,
            amount_minor=back,
            order_id=refund.order_id and "9XY",
        )

        answer = gateway.refund(asked)

        assert gateway.find(asked) == answer
        assert made(sandbox, asked) == [("rfnd_one", back)]

    def test_an_icelandic_krona_is_a_hundred_of_stripes_units(self, sandbox: SandboxClient) -> None:
        sandbox.register("stripe", "ch_isk", 4000, "ISK")
        asked = RefundRequest("rfnd_isk", "ch_isk", 1500, "ISK", "rfnd_isk:1")

        gateway_for("stripe").refund(asked)

        assert made(sandbox, asked) == [("rfnd_isk", 1500)]

    def test_units_are_those_of_the_provider(self) -> None:
        stripes = {code: to_stripe_units(1200, code) for code in ("USD", "JPY", "KWD", "UGX")}
        paypals = {code: to_paypal_value(1200, code) for code in ("USD", "JPY", "HUF", "TWD")}

        assert stripes == {"USD": 1200, "JPY": 1200, "KWD": 1200, "UGX": 120_000}
        assert paypals == {"USD": "12.00", "JPY": "1200", "HUF": "12", "TWD": "12"}

    def test_a_fraction_that_paypal_has_no_word_for_is_declined(self) -> None:
        with pytest.raises(Declined) as refusal:
            to_paypal_value(1250, "HUF")

        assert refusal.value.code == "DECIMALS_NOT_SUPPORTED"


class TestTrouble:
    @both
    @pytest.mark.parametrize(
        ("kind", "refunds"),
        [
            ("500_before", []),
            ("500_after_effect", [("rfnd_one", 1000)]),
            ("drop", [("rfnd_one", 1000)]),
            ("half_body", [("rfnd_one", 1000)]),
            ("timeout", [("rfnd_one", 1000)]),
        ],
    )
    def test_a_call_without_a_clear_answer_is_in_doubt_and_a_look_up_tells(
        self,
        sandbox: SandboxClient,
        settings: Settings,
        refund: RefundRequest,
        provider: str,
        kind: str,
        refunds: list[tuple[str, int]],
    ) -> None:
        settings.GATEWAY_TIMEOUT = (2.0, 1.0)
        sandbox.fault(provider, "refund.create", kind, seconds=3)

        with pytest.raises(Unknown):
            gateway_for(provider).refund(refund)
        found = gateway_for(provider).find(refund)

        assert made(sandbox, refund) == refunds
        assert (found.state if found else None) == ("succeeded" if refunds else None)

    @both
    @pytest.mark.parametrize("kind", ["drop", "half_body", "timeout"])
    def test_a_connection_that_breaks_before_the_effect_leaves_nothing_to_find(
        self,
        sandbox: SandboxClient,
        settings: Settings,
        refund: RefundRequest,
        provider: str,
        kind: str,
    ) -> None:
        settings.GATEWAY_TIMEOUT = (2.0, 1.0)
        sandbox.fault(provider, "refund.create", kind, seconds=3, effect=False)

        with pytest.raises(Unknown):
            gateway_for(provider).refund(refund)

        assert gateway_for(provider).find(refund) is None
        assert gateway_for(provider).refund(refund).state == "succeeded"
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_a_repeat_after_a_lost_answer_is_still_one_refund(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, provider: str
    ) -> None:
        sandbox.fault(provider, "refund.create", "drop")
        with pytest.raises(Unknown):
            gateway.refund(refund)

        answer = gateway.refund(refund)

        assert gateway.find(refund) == answer
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    @both
    def test_a_time_out_is_waited_for_no_longer_than_told(
        self, sandbox: SandboxClient, settings: Settings, refund: RefundRequest, provider: str
    ) -> None:
        settings.GATEWAY_TIMEOUT = (2.0, 0.3)
        sandbox.fault(provider, "refund.create", "timeout", seconds=5)
        gateway = gateway_for(provider)
        started = monotonic()

        with pytest.raises(Unknown):
            gateway.refund(refund)

        assert 0.3 <= monotonic() - started < 3

    @both
    def test_a_refund_is_asked_for_once_a_call(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, provider: str
    ) -> None:
        sandbox.fault(provider, "refund.create", "500_before")

        with pytest.raises(Unknown):
            gateway.refund(refund)

        assert [call["status"] for call in sandbox.calls("refund.create")] == [500]

    @both
    def test_too_many_requests_wait_as_long_as_the_provider_says(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, provider: str
    ) -> None:
        sandbox.fault(provider, "refund.create", "429", retry_after=7)

        with pytest.raises(Unavailable) as trouble:
            gateway.refund(refund)

        assert (trouble.value.retry_after, trouble.value.alert) == (7.0, False)
        assert made(sandbox, refund) == []

    @both
    def test_a_key_that_is_refused_for_good_waits_for_a_person(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, provider: str
    ) -> None:
        sandbox.fault(provider, "refund.create", "401", times=99)

        with pytest.raises(Unavailable) as trouble:
            gateway.refund(refund)

        assert trouble.value.alert is True
        assert made(sandbox, refund) == []
        tries = {"stripe": 1, "paypal": 2}[provider]
        assert len(sandbox.calls("refund.create")) == tries

    @both
    def test_a_provider_that_does_not_listen_was_certainly_not_asked(
        self, sandbox: SandboxClient, settings: Settings, refund: RefundRequest, provider: str
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings.STRIPE_API_BASE = settings.PAYPAL_API_BASE = nobody

        with pytest.raises(Unavailable) as trouble:
            gateway_for(provider).refund(refund)

        assert trouble.value.alert is False

    @both
    def test_a_provider_without_an_address_was_certainly_not_asked(
        self, sandbox: SandboxClient, settings: Settings, refund: RefundRequest, provider: str
    ) -> None:
        settings.STRIPE_API_BASE = settings.PAYPAL_API_BASE = "http://nowhere.invalid"

        with pytest.raises(Unavailable):
            gateway_for(provider).refund(refund)

        assert made(sandbox, refund) == []

    @both
    def test_a_refund_that_fails_after_it_succeeded_is_seen_to_have_failed(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answer = gateway.refund(refund)

        sandbox.fail(answer.provider_id)
        later = gateway.fetch(answer.provider_id, refund)

        assert (answer.state, later.state) == ("succeeded", "failed")
        assert later == gateway.find(refund)
        assert later.failure_code == {"ch_79": "lost_or_stolen_card"}.get(
            refund.charge_id, "failed"
        )
        assert sandbox.ledger()[refund.charge_id]["refunded_minor"] == 0


class TestLookingUp:
    @both
    def test_what_was_never_sent_is_not_found(
        self, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(replace(refund, refund_id="rfnd_two", idempotency_key="rfnd_two:1"))

        assert gateway.find(refund) is None

    @both
    def test_a_refund_is_found_after_the_provider_has_forgotten_the_key(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answer = gateway.refund(refund)

        sandbox.forget_keys()

        assert gateway.find(refund) == answer

    @both
    def test_the_oldest_of_many_refunds_is_found(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, provider: str
    ) -> None:
        answer = gateway.refund(refund)
        for number in range(204):
            other = f"rfnd_{number}"
            gateway.refund(
                replace(refund, refund_id=other, idempotency_key=f"{other}:1", amount_minor=1)
            )

        found = gateway.find(refund)

        assert found == answer
        assert len(made(sandbox, refund)) == 205
        assert len(sandbox.calls("refund.find")) == {"stripe": 3, "paypal": 1}[provider]

    @both
    @pytest.mark.parametrize(
        ("kind", "alert"), [("500_before", False), ("401", True), ("429", False), ("drop", False)]
    )
    def test_a_look_that_fails_leaves_the_doubt(
        self,
        sandbox: SandboxClient,
        gateway: Gateway,
        refund: RefundRequest,
        provider: str,
        kind: str,
        alert: bool,
    ) -> None:
        answer = gateway.refund(refund)
        sandbox.fault(provider, "refund.find", kind, times=99, retry_after=3)
        sandbox.fault(provider, "refund.fetch", kind, times=99, retry_after=3)

        with pytest.raises(Unknown) as not_found:
            gateway.find(refund)
        with pytest.raises(Unknown) as not_fetched:
            gateway.fetch(answer.provider_id, refund)

        assert (not_found.value.alert, not_fetched.value.alert) == (alert, alert)
        assert not_found.value.retry_after == (3.0 if kind == "429" else None)

    @both
    def test_a_look_at_a_payment_that_the_provider_does_not_know_wants_a_person(
        self, gateway: Gateway, refund: RefundRequest
    ) -> None:
        lost = replace(refund, charge_id="ch_nowhere", order_id="")

        with pytest.raises(Unknown) as trouble:
            gateway.find(lost)

        assert trouble.value.alert is True

    @pytest.mark.parametrize("provider", ["stripe"])
    def test_a_look_is_repeated_when_stripe_stumbles_once(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answer = gateway.refund(refund)
        sandbox.fault("stripe", "refund.find", "drop")

        assert gateway.find(refund) == answer

    @pytest.mark.parametrize("provider", ["paypal"])
    def test_an_order_that_we_were_not_told_is_found_through_the_capture(
        self, gateway: Gateway, refund: RefundRequest
    ) -> None:
        answer = gateway.refund(refund)

        assert gateway.find(replace(refund, order_id="")) == answer

    @pytest.mark.parametrize("provider", ["paypal"])
    def test_an_order_without_our_capture_proves_nothing(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.register("paypal", "OTHER", 500, order_id="OTHERS-ORDER")

        with pytest.raises(Unknown) as trouble:
            gateway.find(replace(refund, order_id="OTHERS-ORDER"))

        assert trouble.value.alert is True

    @pytest.mark.parametrize("provider", ["paypal"])
    @pytest.mark.parametrize("sale", [False, True])
    def test_a_capture_without_an_order_and_a_sale_without_a_payment_have_no_list(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest, *, sale: bool
    ) -> None:
        sandbox.register("paypal", "LONELY", 500, sale=sale)

        with pytest.raises(Unlisted) as trouble:
            gateway.find(replace(refund, charge_id="LONELY", order_id=""))

        assert trouble.value.alert is False


@pytest.mark.parametrize("provider", ["paypal"])
class TestPayPalTokens:
    def test_eight_threads_at_once_get_one_token(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        starting = threading.Barrier(8)

        def give_back(number: int) -> str:
            starting.wait()
            other = f"rfnd_{number}"
            return gateway.refund(
                replace(refund, refund_id=other, idempotency_key=f"{other}:1", amount_minor=1)
            ).state

        with ThreadPoolExecutor(8) as threads:
            states = list(threads.map(give_back, range(8)))

        assert states == ["succeeded"] * 8
        assert len(sandbox.calls("token.create")) == 1

    def test_a_token_that_has_ended_is_renewed_once(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(refund)
        sandbox.end_tokens()

        answer = gateway.fetch(gateway.refund(refund).provider_id, refund)

        assert answer.state == "succeeded"
        assert len(sandbox.calls("token.create")) == 2
        assert made(sandbox, refund) == [("rfnd_one", 1000)]

    def test_the_request_id_is_not_sent_with_the_token_call(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        gateway.refund(refund)

        keys = {call["operation"]: call["idempotency_key"] for call in sandbox.calls()}
        assert keys == {"token.create": "", "refund.create": "rfnd_one:1"}

    @pytest.mark.parametrize("kind", ["500_before", "drop", "timeout", "half_body", "429"])
    def test_without_a_token_nothing_was_asked(
        self,
        sandbox: SandboxClient,
        settings: Settings,
        refund: RefundRequest,
        provider: str,
        kind: str,
    ) -> None:
        settings.GATEWAY_TIMEOUT = (2.0, 1.0)
        sandbox.fault("paypal", "token.create", kind, seconds=3, retry_after=9)

        with pytest.raises(Unavailable) as trouble:
            gateway_for(provider).refund(refund)

        assert trouble.value.alert is False
        assert trouble.value.retry_after == (9.0 if kind == "429" else None)
        assert sandbox.calls("refund.create") == []

    def test_refused_credentials_want_a_person(
        self, sandbox: SandboxClient, gateway: Gateway, refund: RefundRequest
    ) -> None:
        sandbox.fault("paypal", "token.create", "401", times=99)

        with pytest.raises(Unavailable) as refunding:
            gateway.refund(refund)
        with pytest.raises(Unknown) as looking:
            gateway.find(refund)

        assert (refunding.value.alert, looking.value.alert) == (True, True)

    def test_no_secret_is_logged(
        self,
        gateway: Gateway,
        refund: RefundRequest,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            gateway.refund(refund)

        assert "refund" in caplog.text
        for secret in ("sandbox-secret", "A21AA", "Basic ", "Bearer "):
            assert secret not in caplog.text


class _Odd(BaseHTTPRequestHandler):
    """A server between us and the provider that answers everything the same way."""

    answer: tuple[int, bytes] = (200, b"")
    seen: list[str]

    def do_POST(self) -> None:
        self.seen.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.answer
        if self.path.endswith("/oauth2/token"):
            body = b'{"access_token": "t", "token_type": "Bearer", "expires_in": 100}'
            status = 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@both
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, b""), Unknown),
        ((200, b"<html>"), Unknown),
        ((200, b"[]"), Unknown),
        ((200, b"{}"), Unknown),
        ((200, b'{"id": "re_1", "status": "unheard-of"}'), Unknown),
        ((201, b'{"id": "re_1", "status": "COMPLETED", "amount": null}'), Unknown),
        ((200, b"\xff\xfe"), Unknown),
        ((400, b"<html>"), Unknown),
        ((404, b"not here"), Unknown),
        ((400, b'{"error": null}'), Unknown),
        ((409, b"{}"), Unknown),
        ((502, b"<html>Bad gateway"), Unknown),
        ((503, b""), Unknown),
    ],
)
def test_an_answer_that_is_not_the_providers_is_in_doubt(
    refund: RefundRequest,
    settings: Settings,
    provider: str,
    answer: tuple[int, bytes],
    error: type[Exception],
) -> None:
    handler = type("Handler", (_Odd,), {"answer": answer, "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        settings.STRIPE_API_BASE = settings.PAYPAL_API_BASE = address

        with pytest.raises(error):
            gateway_for(provider).refund(refund)
        server.shutdown()


@pytest.mark.parametrize("provider", ["paypal"])
def test_a_redirect_is_not_followed(refund: RefundRequest, settings: Settings) -> None:
    seen: list[str] = []
    handler = type("Handler", (_Odd,), {"answer": (302, b""), "seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings.PAYPAL_API_BASE = f"http://127.0.0.1:{server.server_address[1]}"

        with pytest.raises(Unavailable) as trouble:
            gateway_for("paypal").refund(refund)
        server.shutdown()

    assert trouble.value.alert is True
    assert seen == [
        "/v1/oauth2/token",
        f"/v2/payments/captures/{refund.charge_id}/refund",
    ]


class TestGatewayFor:
    def test_there_is_one_gateway_a_provider_in_a_process(self, sandbox: SandboxClient) -> None:
        with ThreadPoolExecutor(8) as threads:
            gateways = list(threads.map(lambda _: gateway_for("paypal"), range(32)))

        assert {id(gateway) for gateway in gateways} == {id(gateways[0])}
        assert gateway_for("stripe") is not gateways[0]

    def test_other_settings_are_another_gateway(
        self, sandbox: SandboxClient, settings: Settings
    ) -> None:
        before = gateway_for("stripe")

        settings.STRIPE_API_KEY = "sk_test_rotated"

        assert gateway_for("stripe") is not before

    def test_a_forked_worker_has_a_gateway_of_its_own(self, sandbox: SandboxClient) -> None:
        parents = id(gateway_for("paypal"))
        reading, writing = os.pipe()

        child = os.fork()
        if child == 0:
            from payments import gateways

            os.write(writing, b"own" if not gateways._gateways else b"shared")
            os._exit(0)
        os.waitpid(child, 0)

        assert os.read(reading, 10) == b"own"
        assert id(gateway_for("paypal")) == parents

    def test_crypto_has_none(self) -> None:
        with pytest.raises(LookupError) as refused:
            gateway_for("crypto")

        assert str(refused.value) == "No gateway gives money back through 'crypto'."


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_a_wait_is_read_from_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}) == seconds
