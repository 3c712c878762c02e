"""Webhook endpoints through the API: made, changed, tried out, and their deliveries sent again."""

import json
import re
from datetime import datetime
from typing import Annotated, Any

from django.db.models import Q
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from api import announced, tokens
from api.auth import ApiRequest, Caller
from api.cases import Strict, Timestamp
from api.errors import ApiError, documented, not_found
from api.idempotency import idempotent, idempotent_call
from api.paging import CursorText, Order, PageInfo, QueryIn, Window, page_of
from api.shapes import timestamp
from marketplace.models import Company
from notifications import webhooks
from notifications.models import WebhookAttempt, WebhookEndpoint
from notifications.webhooks import EVENTS, WebhookRefused

router = Router(tags=["Webhooks"])

NAMES = {"url": "url", "events": "events", "enabled": "enabled"}
BY_AGE = Order("created_at", "created_at")
BY_SENDING = Order("sent_at", "sent_at")
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-\d{1,3})?", re.ASCII)


class WebhookItemOut(Schema):
    """A webhook endpoint. `webhook_secret` is shown once, when it is made."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    resource_id: str
    api_version: str
    api_version_date: str | None
    child_resource_events: bool
    consecutive_failures: int
    failing_since: str | None
    last_failure_at: str | None
    disabled_at: str | None
    disabled_reason: str | None
    webhook_secret: str | None
    created_at: str


class WebhookOut(WebhookItemOut):
    """A webhook endpoint, and the events that it can be tried out with."""

    testable_events: list[str]


class WebhookPage(Schema):
    """A page of endpoints, newest first."""

    data: list[WebhookItemOut]
    page_info: PageInfo


class DeliveryOut(Schema):
    """One attempt to deliver an event; `response_code` is 0 when there was no answer."""

    id: str
    event: str
    resource_id: str
    request_body: dict[str, Any]
    response_body: dict[str, Any] | None
    response_code: int
    success: bool
    total_time: float
    sent_at: str
    replayed_from: str | None


class DeliveryPage(Schema):
    """A page of attempts, newest first."""

    data: list[DeliveryOut]
    page_info: PageInfo


class DeletedOut(Schema):
    """What was deleted."""

    id: str
    deleted: bool


class SentOut(Schema):
    """What the endpoint answered; `status` is 0 when it did not."""

    status: int
    success: bool
    body: str


class QueuedOut(Schema):
    """The replay was taken; the delivery log shows how it goes."""

    queued: bool


Url = Annotated[str, Field(max_length=2000, description="An https address.")]
EventNames = Annotated[list[str], Field(max_length=50, description=", ".join(EVENTS))]


class NewWebhookIn(Strict):
    """A new endpoint. It listens to everything unless `events` says what."""

    url: Url
    events: EventNames | None = None
    enabled: bool | None = None
    resource_id: str | None = Field(None, description="The account (`biz_`), if there are several.")
    api_version_date: str | None = None
    child_resource_events: bool | None = None


class UpdateIn(Strict):
    """What is to change."""

    url: Url | None = None
    events: EventNames | None = None
    enabled: bool | None = None
    api_version_date: str | None = None
    child_resource_events: bool | None = None


class ReplayDeliveryIn(Strict):
    """Under a new id, for receivers that drop what they know."""

    regenerate_id: bool | None = None


class ReplayIn(Strict):
    """Which of the last thirty days’ events to send again."""

    sent_after: Timestamp
    sent_before: Timestamp | None = None
    events: EventNames | None = None
    failed_only: bool | None = None
    regenerate_ids: bool | None = None


class TestIn(Strict):
    """The event to try."""

    event: str


class ListQuery(Window):
    """Which endpoints, and which part of the list."""

    account_id: str | None = Field(None, description="Only of this account (`biz_`).")
    app_id: str | None = Field(None, description="There are no apps here.")
    include_app_webhooks: bool | None = Field(None, description="There are no apps here.")
    has_failures: bool | None = Field(None, description="Only those that are failing now.")


class DeliveryQuery(QueryIn):
    """Which part of the log."""

    first: int | None = Field(None, ge=1, le=100)
    after: CursorText | None = None


# ── Shapes ────────────────────────────────────────────────────────────────────────────────────────


def _item(endpoint: WebhookEndpoint, *, secret: str | None = None) -> dict[str, Any]:
    return {
        "id": endpoint.public_id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "enabled": endpoint.enabled,
        "resource_id": endpoint.company.public_id,
        "api_version": "v1",
        "api_version_date": endpoint.api_version_date or None,
        "child_resource_events": False,
        "consecutive_failures": endpoint.consecutive_failures,
        "failing_since": _maybe(endpoint.failing_since),
        "last_failure_at": _maybe(endpoint.last_failure_at),
        "disabled_at": _maybe(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason or None,
        "webhook_secret": secret,
        "created_at": timestamp(endpoint.created_at),
    }


def _maybe(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None


def webhook_out(endpoint: WebhookEndpoint, *, secret: str | None = None) -> WebhookOut:
    """An endpoint; with its secret only when it is told for the one time."""
    return WebhookOut(**_item(endpoint, secret=secret), testable_events=list(EVENTS))


def delivery_out(attempt: WebhookAttempt) -> DeliveryOut:
    """An entry of the log, read with what it replayed."""
    return DeliveryOut(
        id=attempt.public_id,
        event=attempt.type,
        resource_id=attempt.resource or attempt.endpoint.public_id,
        request_body=json.loads(attempt.request_body),
        response_body=_answered(attempt),
        response_code=attempt.response_code,
        success=attempt.success,
        total_time=round(attempt.seconds, 3),
        sent_at=timestamp(attempt.sent_at),
        replayed_from=attempt.replayed_from.public_id if attempt.replayed_from else None,
    )


def _answered(attempt: WebhookAttempt) -> dict[str, Any] | None:
    """The endpoint's JSON; of anything else the beginning, and why there is no more."""
    if attempt.error:
        return {"error": attempt.error, "raw_body": ""}
    if not attempt.response_body:
        return None
    try:
        said = json.loads(attempt.response_body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        return said
    return {"error": "The answer is no JSON object.", "raw_body": attempt.response_body[:100]}


# ── Whose ─────────────────────────────────────────────────────────────────────────────────────────


def _run_by(caller: Caller) -> list[Company]:
    """The companies whose webhooks are the caller's to manage."""
    caller.needs(tokens.MANAGE_WEBHOOKS)
    places = caller.places.values()
    found = [place.company for place in places if place.role in tokens.RUNS_THE_COMPANY]
    if not found:
        raise ApiError(403, "not_allowed", "Only an owner or an admin of an account can do that.")
    return found


def _company(caller: Caller, named: str | None) -> Company:
    companies = _run_by(caller)
    if named is None and len(companies) == 1:
        return companies[0]
    if named is None:
        raise ApiError(
            422, "parameter_missing", "Say for which of your accounts.", param="resource_id"
        )
    found = [company for company in companies if company.public_id == named]
    if not found:
        raise not_found("account", "resource_id")
    return found[0]


def _find(caller: Caller, public_id: str) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.select_related("company").filter(
        public_id=public_id, company__in=_run_by(caller)
    )
    endpoint = found.first()
    if endpoint is None:
        raise not_found("webhook", "id")
    return endpoint


def _refused(refusal: WebhookRefused) -> ApiError:
    code = "webhook_disabled" if refusal.field == "enabled" else "parameter_invalid"
    status = 409 if refusal.field == "enabled" else 422
    return ApiError(status, code, str(refusal), param=refusal.field)


def _check(body: NewWebhookIn | UpdateIn) -> None:
    if body.child_resource_events:
        raise ApiError(
            422, "parameter_invalid", "Accounts here have no others below them.",
            param="child_resource_events",
        )  # fmt: skip
    if body.api_version_date is not None and not VERSION.fullmatch(body.api_version_date):
        raise ApiError(
            422, "parameter_invalid", "A version is a date, such as 2026-10-15-1.",
            param="api_version_date",
        )  # fmt: skip


# ── Calls ─────────────────────────────────────────────────────────────────────────────────────────


@router.get("/webhooks", response={200: WebhookPage, **documented()}, operation_id="list_webhooks")
def list_webhooks(request: ApiRequest, query: Query[ListQuery]) -> WebhookPage:
    """List the endpoints of the accounts that you run."""
    companies = _run_by(request.auth)
    wanted = Q()
    if query.account_id is not None:
        wanted &= Q(company__public_id=query.account_id)
    if query.app_id is not None:
        wanted &= Q(pk__in=[])
    if query.has_failures is not None:
        wanted &= Q(failing_since__isnull=not query.has_failures)
    sides = [WebhookEndpoint.objects.filter(wanted, company=company) for company in companies]
    rows = WebhookEndpoint.objects.select_related("company")
    found, info = page_of(sides, rows, BY_AGE, query)
    return WebhookPage(data=[WebhookItemOut(**_item(one)) for one in found], page_info=info)


@router.post(
    "/webhooks",
    response={201: WebhookOut, **documented(404, 409, 413, 415, 422)},
    operation_id="create_webhook",
)
@idempotent
def create_webhook(request: ApiRequest, body: NewWebhookIn) -> Status[WebhookOut]:
    """Make an endpoint. Its secret is in this answer and in no other."""
    company = _company(request.auth, body.resource_id)
    _check(body)
    try:
        endpoint = webhooks.make_endpoint(
            company,
            body.url,
            list(EVENTS) if body.events is None else body.events,
            enabled=body.enabled is not False,
            api_version_date=body.api_version_date or "",
        )
    except WebhookRefused as refusal:
        raise _refused(refusal) from refusal
    return Status(201, webhook_out(endpoint, secret=endpoint.secret))


@router.get(
    "/webhooks/{webhook_id}",
    response={200: WebhookOut, **documented(404)},
    operation_id="retrieve_webhook",
)
def retrieve_webhook(request: ApiRequest, webhook_id: str) -> WebhookOut:
    """Retrieve an endpoint."""
    return webhook_out(_find(request.auth, webhook_id))


@router.patch(
    "/webhooks/{webhook_id}",
    response={200: WebhookOut, **documented(404, 413, 415, 422)},
    operation_id="update_webhook",
)
def update_webhook(request: ApiRequest, webhook_id: str, body: UpdateIn) -> WebhookOut:
    """Change an endpoint. Turning it off gives up what waits to be sent there."""
    endpoint = _find(request.auth, webhook_id)
    _check(body)
    pinned = None
    if "api_version_date" in body.model_fields_set:
        pinned = body.api_version_date or ""
    try:
        changed = webhooks.change_endpoint(
            endpoint,
            url=body.url,
            events=body.events,
            enabled=body.enabled,
            api_version_date=pinned,
        )
    except WebhookRefused as refusal:
        raise _refused(refusal) from refusal
    return webhook_out(changed)


@router.delete(
    "/webhooks/{webhook_id}",
    response={200: DeletedOut, **documented(404)},
    operation_id="delete_webhook",
)
def delete_webhook(request: ApiRequest, webhook_id: str) -> DeletedOut:
    """Delete an endpoint for good, with its log and its secret."""
    endpoint = _find(request.auth, webhook_id)
    endpoint.delete()
    return DeletedOut(id=webhook_id, deleted=True)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    response={200: DeliveryPage, **documented(404)},
    operation_id="list_webhook_deliveries",
)
def list_deliveries(
    request: ApiRequest, webhook_id: str, query: Query[DeliveryQuery]
) -> DeliveryPage:
    """List the attempts of the last thirty days, newest first."""
    endpoint = _find(request.auth, webhook_id)
    mine = WebhookAttempt.objects.filter(endpoint=endpoint)
    rows = WebhookAttempt.objects.select_related("endpoint", "replayed_from")
    window = Window.model_construct(
        first=query.first, after=query.after, last=None, before=None
    )  # fmt: skip
    found, info = page_of([mine], rows, BY_SENDING, window)
    return DeliveryPage(data=[delivery_out(one) for one in found], page_info=info)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    response={200: SentOut, **documented(404, 409, 413, 415, 422)},
    operation_id="replay_webhook_delivery",
)
@idempotent_call
def replay_delivery(
    request: ApiRequest, webhook_id: str, delivery_id: str, body: ReplayDeliveryIn | None = None
) -> SentOut:
    """Send what an attempt sent once more, at once, and tell what came of it."""
    endpoint = _find(request.auth, webhook_id)
    attempt = endpoint.attempts.select_related("endpoint__company", "delivery").filter(
        public_id=delivery_id
    )
    found = attempt.first()
    if found is None:
        raise not_found("delivery", "delivery_id")
    again = bool(body and body.regenerate_id)
    try:
        logged, said = webhooks.replay_attempt(found, regenerate_id=again)
    except WebhookRefused as refusal:
        raise _refused(refusal) from refusal
    return SentOut(status=logged.response_code, success=logged.success, body=said)


@router.post(
    "/webhooks/{webhook_id}/replay",
    response={200: QueuedOut, **documented(404, 409, 413, 415, 422)},
    operation_id="replay_webhook",
)
@idempotent
def replay(request: ApiRequest, webhook_id: str, body: ReplayIn) -> QueuedOut:
    """Send the events of a window again, in the background: all, some kinds, or what failed."""
    endpoint = _find(request.auth, webhook_id)
    try:
        webhooks.replay(
            endpoint,
            sent_after=datetime.fromisoformat(body.sent_after),
            sent_before=datetime.fromisoformat(body.sent_before) if body.sent_before else None,
            events=body.events or (),
            failed_only=bool(body.failed_only),
            regenerate_ids=bool(body.regenerate_ids),
        )
    except WebhookRefused as refusal:
        raise _refused(refusal) from refusal
    return QueuedOut(queued=True)


@router.post(
    "/webhooks/{webhook_id}/test",
    response={200: SentOut, **documented(404, 409, 413, 415, 422)},
    operation_id="test_webhook",
)
@idempotent_call
def test_webhook(request: ApiRequest, webhook_id: str, body: TestIn) -> SentOut:
    """Send a made-up event to the endpoint and tell what it answered."""
    endpoint = _find(request.auth, webhook_id)
    if body.event not in EVENTS:
        raise ApiError(422, "parameter_invalid", "There is no such event here.", param="event")
    content = announced.sample(body.event, endpoint.company)
    logged, said = webhooks.send_test(endpoint, body.event, content)
    return SentOut(status=logged.response_code, success=logged.success, body=said)
