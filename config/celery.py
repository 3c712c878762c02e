"""The Celery application: what runs when. What a task does is in the apps' own `tasks.py`.

Messages are nudges. The rows in PostgreSQL are the truth, and the sweeps find what a lost message
left behind, so nothing here stores results or schedules work for later.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("resolution-center")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def beat_schedule(sweep_seconds: float) -> dict[str, dict[str, object]]:
    """What beat sends, and how often. A sweep that finds no worker in time is dropped."""
    every = {
        "resolution.tasks.sweep_cases": sweep_seconds,
        "resolution.tasks.sweep_refunds": sweep_seconds,
        "resolution.tasks.deliver": sweep_seconds,
        "resolution.tasks.sweep_uploads": 3600,
        "api.tasks.sweep_answers": 3600,
        "api.tasks.deliver_webhooks": sweep_seconds,
        "api.tasks.sweep_webhooks": 24 * 3600,
        "payments.tasks.handle_events": sweep_seconds,
        "payments.tasks.reconcile_in_flight": 3600,
        "payments.tasks.reconcile_recent": 24 * 3600,
        "payments.tasks.prune_events": 24 * 3600,
    }
    return {
        task: {
            "task": task,
            "schedule": seconds,
            "options": {"expires": seconds, "queue": "sweeps"},
        }
        for task, seconds in every.items()
    }
