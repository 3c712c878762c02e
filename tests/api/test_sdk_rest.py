"""The official client on files, payments, refunds and webhooks, blocking and not, over a socket."""

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from whop_sdk.core.api_error import ApiError
from whop_sdk.errors import ConflictError, NotFoundError

from api import announced, files, tokens
from api.models import FileUpload
from marketplace.models import Company, TeamMember, User
from notifications import webhooks
from notifications.models import WebhookAttempt, WebhookEndpoint
from payments import refunds
from payments.models import Payment, Refund
from resolution import cases, sweeps
from resolution.models import Attachment, Case, Event
from resolution.terms import Actor
from tests.api.sdk import Program
from tests.evidence.hostile import picture
from tests.people import MakePayment, make_user
from tests.sandbox_fixture import SandboxClient, sandbox, sandbox_process  # noqa: F401
from tests.webhooks.receiver import Receiver, receiver  # noqa: F401

Sign = Callable[..., Program]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sign_in(live_server: LiveServer, settings: Settings) -> Iterator[Sign]:
    """`sign_in(bea, "files", is_async=True)`: the part of the client that calls these."""
    settings.SITE_URL = live_server.url
    made: list[Program] = []

    def make(user: User, part: str, *, is_async: bool = False, scopes: Any = None) -> Program:
        _, secret = tokens.make(user, "SDK", scopes or list(tokens.SCOPES))
        program = Program(live_server.url, secret, is_async=is_async)
        program.resource = part
        made.append(program)
        return program

    yield make
    for each in made:
        each.close()


def part(program: Program, name: str) -> Program:
    """Another part of the same client."""
    other = copy.copy(program)
    other.resource = name
    return other


def filled(pages: list[list[Any]]) -> list[list[Any]]:
    """Without the empty page that the client asks for after the last one."""
    return [page for page in pages if page]


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])


@BOTH
def test_a_file_is_announced_filled_and_attached(
    sign_in: Sign, bea: User, make_payment: MakePayment, is_async: bool
) -> None:
    program = sign_in(bea, "files", is_async=is_async)
    made = program.call("create", filename="../proof of it.png", visibility="private")
    put = httpx.put(made.upload_url, content=picture(), headers=made.upload_headers)
    again = httpx.put(made.upload_url, content=picture())
    ready = program.call("retrieve", id=made.id)
    listed = program.pages("list", file_ids=[made.id])
    opened = part(program, "resolution_center_cases").call(
        "create",
        receipt_id=make_payment().public_id,
        reason="not_as_described",
        message="The presets were empty files, all sixty of them.",
        attachments=[{"direct_upload_id": made.id}],
    )

    assert (made.upload_status, made.filename, made.url) == ("pending", "proof of it.png", None)
    assert (put.status_code, again.status_code) == (204, 409)
    assert (ready.upload_status, ready.content_type) == ("ready", "image/png")
    assert ready.upload_url is None
    assert [[file.id for file in page] for page in filled(listed)] == [[made.id]]
    attached = Attachment.objects.get()
    assert attached.event == Event.objects.get(case__public_id=opened.id, step="open_case")
    assert len(httpx.get(ready.url).content) == attached.size == ready.size


def test_a_files_bytes_are_looked_at_like_a_browsers(
    sign_in: Sign, bea: User, nia: User, live_server: LiveServer
) -> None:
    program = sign_in(bea, "files")
    made = program.call("create", filename="proof.png")
    forged = httpx.put(made.upload_url[:-3] + "abc", content=picture())
    with override_settings(MAX_FILE_BYTES=100):
        large = httpx.put(made.upload_url, content=picture())
    drawn = httpx.put(made.upload_url, content=b"<svg onload=1>")
    late = program.call("retrieve", id=made.id)

    assert [answer.status_code for answer in (forged, large, drawn)] == [404, 413, 422]
    assert drawn.json()["error"]["message"] == "“proof.png” is not a real PNG file."
    assert late.upload_status == "failed"
    assert Attachment.objects.count() == 0
    with pytest.raises(NotFoundError):
        sign_in(nia, "files").call("retrieve", id=made.id)
    with pytest.raises(ApiError, match="A file is smaller than 25 MB"):
        program.call("create", filename="film.mp4", byte_size=10**9)


@BOTH
def test_payments_and_refunds_are_read_by_both_sides_and_nobody_else(
    sign_in: Sign,
    sandbox: SandboxClient,  # noqa: F811
    bea: User,
    cleo: User,
    nia: User,
    creator: Actor,
    waiting_case: Case,
    make_payment: MakePayment,
    is_async: bool,
) -> None:
    other = make_payment(
        currency="JPY", amount_minor=1200, processor="paypal", method="PayPal account"
    )
    sandbox.register("stripe", waiting_case.payment.charge_id, 6400)
    cases.take_step(waiting_case, "accept", creator)
    refund = Refund.objects.get()
    refunds.send(refund.pk)
    sweeps.notice_refund(waiting_case.pk)
    for person in (bea, cleo):
        program = sign_in(person, "payments", is_async=is_async)
        pages = program.pages("list", first=1)
        shown = program.call("retrieve", id=waiting_case.payment.public_id)
        given = part(program, "refunds").call("retrieve", id=refund.public_id)
        listed = part(program, "refunds").pages("list", payment_id=shown.id)
        none = part(program, "refunds").pages("list", payment_id=other.public_id)

        assert [[one.id for one in page] for page in filled(pages)] == [
            [other.public_id],
            [shown.id],
        ]
        assert (shown.status, shown.substatus, shown.refundable) == ("paid", "refunded", False)
        assert (shown.total.amount, shown.refunded_amount.amount) == ("64.00", "64.00")
        assert shown.customer_email == bea.email
        assert pages[0][0].total.amount == "1200"
        assert (given.status, given.amount.amount, given.account_id) == (
            "succeeded", "64.00", waiting_case.company.public_id,
        )  # fmt: skip
        assert (filled(listed), filled(none)) == ([[given]], [])
    stranger = sign_in(nia, "payments", is_async=is_async)
    assert filled(stranger.pages("list")) == []
    assert filled(part(stranger, "refunds").pages("list")) == []
    with pytest.raises(NotFoundError):
        part(stranger, "refunds").call("retrieve", id=refund.public_id)


def test_an_email_address_takes_a_scope_of_its_own(
    sign_in: Sign, cleo: User, make_payment: MakePayment
) -> None:
    payment = make_payment()
    shown = sign_in(cleo, "payments", scopes=[tokens.READ_PAYMENTS]).call(
        "retrieve", id=payment.public_id
    )

    assert shown.customer_email is None


@BOTH
def test_every_method_of_webhooks_works(
    sign_in: Sign,
    receiver: Receiver,  # noqa: F811
    cleo: User,
    company: Company,
    waiting_case: Case,
    creator: Actor,
    is_async: bool,
) -> None:
    program = sign_in(cleo, "webhooks", is_async=is_async)
    made = program.call("create", url=f"{receiver.url}/hook", api_version_date="2026-10-15-1")
    secret = made.webhook_secret
    tried = program.call("test", id=made.id, event="refund.created")
    cases.take_step(waiting_case, "deny", creator, message="It does what it says.")
    receiver.codes = [500]
    webhooks.deliver(announced.compose)
    failed = program.pages("list_deliveries", id=made.id)[0][0]
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    again = program.call("replay_delivery", id=made.id, delivery_id=failed.id)
    webhooks.deliver(announced.compose)
    queued = program.call(
        "replay", id=made.id, sent_after=since, events=["resolution_center_case.decided"]
    )
    webhooks.deliver(announced.compose)
    log = [one for page in program.pages("list_deliveries", id=made.id, first=2) for one in page]
    off = program.call("update", id=made.id, enabled=False, events=["refund.created"])
    listed = program.pages("list", account_id=company.public_id)
    read = program.call("retrieve", id=made.id)
    deleted = program.call("delete", id=made.id)

    assert secret.startswith("ws_")
    assert [one.webhook_secret for one in (read, listed[0][0], off)] == [None, None, None]
    assert (tried.status, tried.success, tried.body) == (200, True, '{"ok": true}')
    assert (failed.response_code, failed.success) == (500, False)
    assert failed.request_body["data"]["id"] == waiting_case.public_id
    assert (again.status, again.success, queued.queued) == (200, True, True)
    assert [(one.event.split(".")[1], one.success) for one in reversed(log)] == [
        ("created", True), ("updated", False), ("updated", True), ("decided", True),
        ("decided", True),
    ]  # fmt: skip
    assert log[2].replayed_from == failed.id
    for one in receiver.received:
        assert one.checked(secret)["account_id"] == company.public_id
    assert (off.enabled, off.events, off.disabled_reason) == (False, ["refund.created"], None)
    assert [one.id for one in listed[0]] == [made.id]
    assert deleted.deleted is True
    assert (WebhookEndpoint.objects.count(), WebhookAttempt.objects.count()) == (0, 0)


def test_only_who_runs_a_company_manages_its_webhooks(
    sign_in: Sign,
    receiver: Receiver,  # noqa: F811
    cleo: User,
    nia: User,
    company: Company,
) -> None:
    made = sign_in(cleo, "webhooks").call("create", url=receiver.url)
    helper = make_user("Sue Port")
    TeamMember.objects.create(company=company, user=helper, role="support")

    with pytest.raises(NotFoundError):
        sign_in(nia, "webhooks").call("test", id=made.id, event="refund.created")
    with pytest.raises(Exception, match="Only an owner or an admin"):
        sign_in(helper, "webhooks").call("retrieve", id=made.id)
    with pytest.raises(Exception, match="lacks the scope"):
        sign_in(cleo, "webhooks", scopes=[tokens.READ_CASES]).call("retrieve", id=made.id)
    assert receiver.received == []


def test_an_address_inside_is_refused_by_the_api(
    sign_in: Sign, cleo: User, company: Company
) -> None:
    program = sign_in(cleo, "webhooks")
    for url in ("https://169.254.169.254/", "http://93.184.216.34/", "https://localhost/"):
        with pytest.raises(ApiError) as refusal:
            program.call("create", url=url)
        assert refusal.value.status_code == 422
        assert refusal.value.body["error"]["param"] == "url"

    with pytest.raises(ApiError, match="There is no event “payment"):
        program.call("create", url="https://93.184.216.34/", events=["payment.succeeded"])
    assert WebhookEndpoint.objects.count() == 0


def test_a_test_event_under_one_key_is_sent_once(
    sign_in: Sign,
    receiver: Receiver,  # noqa: F811
    cleo: User,
    company: Company,
) -> None:
    program = sign_in(cleo, "webhooks")
    made = program.call("create", url=receiver.url)
    key = {"additional_headers": {"Idempotency-Key": "one"}}
    told = [
        program.call("test", id=made.id, event="refund.created", request_options=key)
        for _ in range(2)
    ]
    with pytest.raises(ConflictError):
        program.call("test", id=made.id, event="refund.updated", request_options=key)

    assert told[0] == told[1]
    assert len(receiver.received) == 1


def test_files_that_never_came_are_forgotten(bea: User) -> None:
    FileUpload.objects.create(user=bea, filename="new.png")
    FileUpload.objects.create(
        user=bea, filename="old.png", created_at=timezone.now() - timedelta(days=2)
    )

    assert files.forget_unused() == 1
    assert [upload.filename for upload in FileUpload.objects.all()] == ["new.png"]


@pytest.mark.parametrize("path", ["payments", "refunds"])
def test_a_list_takes_as_many_queries_for_twenty_rows_as_for_one(
    cleo: User, company: Company, make_payment: MakePayment, path: str
) -> None:
    _, secret = tokens.make(cleo, "Tests", list(tokens.SCOPES), company=company)
    client = Client(headers={"Authorization": f"Bearer {secret}"})

    def queries(rows: int) -> int:
        for number in range(rows):
            payment = make_payment()
            Refund.objects.create(
                payment=payment, amount_minor=100, currency="USD", cause="revt_1",
                key=f"{payment.public_id}", state="succeeded", provider_id=f"re_{number}_{rows}",
            )  # fmt: skip
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(f"/api/v1/{path}")
        assert len(answer.json()["data"]) == min(25, Payment.objects.count())
        return len(asked)

    queries(1)  # the token is noted as used
    assert queries(0) == queries(20) <= 5
