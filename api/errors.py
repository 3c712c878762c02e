"""Errors in Whop's shape: `{"error": {"type", "message", "code", "param"}}`, whatever goes wrong.

A view raises ApiError. What Django, the framework or a form find is put into the same shape here.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.parser import Parser

log = logging.getLogger(__name__)

ROOT = "/api/"
UNSUPPORTED = "The text has an unsupported character in it."
TYPES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "gone",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "unprocessable_entity",
    429: "too_many_requests",
    503: "service_unavailable",
}
SENTENCES = {
    400: "The request can’t be read.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The request is too large.",
    503: "Something that we need does not answer. Try again in half a minute.",
}
KEPT = ("Allow", "Retry-After")
"""What a program is told by headers, whoever shapes the rest."""


class ErrorBody(Schema):
    """What went wrong."""

    type: str
    message: str
    code: str
    param: str | None


class ErrorOut(Schema):
    """An error."""

    error: ErrorBody


class ApiError(Exception):
    """A request that is refused; `message` is a sentence, `param` the field it is about."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = headers or {}


def not_found(what: str, param: str | None = None) -> ApiError:
    """The same answer for what does not exist and for what is somebody else's."""
    return ApiError(404, "not_found", f"There is no such {what}.", param=param)


def documented(*statuses: int) -> dict[int, Any]:
    """The error answers of an operation, for its `response`; those of every one are included."""
    return dict.fromkeys(sorted({400, 401, 403, 429, *statuses}), ErrorOut)


def answer(error: ApiError) -> HttpResponse:
    """The response for an error."""
    body = {
        "type": TYPES.get(error.status, "api_error"),
        "message": error.message,
        "code": error.code,
        "param": error.param,
    }
    return HttpResponse(
        json.dumps({"error": body}),
        status=error.status,
        content_type="application/json",
        headers=dict(error.headers),
    )


def refuse_form(form: forms.Form, names: Mapping[str, str]) -> ApiError:
    """The first thing that a form finds wrong; `names` are the API's for the form's fields."""
    for field, problems in form.errors.as_data().items():
        message = " ".join(problems[0].messages)
        if field in names:
            code = "parameter_missing" if problems[0].code == "required" else "parameter_invalid"
            status = 400 if problems[0].code == "unsupported" else 422
            return ApiError(status, code, message, param=names[field])
    return ApiError(422, "parameter_invalid", message)


class StrictParser(Parser):
    """JSON as the standard has it, in UTF-8, without characters that a database can't hold."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type not in ("", "application/json"):
            raise ApiError(
                415, "unsupported_media_type", "Send JSON, as Content-Type: application/json."
            )
        try:
            body = json.loads(request.body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as reason:
            raise ApiError(400, "invalid_json", "The body is not valid JSON.") from reason
        refuse_unsupported(body)
        return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def refuse_unsupported(value: Any, where: str = "") -> None:
    """Refuse NUL and halves of surrogate pairs, in names and values alike."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ApiError(400, "unsupported_character", UNSUPPORTED, param=where or None)
    elif isinstance(value, dict):
        for name, inner in value.items():
            refuse_unsupported(name)
            refuse_unsupported(inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        for inner in value:
            refuse_unsupported(inner, where)


def install(api: NinjaAPI) -> None:
    """Make the framework answer everything it refuses in this shape."""

    @api.exception_handler(ApiError)
    def refused(request: HttpRequest, error: ApiError) -> HttpResponse:
        return answer(error)

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return answer(_of_validation(error))

    @api.exception_handler(AuthenticationError)
    def unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return answer(no_token())

    @api.exception_handler(HttpError)
    def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
        cause = error.__cause__
        if isinstance(cause, ApiError):
            return answer(cause)
        if error.status_code == 400:
            return answer(ApiError(400, "invalid_json", "The body is not valid JSON."))
        return answer(ApiError(error.status_code, "refused", str(error)))

    @api.exception_handler(Http404)
    def absent(request: HttpRequest, error: Http404) -> HttpResponse:
        return answer(ApiError(404, "not_found", SENTENCES[404]))

    @api.exception_handler(RequestDataTooBig)
    def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return answer(ApiError(413, "payload_too_large", SENTENCES[413]))


def no_token() -> ApiError:
    return ApiError(
        401,
        "invalid_token",
        "Send a valid token, as Authorization: Bearer …",
        headers={"WWW-Authenticate": 'Bearer realm="api"'},
    )


SAID = {"string_pattern_mismatch": "It does not have the right form"}
CODES = {"missing": "parameter_missing", "extra_forbidden": "parameter_unknown"}


def _of_validation(error: ValidationError) -> ApiError:
    first = error.errors[0]
    # Where it was found, what the view calls that, and the fields; of a list its place as well.
    source, *place = first["loc"]
    named = [part for part in place if isinstance(part, str)]
    fields = place[1:] if source == "body" else named[-1:]
    param = ".".join(map(str, fields)) or None
    code = CODES.get(first["type"], "parameter_invalid")
    if "param" in first.get("ctx", ()):  # found by paging.QueryIn, which names it
        code, param = str(first["type"]), str(first["ctx"]["param"])
    if param is None:
        return ApiError(400, code, "Send a JSON object.")
    message = {
        "parameter_missing": f"“{param}” is missing.",
        "parameter_unknown": f"There is no parameter “{param}”.",
        "parameter_repeated": f"Send “{param}” once.",
    }.get(code, f"“{param}”: {SAID.get(first['type'], first['msg'])}.")
    return ApiError(400, code, message, param=param)


def in_whops_shape(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: errors below /api/ that no view has shaped, and nothing there is ever cached."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not request.path_info.startswith(ROOT):
            return response
        if response.status_code >= 400 and not _is_json(response):
            status = response.status_code
            code = TYPES.get(status, "api_error")
            sentence = SENTENCES.get(status, "Something went wrong on our side. Try again.")
            kept = {name: response[name] for name in KEPT if response.has_header(name)}
            response = answer(ApiError(status, code, sentence, headers=kept))
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        return response

    return respond


def _is_json(response: HttpResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")
