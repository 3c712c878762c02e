"""How requests are watched, which ones no page looks at, and what no browser may keep of a page."""

import logging
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from config.metrics import measured
from marketplace import trail
from marketplace.language import PROGRAMS

log = logging.getLogger(__name__)

ASKED_BY_MACHINES = frozenset({"livez", "readyz", "metrics"})
PUBLIC_ID = re.compile(r"([a-z]{2,6})_[0-9A-Za-z]{8,40}")


def watch(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware, outside all others: give a request its id, measure it, and log it in one line.

    The line names the page and public ids, never the address: that may hold what people type into
    a search, or a token that lets somebody in.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        request_id = trail.request_id(request.headers.get("X-Request-ID"))
        request.META["REQUEST_ID"] = request_id
        with trail.work(request=request_id):
            response = get_response(request)
            response["X-Request-ID"] = request_id
            took = time.perf_counter() - began
            view = _name_of(request)
            if view not in ASKED_BY_MACHINES:
                measured(view, request.method or "", response.status_code, took)
                trail.note(**_ids_of(request))
                said = {"view": view, "method": request.method, "status": response.status_code}
                level = logging.DEBUG if view == "static" else logging.INFO
                log.log(level, "answered", extra=said | {"ms": round(took * 1000, 1)})
        return response

    return answer


def _name_of(request: HttpRequest) -> str:
    if request.resolver_match is not None:
        return request.resolver_match.view_name or request.resolver_match.route
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "none"


def _ids_of(request: HttpRequest) -> dict[str, str]:
    """Who asks, and which case and other things of ours the address names."""
    found: dict[str, str] = {}
    values = request.resolver_match.kwargs.values() if request.resolver_match else ()
    for value in values:
        if public_id := PUBLIC_ID.fullmatch(str(value)):
            found[NAMES_OF_PREFIXES.get(public_id[1], public_id[1])] = str(value)
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        found["user"] = user.public_id
    return found


NAMES_OF_PREFIXES = {"reso": "case", "pay": "payment", "biz": "company", "att": "attachment"}


def keep_apart(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware, right inside `watch`: no other site embeds or opens into anything of ours.

    Says so as well where the request is refused before those middlewares that say the rest, as for
    a host that is not ours.
    """
    said = {
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in said.items():
            response.headers.setdefault(name, value)
        return response

    return answer


def explain_the_method(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a page for people in place of the empty answer of an address of another method.

    Programs are told by the status and `Allow` alone.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        by_program = (
            request.path_info.startswith(PROGRAMS) or _name_of(request) in ASKED_BY_MACHINES
        )
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED or response.content or by_program:
            return response
        page = render(request, "405.html", status=response.status_code)
        page["Allow"] = response["Allow"]
        return page

    return answer


def refuse_nul(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: answer 400 to an address with a NUL in it, which PostgreSQL takes in no text."""

    def answer(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("The address has an unsupported character in it.")
        return get_response(request)

    return answer


def keep_no_copy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: what a signed-in person gets is theirs; after logging out, Back shows nothing."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not response.has_header("Cache-Control") and request.user.is_authenticated:
            add_never_cache_headers(response)
        return response

    return answer
