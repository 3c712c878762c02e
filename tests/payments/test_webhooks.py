"""What the providers tell us, over real sockets: kept once if it is theirs, then acted on."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import stripe
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from payments import refunds, signatures, tasks, webhooks
from payments.models import Payment, ProviderEvent, Refund
from tests.payments.test_refunds import PART, ask, made, sums
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient

PROCESSORS = ["stripe", "paypal"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def paid(make_payment: MakePayment, sandbox: SandboxClient) -> Callable[..., Payment]:
    """Payments that their provider knows of, too."""

    def pay(processor: str = "stripe", **fields: Any) -> Payment:
        number = uuid.uuid4().hex[:12].upper()
        charge, order = ("ch_" + number, "") if processor == "stripe" else (number, "O" + number)
        payment = make_payment(
            **{"processor": processor, "charge_id": charge, "order_id": order, **fields}
        )
        sandbox.register(
            processor, payment.charge_id, payment.amount_minor, payment.currency, order_id=order
        )
        return payment

    return pay


def wait_for(fact: Callable[[], bool], seconds: float = 8) -> None:
    until = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < until, "It did not come about in time."
        time.sleep(0.02)


def told(*kinds: str) -> None:
    """Wait until events of these types have come in, and see to them."""
    stored = ProviderEvent.objects.filter(type__in=kinds)
    wait_for(lambda: stored.values("type").distinct().count() == len(kinds))
    tasks.handle_events()


def stored() -> list[tuple[str, bool]]:
    rows = ProviderEvent.objects.order_by("type").values_list("type", "processed_at")
    return [(kind, seen is not None) for kind, seen in rows]


# ── Each event that matters ───────────────────────────────────────────────────────────────────────


ARRIVED = {
    "stripe": ["charge.refunded", "refund.created", "refund.updated"],
    "paypal": ["PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.PENDING"],
}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_refund_of_ours_is_settled_by_its_event(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str
) -> None:
    payment = paid(processor)
    sandbox.settle_after(0.3)
    refund = ask(payment)
    refunds.send(refund.pk)
    assert sums(payment) == (PART, 0)

    told(*ARRIVED[processor])

    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert sums(payment) == (0, PART)
    assert stored() == [(kind, True) for kind in ARRIVED[processor]]


FAILED = {
    "stripe": ["charge.refund.updated", "refund.failed"],
    "paypal": ["PAYMENT.REFUND.FAILED"],
}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_failure_after_success_is_heard_of(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str
) -> None:
    payment = paid(processor)
    refund = refunds.send(ask(payment).pk)
    assert refund
    assert sums(payment) == (0, PART)
    sandbox.fail(refund.provider_id)

    told(*FAILED[processor])

    refund.refresh_from_db()
    assert (refund.state, refund.failure_code != "") == ("failed", True)
    assert sums(payment) == (0, 0)


MADE = {"stripe": ["charge.refunded", "refund.updated"], "paypal": ["PAYMENT.CAPTURE.REFUNDED"]}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_refund_made_in_the_dashboard_is_recorded_once(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str
) -> None:
    payment = paid(processor)
    name = sandbox.refund_elsewhere(payment.charge_id, PART)

    told(*MADE[processor])
    tasks.look_at_payments([payment.pk])

    rows = Refund.objects.values_list("provider_id", "elsewhere", "state", "amount_minor")
    assert list(rows) == [(name, True, "succeeded", PART)]
    assert sums(payment) == (0, PART)


BANK = {
    "stripe": ["charge.dispute.created", "charge.dispute.closed"],
    "paypal": ["CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED"],
}


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_chargeback_is_followed_to_its_end(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str,
    outcome: str,
) -> None:  # fmt: skip
    payment = paid(processor)
    sandbox.dispute(payment.charge_id)
    told(BANK[processor][0])
    payment.refresh_from_db()
    assert payment.chargeback == "open"

    sandbox.rule(payment.charge_id, outcome)
    told(BANK[processor][1])

    payment.refresh_from_db()
    assert payment.chargeback == outcome


def test_a_payment_is_known_by_its_intent_as_well(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    payment = paid(charge_id=f"pi_{uuid.uuid4().hex}")
    sandbox.refund_elsewhere(payment.charge_id, PART)

    told(*MADE["stripe"])

    assert sums(payment) == (0, PART)


# ── However they come ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["double", "delay", "reorder"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_double_late_and_shuffled_events_end_in_the_same_state(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str, kind: str
) -> None:
    payment = paid(processor)
    sandbox.fault(processor, "webhook.send", kind, times=2, seconds=0.4)
    refunds.send(ask(payment).pk)
    sandbox.refund_elsewhere(payment.charge_id, 1000)
    sandbox.dispute(payment.charge_id)
    sandbox.rule(payment.charge_id, "won")

    told(*MADE[processor], *BANK[processor])
    time.sleep(0.5)
    tasks.handle_events()

    payment.refresh_from_db()
    assert (payment.refunded_minor, payment.reserved_minor) == (PART + 1000, 0)
    assert payment.chargeback == "won"
    assert Refund.objects.count() == 2
    ids = ProviderEvent.objects.values_list("event_id", flat=True)
    assert len(ids) == len(set(ids))
    assert webhooks.due() == []


def test_the_same_event_a_hundred_times_is_one_row(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    body = event("evt_again", {"object": "refund", "charge": paid().charge_id})

    codes = {post(listening, "stripe", body, sandbox).status_code for _ in range(100)}

    assert codes == {200}
    assert ProviderEvent.objects.count() == 1


def test_events_that_are_lost_change_nothing_in_the_end(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    payment = paid()
    sandbox.fault("stripe", "webhook.send", "lose", times=50)
    sandbox.refund_elsewhere(payment.charge_id, PART)
    assert sums(payment) == (0, 0)

    tasks.look_at_payments([payment.pk])

    assert sums(payment) == (0, PART)
    assert not ProviderEvent.objects.exists()


def test_an_event_that_is_faster_than_the_answer_is_adopted(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    payment = paid()
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    refund.refresh_from_db()
    assert (refund.state, refund.provider_id) == ("submitting", "")

    told(*MADE["stripe"])
    again = refunds.send(refund.pk)

    assert again is None
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert made(sandbox, payment) == [PART]
    assert Refund.objects.count() == 1


def test_an_event_waits_while_the_provider_cannot_be_asked(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    payment = paid()
    sandbox.fault("stripe", "refund.find", "500_before", times=50)
    sandbox.refund_elsewhere(payment.charge_id, PART)
    told(*MADE["stripe"])
    waiting = ProviderEvent.objects.filter(processed_at=None)
    assert waiting.count() == 3
    assert {row.error != "" for row in waiting} == {True}

    sandbox.behave()
    waiting.update(next_attempt_at=datetime.now(UTC))
    tasks.handle_events()

    assert sums(payment) == (0, PART)
    assert not waiting.exists()


def test_an_event_about_somebody_elses_charge_is_kept_and_left_alone(
    sandbox: SandboxClient, listening: str
) -> None:
    sandbox.register("stripe", "ch_of_another_shop", 5000)
    sandbox.refund_elsewhere("ch_of_another_shop")

    told(*MADE["stripe"])

    assert not Refund.objects.exists()
    assert webhooks.due() == []


# ── What is refused ───────────────────────────────────────────────────────────────────────────────


def event(name: str, about: object, kind: str = "refund.updated") -> str:
    return json.dumps({"id": name, "object": "event", "type": kind, "data": {"object": about}})


def paypal_event(name: str) -> str:
    return json.dumps({"id": name, "event_type": "PAYMENT.REFUND.PENDING", "resource": {}})


def post(
    url: str, provider: str, body: str | bytes, sandbox: SandboxClient, **headers: str
) -> requests.Response:
    """One delivery, with headers that are right unless told otherwise."""
    text = body if isinstance(body, str) else body.decode("latin-1")
    signed = {**sandbox.sign(provider, text), **headers}
    raw = body.encode() if isinstance(body, str) else body
    return requests.post(f"{url}/webhooks/{provider}/", data=raw, headers=signed, timeout=10)


def test_what_is_theirs_is_taken_in(sandbox: SandboxClient, listening: str) -> None:
    answers = [
        post(listening, "stripe", event("evt_1", {}), sandbox),
        post(listening, "paypal", paypal_event("WH-1"), sandbox),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    kept = ProviderEvent.objects.order_by("pk").values_list("provider", "event_id", "payload")
    assert list(kept) == [
        ("stripe", "evt_1", event("evt_1", {})), ("paypal", "WH-1", paypal_event("WH-1")),
    ]  # fmt: skip


def test_taking_an_event_in_costs_one_statement(
    sandbox: SandboxClient, listening: str, client: Client
) -> None:
    body = event("evt_1", {"id": "re_1"})
    signed = sandbox.sign("stripe", body)

    with CaptureQueriesContext(connection) as queries:
        for _ in range(2):
            client.post("/webhooks/stripe/", body, "application/json", headers=signed)

    sent = [query["sql"].split()[0] for query in queries]
    assert [verb for verb in sent if verb not in ("BEGIN", "COMMIT")] == ["INSERT", "INSERT"]
    assert ProviderEvent.objects.count() == 1


def stripe_header(body: str, secret: str = "whsec_tests", at: float = 0) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(
        body, secret, int(time.time() + at)
    )
    return header


HEADERS: dict[str, Callable[[], str]] = {
    "none": lambda: "",
    "no time": lambda: "t=now,v1=beef",
    "no time at all": lambda: "v1=beef",
    "another secret": lambda: stripe_header(event("evt_1", {}), "whsec_of_another"),
    "old": lambda: stripe_header(event("evt_1", {}), at=-600),
    "of the future": lambda: stripe_header(event("evt_1", {}), at=600),
    "of another event": lambda: stripe_header(event("evt_2", {})),
}


@pytest.mark.parametrize("which", HEADERS)
def test_a_stripe_signature_that_is_missing_wrong_or_not_fresh_is_refused(
    sandbox: SandboxClient, listening: str, which: str
) -> None:
    headers = {"Stripe-Signature": HEADERS[which]()}

    answer = post(listening, "stripe", event("evt_1", {}), sandbox, **headers)

    assert answer.status_code == 400
    assert not ProviderEvent.objects.exists()


def test_either_of_two_secrets_will_do_while_one_replaces_the_other(
    sandbox: SandboxClient, listening: str, settings: Settings
) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_tests"]

    assert post(listening, "stripe", event("evt_1", {}), sandbox).status_code == 200


@pytest.mark.parametrize("processor", PROCESSORS)
def test_without_a_secret_nothing_is_taken_in(
    sandbox: SandboxClient, listening: str, settings: Settings, processor: str
) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    settings.PAYPAL_WEBHOOK_ID = ""
    body = event("evt_1", {}) if processor == "stripe" else paypal_event("WH-1")

    assert post(listening, processor, body, sandbox).status_code == 400
    assert not ProviderEvent.objects.exists()


LONG_AGO = (datetime.now(UTC) - timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "changed",
    [
        {"PAYPAL-TRANSMISSION-SIG": ""},
        {"PAYPAL-TRANSMISSION-SIG": "bm8="},
        {"PAYPAL-TRANSMISSION-SIG": "not base 64"},
        {"PAYPAL-TRANSMISSION-ID": "another"},
        {"PAYPAL-TRANSMISSION-TIME": LONG_AGO},
        {"PAYPAL-TRANSMISSION-TIME": "yesterday"},
        {"PAYPAL-AUTH-ALGO": "SHA1withRSA"},
        {"PAYPAL-CERT-URL": ""},
        {"PAYPAL-CERT-URL": "https://paypal.example/v1/notifications/certs/CERT-1"},
        {"PAYPAL-CERT-URL": "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1"},
        {"PAYPAL-CERT-URL": "http://169.254.169.254/v1/notifications/certs/CERT-1"},
        {"PAYPAL-CERT-URL": "file:///etc/passwd"},
    ],
)
def test_a_paypal_signature_that_is_missing_wrong_or_from_elsewhere_is_refused(
    sandbox: SandboxClient, listening: str, changed: dict[str, str]
) -> None:
    answer = post(listening, "paypal", paypal_event("WH-1"), sandbox, **changed)

    assert answer.status_code == 400
    assert not ProviderEvent.objects.exists()


def test_a_certificate_of_another_authority_is_refused(
    sandbox: SandboxClient, listening: str, settings: Settings
) -> None:
    settings.PAYPAL_WEBHOOK_CA = signatures.DEFAULT_CA_BUNDLE_PATH

    assert post(listening, "paypal", paypal_event("WH-1"), sandbox).status_code == 400
    assert not ProviderEvent.objects.exists()


def test_in_production_only_paypals_own_addresses_are_asked(
    sandbox: SandboxClient, listening: str, settings: Settings
) -> None:
    settings.PAYPAL_WEBHOOK_CA = ""

    assert post(listening, "paypal", paypal_event("WH-1"), sandbox).status_code == 400
    assert not ProviderEvent.objects.exists()


def test_a_certificate_that_cannot_be_had_just_now_is_asked_for_again(
    sandbox: SandboxClient, listening: str, settings: Settings
) -> None:
    gone = "http://127.0.0.1:9"
    settings.PAYPAL_API_BASE = gone
    headers = {"PAYPAL-CERT-URL": f"{gone}/v1/notifications/certs/CERT-1"}

    assert post(listening, "paypal", paypal_event("WH-1"), sandbox, **headers).status_code == 503
    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_an_altered_body_is_refused(sandbox: SandboxClient, listening: str, processor: str) -> None:
    body = event("evt_1", {}) if processor == "stripe" else paypal_event("WH-1")
    signed = sandbox.sign(processor, body)

    answer = requests.post(
        f"{listening}/webhooks/{processor}/", data=body + " ", headers=signed, timeout=10
    )

    assert answer.status_code == 400
    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '"evt_1"',
        "null",
        "[" * 100_000,
        '{"id": 1, "type": "refund.updated"}',
        '{"id": "", "type": "refund.updated"}',
        '{"id": "evt_\\u0000", "type": "refund.updated"}',
        '{"id": "evt_\\ud800", "type": "refund.updated"}',
        '{"id": "evt_1"}',
        json.dumps({"id": "e" * 256, "type": "refund.updated"}),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(
    sandbox: SandboxClient, listening: str, body: str
) -> None:
    assert post(listening, "stripe", body, sandbox).status_code == 400
    assert not ProviderEvent.objects.exists()


def test_bytes_that_are_no_text_are_refused(sandbox: SandboxClient, listening: str) -> None:
    for processor in PROCESSORS:
        assert post(listening, processor, b"\xff\xfe{}", sandbox).status_code == 400
    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_body_of_two_megabytes_is_refused(
    sandbox: SandboxClient, listening: str, processor: str
) -> None:
    body = event("evt_1", {"fill": "x" * 2_000_000})

    answer = post(listening, processor, body, sandbox)

    assert answer.status_code == 400
    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_one_look_answers_all_events_of_a_charge_that_came_before_it(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str, processor: str
) -> None:
    payment, other = paid(processor), paid(processor)
    sandbox.settle_after(0)
    for each in (payment, payment, payment, other):
        sandbox.refund_elsewhere(each.charge_id, 100)
    count = {"stripe": 12, "paypal": 4}[processor]
    wait_for(lambda: ProviderEvent.objects.count() == count)

    tasks.handle_events()

    assert (sums(payment), sums(other), webhooks.due()) == ((0, 300), (0, 100), [])
    assert len(sandbox.calls("dispute.find")) == 2
    assert sorted(ProviderEvent.objects.values_list("charge", flat=True).distinct()) == sorted(
        [payment.charge_id, other.charge_id]
    )


def test_an_event_about_several_charges_answers_for_itself_alone(
    paid: Callable[..., Payment], sandbox: SandboxClient, listening: str
) -> None:
    first, second = paid("paypal"), paid("paypal")
    named = [{"seller_transaction_id": each.charge_id} for each in (first, second)]
    said = {"disputed_transactions": named}
    sandbox.dispute(second.charge_id)
    body = json.dumps({"id": "WH-1", "event_type": "CUSTOMER.DISPUTE.CREATED", "resource": said})

    post(listening, "paypal", body, sandbox)
    tasks.handle_events()

    second.refresh_from_db()
    assert second.chargeback == "open"
    assert ProviderEvent.objects.get(event_id="WH-1").charge == ""


def test_odd_events_that_are_signed_do_no_harm(sandbox: SandboxClient, listening: str) -> None:
    odd: list[object] = [None, [], "x", {"charge": {"id": "ch_1"}}, {"charge": 3}, {"id": "a\0b"}]
    odd += [{"charge": ["a"], "links": 7, "disputed_transactions": {"a": 1}}, {"charge": "a\0b"}]
    for number, about in enumerate(odd):
        post(listening, "stripe", event(f"evt_{number}", about), sandbox)

    tasks.handle_events()

    assert ProviderEvent.objects.exclude(processed_at=None).count() == 8


def test_only_posts_are_answered(listening: str) -> None:
    for processor in PROCESSORS:
        answer = requests.get(f"{listening}/webhooks/{processor}/", timeout=10)
        assert answer.status_code == 405


# ── Forgetting ────────────────────────────────────────────────────────────────────────────────────


def test_only_events_that_were_seen_to_long_ago_are_removed(settings: Settings) -> None:
    settings.EVENTS_KEPT_DAYS = 90
    now = timezone.now()
    for name, seen_days_ago in (("old", 91), ("recent", 89), ("waiting", None)):
        ProviderEvent.objects.create(
            provider="stripe", event_id=name, type="refund.updated", payload="{}",
            received_at=now - timedelta(days=200),
            processed_at=None if seen_days_ago is None else now - timedelta(days=seen_days_ago),
        )  # fmt: skip

    tasks.prune_events()

    kept = ProviderEvent.objects.order_by("event_id").values_list("event_id", flat=True)
    assert list(kept) == ["recent", "waiting"]
