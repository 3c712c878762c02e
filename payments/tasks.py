"""What Celery runs for payments alone: the inbox, and the comparison with the providers.

What a refund means for a case is seen to in `resolution/tasks.py`.
"""

from collections.abc import Iterable
from itertools import islice

from celery import shared_task

from marketplace.doorbell import answer
from payments import reconciliation, webhooks

BATCH = 20
"""Payments that one task looks at: few enough for its time limit, however slow a provider is."""


@shared_task
def handle_events() -> None:
    """See to the events that wait in the inbox."""
    answer("payments.tasks.handle_events")
    for event_pk in webhooks.due():
        webhooks.handle(event_pk)


@shared_task
def look_at_payments(payment_ids: list[int]) -> None:
    """Compare some payments with the provider's books."""
    reconciliation.look_at_all(payment_ids)


@shared_task
def reconcile_in_flight() -> None:
    """Every hour: the payments whose money has been under way for too long."""
    _share_out(reconciliation.too_long_under_way())


@shared_task
def reconcile_recent() -> None:
    """Every day: all payments that money has moved on lately."""
    _share_out(reconciliation.recently_moved())


@shared_task
def prune_events() -> None:
    """Every day: remove the events that were seen to long ago."""
    webhooks.prune()


def _share_out(payment_ids: Iterable[int]) -> None:
    ids = iter(payment_ids)
    while batch := list(islice(ids, BATCH)):
        look_at_payments.delay(batch)
