"""The sandbox providers by themselves: their books, their idempotency, their misbehaviour."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests

from payments.sandbox.ledger import Charge, Ledger, OverRefund
from tests.sandbox_fixture import ROOT, SandboxClient

Call = Callable[..., requests.Response]


@pytest.fixture
def stripe(sandbox: SandboxClient) -> Call:
    """Calls to Stripe, as any client would make them."""
    sandbox.register("stripe", "ch_79", 7900)

    def call(method: str, path: str, key: str = "", **form: object) -> requests.Response:
        return requests.request(
            method,
            f"{sandbox.stripe_url}/v1/{path}",
            data=form,
            headers={
                "Authorization": "Bearer sk_test_1",
                **({"Idempotency-Key": key} if key else {}),
            },
            timeout=10,
        )

    return call


@pytest.fixture
def paypal(sandbox: SandboxClient) -> Call:
    """Calls to PayPal with a token."""
    sandbox.register("paypal", "CAPTURE", 7900, order_id="ORDER")
    token = requests.post(
        f"{sandbox.paypal_url}/v1/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=("client", "secret"),
        timeout=10,
    ).json()["access_token"]

    def call(
        method: str, path: str, key: str = "", body: object = None, **headers: str
    ) -> requests.Response:
        return requests.request(
            method,
            f"{sandbox.paypal_url}/v2/{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {token}",
                **({"PayPal-Request-Id": key} if key else {}),
                **headers,
            },
            timeout=10,
        )

    return call


def dollars(value: str) -> dict[str, Any]:
    return {"amount": {"value": value, "currency_code": "USD"}, "custom_id": "rfnd_one"}


class TestStripe:
    def test_a_stored_answer_is_given_again_a_500_included(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        sandbox.fault("stripe", "refund.create", "500_before")

        answers = [stripe("POST", "refunds", "key-1", charge="ch_79", amount=100) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [500, 500, 500]
        assert [answer.headers.get("Stripe-Should-Retry") for answer in answers] == ["false"] * 3
        assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [
            None,
            "true",
            "true",
        ]
        assert sandbox.ledger()["ch_79"]["refunds"] == []
        assert sandbox.ledger()["ch_79"]["create_calls"] == 1

    def test_a_pruned_key_is_as_good_as_new(self, sandbox: SandboxClient, stripe: Call) -> None:
        stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        sandbox.forget_keys()
        stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        assert sandbox.ledger()["ch_79"]["refunded_minor"] == 200

    def test_other_parameters_under_a_known_key_are_an_idempotency_error(
        self, stripe: Call
    ) -> None:
        stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        answer = stripe("POST", "refunds", "key-1", charge="ch_79", amount=200)

        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"

    def test_a_key_in_use_is_a_conflict(self, sandbox: SandboxClient, stripe: Call) -> None:
        sandbox.fault("stripe", "refund.create", "delay", seconds=0.5)

        with ThreadPoolExecutor(2) as threads:
            answers = list(
                threads.map(
                    lambda _: stripe("POST", "refunds", "key-1", charge="ch_79", amount=100),
                    range(2),
                )
            )

        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert sandbox.ledger()["ch_79"]["refunded_minor"] == 100

    def test_a_call_that_was_turned_away_leaves_its_key_unused(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        sandbox.fault("stripe", "refund.create", "429", retry_after=2)

        first = stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)
        second = stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        assert (first.status_code, first.headers["Retry-After"]) == (429, "2")
        assert second.status_code == 200

    @pytest.mark.parametrize(
        ("form", "status", "code"),
        [
            ({"charge": "ch_nowhere", "amount": 1}, 404, "resource_missing"),
            ({"payment_intent": "pi_nowhere", "amount": 1}, 404, "resource_missing"),
            ({"amount": 1}, 400, "parameter_missing"),
            ({"charge": "ch_79", "payment_intent": "pi_1"}, 400, "parameter_missing"),
            ({"charge": "ch_79", "amount": 0}, 400, "parameter_invalid_integer"),
            ({"charge": "ch_79", "amount": -1}, 400, "parameter_invalid_integer"),
            ({"charge": "ch_79", "amount": "1.5"}, 400, "parameter_invalid_integer"),
            ({"charge": "ch_79", "colour": "blue"}, 400, "parameter_unknown"),
        ],
    )
    def test_what_makes_no_sense_is_refused_like_stripe_does(
        self, sandbox: SandboxClient, stripe: Call, form: dict[str, object], status: int, code: str
    ) -> None:
        answer = stripe("POST", "refunds", "key-1", **form)

        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert sandbox.ledger()["ch_79"]["refunds"] == []

    def test_without_a_key_nobody_is_let_in(self, sandbox: SandboxClient) -> None:
        answer = requests.get(f"{sandbox.stripe_url}/v1/refunds", timeout=10)

        assert answer.status_code == 401

    def test_a_charge_and_its_intent_tell_what_went_back(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        sandbox.register("stripe", "pi_50", 5000)
        stripe("POST", "refunds", payment_intent="pi_50", amount=2000)

        intent = stripe("GET", "payment_intents/pi_50").json()
        charge = stripe("GET", f"charges/{intent['latest_charge']}").json()

        assert (intent["amount"], intent["latest_charge"]) == (5000, "ch_50")
        assert (charge["amount_refunded"], charge["refunded"]) == (2000, False)

    def test_a_list_is_paged_newest_first_in_both_directions(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        made = [
            stripe("POST", "refunds", f"key-{number}", charge="ch_79", amount=1).json()["id"]
            for number in range(25)
        ]
        newest_first = made[::-1]

        first = stripe("GET", "refunds?charge=ch_79").json()
        middle = stripe("GET", f"refunds?charge=ch_79&starting_after={newest_first[9]}").json()
        last = stripe("GET", f"refunds?charge=ch_79&starting_after={newest_first[19]}").json()
        back = stripe("GET", f"refunds?charge=ch_79&ending_before={newest_first[20]}").json()

        pages = [[refund["id"] for refund in page["data"]] for page in (first, middle, last, back)]
        assert pages == [
            newest_first[:10],
            newest_first[10:20],
            newest_first[20:],
            newest_first[10:20],
        ]
        assert [page["has_more"] for page in (first, middle, last, back)] == [
            True,
            True,
            False,
            True,
        ]


class TestPayPal:
    def test_a_repeat_gives_the_latest_state(self, sandbox: SandboxClient, paypal: Call) -> None:
        sandbox.settle_after(0.3)
        path = "payments/captures/CAPTURE/refund"

        first = paypal("POST", path, "key-1", dollars("10.00"), Prefer="return=representation")
        threading.Event().wait(0.4)
        again = paypal("POST", path, "key-1", dollars("10.00"), Prefer="return=representation")

        assert (first.status_code, first.json()["status"]) == (201, "PENDING")
        assert (again.status_code, again.json()["status"]) == (200, "COMPLETED")
        assert first.json()["id"] == again.json()["id"]

    def test_without_a_preference_the_answer_is_minimal(self, paypal: Call) -> None:
        answer = paypal("POST", "payments/captures/CAPTURE/refund", "key-1", dollars("10.00"))

        assert sorted(answer.json()) == ["id", "status"]

    def test_without_an_amount_all_that_is_left_goes_back(
        self, sandbox: SandboxClient, paypal: Call
    ) -> None:
        paypal("POST", "payments/captures/CAPTURE/refund", "key-1", dollars("10.00"))

        paypal("POST", "payments/captures/CAPTURE/refund", "key-2", {})

        assert sandbox.ledger()["CAPTURE"]["refunded_minor"] == 7900
        assert paypal("GET", "payments/captures/CAPTURE").json()["status"] == "REFUNDED"

    def test_an_order_names_its_captures_and_their_refunds(self, paypal: Call) -> None:
        paypal("POST", "payments/captures/CAPTURE/refund", "key-1", dollars("10.00"))

        [unit] = paypal("GET", "checkout/orders/ORDER").json()["purchase_units"]

        assert [capture["id"] for capture in unit["payments"]["captures"]] == ["CAPTURE"]
        assert [
            (refund["custom_id"], refund["amount"]["value"])
            for refund in unit["payments"]["refunds"]
        ] == [("rfnd_one", "10.00")]

    @pytest.mark.parametrize(
        ("amount", "issue"),
        [
            ({"value": "79.01", "currency_code": "USD"}, "REFUND_AMOUNT_EXCEEDED"),
            ({"value": "10.00", "currency_code": "EUR"}, "REFUND_CAPTURE_CURRENCY_MISMATCH"),
            ({"value": "0.00", "currency_code": "USD"}, "CANNOT_BE_ZERO_OR_NEGATIVE"),
            ({"value": "-1", "currency_code": "USD"}, "CANNOT_BE_ZERO_OR_NEGATIVE"),
            ({"value": "NaN", "currency_code": "USD"}, "CANNOT_BE_ZERO_OR_NEGATIVE"),
            ({"value": "1.001", "currency_code": "USD"}, "DECIMAL_PRECISION"),
            ({"value": "ten", "currency_code": "USD"}, "INVALID_PARAMETER_SYNTAX"),
            ("10.00", "INVALID_PARAMETER_SYNTAX"),
        ],
    )
    def test_a_wrong_amount_is_refused_like_paypal_does(
        self, sandbox: SandboxClient, paypal: Call, amount: object, issue: str
    ) -> None:
        answer = paypal("POST", "payments/captures/CAPTURE/refund", "key-1", {"amount": amount})

        assert answer.json()["details"][0]["issue"] == issue
        assert sandbox.ledger()["CAPTURE"]["refunds"] == []

    def test_decimals_of_a_currency_without_are_refused(
        self, sandbox: SandboxClient, paypal: Call
    ) -> None:
        sandbox.register("paypal", "YEN", 1200, "JPY", order_id="ORDER-2")
        amount = {"value": "700.00", "currency_code": "JPY"}

        answer = paypal("POST", "payments/captures/YEN/refund", "key-1", {"amount": amount})

        assert answer.json()["details"][0]["issue"] == "DECIMALS_NOT_SUPPORTED"

    def test_a_token_of_somebody_else_is_refused(self, sandbox: SandboxClient) -> None:
        answer = requests.get(
            f"{sandbox.paypal_url}/v2/payments/captures/CAPTURE",
            headers={"Authorization": "Bearer made-up"},
            timeout=10,
        )

        assert answer.status_code == 401


class TestControl:
    def test_registering_a_payment_again_changes_nothing(self, sandbox: SandboxClient) -> None:
        sandbox.register("stripe", "ch_1", 7900)
        sandbox.register("stripe", "ch_1", 100)

        assert sandbox.ledger()["ch_1"] == {
            "processor": "stripe",
            "id": "ch_1",
            "amount_minor": 7900,
            "currency": "USD",
            "order_id": "",
            "account": "",
            "sale": False,
            "disputed": False,
            "disputes": [],
            "create_calls": 0,
            "refunded_minor": 0,
            "refunds": [],
        }

    def test_payments_are_registered_in_bulk(self, sandbox: SandboxClient) -> None:
        payments = [
            {"processor": "stripe", "id": f"ch_{n}", "amount_minor": n, "currency": "USD"}
            for n in range(1, 51)
        ]

        answer = sandbox.control("POST", "charges", payments)

        assert answer == {"known": 50}

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/_sandbox/charges", {"processor": "crypto"}, 400),
            ("POST", "/_sandbox/charges", "nonsense", 400),
            ("POST", "/_sandbox/faults", {"provider": "stripe", "kind": "500_before"}, 400),
            (
                "POST",
                "/_sandbox/faults",
                {"provider": "stripe", "operation": "refund.create", "kind": "explode"},
                400,
            ),
            (
                "POST",
                "/_sandbox/faults",
                {"provider": "stripe", "operation": "refund.fetch", "kind": "decline"},
                400,
            ),
            ("POST", "/_sandbox/refunds/re_nowhere/fail", {}, 404),
            ("POST", "/_sandbox/charges/ch_nowhere/dispute", {}, 404),
            ("POST", "/_sandbox/settings", {"settle_seconds": "soon"}, 400),
            ("GET", "/_sandbox/nothing", None, 404),
            ("GET", "/v1/customers", None, 404),
            ("PUT", "/v1/refunds", {}, 404),
        ],
    )
    def test_a_call_that_makes_no_sense_says_so(
        self, sandbox: SandboxClient, method: str, path: str, body: object, status: int
    ) -> None:
        answer = requests.request(method, f"{sandbox.stripe_url}{path}", json=body, timeout=10)

        assert answer.status_code == status
        assert "error" in answer.json()

    def test_a_fault_happens_as_often_as_asked_and_can_be_taken_back(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        sandbox.fault("stripe", "charge.fetch", "500_before", times=2)
        statuses = [stripe("GET", "charges/ch_79").status_code for _ in range(3)]

        sandbox.fault("stripe", "charge.fetch", "429")
        sandbox.behave()

        assert statuses == [500, 500, 200]
        assert stripe("GET", "charges/ch_79").status_code == 200

    def test_a_delay_is_only_slow(self, sandbox: SandboxClient, stripe: Call) -> None:
        sandbox.fault("stripe", "refund.create", "delay", seconds=0.3)
        started = monotonic()

        answer = stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        assert answer.status_code == 200
        assert monotonic() - started >= 0.3

    def test_a_late_failure_comes_after_the_success(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        sandbox.fault("stripe", "refund.create", "late_failure", seconds=0.3)

        made = stripe("POST", "refunds", "key-1", charge="ch_79", amount=100).json()
        threading.Event().wait(0.4)
        later = stripe("GET", f"refunds/{made['id']}").json()

        assert (made["status"], later["status"]) == ("succeeded", "failed")
        assert later["failure_reason"] == "expired_or_canceled_card"
        assert sandbox.ledger()["ch_79"]["refunded_minor"] == 0

    def test_the_log_tells_the_calls_and_no_secret(
        self, sandbox: SandboxClient, stripe: Call
    ) -> None:
        stripe("POST", "refunds", "key-1", charge="ch_79", amount=100)

        [call] = sandbox.calls()

        assert {name: call[name] for name in call if name != "at"} == {
            "provider": "stripe",
            "operation": "refund.create",
            "method": "POST",
            "path": "/v1/refunds",
            "idempotency_key": "key-1",
            "status": 200,
            "fault": "",
        }


class TestLedger:
    def test_many_at_once_never_give_back_more_than_was_paid(self) -> None:
        ledger = Ledger(settle_seconds=0)
        ledger.register(Charge("stripe", "ch_1", 100, "USD"))
        charge = ledger.charge("ch_1", "stripe")

        def give_back(number: int) -> bool:
            try:
                ledger.refund(charge, 30, f"rfnd_{number}")
            except OverRefund:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(give_back, range(40)))

        assert sum(done) == 3
        assert ledger.refunded_minor(charge) == 90

    def test_a_restart_finds_everything_again(self, tmp_path: Path) -> None:
        journal = tmp_path / "deep" / "sandbox.jsonl"
        before = Ledger(journal, settle_seconds=0)
        before.register(Charge("stripe", "ch_1", 100, "USD"))
        before.register(Charge("stripe", "ch_2", 100, "USD"))
        before.dispute("ch_2")
        refund = before.refund(before.charge("ch_1", "stripe"), 30, "rfnd_1")
        before.refund(before.charge("ch_1", "stripe"), 20, "rfnd_2")
        before.fail(refund.id, "declined")
        before.remember("key", "print", 200, {"id": "re_1"}, "re_1")
        before.close()

        after = Ledger(journal, settle_seconds=0)

        assert after.as_witness() == before.as_witness()
        assert after.answered("key") == before.answered("key")
        assert after.refunded_minor(after.charge("ch_1", "stripe")) == 20

    def test_a_line_cut_off_by_a_kill_never_happened(self, tmp_path: Path) -> None:
        journal = tmp_path / "sandbox.jsonl"
        ledger = Ledger(journal)
        ledger.register(Charge("stripe", "ch_1", 100, "USD"))
        ledger.close()
        with journal.open("a") as file:
            file.write('{"kind": "charge", "id": "ch_')

        again = Ledger(journal)
        again.register(Charge("stripe", "ch_2", 100, "USD"))
        again.close()

        assert sorted(Ledger(journal).charges) == ["ch_1", "ch_2"]

    def test_forgetting_empties_the_journal(self, tmp_path: Path) -> None:
        journal = tmp_path / "sandbox.jsonl"
        ledger = Ledger(journal)
        ledger.register(Charge("stripe", "ch_1", 100, "USD"))

        ledger.reset()
        ledger.register(Charge("stripe", "ch_2", 100, "USD"))
        ledger.close()

        assert sorted(Ledger(journal).charges) == ["ch_2"]


@contextmanager
def running(journal: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The sandbox as `make demo` starts it, and its address."""
    command = [sys.executable, "-m", "payments.sandbox", "--port", "0", "--state", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["stripe"]
        finally:
            process.kill()


class TestProcess:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_it_stops_when_told_and_starts_again_where_it_was(
        self, tmp_path: Path, how: signal.Signals
    ) -> None:
        journal = tmp_path / "sandbox.jsonl"
        charge = {"processor": "stripe", "id": "ch_1", "amount_minor": 100, "currency": "USD"}
        with running(journal) as (process, url):
            healthy = requests.get(f"{url}/healthz", timeout=10).json()
            requests.post(f"{url}/_sandbox/charges", json=charge, timeout=10)
            process.send_signal(how)
            stopped = process.wait(timeout=5)

        with running(journal) as (_, url):
            known = requests.get(f"{url}/_sandbox/ledger", timeout=10).json()["charges"]

        assert healthy == {"status": "ok"}
        assert stopped == (-9 if how == signal.SIGKILL else 0)
        assert [charge["id"] for charge in known] == ["ch_1"]
