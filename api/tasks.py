"""What Celery runs for the API."""

from celery import shared_task

from api import announced, files, forgetting, idempotency
from marketplace import sealed
from marketplace.doorbell import answer
from notifications import webhooks

ROUNDS = 4  # of half a minute each: well within what a task may take


@shared_task
def sweep_answers() -> None:
    """Remove answers that are no longer given again, files that never came, and the erased."""
    idempotency.forget_old_answers()
    files.forget_unused()
    forgetting.forget_erased()


@shared_task
def deliver_webhooks() -> None:
    """Send companies’ own systems what is due; what is left after some rounds the sweep finds."""
    answer("api.tasks.deliver_webhooks")
    for _ in range(ROUNDS):
        if not webhooks.deliver(announced.compose):
            return


@shared_task
def sweep_webhooks() -> None:
    """Remove what was sent a month ago, and seal the secrets of endpoints with the newest key."""
    while webhooks.forget_old():
        pass
    while sealed.reseal():
        pass
