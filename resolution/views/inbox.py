"""The notices of a person, in the hub and on the dashboard: what happened in their cases."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from marketplace.models import User
from notifications import inbox
from notifications.models import Notification
from resolution.messages import notices
from resolution.templatetags.rc import when_text
from resolution.views import hub
from resolution.views.desk import Desk, no_company, signed_in

PAGE = 25


@login_required
@require_safe
def hub_notices(request: HttpRequest) -> HttpResponse:
    """The notices, in the hub."""
    page = _page(request, signed_in(request), "hub-notices")
    return render(request, "hub/notices.html", page | {"nav": hub.menu(request, "notices")})


@login_required
@require_safe
def dash_notices(request: HttpRequest) -> HttpResponse:
    """The same notices, on the dashboard."""
    desk = Desk.of(signed_in(request))
    if not desk.places:
        return no_company(request)
    page = _page(request, desk.user, "dash-notices")
    return render(request, "dash/notices.html", page | {"nav": desk.nav("notices")})


@login_required
@require_POST
def hub_read(request: HttpRequest) -> HttpResponse:
    """Mark as read all that the page has shown, and what is older."""
    return _read(request, "hub-notices")


@login_required
@require_POST
def dash_read(request: HttpRequest) -> HttpResponse:
    """The same, from the dashboard."""
    if not Desk.of(signed_in(request)).places:
        return no_company(request)
    return _read(request, "dash-notices")


def _read(request: HttpRequest, back: str) -> HttpResponse:
    newest = _mine(signed_in(request), request.POST.get("newest", ""))
    if newest:
        inbox.read_up_to(newest.recipient, newest)
    return redirect(back)


def _mine(user: User, public_id: str) -> Notification | None:
    """A notice of this person's, if it is one."""
    return Notification.objects.filter(recipient=user, public_id=public_id[:40]).first()


def _page(request: HttpRequest, user: User, name: str) -> dict[str, Any]:
    """A page of the notices, newest first, and the way to older ones."""
    rows = Notification.objects.filter(recipient=user).select_related("recipient").order_by("-pk")
    if after := request.GET.get("after", ""):
        last = _mine(user, after)
        if last is None:
            raise Http404("No such page.")
        rows = rows.filter(pk__lt=last.pk)
    found = list(rows[: PAGE + 1])
    older = f"?after={found[PAGE - 1].public_id}" if len(found) > PAGE else None
    return {
        "notices": [
            {
                "text": notice.text,
                "about": notice.about,
                "href": notice.href,
                "at": when_text(notice.at, "short"),
                "unread": notice.message.read_at is None,
            }
            for notice in notices(found[:PAGE])
        ],
        "newest": found[0].public_id if found else "",
        "read_href": reverse(f"{name}-read"),
        "pager": {"newer_href": reverse(name) if after else None, "older_href": older},
    }
