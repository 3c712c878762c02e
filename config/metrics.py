"""The page that Prometheus reads: how many, how old, how late, how fast.

What is counted by events comes from three places: requests from this server's processes, tasks and
providers' refusals from Valkey, everything else from the database, by the queries of GAUGES. They
read by partial indexes what is under way, never what is done, and are asked once in CACHE_SECONDS
by each process.
"""

import hmac
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from config.celery import QUEUES
from config.watch import BUCKETS
from marketplace import clock, tally
from payments.models import Payment

log = logging.getLogger(__name__)

CACHE_SECONDS = 10.0

REQUESTS = Histogram(
    "resolution_request_seconds",
    "How long requests took, by the name of their address and the first digit of the answer.",
    ["view", "method", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@dataclass(frozen=True)
class Gauge:
    """A value by labels, out of the rows of a query: the labels first, the value last."""

    name: str
    says: str
    labels: tuple[str, ...]
    query: str


GAUGES: Sequence[Gauge] = (
    Gauge(
        "resolution_cases",
        "Cases by state and by whose move it is; closed ones are estimated.",
        ("state", "waiting_on"),
        """
        WITH open AS (SELECT state, waiting_on, count(*) AS how_many FROM resolution_case
                       WHERE state <> 'closed' GROUP BY 1, 2)
        SELECT * FROM open
         UNION ALL
        SELECT 'closed', 'nobody',
               greatest(0, (SELECT reltuples FROM pg_class WHERE oid = 'resolution_case'::regclass)
                           - coalesce((SELECT sum(how_many) FROM open), 0))""",
    ),
    Gauge(
        "resolution_cases_overdue",
        "Cases whose deadline is over, by whose move it is. Those of buyers and creators escalate.",
        ("waiting_on",),
        """
        SELECT waiting_on, count(*) FROM resolution_case
         WHERE state <> 'closed' AND due_at <= %(business)s AND frozen_at IS NULL GROUP BY 1""",
    ),
    Gauge(
        "resolution_case_overdue_seconds",
        "How long the deadline of the case that is most overdue is over.",
        ("waiting_on",),
        """
        SELECT waiting_on, extract(epoch FROM %(business)s - min(due_at)) FROM resolution_case
         WHERE state <> 'closed' AND due_at <= %(business)s AND frozen_at IS NULL GROUP BY 1""",
    ),
    Gauge(
        "resolution_cases_with_failed_money",
        "Cases in front of finance because their refund failed for good.",
        (),
        "SELECT count(*) FROM resolution_case WHERE state <> 'closed' AND money = 'failed'",
    ),
    Gauge(
        "resolution_refunds",
        "Refunds that are not done, by how far they are and by provider.",
        ("state", "provider"),
        """
        SELECT CASE WHEN r.state = 'pending' AND p.chargeback = 'open' THEN 'waits_for_bank'
                    WHEN r.in_doubt_since IS NOT NULL THEN 'in_doubt' ELSE r.state END,
               p.processor, count(*)
          FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
         WHERE r.state IN ('pending', 'submitting', 'requires_action') GROUP BY 1, 2
         UNION ALL
        SELECT r.state, p.processor, count(*)
          FROM resolution_case c JOIN payments_refund r ON r.id = c.refund_id
          JOIN payments_payment p ON p.id = r.payment_id
         WHERE c.state <> 'closed' AND r.state IN ('held', 'failed', 'canceled') GROUP BY 1, 2""",
    ),
    Gauge(
        "resolution_refund_oldest_seconds",
        "How long the oldest refund has been under way, by how far it is and by provider.",
        ("state", "provider"),
        """
        SELECT CASE WHEN r.state = 'pending' AND p.chargeback = 'open' THEN 'waits_for_bank'
                    WHEN r.in_doubt_since IS NOT NULL THEN 'in_doubt' ELSE r.state END,
               p.processor,
               extract(epoch FROM %(business)s - min(greatest(r.created_at, c.updated_at)))
          FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
          LEFT JOIN resolution_case c ON c.refund_id = r.id
         WHERE r.state IN ('pending', 'submitting', 'requires_action') GROUP BY 1, 2""",
    ),
    Gauge(
        "resolution_refunds_wanting_somebody",
        "Refunds that waiting alone does not mend, by provider: a key is refused, terms differ.",
        ("provider",),
        """
        SELECT p.processor, count(*)
          FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
         WHERE r.alert GROUP BY 1""",
    ),
    Gauge(
        "resolution_discrepancies",
        "Differences between our books and the providers’ that nobody has seen to, by kind.",
        ("kind",),
        """
        SELECT kind, count(*) FROM payments_discrepancy
         WHERE gone_at IS NULL AND settled_at IS NULL GROUP BY 1""",
    ),
    Gauge(
        "resolution_messages_waiting",
        "E-mails that wait to leave.",
        (),
        "SELECT count(*) FROM notifications_notification WHERE state IN ('pending', 'sending')",
    ),
    Gauge(
        "resolution_message_late_seconds",
        "How late the e-mail is that should have left first; quiet hours do not count.",
        (),
        """
        SELECT extract(epoch FROM %(machine)s - min(
                   CASE WHEN error <> '' THEN created_at ELSE next_attempt_at END))
          FROM notifications_notification
         WHERE state IN ('pending', 'sending')
           AND (error <> '' OR next_attempt_at <= %(machine)s)
        HAVING count(*) > 0""",
    ),
    Gauge(
        "resolution_messages_given_up",
        "E-mails that no server has taken.",
        (),
        "SELECT count(*) FROM notifications_notification WHERE state = 'dead'",
    ),
    Gauge(
        "resolution_inbox_events",
        "Events of the providers that nobody has seen to, by provider.",
        ("provider",),
        """
        SELECT provider, count(*) FROM payments_providerevent
         WHERE processed_at IS NULL GROUP BY 1""",
    ),
    Gauge(
        "resolution_inbox_oldest_seconds",
        "How long the oldest of them waits, by provider.",
        ("provider",),
        """
        SELECT provider, extract(epoch FROM %(machine)s - min(received_at))
          FROM payments_providerevent WHERE processed_at IS NULL GROUP BY 1""",
    ),
    Gauge(
        "resolution_webhooks_waiting",
        "Webhooks out that wait to leave; `due` are those whose time has come.",
        ("due",),
        """
        SELECT CASE WHEN next_attempt_at <= %(machine)s THEN 'yes' ELSE 'no' END, count(*)
          FROM notifications_webhookdelivery WHERE state IN ('pending', 'sending') GROUP BY 1""",
    ),
    Gauge(
        "resolution_webhook_late_seconds",
        "How late the webhook out is that should have left first.",
        (),
        """
        SELECT extract(epoch FROM %(machine)s - min(next_attempt_at))
          FROM notifications_webhookdelivery
         WHERE state IN ('pending', 'sending') AND next_attempt_at <= %(machine)s
        HAVING count(*) > 0""",
    ),
    Gauge(
        "resolution_files_in_quarantine",
        "Files that the virus scanner has not answered for.",
        (),
        "SELECT count(*) FROM resolution_attachment WHERE state = 'checking'",
    ),
    Gauge(
        "resolution_quarantine_oldest_seconds",
        "How long the oldest of them waits.",
        (),
        """
        SELECT extract(epoch FROM %(business)s - min(created_at)) FROM resolution_attachment
         WHERE state = 'checking' HAVING count(*) > 0""",
    ),
    Gauge(
        "resolution_sweep_age_seconds",
        "How long ago each task of the schedule last ended.",
        ("task",),
        "SELECT task, extract(epoch FROM %(machine)s - ended_at) FROM config_sweeprun",
    ),
    Gauge(
        "resolution_sweep_failed",
        "1 where the last run of a task of the schedule failed.",
        ("task",),
        "SELECT task, failed::int FROM config_sweeprun",
    ),
)

COUNTED: dict[str, tuple[str, str]] = {
    "tasks": ("resolution_tasks", "Tasks that workers have ended."),
    "provider_refusals": (
        "resolution_provider_refusals",
        "Calls that a provider has answered with: your key is not good (401, 403).",
    ),
}


class Collected(Collector):
    """What is read when the page is asked for, kept for a few seconds."""

    def __init__(self) -> None:
        self.kept: list[Metric] = []
        self.kept_until = 0.0

    def collect(self) -> Iterable[Metric]:
        if time.monotonic() >= self.kept_until:
            self.kept = [*self._all()]
            self.kept_until = time.monotonic() + CACHE_SECONDS
        return self.kept

    def _all(self) -> Iterator[Metric]:
        answers = GaugeMetricFamily(
            "resolution_source_answers",
            "1 where what is shown here could be read, by where it is kept.",
            labels=["source"],
        )
        for source, read in {"database": _of_the_database, "valkey": _of_valkey}.items():
            try:
                found = list(read())
            except (DatabaseError, redis.RedisError) as trouble:
                log.warning("No metrics of the %s: %s", source, trouble)
                answers.add_metric([source], 0)
            else:
                yield from found
                answers.add_metric([source], 1)
        yield answers
        every = GaugeMetricFamily(
            "resolution_sweep_interval_seconds",
            "How often each task of the schedule is meant to run.",
            labels=["task"],
        )
        for task, entry in settings.CELERY_BEAT_SCHEDULE.items():
            every.add_metric([task], float(entry["options"]["expires"]))
        yield every


def _of_the_database() -> Iterator[Metric]:
    now = {"business": clock.now(), "machine": timezone.now()}
    with connection.cursor() as cursor:
        for gauge in GAUGES:
            cursor.execute(gauge.query, now)
            metric = GaugeMetricFamily(gauge.name, gauge.says, labels=gauge.labels)
            for *labels, value in cursor.fetchall():
                metric.add_metric(labels, float(value))
            yield metric


def _of_valkey() -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "resolution_queue_tasks", "Tasks that wait for a worker, by queue.", labels=["queue"]
    )
    for queue, many in _waiting_tasks().items():
        waiting.add_metric([queue], float(many))
    yield waiting
    counts = dict(tally.read())
    for provider in Payment.REVERSIBLE:  # a counter that begins at 1 has not risen
        counts.setdefault(("provider_refusals", (("provider", provider.value),)), 0)
    for counted, (name, says) in COUNTED.items():
        found = [
            (dict(labels), value) for (what, labels), value in counts.items() if what == counted
        ]
        metric = CounterMetricFamily(name, says, labels=sorted(found[0][0]) if found else ())
        for labels, value in found:
            metric.add_metric([labels[label] for label in sorted(labels)], value)
        yield metric
    yield _task_seconds(counts)


def _waiting_tasks() -> dict[str, int]:
    """How many tasks wait in each queue, of whatever broker."""
    if not settings.BROKER_URL.startswith("amqp"):
        with redis.Redis.from_url(settings.BROKER_URL, socket_timeout=2) as broker:
            return {queue: int(cast("int", broker.llen(queue))) for queue in sorted(QUEUES)}
    with current_app.connection_for_read() as broker:
        channel: Any = broker.default_channel  # of amqp here; its type knows virtual ones only
        told = {q: channel.queue_declare(q, durable=True, auto_delete=False) for q in QUEUES}
        return {queue: answer.message_count for queue, answer in sorted(told.items())}


def _task_seconds(counts: tally.Counted) -> Metric:
    metric = HistogramMetricFamily(
        "resolution_task_seconds", "How long tasks took.", labels=["task"]
    )
    bounds = [*map(str, BUCKETS), "+Inf"]
    for (what, labels), total in counts.items():
        if what == "task_seconds_sum":
            in_all, buckets = 0.0, []
            for bound in bounds:
                in_all += counts.get(("task_seconds_bucket", (("le", bound), *labels)), 0)
                buckets.append((bound, in_all))
            metric.add_metric([dict(labels)["task"]], buckets, sum_value=total)
    return metric


collected = Collected()


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for who has a token; without one set there is no such page outside the demo."""
    if not settings.METRICS_TOKENS and not settings.DEMO:
        raise Http404
    if settings.METRICS_TOKENS and not _has_token(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    # Each of several processes answers for all of them, out of the files that they share.
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    others = CollectorRegistry()
    others.register(collected)
    return HttpResponse(
        generate_latest(registry) + generate_latest(others), content_type=CONTENT_TYPE_LATEST
    )


def _has_token(request: HttpRequest) -> bool:
    said = request.headers.get("Authorization", "").encode()
    return any(
        hmac.compare_digest(said, f"Bearer {token}".encode()) for token in settings.METRICS_TOKENS
    )


def measured(view: str, method: str, status: int, seconds: float) -> None:
    """Count a request. What a browser can make up (methods) does not make up labels."""
    known = method if method in KNOWN_METHODS else "other"
    REQUESTS.labels(view, known, f"{status // 100}xx").observe(seconds)


KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
