"""Texts, dates and amounts in the language of whoever reads them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

if TYPE_CHECKING:  # amounts are written where there is no database, too: in the sandbox
    from marketplace.models import User

PROGRAMS = ("/api/v1/", "/webhooks/")
"""Where programs ask: the answers are in English whoever the program works for."""


def language_of(user: "User") -> str:
    """The person's language, or the usual one while nothing is known of it."""
    return user.language if user.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def speaking_to(user: "User") -> AbstractContextManager[None]:
    """Whatever is put into words inside is in the person's language."""
    return translation.override(language_of(user))


def locale() -> str:
    """The present language as Babel calls it, for dates and amounts: `en_US`, `de`."""
    language = translation.get_language() or settings.LANGUAGE_CODE
    return "en_US" if language == "en" else translation.to_locale(language)


def language_wanted(request: HttpRequest) -> str:
    """What the answer is in: as the person has chosen, else as a cookie or the browser asks."""
    if request.path_info.startswith(PROGRAMS):
        return settings.LANGUAGE_CODE
    user = request.user
    if user.is_authenticated and user.language:
        return language_of(user)
    return translation.get_language_from_request(request)


def in_their_language(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: every text of the answer is in its reader's language."""

    def answer(request: HttpRequest) -> HttpResponse:
        language = language_wanted(request)
        with translation.override(language):
            response = get_response(request)
        response.headers.setdefault("Content-Language", language)
        if not request.path_info.startswith(PROGRAMS):
            patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response

    return answer
