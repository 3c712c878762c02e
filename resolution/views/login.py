"""Who has to be logged in, and what becomes of what they typed when they no longer are.

A text is never lost to a session that has ended: it goes with the person through the login, and is
a draft on the page that they come back to.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.csrf import csrf_failure

from marketplace.models import User
from resolution import drafts

STILL_HERE = _lazy("What you wrote is still here: look it over and send it again.")

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def needs_login(view: View[P]) -> View[P]:
    """Ask for a login first. A page's own requests are told so (401) and are not sent elsewhere."""

    @wraps(view)
    def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if isinstance(request.user, User):
            if drafts.bring(request.session, request.user):
                again = _("Add files that you had chosen again, too.")
                messages.info(request, f"{STILL_HERE} {again}")
            return view(request, *args, **kwargs)
        if request.headers.get("HX-Request"):
            typed = request.method == "POST"
            return render(request, "rc/_logged_out.html", {"typed": typed}, status=401)
        if request.method == "POST":
            _carry(request, kwargs)
        return redirect_to_login(request.get_full_path())

    return answer


def refused_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token, most often of a page from before a login: its text is kept.

    Nothing is done but that, and only for the person whose mark the form carries.
    """
    match, by = request.resolver_match, drafts.marked(request.POST)
    if not match or not by:
        return csrf_failure(request, reason)
    if not isinstance(request.user, User):
        _carry(request, match.kwargs)
        return redirect_to_login(request.get_full_path())
    about, act = _place(match.kwargs)
    fields = drafts.typed_in(act, request.POST)
    if by != request.user.public_id or not drafts.rescue(request.user, about, act, fields):
        return csrf_failure(request, reason)
    if request.headers.get("HX-Request"):
        return render(request, "rc/_draft.html", {"kept": True})
    too_long = _("This page was open for too long, so nothing was sent.")
    again = " " + _("Choose your files once more.") if request.FILES else ""
    messages.warning(request, f"{too_long} {STILL_HERE}{again}")
    return redirect(request.path)


def _carry(request: HttpRequest, kwargs: Any) -> None:
    about, act = _place(kwargs)
    drafts.carry(request.session, about, act, request.POST)


def _place(kwargs: Any) -> tuple[str, str]:
    """What a form is about, and its act: only a case is opened at an address without one."""
    return str(kwargs.get("public_id", "")), str(kwargs.get("act", drafts.OPEN))
