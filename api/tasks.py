"""What Celery runs for the API."""

from celery import shared_task

from api import idempotency


@shared_task
def sweep_answers() -> None:
    """Remove the answers that are no longer given again."""
    idempotency.forget_old_answers()
