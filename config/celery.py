"""The Celery application: what runs when. What a task does is in the apps' own `tasks.py`.

Messages are nudges. The rows in PostgreSQL are the truth, and the sweeps find what a lost message
left behind, so nothing here stores results or schedules work for later.
"""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_process_init

from config.memory import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("resolution-center")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

HOUR, DAY = 3600, 24 * 3600


@worker_process_init.connect
def _settle(**_: object) -> None:
    settle()


def beat_schedule(sweep_seconds: float) -> dict[str, dict[str, Any]]:
    """What beat sends, and how often. A sweep that finds no worker in time is dropped.

    What runs by the hour or the day does so at a time of the clock: beat counts intervals from its
    own start, and one that is started anew each day would never come to what is done once a day.
    """
    by_the_clock: dict[float, crontab] = {
        HOUR: crontab(minute="23"),
        DAY: crontab(hour="3", minute="11"),
    }
    every = {
        "resolution.tasks.sweep_cases": sweep_seconds,
        "resolution.tasks.sweep_refunds": sweep_seconds,
        "resolution.tasks.deliver": sweep_seconds,
        "resolution.tasks.scan_files": sweep_seconds,
        "resolution.tasks.sweep_uploads": HOUR,
        "resolution.tasks.keep_files": DAY,
        "accounts.tasks.sweep_sessions": DAY,
        "api.tasks.sweep_answers": HOUR,
        "api.tasks.deliver_webhooks": sweep_seconds,
        "api.tasks.sweep_webhooks": DAY,
        "payments.tasks.handle_events": sweep_seconds,
        "payments.tasks.reconcile_in_flight": HOUR,
        "payments.tasks.reconcile_recent": DAY,
        "payments.tasks.prune_events": DAY,
    }
    return {
        task: {
            "task": task,
            "schedule": by_the_clock.get(seconds, seconds),
            "options": {"expires": seconds, "queue": "sweeps"},
        }
        for task, seconds in every.items()
    }
