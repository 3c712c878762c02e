"""What Celery runs: find, call one function, safe to run twice. Nudged at once, swept by beat."""

from time import monotonic

from celery import shared_task

from marketplace.doorbell import answer
from notifications import outbox
from payments import refunds
from resolution import (
    announcements,
    custody,
    drafts,
    evidence,
    messages,
    presence,
    reminders,
    sweeps,
)
from resolution.models import Case

SWEEPING_SECONDS = 60
"""How long a sweep goes on while it finds work: a backlog is worked off without pauses, and what is
new comes in between, by nudges and as the first thing of each round."""


@shared_task
def advance(case_ids: list[int]) -> None:
    """Take whatever step of the system's is due on these cases."""
    sweeps.advance(case_ids)


@shared_task
def carry_out(refund_id: int) -> None:
    """Bring a refund a step further at its provider, and tell it on the case's timeline."""
    refunds.send(refund_id)
    for case_id in Case.objects.filter(refund=refund_id).values_list("pk", flat=True):
        sweeps.notice_payment(case_id)
        sweeps.notice_refund(case_id)


@shared_task
def notice_payment(payment_id: int) -> None:
    """Let a payment's case know what has become of it at the provider, and whoever listens."""
    announcements.announce_elsewhere(payment_id)
    for case_id in Case.objects.filter(payment=payment_id).values_list("pk", flat=True):
        sweeps.notice_payment(case_id)
        sweeps.notice_refund(case_id)


@shared_task
def deliver() -> None:
    """Let the messages leave that wait to."""
    answer("resolution.tasks.deliver")
    while outbox.deliver(messages.compose):
        pass


@shared_task
def sweep_cases() -> None:
    """Find the cases whose time has come or comes soon, and those whose payment has news."""
    until = monotonic() + SWEEPING_SECONDS
    while sweeps.sweep() and monotonic() < until:
        pass
    reminders.remind()
    for case_id in sweeps.with_news_of_payments():
        sweeps.notice_payment(case_id)
    for case_id in sweeps.with_news_of_refunds():
        sweeps.notice_refund(case_id)


@shared_task
def sweep_refunds() -> None:
    """Find the refunds that want work, and have it done."""
    answer("resolution.tasks.sweep_refunds")
    for refund_id in refunds.due():
        carry_out.delay(refund_id)


@shared_task
def scan_files() -> None:
    """Have the files in quarantine scanned for viruses."""
    answer("resolution.tasks.scan_files")
    custody.scan_waiting()


@shared_task
def remove_bytes() -> None:
    """Remove the bytes of files that are refused or kept no longer."""
    answer("resolution.tasks.remove_bytes")
    custody.remove_bytes()


@shared_task
def sweep_uploads() -> None:
    """Remove the files and the texts that were never sent, and what is left of removed files."""
    evidence.remove_unsent()
    drafts.remove_old()
    custody.remove_bytes()
    custody.tell_of_long_waits()


@shared_task
def keep_files() -> None:
    """Remove the files whose time is over, and compare those that are kept with their rows.

    And who of the staff had a case open long ago.
    """
    custody.remove_old()
    presence.forget()
    custody.compare_storage()
