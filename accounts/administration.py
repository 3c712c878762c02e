"""The administration's own door, which leads to everybody's login and asks for the second step.

And which of its acts want a fresh login: every one that is not named here as harmless.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import second_step
from accounts.fresh import needs_fresh
from marketplace.models import User

HARMLESS = {
    ("logout", ""),
    ("resolution_case_take_next", ""),
    ("resolution_case_assign", ""),
    ("resolution_case_act", "ask"),
    ("resolution_case_act", "comment"),
    ("resolution_case_act", "note"),
}
"""Names and acts of POSTs that move no money and change nobody's data or rights."""


class Administration(AdminSite):
    """Django's admin for staff who have taken the second step in this session."""

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and second_step.lets_staff_work(request)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        plain = super().admin_view(view, cacheable)
        asks = needs_fresh(plain)

        @wraps(plain)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            match = request.resolver_match
            act = ((match.url_name or "") if match else "", str(kwargs.get("act", "")))
            if request.method != "POST" or act in HARMLESS or not self.has_permission(request):
                return plain(request, *args, **kwargs)
            return asks(request, *args, **kwargs)

        return answer

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return to_the_door(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account-password")


def to_the_door(request: HttpRequest) -> HttpResponse:
    """Where somebody goes who may not enter yet: to set up the second step, to take it, to log in.

    Who does not work here logs in as somebody who does.
    """
    wanted = request.GET.get("next", "")
    place = wanted if url_has_allowed_host_and_scheme(wanted, None) else "/admin/"
    user = request.user
    if isinstance(user, User) and user.is_staff and not second_step.lets_staff_work(request):
        if second_step.is_set_up(user):
            return redirect_to_login(place, "/account/confirm/")
        return redirect_to_login(place, "/account/security/")
    return redirect_to_login(place)
