"""The sessions of a person: where they are logged in, and putting an end to it.

What is ended is ended at the next request: the session itself is gone from the database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import devices
from marketplace.models import User

SEEN = "seen"
"""In a session: when it was last written down that somebody used it, in seconds since 1970."""

NOTED_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    """Where somebody is logged in."""

    pk: int
    device: str
    ip: str
    since: datetime
    seen: datetime
    this_one: bool


def places(request: HttpRequest, user: User) -> list[Place]:
    """Where the person is logged in: this browser first, then by last use."""
    alive = Session.objects.filter(
        session_key=OuterRef("session_key"), expire_date__gt=timezone.now()
    )
    rows = UserSession.objects.filter(Exists(alive), user=user).order_by("-last_seen_at", "-pk")
    here = request.session.session_key
    found = [
        Place(
            row.pk, devices.in_words(row.user_agent), row.ip, row.created_at, row.last_seen_at,
            row.session_key == here,
        )
        for row in rows
    ]  # fmt: skip
    return sorted(found, key=lambda place: not place.this_one)


def end(user: User, *, pk: int | None = None, but: str | None = None) -> int:
    """End the person's sessions, or the one named; `but` is the key of the one to leave alone."""
    rows = UserSession.objects.filter(user=user)
    if pk is not None:
        rows = rows.filter(pk=pk)
    keys = [key for key in rows.values_list("session_key", flat=True) if key != but]
    Session.objects.filter(session_key__in=keys).delete()
    rows.filter(session_key__in=keys).delete()
    return len(keys)


def note_use(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: write down every few minutes that a session is used, and from where.

    The session itself holds when that was last done, so nothing is asked in between.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        seen = request.session.get(SEEN)
        now = timezone.now()
        stale = seen and now.timestamp() - seen > NOTED_EVERY.total_seconds()
        if stale and request.user.is_authenticated:
            UserSession.objects.filter(session_key=request.session.session_key).update(
                last_seen_at=now, ip=devices.address_of(request)
            )
            request.session[SEEN] = now.timestamp()
        return get_response(request)

    return answer


def remove_ended(limit: int = 5000) -> int:
    """Remove the sessions that have run out, and what is known of sessions that are gone."""
    over = Session.objects.filter(expire_date__lte=timezone.now()).values("pk")[:limit]
    removed = Session.objects.filter(pk__in=over).delete()[0]
    gone = UserSession.objects.filter(
        ~Exists(Session.objects.filter(session_key=OuterRef("session_key"))),
        created_at__lt=timezone.now() - timedelta(hours=1),
    )
    return removed + UserSession.objects.filter(pk__in=gone.values("pk")[:limit]).delete()[0]
