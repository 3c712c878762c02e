"""Webhooks out: what companies’ own systems are told of, how it is signed, sent and sent again.

`announce` writes one row for each endpoint that listens, in the transaction of what it tells of.
`deliver` sends what is due: the body is made by the caller's `compose` when it first leaves, and
nothing is locked and no transaction is open while an endpoint is talked to. A row is held by a
lease, and only who holds it may settle it. How an address is reached safely is in outgoing.py.
"""

import base64
import hashlib
import hmac
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.doorbell import ring
from marketplace.models import Company, TeamMember
from marketplace.public_ids import new_public_id
from notifications import outgoing
from notifications.models import Notification, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from notifications.webhook_letters import DISABLED

log = logging.getLogger(__name__)

VERSION_DATE = "2026-10-15-1"
"""The version of the shapes that are sent, as the API counts them."""

EVENTS: Mapping[str, str | Promise] = {
    "resolution_center_case.created": _lazy("A buyer has opened a case"),
    "resolution_center_case.updated": _lazy("Something happened in a case"),
    "resolution_center_case.decided": _lazy("A case was decided"),
    "refund.created": _lazy("A refund was asked for"),
    "refund.updated": _lazy("A refund has come further, or failed"),
}
"""What an endpoint can be told of, in the words of the page where one is made."""

MOST_ENDPOINTS = 20

PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 60, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 18, 24)))
)
"""How long a message waits after each failed attempt: eleven attempts over three days."""

MAX_ATTEMPTS = len(PAUSES) + 1
GIVES_UP_AFTER = timedelta(days=3)
LEASE = timedelta(minutes=2)
KEPT = timedelta(days=30)

THREADS = 32
AT_ONCE = 4
"""Requests to one endpoint at a time; one that fails gets a single one."""

RUN_SECONDS = 25.0
LOOK_EVERY_SECONDS = 0.25
"""How often the next messages are looked for while most threads are with slow endpoints."""

LOCK = 0x7765_6268
"""The advisory lock of a run: one at a time, so that webhooks never take all the workers."""

PENDING, SENDING = WebhookDelivery.State.PENDING, WebhookDelivery.State.SENDING
SENT, DEAD = WebhookDelivery.State.SENT, WebhookDelivery.State.DEAD

Compose = Callable[[Sequence[WebhookDelivery]], Mapping[int, Mapping[str, Any] | None]]
"""From messages to what their envelopes hold (`data`, …) by primary key; None where it is gone."""


class WebhookRefused(Exception):
    """The endpoint cannot be so; the sentence says why, `field` which part it is about."""

    def __init__(self, sentence: str, field: str) -> None:
        super().__init__(sentence)
        self.field = field


# ── Endpoints ─────────────────────────────────────────────────────────────────────────────────────


def listening_to(company: str) -> Exists:
    """Whether an endpoint of the company in this column listens; to annotate a query with."""
    return Exists(WebhookEndpoint.objects.filter(company=OuterRef(company), enabled=True))


def make_endpoint(
    company: Company,
    url: str,
    events: Sequence[str],
    *,
    enabled: bool = True,
    api_version_date: str = "",
) -> WebhookEndpoint:
    """A new endpoint, with a secret of its own. Raises WebhookRefused."""
    _check(url, events)
    with transaction.atomic():
        Company.objects.select_for_update(no_key=True).get(pk=company.pk)
        if WebhookEndpoint.objects.filter(company=company).count() >= MOST_ENDPOINTS:
            raise WebhookRefused(
                _("A company can have {most_endpoints} webhooks at most.").format(
                    most_endpoints=MOST_ENDPOINTS
                ),
                "url",
            )
        return WebhookEndpoint.objects.create(
            company=company,
            url=url,
            events=_in_order(events),
            enabled=enabled,
            api_version_date=api_version_date,
        )


def change_endpoint(
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
    api_version_date: str | None = None,
) -> WebhookEndpoint:
    """Change what is given. Turning it on starts afresh; off gives up what waits to leave.

    Raises WebhookRefused.
    """
    fields: dict[str, Any] = {}
    if url is not None and url != endpoint.url:
        _check(url, events or endpoint.events)
        fields["url"] = url
    if events is not None:
        _check(url or endpoint.url, events, look_up=False)
        fields["events"] = _in_order(events)
    if api_version_date is not None:
        fields["api_version_date"] = api_version_date
    if enabled is not None and enabled != endpoint.enabled:
        fields |= {"enabled": enabled, "disabled_at": None, "disabled_reason": ""}
        fields |= {"failing_since": None, "consecutive_failures": 0}
    with transaction.atomic():
        if fields:
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**fields)
        if fields.get("enabled") is False:
            _give_up_all(endpoint.pk, _("The endpoint was turned off."))
    endpoint.refresh_from_db()
    return endpoint


def roll_secret(endpoint: WebhookEndpoint) -> str:
    """A new signing secret in place of the old one, which is good for nothing from now on."""
    endpoint.secret = WebhookEndpoint._meta.get_field("secret").get_default()
    endpoint.save(update_fields=["secret"])
    return endpoint.secret


def _check(url: str, events: Sequence[str], *, look_up: bool = True) -> None:
    if not events:
        raise WebhookRefused(_("Choose at least one event."), "events")
    for name in events:
        if name not in EVENTS:
            raise WebhookRefused(
                _("There is no event “{name}” here.").format(name=name[:60]), "events"
            )
    if look_up:
        try:
            outgoing.check(url)
        except outgoing.BadAddress as reason:
            raise WebhookRefused(str(reason), "url") from reason


def _in_order(events: Sequence[str]) -> list[str]:
    return [name for name in EVENTS if name in events]


# ── Announcing ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class News:
    """Something that a company's endpoints may be told of.

    `about` and `type` name it, once for all; `resource` is what is shown of it, `thread` the
    conversation whose order is kept, `facts` what `compose` will need besides.
    """

    company_id: int
    type: str
    about: str
    resource: str
    thread: str
    happened_at: datetime
    facts: Mapping[str, Any]


def announce(news: Iterable[News]) -> int:
    """Write a message for each endpoint that listens to it, in one statement; answer how many.

    The same news twice is one message. Nudges the sender once the transaction is committed.
    """
    told = list(news)
    if not told:
        return 0
    columns: list[list[Any]] = [
        [one.company_id for one in told],
        [one.type for one in told],
        [one.about for one in told],
        [one.resource for one in told],
        [one.thread for one in told],
        [one.happened_at for one in told],
        [json.dumps(one.facts, cls=DjangoJSONEncoder) for one in told],
        [new_public_id("msg_") for _ in told],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notifications_webhookdelivery
                   (endpoint_id, message_id, key, type, about, resource, thread, facts, happened_at,
                    body, state, attempts, next_attempt_at, error, created_at)
            SELECT e.id, n.message_id, n.about || ':' || n.type, n.type, n.about, n.resource,
                   n.thread, n.facts::jsonb, n.happened_at, '', 'pending', 0, %s, '', %s
              FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
                          %s::timestamptz[], %s::text[], %s::text[]) WITH ORDINALITY
                   AS n(company_id, type, about, resource, thread, happened_at, facts, message_id,
                        place)
              JOIN notifications_webhookendpoint AS e
                ON e.company_id = n.company_id AND e.enabled AND n.type = ANY (e.events)
             ORDER BY n.place
                ON CONFLICT (endpoint_id, key) DO NOTHING
            """,
            [timezone.now(), timezone.now(), *columns],
        )
        written = cursor.rowcount
    if written:
        ring(settings.WEBHOOKS_TASK)
    return written


# ── Sending ───────────────────────────────────────────────────────────────────────────────────────


def deliver(compose: Compose, seconds: float = RUN_SECONDS) -> int:
    """Send what is due, many endpoints at a time, for so long; answer how many attempts were made.

    One endpoint gets few requests at a time, so a slow one holds up nobody else. Answers 0 when
    another worker is at it already. It must not be called in a transaction.
    """
    with _alone() as alone:
        if not alone:
            return 0
        return _deliver(compose, time.monotonic() + seconds)


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        held: bool = cursor.fetchone()[0]
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _deliver(compose: Compose, until: float) -> int:
    token, made, look_again = uuid.uuid4(), 0, 0.0
    running: dict[Future[outgoing.Answer], WebhookDelivery] = {}
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks") as pool:
        while True:
            now, free = time.monotonic(), THREADS - len(running)
            if now < until and (free >= THREADS // 4 or (free and now >= look_again)):
                look_again = now + LOOK_EVERY_SECONDS
                batch = _claim(token, free)
                for delivery in _with_bodies(compose, batch, token):
                    sent = pool.submit(_send, delivery.endpoint, delivery.message_id, delivery.body)
                    running[sent] = delivery
            if not running:
                return made
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for sent in done:
                delivery = running.pop(sent)
                trouble = sent.exception()
                if trouble is not None:
                    log.error("%s could not be sent", delivery.message_id, exc_info=trouble)
                answer = outgoing.Answer(error=repr(trouble)) if trouble else sent.result()
                _settle(delivery, token, answer)
                made += 1


def _claim(token: uuid.UUID, limit: int) -> list[WebhookDelivery]:
    """Take a lease on messages that are due: of each endpoint a few, of each thread the first."""
    now = timezone.now()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH free AS (
                SELECT d.id FROM notifications_webhookdelivery AS d
                 WHERE d.id IN (
                    SELECT due.id
                      FROM notifications_webhookendpoint AS e
                     CROSS JOIN LATERAL (
                        SELECT f.id FROM notifications_webhookdelivery AS f
                         WHERE f.endpoint_id = e.id AND f.state IN ('pending', 'sending')
                           AND f.next_attempt_at <= %(now)s
                           AND (f.state = 'pending' OR f.lease_until < %(now)s)
                           AND NOT EXISTS (
                                SELECT FROM notifications_webhookdelivery AS b
                                 WHERE b.endpoint_id = f.endpoint_id AND b.thread = f.thread
                                   AND b.id < f.id AND b.state IN ('pending', 'sending'))
                         ORDER BY f.next_attempt_at, f.id
                         LIMIT GREATEST(0, CASE WHEN e.failing_since IS NULL THEN %(at_once)s
                                                ELSE 1 END - (
                                SELECT count(*) FROM notifications_webhookdelivery AS s
                                 WHERE s.endpoint_id = e.id AND s.state = 'sending'
                                   AND s.lease_until >= %(now)s))
                     ) AS due
                     WHERE e.enabled
                     ORDER BY due.id LIMIT %(limit)s)
                   AND (d.state = 'pending' OR d.lease_until < %(now)s)
                   FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE notifications_webhookdelivery AS d
               SET state = 'sending', lease_token = %(token)s, lease_until = %(until)s,
                   attempts = d.attempts + 1
              FROM free WHERE d.id = free.id
            RETURNING d.id
            """,
            {
                "now": now,
                "until": now + LEASE,
                "token": token,
                "at_once": AT_ONCE,
                "limit": limit,
            },
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    if not ids:
        return []
    rows = WebhookDelivery.objects.filter(pk__in=ids).select_related("endpoint__company")
    return list(rows.order_by("pk"))


def _with_bodies(
    compose: Compose, batch: Sequence[WebhookDelivery], token: uuid.UUID
) -> list[WebhookDelivery]:
    """Those of the batch that have something to say, said for the first time where need be."""
    fresh = [delivery for delivery in batch if not delivery.body]
    said = _compose_each(compose, fresh) if fresh else {}
    ready = []
    for delivery in batch:
        if not delivery.body:
            content = said.get(delivery.pk)
            if content is None:
                _held(delivery, token).update(
                    state=DEAD,
                    error="There is nothing to show of this any more.",
                    settled_at=timezone.now(),
                    **NOT_HELD,
                )
                continue
            if isinstance(content, Exception):
                _try_again(delivery, token, f"It could not be put into words: {content!r}")
                continue
            delivery.body = _envelope(delivery, content)
            WebhookDelivery.objects.filter(pk=delivery.pk).update(body=delivery.body)
        ready.append(delivery)
    return ready


def _compose_each(
    compose: Compose, batch: Sequence[WebhookDelivery]
) -> Mapping[int, Mapping[str, Any] | Exception | None]:
    """What each message shows, or what went wrong with this one alone."""
    try:
        return compose(batch)
    except Exception as trouble:
        if len(batch) == 1:
            log.exception("No body for %s", batch[0].message_id)
            return {batch[0].pk: trouble}
        alone = [_compose_each(compose, [delivery]) for delivery in batch]
        return {pk: said for single in alone for pk, said in single.items()}


def _envelope(delivery: WebhookDelivery, content: Mapping[str, Any]) -> str:
    return envelope(
        delivery.endpoint, delivery.message_id, delivery.type, delivery.happened_at, content
    )


def envelope(
    endpoint: WebhookEndpoint,
    message_id: str,
    kind: str,
    happened_at: datetime,
    content: Mapping[str, Any],
) -> str:
    """The JSON that is signed and sent: what happened where and when, then what is shown of it."""
    told = {
        "id": message_id,
        "api_version": "v1",
        "api_version_date": endpoint.api_version_date or VERSION_DATE,
        "type": kind,
        "timestamp": happened_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "account_id": endpoint.company.public_id,
        **content,
    }
    return json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"))


def _send(endpoint: WebhookEndpoint, message_id: str, body: str) -> outgoing.Answer:
    """One signed request, as of this very second."""
    raw = body.encode()
    return outgoing.post(endpoint.url, raw, signed(endpoint.secret, message_id, raw, time.time()))


def signed(secret: str, message_id: str, body: bytes, at: float) -> dict[str, str]:
    """The headers of Standard Webhooks. The key is the secret's literal bytes, prefix and all."""
    stamp = str(int(at))
    content = b".".join([message_id.encode(), stamp.encode(), body])
    digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "resolution-center-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


# ── What came of it ───────────────────────────────────────────────────────────────────────────────

NOT_HELD: Mapping[str, Any] = {"lease_token": None, "lease_until": None}


def _held(delivery: WebhookDelivery, token: uuid.UUID) -> "QuerySet[WebhookDelivery]":
    return WebhookDelivery.objects.filter(pk=delivery.pk, lease_token=token, state=SENDING)


def _settle(delivery: WebhookDelivery, token: uuid.UUID, answer: outgoing.Answer) -> None:
    """Write down an attempt, what becomes of its message, and how the endpoint is doing."""
    with transaction.atomic(durable=True):
        if not _still_there(delivery.endpoint_id):
            return
        _log(delivery.endpoint, delivery, delivery.body, answer, number=delivery.attempts)
        if answer.ok:
            held = _held(delivery, token)
            held.update(state=SENT, settled_at=timezone.now(), error="", **NOT_HELD)
            _is_well(delivery.endpoint_id)
            return
        why = answer.error or f"It answered {answer.code}."
        given_up = _try_again(delivery, token, why, answer.retry_after)
        _is_unwell(delivery.endpoint_id, first=delivery.attempts == 1, given_up=given_up)


def _still_there(endpoint_pk: int) -> bool:
    """Whether the endpoint was not deleted while it was talked to; it stays until the commit."""
    rows = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint_pk)
    return bool(rows.values_list("pk").first())


def _log(
    endpoint: WebhookEndpoint,
    delivery: WebhookDelivery | None,
    body: str,
    answer: outgoing.Answer,
    *,
    number: int = 1,
    replayed_from: int | None = None,
    kind: str = "",
) -> WebhookAttempt:
    replayed = replayed_from or (delivery.facts.get("replayed_from") if delivery else None)
    return WebhookAttempt.objects.create(
        endpoint=endpoint,
        delivery=delivery,
        replayed_from_id=replayed,
        number=number,
        type=delivery.type if delivery else kind,
        resource=delivery.resource if delivery else "",
        request_body=body,
        response_code=answer.code,
        response_body=answer.body.decode("utf-8", "replace").replace("\0", "�"),
        error=answer.error[:300],
        success=answer.ok,
        seconds=answer.seconds,
        sent_at=timezone.now() - timedelta(seconds=answer.seconds),
    )


def _try_again(
    delivery: WebhookDelivery, token: uuid.UUID, error: str, retry_after: int = 0
) -> bool:
    """Let a message wait, longer each time; give it up, and answer so, after the last attempt."""
    held = _held(delivery, token)
    if delivery.attempts >= MAX_ATTEMPTS:
        return bool(held.update(state=DEAD, error=error, settled_at=timezone.now(), **NOT_HELD))
    pause = PAUSES[delivery.attempts - 1] * random.uniform(1, 1.15)  # noqa: S311
    pause = max(pause, timedelta(seconds=min(retry_after, 3600)))
    held.update(state=PENDING, error=error, next_attempt_at=timezone.now() + pause, **NOT_HELD)
    return False


def _is_well(endpoint_pk: int) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint_pk).filter(
        Q(failing_since__isnull=False) | Q(consecutive_failures__gt=0)
    ).update(failing_since=None, consecutive_failures=0)


def _is_unwell(endpoint_pk: int, *, first: bool, given_up: bool) -> None:
    """Count a failure; disable the endpoint when it has known nothing else for three days."""
    now = timezone.now()
    given: dict[str, Any] = {"last_failure_at": now} if given_up else {}
    WebhookEndpoint.objects.filter(pk=endpoint_pk).update(
        failing_since=Coalesce("failing_since", now),
        consecutive_failures=F("consecutive_failures") + int(first),
        **given,
    )
    disabled = WebhookEndpoint.objects.filter(
        pk=endpoint_pk, enabled=True, failing_since__lte=now - GIVES_UP_AFTER
    ).update(
        enabled=False,
        disabled_at=now,
        disabled_reason=WebhookEndpoint.DisabledReason.DELIVERY_FAILURES,
    )
    if disabled:
        _give_up_all(endpoint_pk, "The endpoint failed for three days and was disabled.")
        _tell_owners(WebhookEndpoint.objects.get(pk=endpoint_pk))


def _give_up_all(endpoint_pk: int, why: str) -> None:
    """Let go of all that waits for an endpoint; it can be replayed once the endpoint is back."""
    WebhookDelivery.objects.filter(
        endpoint=endpoint_pk, state__in=WebhookDelivery.WAITING
    ).update(state=DEAD, error=why, settled_at=timezone.now(), **NOT_HELD)  # fmt: skip


def _tell_owners(endpoint: WebhookEndpoint) -> None:
    """One e-mail to each owner and admin."""
    assert endpoint.disabled_at is not None
    at = int(endpoint.disabled_at.timestamp())
    runs_it = TeamMember.objects.filter(
        company=endpoint.company_id,
        role__in=[TeamMember.Role.OWNER, TeamMember.Role.ADMIN],
        user__is_active=True,
    ).select_related("user")
    Notification.objects.bulk_create(
        Notification(
            key=f"{endpoint.public_id}:{at}:{place.user.public_id}:email",
            recipient=place.user,
            kind=DISABLED,
            about=endpoint.public_id,
            thread=endpoint.public_id,
        )
        for place in runs_it
    )
    ring("resolution.tasks.deliver")


# ── By hand ───────────────────────────────────────────────────────────────────────────────────────


def send_test(
    endpoint: WebhookEndpoint, kind: str, content: Mapping[str, Any]
) -> tuple[WebhookAttempt, str]:
    """Send a made-up event at once; answer its log entry and what the endpoint said to it.

    It says nothing about the endpoint's health. Not to be called in a transaction.
    """
    message_id = new_public_id("msg_")
    body = envelope(endpoint, message_id, kind, clock.now(), content)
    answer = _send(endpoint, message_id, body)
    with transaction.atomic():
        if not _still_there(endpoint.pk):
            raise WebhookRefused(_("This webhook was deleted."), "id")
        return _log(endpoint, None, body, answer, kind=kind), _said(answer)


def replay_attempt(
    attempt: WebhookAttempt, *, regenerate_id: bool = False
) -> tuple[WebhookAttempt, str]:
    """Send what an attempt sent once more, at once; answer its log entry and what was said to it.

    Receivers that know the id can drop it, unless it gets a new one. Not to be called in a
    transaction. Raises WebhookRefused when the endpoint is turned off.
    """
    endpoint, body = attempt.endpoint, attempt.request_body
    if not endpoint.enabled:
        raise WebhookRefused(_("Turn the webhook on before you replay anything."), "enabled")
    message_id = str(json.loads(body)["id"])
    if regenerate_id:
        message_id = new_public_id("msg_")
        body = _under_another_id(body, message_id)
    answer = _send(endpoint, message_id, body)
    with transaction.atomic():
        if not _still_there(endpoint.pk):
            raise WebhookRefused(_("This webhook was deleted."), "id")
        delivery = attempt.delivery
        number = delivery.log.count() + 1 if delivery else attempt.number + 1
        logged = _log(
            endpoint, delivery, body, answer,
            number=number, replayed_from=attempt.pk, kind=attempt.type,
        )  # fmt: skip
        if answer.ok:
            _is_well(endpoint.pk)
        if answer.ok and delivery:
            waiting = WebhookDelivery.objects.filter(
                pk=delivery.pk, state__in=(PENDING, DEAD), body=body
            )
            waiting.update(state=SENT, settled_at=timezone.now(), error="")
    return logged, _said(answer)


def _said(answer: outgoing.Answer) -> str:
    return answer.body.decode("utf-8", "replace").replace("\0", "�") or answer.error


def _under_another_id(body: str, message_id: str) -> str:
    told = json.loads(body) | {"id": message_id}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


MOST_REPLAYED = 1000


def replay(
    endpoint: WebhookEndpoint,
    *,
    sent_after: datetime,
    sent_before: datetime | None = None,
    events: Sequence[str] = (),
    failed_only: bool = False,
    regenerate_ids: bool = False,
) -> int:
    """Let the messages of a window leave once more, each as it was; answer how many.

    What was given up without an attempt counts as failed, and what waits for another attempt gets
    it now. Of more than a thousand, the oldest.
    Raises WebhookRefused when the endpoint is turned off.
    """
    if not endpoint.enabled:
        raise WebhookRefused(_("Turn the webhook on before you replay anything."), "enabled")
    found = WebhookDelivery.objects.filter(endpoint=endpoint, created_at__gte=sent_after)
    if sent_before:
        found = found.filter(created_at__lte=sent_before)
    if events:
        found = found.filter(type__in=events)
    now = timezone.now()
    last = WebhookAttempt.objects.filter(delivery=OuterRef("pk")).order_by("-sent_at", "-pk")
    with transaction.atomic():
        settled = found.filter(state__in=[DEAD] if failed_only else [SENT, DEAD])
        again = list(
            settled.select_for_update(of=("self",))
            .annotate(last=last.values("pk")[:1])
            .order_by("pk")[:MOST_REPLAYED]
        )
        for delivery in again:
            delivery.state, delivery.attempts, delivery.settled_at = PENDING, 0, None
            delivery.next_attempt_at = now
            delivery.facts |= {"replayed_from": delivery.last}
            if regenerate_ids:
                delivery.message_id = new_public_id("msg_")
                if delivery.body:
                    delivery.body = _under_another_id(delivery.body, delivery.message_id)
        WebhookDelivery.objects.bulk_update(
            again,
            ["state", "attempts", "settled_at", "next_attempt_at", "facts", "message_id", "body"],
        )
        waiting = found.filter(state=PENDING, attempts__gt=0, next_attempt_at__gt=now)
        sooner = waiting.update(next_attempt_at=now)
        ring(settings.WEBHOOKS_TASK)
    return len(again) + sooner


def forget_old() -> int:
    """Remove what was settled a month ago, and the log of it; answer how many messages."""
    before = timezone.now() - KEPT
    WebhookAttempt.objects.filter(sent_at__lt=before).delete()
    old = WebhookDelivery.objects.filter(settled_at__lt=before).order_by("settled_at")
    return WebhookDelivery.objects.filter(pk__in=old.values("pk")[:5000]).delete()[0]
