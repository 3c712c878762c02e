"""Webhooks out: what is told to whom, in which order, how often, and how it is signed."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from whop_sdk.lib.verify_webhook import WebhookVerificationError

from api import announced
from marketplace.models import Company, TeamMember, User
from notifications import outbox, webhooks
from notifications.models import Notification, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from notifications.webhooks import DEAD, PENDING, SENT, News
from payments import refunds
from payments.models import Refund
from resolution import announcements, cases, messages, sweeps
from resolution.models import Case
from resolution.terms import Actor
from tests.notifications.conftest import MailServer
from tests.people import MakePayment, make_user
from tests.sandbox_fixture import SandboxClient
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db

EVERYTHING = list(webhooks.EVENTS)
CREATED, UPDATED, DECIDED = EVERYTHING[:3]


def deliver() -> int:
    return webhooks.deliver(announced.compose)


def tell(company: Company, about: str, thread: str = "pay_1", case: Case | None = None) -> None:
    """Something happened in a case."""
    shown = {"is": announcements.standing(case), "was": None} if case else {}
    webhooks.announce(
        [
            News(
                company.pk, UPDATED, about, case.public_id if case else "reso_none", thread,
                timezone.now(), shown,
            )
        ]
    )  # fmt: skip


def plainly(deliveries: Any) -> dict[int, Any]:
    """Bodies that name what they are about."""
    return {one.pk: {"data": {"about": one.about}} for one in deliveries}


def make_due(**fields: Any) -> None:
    """Let what waits for another attempt have it now."""
    WebhookDelivery.objects.filter(state=PENDING).update(
        next_attempt_at=timezone.now() - timedelta(seconds=1), **fields
    )


def test_a_case_is_told_step_by_step_as_its_creator_would_see_it(
    endpoint: WebhookEndpoint,
    receiver: Receiver,
    waiting_case: Case,
    creator: Actor,
    company: Company,
) -> None:
    cases.take_step(waiting_case, "deny", creator, message="It does what it says.")
    while deliver():
        pass

    told = [one.checked(endpoint.secret) for one in receiver.received]
    assert [event["type"] for event in told] == [CREATED, UPDATED, UPDATED, DECIDED]
    assert {event["account_id"] for event in told} == {company.public_id}
    assert {event["data"]["id"] for event in told} == {waiting_case.public_id}
    assert [event["id"] for event in told] == [
        one.headers["webhook-id"] for one in receiver.received
    ]
    opened, handed_over, denied, decided = told
    assert "previous_attributes" not in opened
    assert opened["data"]["status"] == "awaiting_merchant"
    assert opened["data"]["response_due_at"] == opened["data"]["created_at"]
    assert sorted(handed_over["previous_attributes"]) == [
        "available_actions", "response_due_at", "updated_at"
    ]  # fmt: skip
    assert handed_over["data"]["available_actions"] == ["accept", "deny", "request_info"]
    assert denied["previous_attributes"]["status"] == "awaiting_merchant"
    assert denied["data"] == decided["data"]
    assert decided["data"]["outcome"] == "merchant_won"
    assert decided["data"]["buyer"]["email"] is None


def test_a_refund_is_told_from_request_to_arrival(
    endpoint: WebhookEndpoint,
    receiver: Receiver,
    sandbox: SandboxClient,
    waiting_case: Case,
    creator: Actor,
) -> None:
    sandbox.register("stripe", waiting_case.payment.charge_id, 6400)
    cases.take_step(waiting_case, "accept", creator)
    refund = Refund.objects.get()
    refunds.send(refund.pk)
    sweeps.notice_refund(waiting_case.pk)
    while deliver():
        pass

    told = [one.event for one in receiver.received if one.event["type"].startswith("refund.")]
    shown = [(event["type"], event["data"]["status"]) for event in told]
    assert shown[0] == ("refund.created", "pending")
    assert shown[-1] == ("refund.updated", "succeeded")
    assert told[-1]["previous_attributes"] == {"status": "pending"}
    assert {event["data"]["id"] for event in told} == {refund.public_id}


def test_what_was_refunded_elsewhere_is_told_once(
    endpoint: WebhookEndpoint, receiver: Receiver, make_payment: MakePayment
) -> None:
    refund = Refund.objects.create(
        payment=make_payment(), amount_minor=500, currency="USD", key="elsewhere:re_1",
        cause="stripe", state="succeeded", elsewhere=True, provider_id="re_1",
    )  # fmt: skip
    announcements.announce_elsewhere(refund.payment_id)
    announcements.announce_elsewhere(refund.payment_id)
    deliver()

    assert receiver.types() == ["refund.created"]
    assert receiver.received[0].event["data"]["status"] == "succeeded"


def test_without_an_endpoint_nothing_is_asked_or_written(
    waiting_case: Case, creator: Actor, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(99) as silent:
        cases.take_step(waiting_case, "request_info", creator, message="Which one?")

    asked = [query["sql"] for query in silent.captured_queries]
    assert [sql for sql in asked if "webhookdelivery" in sql] == []
    assert WebhookDelivery.objects.count() == 0


def test_telling_costs_one_statement_however_many_listen(
    endpoint: WebhookEndpoint,
    receiver: Receiver,
    waiting_case: Case,
    creator: Actor,
    company: Company,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    webhooks.make_endpoint(company, f"{receiver.url}/second", [UPDATED])
    with django_assert_max_num_queries(99) as heard:
        cases.take_step(waiting_case, "request_info", creator, message="Which one?")

    asked = [query["sql"] for query in heard.captured_queries]
    assert len([sql for sql in asked if "webhookdelivery" in sql]) == 1
    asked_for = waiting_case.events.get(step="request_info")
    assert WebhookDelivery.objects.filter(about=asked_for.public_id).count() == 2


def test_nobody_is_told_what_only_staff_may_see(
    endpoint: WebhookEndpoint, waiting_case: Case, staff: Actor
) -> None:
    before = WebhookDelivery.objects.count()
    cases.take_step(waiting_case, "note", staff, message="Third case of theirs this week.")

    assert WebhookDelivery.objects.count() == before


def test_an_endpoint_hears_only_of_its_company_and_of_what_it_chose(
    receiver: Receiver, company: Company, nia: User, case: Case
) -> None:
    others = Company.objects.get(members__user=nia)
    for whose, path, events in (
        (company, "/chosen", [DECIDED]),
        (others, "/others", EVERYTHING),
        (company, "/off", EVERYTHING),
    ):
        webhooks.make_endpoint(whose, receiver.url + path, events, enabled=path != "/off")
    tell(company, "revt_1")
    deliver()

    assert receiver.received == []
    assert WebhookDelivery.objects.count() == 0


def test_the_same_news_is_one_message(endpoint: WebhookEndpoint, company: Company) -> None:
    tell(company, "revt_1")
    tell(company, "revt_1")

    assert WebhookDelivery.objects.count() == 1


def test_a_failed_message_is_sent_again_as_it_was_and_holds_back_only_its_own_thread(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_1", "pay_1")
    tell(company, "revt_2", "pay_1")
    receiver.codes = [503]
    webhooks.deliver(plainly)
    tell(company, "revt_3", "pay_2")
    webhooks.deliver(plainly)
    first = [one.event["data"]["about"] for one in receiver.received]
    make_due()
    while webhooks.deliver(plainly):
        pass

    # Nothing of the first thread overtook its first message; the other thread went on.
    again = [one.event["data"]["about"] for one in receiver.received]
    assert (first, again) == (["revt_1", "revt_3"], ["revt_1", "revt_3", "revt_1", "revt_2"])
    assert receiver.received[0].body == receiver.received[2].body
    assert receiver.received[0].headers["webhook-id"] == receiver.received[2].headers["webhook-id"]
    log = WebhookAttempt.objects.filter(delivery__about="revt_1").order_by("pk")
    assert [(one.number, one.response_code, one.success) for one in log] == [
        (1, 503, False),
        (2, 200, True),
    ]


def test_attempts_go_on_for_three_days(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    receiver.always = 500
    tell(company, "revt_1")
    waits = []
    for _ in range(webhooks.MAX_ATTEMPTS):
        webhooks.deliver(plainly)
        delivery = WebhookDelivery.objects.get()
        waits.append((delivery.next_attempt_at - timezone.now()).total_seconds())
        make_due()

    assert (delivery.state, delivery.attempts) == (DEAD, 11)
    for waited, pause in zip(waits[:-1], webhooks.PAUSES, strict=True):
        assert pause.total_seconds() - 1 < waited <= pause.total_seconds() * 1.15
    assert sum(webhooks.PAUSES, timedelta()) > timedelta(days=3)
    endpoint.refresh_from_db()
    assert endpoint.consecutive_failures == 1
    assert endpoint.last_failure_at is not None


def test_after_three_days_of_failures_the_endpoint_is_disabled_and_its_owners_are_told(
    endpoint: WebhookEndpoint,
    receiver: Receiver,
    company: Company,
    cleo: User,
    mail_server: MailServer,
) -> None:
    TeamMember.objects.create(company=company, user=make_user("Sue Port"), role="support")
    receiver.always = 500
    tell(company, "revt_1")
    tell(company, "revt_2")
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=3, minutes=1))
    webhooks.deliver(plainly)
    outbox.deliver(messages.compose)

    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "delivery_failures")
    assert endpoint.disabled_at is not None
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {DEAD}
    assert len(receiver.received) == 1
    assert [notice.recipient for notice in Notification.objects.all()] == [cleo]
    assert mail_server.subjects == ["Your webhook to 127.0.0.1 was turned off"]
    tell(company, "revt_3")
    assert WebhookDelivery.objects.count() == 2


def test_what_was_missed_is_replayed_once_the_endpoint_is_back(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_1")
    webhooks.deliver(plainly)
    tell(company, "revt_2")
    webhooks.change_endpoint(endpoint, enabled=False)
    with pytest.raises(webhooks.WebhookRefused):
        webhooks.replay(endpoint, sent_after=timezone.now() - timedelta(days=1))
    webhooks.change_endpoint(endpoint, enabled=True)
    queued = webhooks.replay(
        endpoint, sent_after=timezone.now() - timedelta(days=1), failed_only=True
    )
    webhooks.deliver(plainly)

    assert queued == 1
    assert [one.event["data"]["about"] for one in receiver.received] == ["revt_1", "revt_2"]


def test_one_attempt_is_replayed_under_its_own_id_or_a_new_one(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_1")
    webhooks.deliver(plainly)
    first = WebhookAttempt.objects.get()
    same, said = webhooks.replay_attempt(first)
    webhooks.replay_attempt(first, regenerate_id=True)

    assert said == '{"ok": true}'
    assert (same.success, same.number, same.replayed_from) == (True, 2, first)
    ids = [one.checked(endpoint.secret)["id"] for one in receiver.received]
    assert ids[0] == ids[1] != ids[2]


def test_a_test_event_is_signed_and_says_nothing_of_the_endpoints_health(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    receiver.always = 404
    for kind in EVERYTHING:
        webhooks.send_test(endpoint, kind, announced.sample(kind, company))

    endpoint.refresh_from_db()
    assert [one.checked(endpoint.secret)["type"] for one in receiver.received] == EVERYTHING
    assert endpoint.failing_since is None
    assert WebhookAttempt.objects.filter(response_code=404, success=False).count() == 5


def test_a_slow_endpoint_holds_up_nobody_else(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    quick = webhooks.make_endpoint(company, f"{receiver.url}/quick", EVERYTHING)
    at_the_slow_one: list[int] = []

    def quick_has_all() -> bool:
        paths = [one.path for one in receiver.received]
        if paths.count("/quick") < 6:
            return False
        at_the_slow_one.append(paths.count("/hook"))
        return True

    receiver.waits_for = {"/hook": quick_has_all}
    for number in range(6):
        tell(company, f"revt_{number}", f"pay_{number}")
    webhooks.deliver(plainly)

    # At most four requests were with the slow one, and meanwhile the quick one got all of its own.
    assert 1 <= at_the_slow_one[0] <= webhooks.AT_ONCE
    assert WebhookAttempt.objects.filter(endpoint=quick, success=True).count() == 6
    assert WebhookAttempt.objects.filter(endpoint=endpoint, success=True).count() == 6


def test_a_worker_that_died_leaves_a_lease_that_runs_out(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_1")
    WebhookDelivery.objects.update(
        state="sending", attempts=1, lease_until=timezone.now() + timedelta(minutes=1)
    )
    held = webhooks.deliver(plainly)
    WebhookDelivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    webhooks.deliver(plainly)

    assert held == 0
    assert WebhookDelivery.objects.get().state == SENT
    assert len(receiver.received) == 1


def test_one_message_without_words_does_not_stop_the_others(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_bad", "pay_1")
    tell(company, "revt_gone", "pay_2")
    tell(company, "revt_good", "pay_3")

    def compose(deliveries: Any) -> dict[int, Any]:
        if any(one.about == "revt_bad" for one in deliveries):
            raise ValueError("no words")
        return plainly([one for one in deliveries if one.about != "revt_gone"])

    webhooks.deliver(compose)

    assert [one.event["data"]["about"] for one in receiver.received] == ["revt_good"]
    states = dict(WebhookDelivery.objects.values_list("about", "state"))
    assert states == {"revt_bad": PENDING, "revt_gone": DEAD, "revt_good": SENT}


def test_a_new_secret_signs_from_then_on(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    old = endpoint.secret
    webhooks.roll_secret(endpoint)
    tell(company, "revt_1")
    webhooks.deliver(plainly)

    assert endpoint.secret.startswith("ws_")
    assert receiver.received[0].checked(endpoint.secret)["data"] == {"about": "revt_1"}
    with pytest.raises(WebhookVerificationError):
        receiver.received[0].checked(old)


def test_what_is_over_a_month_old_is_forgotten(
    endpoint: WebhookEndpoint, receiver: Receiver, company: Company
) -> None:
    tell(company, "revt_1")
    webhooks.deliver(plainly)
    kept = webhooks.forget_old()
    long_ago = timezone.now() - timedelta(days=31)
    WebhookDelivery.objects.update(settled_at=long_ago)
    WebhookAttempt.objects.update(sent_at=long_ago)
    gone = webhooks.forget_old()

    assert (kept, gone) == (0, 1)
    assert WebhookAttempt.objects.count() == 0
