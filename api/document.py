"""What the API says of itself: an OpenAPI document, and a page for people that is made from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from ninja import NinjaAPI

from api import tokens
from api.idempotency import HEADER, KEPT, LONGEST

METHODS = ("get", "post", "patch", "put", "delete")
REPEATABLE = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": f"Makes a repeat harmless: it gets the same answer for"
    f" {KEPT.total_seconds() // 3600:.0f} hours.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST,
        "pattern": "^[!-~]+$",
    },
}
ACTS = ("accept", "deny", "request_info", "reply", "appeal", "withdraw")
ON_A_CASE = (
    "retrieve_resolution_center_case",
    "list_resolution_center_case_events",
    *(f"{act}_resolution_center_case" for act in ACTS),
)
LINKS: dict[str, tuple[str, str, Sequence[str]]] = {
    "list_resolution_center_cases": ("/data/0/id", "case_id", ON_A_CASE),
    "create_resolution_center_case": ("/id", "case_id", ON_A_CASE),
}
"""Where an answer holds an id, which parameter it is good for, and of which calls."""

WAIT = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


@cache
def openapi(api: NinjaAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document: what the framework knows, and what holds for every call."""
    document: dict[str, Any] = dict(api.get_openapi_schema())
    document.pop("servers", None)
    for path in document["paths"].values():
        for method in METHODS:
            if method in path:
                _complete(path[method], is_post=method == "post")
    return document


def _complete(operation: dict[str, Any], *, is_post: bool) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        if str(status) == "429":
            response["headers"] = WAIT
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _present(parameter["schema"])
    if is_post and operation.get("security"):
        operation.setdefault("parameters", []).append(REPEATABLE)
    if operation["operationId"] in LINKS:
        where, parameter, calls = LINKS[operation["operationId"]]
        answer = next(r for status, r in responses.items() if int(status) < 300)
        answer["links"] = {
            call: {"operationId": call, "parameters": {parameter: f"$response.body#{where}"}}
            for call in calls
        }


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema as it is when the parameter is there: an address holds no null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | choices[0]


# ── The page for people ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Field:
    """A parameter of a call, or a field of its body."""

    name: str
    where: str
    kind: str
    required: bool
    text: SafeString


@dataclass(frozen=True)
class Call:
    """One call, as it stands on the page."""

    id: str
    method: str
    path: str
    title: str
    text: SafeString
    fields: list[Field]
    answers: str
    is_open: bool


@dataclass(frozen=True)
class Group:
    """Calls that belong together."""

    title: str
    id: str
    calls: list[Call]


def page(request: HttpRequest, api: NinjaAPI) -> HttpResponse:
    """The calls with their parameters, for somebody who writes a program."""
    document = openapi(api)
    groups: dict[str, list[Call]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                title = operation.get("tags", ["Other"])[0]
                groups.setdefault(title, []).append(_call(document, method, path, operation))
    context = {
        "title": document["info"]["title"],
        "text": document["info"]["description"],
        "groups": [
            Group(title, title.lower().replace(" ", "-"), calls)
            for title, calls in groups.items()
        ],
        "scopes": tokens.SCOPES.items(),
    }  # fmt: skip
    return render(request, "api/docs.html", context)


def _call(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Call:
    return Call(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation["summary"],
        text=_marked(operation.get("description", "")),
        fields=list(_fields(document, operation)),
        answers=", ".join(str(status) for status in operation["responses"]),
        is_open=not operation.get("security"),
    )


def _fields(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[Field]:
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        text = parameter.get("description") or schema.get("description", "")
        yield Field(
            parameter["name"],
            parameter["in"],
            _kind(document, schema),
            parameter.get("required", False),
            _marked(text),
        )
    content = operation.get("requestBody", {}).get("content", {})
    body = _resolved(document, content.get("application/json", {}).get("schema", {}))
    for name, schema in body.get("properties", {}).items():
        needed, text = name in body.get("required", ()), schema.get("description", "")
        yield Field(name, "body", _kind(document, schema), needed, _marked(text))


def _marked(text: str) -> SafeString:
    """A description with what stands between backticks as code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", part) if odd % 2 else part,) for odd, part in parts),
    )


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to looked up; of several the first that is not null."""
    if "$ref" in schema:
        found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        return found
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return _resolved(document, choice)
    return schema


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A schema in a few words: `string`, `closed, under_review, … (several)`."""
    found = _resolved(document, schema)
    if found.get("type") == "array":
        return f"{_kind(document, found['items'])} (several)"
    if "enum" in found:
        return ", ".join(map(str, found["enum"]))
    return str(found.get("const") or found.get("type") or "any")
