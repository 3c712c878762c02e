"""Acts that want a fresh login: who was logged in long ago first shows that it is still them.

The page that asks carries all that was sent along, as hidden fields of its own form, and the act
goes on where it was held up: no text is lost to the question, and nothing is kept at the server.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from allauth.account.internal.flows.login import get_authentication_records
from allauth.core import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import begin_authentication
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render

from accounts import second_step
from accounts.forms import CONFIRMING, ConfirmForm
from marketplace.models import User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def is_fresh(request: HttpRequest) -> bool:
    """Whether this session has last shown who it is at most FRESH_LOGIN_MINUTES ago."""
    if not settings.FRESH_LOGIN_MINUTES or not isinstance(request.user, User):
        return not settings.FRESH_LOGIN_MINUTES
    records = get_authentication_records(request, request.user)
    since: float = records[-1]["at"] if records else 0.0
    return time.time() - since < settings.FRESH_LOGIN_MINUTES * 60


def needs_fresh(view: View[P]) -> View[P]:
    """Ask who it is before a POST reaches the view, when the last answer to that is too old.

    Whoever is not logged in is left to the view.
    """
    return _asking(view, ("POST",))


def needs_fresh_to_see(view: View[P]) -> View[P]:
    """The same for a page that shows what nobody else may see: it is not even opened."""
    return _asking(view, ("GET", "POST"))


def _asking(view: View[P], methods: tuple[str, ...]) -> View[P]:
    @wraps(view)
    def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        asks = request.method in methods or f"{CONFIRMING}-of" in request.POST
        if asks and isinstance(request.user, User) and not is_fresh(request):
            if question := ask(request, request.user):
                return question
            if request.POST.get(f"{CONFIRMING}-of") == "GET":
                return redirect(request.get_full_path())
        request.POST = _without_the_answer(request.POST)  # type: ignore[assignment]
        return view(request, *args, **kwargs)

    return answer


def ask(request: HttpRequest, user: User, *, step_only: bool = False) -> HttpResponse | None:
    """The page that asks for the password, a code or a passkey; None once the answer was right.

    With `step_only` a password is not enough.
    """
    answered = request.method == "POST" and f"{CONFIRMING}-of" in request.POST
    if answered and not ratelimit.consume(request, action="reauthenticate", user=user):
        return ratelimit.respond_429(request)
    has = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    form = ConfirmForm(
        request.POST if answered else None,
        request=request,
        has=has,
        with_password=user.has_usable_password() and not step_only,
    )
    if answered and form.is_valid():
        form.note()
        return None
    method = request.POST.get(f"{CONFIRMING}-of") if answered else request.method
    passkey = begin_authentication(user) if Authenticator.Type.WEBAUTHN in has else None
    context = {
        "form": form,
        "of": "POST" if method == "POST" else "GET",
        "sent": [] if method == "GET" else _sent(request.POST),
        "passkey": passkey,
        "sso": settings.SSO_NAME if settings.SSO_ISSUER else "",
        "step_only": step_only,
    }
    status = 422 if form.errors else 403
    return render(request, "accounts/confirm.html", context, status=status)


def confirm(request: HttpRequest) -> HttpResponseBase:
    """Ask for the second step of a session that began before there was one, then go on."""
    user = request.user
    assert isinstance(user, User), "a login is needed first"
    must = not second_step.lets_staff_work(request) and second_step.is_set_up(user)
    if (must or not is_fresh(request)) and (question := ask(request, user, step_only=must)):
        return question
    return redirect("home")


def _sent(data: QueryDict) -> list[tuple[str, str]]:
    """All that was sent, but for the form's token and the answer."""
    return [
        (name, value)
        for name, values in _without_the_answer(data).lists()
        for value in values
        if name != "csrfmiddlewaretoken"
    ]


def _without_the_answer(data: QueryDict) -> QueryDict:
    kept = data.copy()
    for name in [name for name in kept if name.startswith(f"{CONFIRMING}-")]:
        del kept[name]
    return kept
