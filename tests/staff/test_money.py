"""All money that waits for somebody is on one page, until it has arrived or been accounted for."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from marketplace.models import User
from payments import credits, refunds
from payments.models import Discrepancy, Payment, Refund
from resolution import cases, sweeps
from resolution.models import Case
from resolution.terms import Actor
from tests.payments.conftest import sandbox, sandbox_process
from tests.payments.test_refunds import ask, made, paid
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient
from tests.staff.conftest import MakeWaiting, act_of, decision, now_at, page_of

__all__ = ["sandbox", "sandbox_process"]

MONEY = "/admin/resolution/case/money/"


def listed(client: Client) -> dict[str, list[tuple[str, str]]]:
    """What is on the page: by kind, what each row is about and says."""
    groups = client.get(MONEY).context["groups"]
    return {group.id: [(row.ref, row.what) for row in group.rows] for group in groups}


def test_nothing_waits(at_abes: Client) -> None:
    page = at_abes.get(MONEY).content.decode()

    assert listed(at_abes) == {}
    assert "All money that was decided has arrived or is on its way." in page


def test_a_failed_refund_stays_until_it_is_settled(at_sams: Client, failed: Case) -> None:
    before = listed(at_sams)
    page = at_sams.get(MONEY)
    [row] = page.context["groups"][0].rows
    sent = {name: row.retry[name].value() for name in ("form_key", "version")}

    answer = at_sams.post(row.retry_href, sent | {"back": "money"})

    assert (answer.status_code, answer["Location"]) == (302, MONEY)
    assert before == {"failed": [(failed.public_id, "Card expired.")]}
    assert listed(at_sams) == {}


def test_a_large_one_is_not_sent_again_by_one_click_nor_by_an_agent(
    at_sams: Client, at_abes: Client, failed: Case, settings: Settings
) -> None:
    by_an_agent = at_abes.get(MONEY).context["groups"][0].rows[0].retry
    settings.SECOND_APPROVAL_LIMIT = {"USD": 50}

    large = at_sams.get(MONEY).context["groups"][0].rows[0].retry

    assert (by_an_agent, large) == (None, None)


def test_the_timeline_keeps_why_each_refund_failed(
    at_sams: Client, failed: Case, staff: Actor
) -> None:
    cases.take_step(failed, "retry_refund", staff)
    second = now_at(failed).refund
    assert second
    told = refunds.RefundAnswer("", "failed", failure_message="The account is closed.")
    refunds.settle(second.pk, told, token=None)
    sweeps.notice_refund(failed.pk)

    entries = at_sams.get(page_of(failed)).context["entries"]

    failures = [entry.text for entry in entries if entry.strong == "The refund didn’t go through."]
    assert failures == ["Card expired.", "The account is closed."]


def test_why_it_failed_is_told_in_the_readers_language(
    at_sams: Client, sam: User, failed: Case, staff: Actor
) -> None:
    cases.take_step(failed, "retry_refund", staff)
    second = now_at(failed).refund
    assert second
    ours = "The card has expired or was canceled."
    refunds.settle(second.pk, refunds.RefundAnswer("", "failed", failure_message=ours), token=None)
    sweeps.notice_refund(failed.pk)
    sam.language = "de"
    sam.save()

    waiting = listed(at_sams)["failed"]
    entries = at_sams.get(page_of(failed)).context["entries"]

    in_german = "Die Karte ist abgelaufen oder wurde gesperrt."
    assert waiting == [(failed.public_id, in_german)]
    assert [entry.text for entry in entries if entry.tone == "bad"] == ["Card expired.", in_german]


def test_what_needs_a_second_person_is_listed_with_who_asked(
    at_abes: Client, at_sams: Client, sam: User, bea: User, make_waiting: MakeWaiting,
    settings: Settings,
) -> None:  # fmt: skip
    settings.AGENT_DECIDE_LIMIT, settings.SECOND_APPROVAL_LIMIT = {"USD": 20}, {"USD": 50}
    case = make_waiting()
    at_abes.post(act_of(case, "propose"), decision(case, do="propose"))
    wanted = credits.adjust(bea, "USD", 9000, reason="The move", by=sam, form_key=uuid4())

    assert listed(at_sams) == {
        "proposed": [
            (case.public_id, "Abe Okoro proposed a refund"),
            (wanted.public_id, "You asked for it: The move"),
        ]
    }


@pytest.mark.parametrize("processor", ["stripe", "paypal"])
def test_a_refused_key_keeps_refunds_waiting_in_sight_and_burns_none(
    make_payment: MakePayment, sandbox: SandboxClient, at_sams: Client, processor: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    refund = ask(payment)
    operation = {"stripe": "refund.create", "paypal": "token.create"}[processor]
    sandbox.end_tokens()
    sandbox.fault(processor, operation, "401")
    refunds.send(refund.pk)
    refund.refresh_from_db()
    waits = listed(at_sams)
    at_sams.post(f"{MONEY}try-again/")

    sent = refunds.send(refund.pk)

    assert (refund.state, refund.alert) == ("pending", True)
    key = {"stripe": "our key", "paypal": "our credentials"}[processor]
    told = f"{payment.get_processor_display()} does not accept {key}."
    assert waits == {"waiting": [(refund.public_id, told)]}
    assert sent
    assert (sent.state, sent.alert, made(sandbox, payment)) == ("succeeded", False, [2500])
    assert listed(at_sams) == {}


def test_only_finance_let_refunds_be_tried(at_abes: Client, payment: Payment) -> None:
    refund = ask(payment)
    later = timezone.now() + timedelta(minutes=30)
    Refund.objects.update(alert=True, next_attempt_at=later)

    answer = at_abes.post(f"{MONEY}try-again/")

    refund.refresh_from_db()
    assert (answer.status_code, refund.next_attempt_at) == (403, later)


def test_a_refund_that_the_bank_has_overtaken_is_a_task_until_somebody_has_seen_it(
    waiting_case: Case, creator: Actor, at_sams: Client
) -> None:
    cases.take_step(waiting_case, "accept", creator)
    refund = now_at(waiting_case).refund
    assert refund
    refunds.note_chargeback(waiting_case.payment_id, "lost")
    sweeps.notice_payment(waiting_case.pk)
    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.state, now_at(waiting_case).state) == ("canceled", "closed")
    told = "A refund of $64.00 was decided and never sent: the bank had ruled for the buyer."
    assert listed(at_sams) == {"differing": [(refund.payment.public_id, told)]}
    [row] = Discrepancy.objects.all()
    at_sams.post(f"/admin/payments/discrepancy/{row.pk}/change/", {"note": "Right so."})
    assert listed(at_sams) == {}


def test_a_refund_long_under_way_is_shown_though_nothing_is_wrong(
    at_sams: Client, payment: Payment
) -> None:
    refund = ask(payment)
    refunds.settle(refund.pk, refunds.RefundAnswer("re_1", "pending"), token=None)
    Refund.objects.update(first_sent_at=timezone.now() - timedelta(days=4))

    assert listed(at_sams) == {"slow": [(refund.public_id, "The provider has it.")]}
    assert at_sams.get(MONEY).context["count"] == 0


def test_a_trouble_that_passes_by_itself_is_not_shown(
    make_payment: MakePayment, sandbox: SandboxClient, at_sams: Client
) -> None:
    refund = ask(paid(make_payment, sandbox))
    sandbox.fault("stripe", "refund.create", "429")

    refunds.send(refund.pk)

    refund.refresh_from_db()
    assert (refund.trouble, refund.alert) == ("Stripe asks us to slow down.", False)
    assert listed(at_sams) == {}
