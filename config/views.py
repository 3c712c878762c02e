"""Pages of the installation itself: the front door, and what a load balancer asks."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import redis
from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace.models import TeamMember, User

HUB = "/hub/"
DASHBOARD = "/dash/resolution-center/"
ADMIN = "/admin/"


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """Send everyone to where they work: staff, then creators, then buyers."""
    if not request.user.is_authenticated:
        return redirect("login")
    return redirect(own_place(request.user))


def own_place(user: User) -> str:
    if user.is_staff:
        return ADMIN
    if TeamMember.objects.filter(user=user).exists():
        return DASHBOARD
    return HUB


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token: most often an old page in a browser that has logged in since."""
    sentence = "This page was open for too long. Go back, reload it, and send the form again."
    return render(request, "403.html", {"exception": sentence}, status=403)


@require_safe
@never_cache
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. Nothing else is looked at: a restart mends no database."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when all that a request needs is there, else 503 with the names of what is not."""
    missing = [name for name, is_ready in READINESS.items() if not is_ready()]
    if missing:
        return JsonResponse({"status": "not ready", "not_ready": missing}, status=503)
    return JsonResponse({"status": "ok"})


def database_is_ready() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def migrations_are_ready() -> bool:
    """Whether every migration is applied. Once they are, this process does not look again."""
    try:
        return _all_migrations_are_applied()
    except (DatabaseError, _Unapplied):
        return False


class _Unapplied(Exception):
    """Raised rather than returned, so that only the good answer is kept."""


@cache
def _all_migrations_are_applied() -> bool:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Unapplied
    return True


def broker_is_ready() -> bool:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2
        ) as broker:
            return bool(broker.ping())
    except redis.RedisError:
        return False


def storage_is_ready() -> bool:
    if isinstance(default_storage, FileSystemStorage):
        folder = Path(default_storage.location)
        while not folder.exists():
            folder = folder.parent
        return os.access(folder, os.W_OK)
    try:
        default_storage.exists("readyz")
    except OSError:
        return False
    return True


READINESS: dict[str, Callable[[], bool]] = {
    "database": database_is_ready,
    "migrations": migrations_are_ready,
    "broker": broker_is_ready,
    "storage": storage_is_ready,
}
