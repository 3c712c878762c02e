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

QUEUES: dict[str, tuple[str, ...]] = {
    "money": (
        "resolution.tasks.carry_out",
        "resolution.tasks.notice_payment",
        "resolution.tasks.sweep_refunds",
        "payments.tasks.handle_events",
        "payments.tasks.look_at_payments",
    ),
    "clock": ("resolution.tasks.advance", "resolution.tasks.sweep_cases"),
    "messages": ("resolution.tasks.deliver",),
    "webhooks": ("api.tasks.deliver_webhooks",),
    "chores": (),
}
"""The queues by purpose, and which tasks go where; whatever is not named is a chore.

A slow mail server or endpoint holds up its own queue's workers and no money, where workers are
split by queue. One worker may listen to all of them: it takes from each in turn.
"""

CHORES = "chores"


def queue_of(task: str) -> str:
    """The queue that a task is sent to."""
    return next((queue for queue, tasks in QUEUES.items() if task in tasks), CHORES)


def routes() -> dict[str, dict[str, str]]:
    """Celery's table of which task goes to which queue."""
    return {task: {"queue": queue} for queue, tasks in QUEUES.items() for task in tasks}


def transport_options(broker: str) -> dict[str, Any]:
    """What a broker of this kind is told besides its address.

    Where there is no broker a nudge is given up at once: a page does not wait for one, and the next
    sweep finds what it was about. A task ends within its time limit, which is shorter than the time
    after which Redis gives it to somebody else; if one did run twice, the rows would hold it off.
    """
    options: dict[str, Any] = {
        "max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0,
        "connect_retries_timeout": 2,
    }  # fmt: skip
    if broker.startswith("amqp"):
        return options
    return options | {
        "visibility_timeout": 2 * TIME_LIMIT,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
    }


TIME_LIMIT = 5 * 60
"""Seconds after which a task is killed with its process; a minute before, it is told to end."""


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
            "options": {"expires": seconds, "queue": queue_of(task)},
        }
        for task, seconds in every.items()
    }
