"""What Celery runs for accounts: safe to run twice."""

from celery import shared_task

from accounts import sessions


@shared_task
def sweep_sessions() -> None:
    """Remove the sessions that are over."""
    while sessions.remove_ended():
        pass
