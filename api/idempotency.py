"""`Idempotency-Key`: a POST that is sent twice acts once, and is answered the same both times."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.http import HttpResponse
from django.utils import timezone
from ninja.responses import Status
from pydantic import BaseModel

from api.auth import ApiRequest
from api.errors import ApiError
from api.models import KeptAnswer

KEPT = timedelta(hours=24)
ANSWERED_BY_NOW = timedelta(minutes=2)
HEADER = "Idempotency-Key"
LONGEST = 255


def idempotent(view: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a view answers in the transaction in which it acts; give it again to a repeat.

    The view answers with a Schema or with `Status(code, schema)`, and raises what it refuses: then
    nothing has happened, and nothing is kept. Two requests with one key at once act one after the
    other. Put it below the router's decorator.
    """

    @wraps(view)
    def once(request: ApiRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = _key_of(request)
        with transaction.atomic():
            if key is None:
                return _response(*_told(view(request, *args, **kwargs)))
            kept = _claim(request, key)
            if kept is None:
                status, body = _told(view(request, *args, **kwargs))
                KeptAnswer.objects.filter(token=request.auth.token, key=key).update(
                    status=status, body=body
                )
                return _response(status, body)
        return _again(kept)

    return once


def idempotent_call(view: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a view that talks to somebody else, which no transaction may wait for.

    The key is taken and committed first, and the answer kept after. A repeat in between is refused
    with 409; one that comes long after a process died in between acts once more.
    """

    @wraps(view)
    def once(request: ApiRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = _key_of(request)
        if key is None:
            return _response(*_told(view(request, *args, **kwargs)))
        mine = KeptAnswer.objects.filter(token=request.auth.token, key=key)
        mine.filter(status=0, created_at__lte=timezone.now() - ANSWERED_BY_NOW).delete()
        with transaction.atomic():
            kept = _claim(request, key)
        if kept is not None and kept.status == 0:
            raise ApiError(
                409,
                "idempotency_key_in_use",
                "The first request with this key is still being worked on. Try again in a minute.",
                param=HEADER,
            )
        if kept is not None:
            return _again(kept)
        try:
            status, body = _told(view(request, *args, **kwargs))
        except BaseException:
            mine.delete()
            raise
        mine.update(status=status, body=body)
        return _response(status, body)

    return once


def _key_of(request: ApiRequest) -> str | None:
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST or not (key.isascii() and key.isprintable()):
        raise ApiError(
            400,
            "parameter_invalid",
            f"An idempotency key is 1 to {LONGEST} printable ASCII characters.",
            param=HEADER,
        )
    return key


def _again(kept: KeptAnswer) -> HttpResponse:
    response = _response(kept.status, kept.body)
    response["Idempotent-Replayed"] = "true"
    return response


def _claim(request: ApiRequest, key: str) -> KeptAnswer | None:
    """Take the key for this request, or answer what is kept under it.

    Waits for another request that holds the key until that one has committed or given up.
    """
    token, now, fingerprint = request.auth.token, timezone.now(), _fingerprint(request)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO api_keptanswer AS kept (token_id, key, fingerprint, status, body,"
            " created_at) VALUES (%s, %s, %s, 0, '', %s) ON CONFLICT (token_id, key) DO UPDATE"
            " SET fingerprint = excluded.fingerprint, status = 0, body = '',"
            " created_at = excluded.created_at WHERE kept.created_at <= %s RETURNING id",
            [token.pk, key, fingerprint, now, now - KEPT],
        )
        if cursor.fetchone():
            return None
    kept = KeptAnswer.objects.get(token=token, key=key)
    if kept.fingerprint != fingerprint:
        raise ApiError(
            409,
            "idempotency_key_reused",
            "This idempotency key was used for another request. Use a new one.",
            param=HEADER,
        )
    return kept


def _fingerprint(request: ApiRequest) -> str:
    """sha256 of method, address and body, whatever the order of the body's fields."""
    body = json.dumps(json.loads(request.body or b"null"), sort_keys=True)
    told = "\n".join([request.method or "", request.get_full_path(), body])
    return hashlib.sha256(told.encode()).hexdigest()


def _told(result: Any) -> tuple[int, str]:
    status = 200
    if isinstance(result, Status):
        status, result = result.status_code, result.value
    assert isinstance(result, BaseModel), "a view that may be repeated answers with a schema"
    return status, json.dumps(result.model_dump(mode="json"))


def _response(status: int, body: str) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json")


def forget_old_answers() -> int:
    """Remove the answers that are no longer given again; answer how many."""
    old = KeptAnswer.objects.filter(created_at__lte=timezone.now() - KEPT)
    return old.delete()[0]
