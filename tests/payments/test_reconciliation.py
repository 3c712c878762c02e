"""Our books and the provider's are compared, and what cannot be mended is written down once."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from marketplace import clock
from marketplace.models import User
from payments import credits, reconciliation, refunds, tasks
from payments.models import Discrepancy, Payment, Refund
from tests.payments.test_refunds import PART, ask, made, paid, sums
from tests.payments.test_webhooks import PROCESSORS
from tests.people import MakePayment
from tests.sandbox_fixture import SandboxClient


def look(payment: Payment) -> None:
    tasks.look_at_payments([payment.pk])


def open_rows() -> list[tuple[str, str, str]]:
    rows = Discrepancy.objects.filter(settled_at=None, gone_at=None).order_by("pk")
    return list(rows.values_list("kind", "reference", "detail"))


@pytest.mark.parametrize("processor", PROCESSORS)
def test_books_that_agree_leave_nothing(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    refunds.send(ask(payment).pk)

    look(payment)

    assert open_rows() == []
    assert sums(payment) == (0, PART)


def test_a_refund_in_flight_for_long_is_settled_from_the_list(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    assert list(reconciliation.too_long_under_way()) == []
    Refund.objects.update(first_sent_at=timezone.now() - timedelta(hours=2))
    assert list(reconciliation.too_long_under_way()) == [payment.pk]

    look(payment)

    assert sums(payment) == (0, PART)
    assert list(reconciliation.too_long_under_way()) == []


def test_each_day_all_that_moved_lately_is_compared(
    make_payment: MakePayment,
) -> None:
    long_ago = clock.now() - timedelta(days=400)
    recent, old, old_refunded = (
        make_payment(), make_payment(paid_at=long_ago), make_payment(paid_at=long_ago),
    )  # fmt: skip
    make_payment(processor="crypto")
    ask(old_refunded)

    found = list(reconciliation.recently_moved())

    assert sorted(found) == [recent.pk, old_refunded.pk]
    assert old.pk not in found


def test_a_refund_that_the_provider_does_not_know_is_written_down_once(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    refunds.settle(refund.pk, refunds.RefundAnswer("re_nowhere", "succeeded"), token=None)

    look(payment)
    look(payment)

    detail = f"{refund.public_id} over $25.00 is not listed there."
    assert open_rows() == [("missing", "re_nowhere", detail)]


def test_money_that_went_out_after_all_is_written_down(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment)
    sandbox.fault("stripe", "refund.create", "500_after_effect")
    refunds.send(refund.pk)
    refunds.settle(refund.pk, refunds.RefundAnswer("", "failed", "expired"), token=None)

    look(payment)

    assert [row[0] for row in open_rows()] == ["ended_here"]
    refund.refresh_from_db()
    assert refund.state == "failed"


def test_one_refund_of_ours_twice_at_the_provider_is_counted_twice_and_written_down(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refund = ask(payment, 1000)
    refunds.send(refund.pk)
    sandbox.forget_keys()
    Refund.objects.filter(pk=refund.pk).update(state="pending", provider_id="", settled_at=None)
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=0, reserved_minor=1000)
    Refund.objects.filter(pk=refund.pk).update(next_attempt_at=timezone.now())
    refunds.send(refund.pk)
    assert made(sandbox, payment) == [1000, 1000]

    look(payment)

    assert [row[0] for row in open_rows()] == ["twice"]
    assert sums(payment) == (0, 2000)


def test_more_than_is_left_was_given_back_elsewhere(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    with transaction.atomic():
        credits.grant(payment, 6000, key="c", cause="revt_1", note="Instead.")
    name = sandbox.refund_elsewhere(payment.charge_id, PART)

    look(payment)

    assert open_rows() == [("no_room", name, "$25.00 was given back at the provider.")]
    assert not Refund.objects.exists()


def test_what_no_longer_differs_is_gone_and_comes_back_as_the_same_row(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    refunds.send(ask(payment).pk)
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=PART + 1)
    look(payment)
    assert [row[0] for row in open_rows()] == ["sums"]
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=PART)
    look(payment)
    assert open_rows() == []

    Payment.objects.filter(pk=payment.pk).update(refunded_minor=PART + 1)
    look(payment)

    assert [row[0] for row in open_rows()] == ["sums"]
    assert Discrepancy.objects.count() == 1


def test_what_finance_has_settled_stays_settled(
    make_payment: MakePayment, sandbox: SandboxClient, sam: User
) -> None:
    payment = paid(make_payment, sandbox)
    refunds.settle(ask(payment).pk, refunds.RefundAnswer("re_x", "succeeded"), token=None)
    look(payment)
    now = timezone.now()
    Discrepancy.objects.update(settled_at=now, settled_by=sam, note="By bank transfer.")

    look(payment)

    assert open_rows() == []
    assert Discrepancy.objects.count() == 1


def test_a_look_that_is_out_of_date_changes_nothing(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    sandbox.dispute(payment.charge_id)
    later = timezone.now() + timedelta(minutes=1)
    Payment.objects.filter(pk=payment.pk).update(looked_at=later, chargeback="won")

    look(payment)

    payment.refresh_from_db()
    assert (payment.chargeback, payment.looked_at) == ("won", later)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_provider_that_does_not_answer_changes_nothing(
    make_payment: MakePayment, sandbox: SandboxClient, processor: str
) -> None:
    payment = paid(make_payment, sandbox, processor)
    sandbox.refund_elsewhere(payment.charge_id, PART)
    sandbox.fault(processor, "dispute.find", "500_before", times=20)

    look(payment)

    assert sums(payment) == (0, 0)
    sandbox.behave()
    look(payment)
    assert sums(payment) == (0, PART)


@pytest.mark.parametrize("currency", ["JPY", "KWD", "UGX", "ISK"])
def test_refunds_elsewhere_are_read_in_every_kind_of_currency(
    make_payment: MakePayment, sandbox: SandboxClient, currency: str
) -> None:
    payment = make_payment(currency=currency)
    sandbox.register("stripe", payment.charge_id, payment.amount_minor, currency)
    sandbox.refund_elsewhere(payment.charge_id, 1200)

    look(payment)

    assert sums(payment) == (0, 1200)


def test_a_charge_of_hundreds_of_refunds_is_read_to_the_last_page(
    make_payment: MakePayment, sandbox: SandboxClient
) -> None:
    payment = paid(make_payment, sandbox)
    for _ in range(205):
        sandbox.refund_elsewhere(payment.charge_id, 10)

    look(payment)

    assert sums(payment) == (0, 2050)
    assert Refund.objects.filter(elsewhere=True).count() == 205
