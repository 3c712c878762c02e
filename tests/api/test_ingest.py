"""What a marketplace feeds us: signed, in any order, any number of times."""

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from standardwebhooks import Webhook

from api.models import FedRecord
from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications.models import Notification
from payments.models import Payment
from resolution import eligibility

pytestmark = pytest.mark.django_db
SECRET = "feed_0123456789abcdefghijklmnop"


@pytest.fixture(autouse=True)
def _secret(settings: Settings) -> None:
    settings.INGEST_SECRETS = ["feed_of_last_year_0123456789", SECRET]


def send(body: Any, *, secret: str = SECRET, age: float = 0, tamper: bytes = b"") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(time.time() - age))
    signature = hmac.new(
        secret.encode(), b".".join([b"msg_1", stamp.encode(), raw]), hashlib.sha256
    ).digest()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1,bm8= v1," + base64.b64encode(signature).decode(),
    }
    return Client(raise_request_exception=False).post(
        "/api/v1/ingest", raw + tamper, content_type="application/json", headers=headers
    )


def feed(*records: dict[str, Any]) -> list[str]:
    """Send records and answer what became of each."""
    answer = send({"records": list(records)})
    assert answer.status_code == 200, answer.content
    return [result["status"] for result in answer.json()["results"]]


def said(record: dict[str, Any]) -> tuple[str, str]:
    found = send({"records": [record]}).json()["results"][0]
    return found["status"], found["message"]


NOW = clock.now()
AT = NOW.isoformat()
LATER = (NOW + timedelta(minutes=5)).isoformat()
BUYER: dict[str, Any] = {
    "type": "user", "id": "user_ext1", "name": "Ines Prado", "email": "Ines@Example.com",
    "time_zone": "Europe/Madrid", "updated_at": AT,
}  # fmt: skip
SELLER: dict[str, Any] = {
    "type": "user", "id": "user_ext2", "name": "Otto Hahn", "email": "otto@example.com",
    "updated_at": AT,
}  # fmt: skip
SHOP: dict[str, Any] = {
    "type": "company", "id": "biz_ext1", "title": "Hahn & Co",
    "team": [{"user_id": "user_ext2", "role": "owner"}], "updated_at": AT,
}  # fmt: skip
THING: dict[str, Any] = {
    "type": "product", "id": "prod_ext1", "account_id": "biz_ext1", "title": "Course",
    "price": "49.00", "currency": "eur", "interval": "month", "updated_at": AT,
}  # fmt: skip
HOLD: dict[str, Any] = {
    "type": "membership", "id": "mem_ext1", "user_id": "user_ext1", "product_id": "prod_ext1",
    "started_at": AT, "updated_at": AT,
}  # fmt: skip
PAID: dict[str, Any] = {
    "type": "payment", "id": "pay_ext1", "user_id": "user_ext1", "product_id": "prod_ext1",
    "membership_id": "mem_ext1", "processor": "stripe", "charge_id": "ch_ext1",
    "method": "Visa ending 4242", "amount": "49.00", "currency": "eur",
    "paid_at": (NOW - timedelta(days=2)).isoformat(), "updated_at": AT,
}  # fmt: skip
ALL = (BUYER, SELLER, SHOP, THING, HOLD, PAID)


def test_a_fed_payment_can_be_asked_back_by_its_buyer() -> None:
    told = feed(*ALL)

    payment = Payment.objects.get(public_id="pay_ext1")
    assert told == ["applied"] * 6
    assert (payment.amount_minor, payment.currency, payment.refunded_minor) == (4900, "EUR", 0)
    assert payment.buyer.email == "ines@example.com"
    assert payment.membership == Membership.objects.get(public_id="mem_ext1")
    assert TeamMember.objects.get().company.name == "Hahn & Co"
    eligibility.check(payment, payment.buyer, now=clock.now(), has_case=False)


def test_a_fed_person_gets_in_with_a_first_password_of_their_own_and_not_without() -> None:
    feed(BUYER)
    tries = [Client().login(username="ines@example.com", password=word) for word in ("", "!", "x")]
    Client().post("/password-reset/", {"email": "ines@example.com"})

    assert tries == [False, False, False]
    assert Notification.objects.get().recipient.email == "ines@example.com"


@pytest.mark.parametrize("seed", range(2))
def test_records_come_in_any_order_and_any_number_of_times(seed: int) -> None:
    records = [*ALL, *ALL]
    random.Random(seed).shuffle(records)
    for record in records:
        feed(record)

    assert set(feed(*ALL)) == {"unchanged"}
    assert (User.objects.count(), Company.objects.count(), Product.objects.count()) == (2, 1, 1)
    assert Payment.objects.get().membership == Membership.objects.get()
    assert FedRecord.objects.exclude(needs=[]).count() == 0


def test_what_names_something_unknown_waits_for_it() -> None:
    waited = send({"records": [PAID]}).json()["results"][0]
    before = Payment.objects.count()
    told = feed(BUYER, SHOP, SELLER, HOLD, THING)

    assert waited["status"] == "waiting"
    assert waited["waits_for"] == ["user_ext1", "prod_ext1", "mem_ext1"]
    assert (before, Payment.objects.count()) == (0, 1)
    assert told == ["applied"] * 5


def test_an_older_record_changes_nothing() -> None:
    feed(BUYER | {"name": "Ines Prado Ruiz", "updated_at": LATER})

    assert feed(BUYER) == ["outdated"]
    assert User.objects.get().name == "Ines Prado Ruiz"


def test_the_terms_of_a_payment_never_change_and_its_refunds_are_never_lowered() -> None:
    feed(*ALL[:-1], PAID | {"refunded_amount": "10.00"})
    for change, name in (
        ({"amount": "50.00"}, "amount"), ({"currency": "usd"}, "currency"),
        ({"charge_id": "ch_other"}, "charge_id"), ({"paid_at": AT}, "paid_at"),
        ({"processor": "paypal"}, "processor"), ({"user_id": "user_ext2"}, "user_id"),
    ):  # fmt: skip
        assert said(PAID | change | {"updated_at": LATER}) == (
            "refused", f"The {name} of a payment never changes.",
        )  # fmt: skip
    again = feed(PAID | {"refunded_amount": "0", "method": "Visa ending 1881", "updated_at": LATER})

    payment = Payment.objects.get()
    assert again == ["applied"]
    assert (payment.refunded_minor, payment.method) == (1000, "Visa ending 1881")
    assert (payment.amount_minor, payment.charge_id) == (4900, "ch_ext1")


def test_what_is_said_to_be_refunded_is_looked_up_at_the_provider(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    rung: list[tuple[Any, ...]] = []
    monkeypatch.setattr("api.ingest.ring", lambda *what: rung.append(what))
    feed(*ALL)
    quiet = list(rung)
    feed(PAID | {"refunded_amount": "10.00", "updated_at": LATER})

    assert quiet == []
    assert rung == [("payments.tasks.look_at_payments", [Payment.objects.get().pk])]
    assert Payment.objects.get().refunded_minor == 0


def test_what_ended_with_a_refund_stays_ended() -> None:
    feed(*ALL)
    Membership.objects.update(status="ended", ends_at=NOW)
    told = feed(HOLD | {"status": "active", "renews_at": LATER, "updated_at": LATER})

    found = Membership.objects.get()
    assert told == ["applied"]
    assert (found.status, found.renews_at) == ("ended", None)


def test_a_team_that_is_given_is_all_of_it() -> None:
    feed(BUYER, SELLER, SHOP)
    feed(SHOP | {"updated_at": LATER, "title": "Hahn",
         "team": [{"user_id": "user_ext1", "role": "support"}]})  # fmt: skip
    feed({k: v for k, v in SHOP.items() if k != "team"} | {"updated_at": LATER})

    place = TeamMember.objects.get()
    assert (place.user.name, place.role) == ("Ines Prado", "support")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"email": "nobody"}, "“email” is not an e-mail address."),
        ({"time_zone": "Mars/Olympus"}, "“time_zone” is not a name such as Europe/Berlin."),
        ({"time_zone": "../../etc/passwd"}, "“time_zone” is not a name such as Europe/Berlin."),
        ({"id": "user_"}, "“id”: String should match pattern '^user_[A-Za-z0-9]{1,34}$'."),
        ({"is_staff": True}, "“is_staff”: Extra inputs are not permitted."),
        ({"type": "plan"}, "“type” is one of user, company, product, membership, payment."),
        ({"type": ["user"]}, "“type” is one of user, company, product, membership, payment."),
        ({"updated_at": "2026-11-22"}, "“updated_at”: Input should have timezone info."),
    ],
)
def test_a_record_that_is_wrong_is_refused_and_the_others_are_not(
    change: dict[str, Any], message: str
) -> None:
    answer = send({"records": [BUYER | change, SELLER]}).json()["results"]

    assert [(one["status"], one["message"]) for one in answer] == [
        ("refused", message),
        ("applied", None),
    ]
    assert [user.name for user in User.objects.all()] == ["Otto Hahn"]


def test_what_contradicts_is_refused(sam: User) -> None:
    feed(*ALL)

    assert said(SELLER | {"id": "user_ext3"}) == (
        "refused", "Another user has this e-mail address.",
    )  # fmt: skip
    assert said(PAID | {"id": "pay_ext2"}) == ("refused", "Another payment has this charge_id.")
    assert said(PAID | {"id": "pay_ext3", "charge_id": "c", "amount": "0.005"}) == (
        "refused", "EUR has no amount like 0.005.",
    )  # fmt: skip
    assert said(BUYER | {"id": sam.public_id, "email": "evil@example.com"}) == (
        "refused", "This is a person of the platform’s own staff; they are not fed.",
    )  # fmt: skip
    status, message = said(PAID | {"id": "pay_ext4", "charge_id": "d", "amount": 49.0})
    assert (status, message) == ("refused", "“amount”: Value error, write amounts as strings.")


def test_only_what_is_signed_and_fresh_is_taken(settings: Settings) -> None:
    body = {"records": [BUYER]}
    answers = [
        send(body, secret="another"), send(body, age=400), send(body, age=-400),
        send(body, tamper=b" "), Client().post("/api/v1/ingest", body, "application/json"),
    ]  # fmt: skip
    settings.INGEST_SECRETS = []
    answers.append(send(body, secret=""))

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json()["error"]["code"] == "invalid_signature"
    assert (User.objects.count(), FedRecord.objects.count()) == (0, 0)


def test_bad_bodies_are_refused() -> None:
    bodies = [
        b"{", b"[]", b'{"records": []}', b'{"records": [1]}', b'{"records": [{}], "more": 1}',
        b'{"records": [{"type": "user\\u0000"}]}', json.dumps({"records": [BUYER] * 201}).encode(),
        b" " * (2 * 2**20 + 1),
    ]  # fmt: skip

    assert [send(body).status_code for body in bodies] == [400] * 7 + [413]
    assert User.objects.count() == 0


def test_the_usual_libraries_sign_it_alike() -> None:
    """Standard Webhooks’ own library takes the secret in base64."""
    raw = json.dumps({"records": [BUYER]})
    signer = Webhook(base64.b64encode(SECRET.encode()).decode())
    now = clock.now()
    headers = {
        "webhook-id": "msg_7",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign("msg_7", now, raw),
    }
    answer = Client().post(
        "/api/v1/ingest", raw, content_type="application/json", headers=headers
    )  # fmt: skip

    assert answer.json()["results"][0]["status"] == "applied"
