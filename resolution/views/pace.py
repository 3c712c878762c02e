"""How many downloads that are costly to make one person gets in an hour.

What is counted is a courtesy to everybody else: it stands in the cache, and holds no truth.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketplace.models import User

WINDOW = 60 * 60  # seconds

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def one_too_many(request: HttpRequest) -> HttpResponse | None:
    """Count a download of whoever is logged in; 429 and when to come back where it is too many."""
    assert isinstance(request.user, User), "a login is needed first"
    window, passed = divmod(int(time.time()), WINDOW)
    key = f"downloads:{request.user.public_id}:{window}"
    cache.add(key, 0, 2 * WINDOW)
    try:
        count = cache.incr(key)
    except ValueError:  # Redis went away between the two
        return None
    if count <= settings.DOWNLOADS_AN_HOUR:
        return None
    wait = WINDOW - passed
    minutes = -(-wait // 60)
    said = ngettext("Try again in {minutes} minute.", "Try again in {minutes} minutes.", minutes)
    context = {
        "title": _("Too many downloads"),
        "why": _("You have had as many downloads as one person gets in an hour.")
        + " " + said.format(minutes=minutes),
    }  # fmt: skip
    refusal = render(request, "429.html", context, status=429)
    refusal["Retry-After"] = str(wait)
    return refusal


def paced(view: View[P]) -> View[P]:
    """A download that counts. Put it below whatever asks for a login."""

    @wraps(view)
    def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return one_too_many(request) or view(request, *args, **kwargs)

    return answer
