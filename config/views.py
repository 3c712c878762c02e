"""Pages of the installation itself: the front door, and what a load balancer asks."""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import redis
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import RequestDataTooBig
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template import loader
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import views as accounts
from config.env import ACCOUNTS_FILE
from marketplace.models import TeamMember, User
from resolution.views.account import remember_language

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


class LogIn(accounts.LogIn):
    """The login; in a demo with a list of who one can be."""

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Log in, and learn the language of somebody of whom nothing was known: e-mails use it."""
        response = super().form_valid(form)
        user = form.get_user()
        if not user.language:
            user.language = get_language() or ""
            user.save(update_fields=["language"])
        return remember_language(response, user.language)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(demo_logins=demo_logins(), **context)


def demo_logins() -> list[dict[str, str]]:
    """Who one can be in this demo; nobody anywhere else."""
    try:
        return json.loads((settings.VAR_DIR / ACCOUNTS_FILE).read_text()) if settings.DEMO else []
    except FileNotFoundError:
        return []


def own_place(user: User) -> str:
    if user.is_staff:
        return ADMIN
    if TeamMember.objects.filter(user=user).exists():
        return DASHBOARD
    return HUB


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The page for what is no request, or for one that is larger than we take (413)."""
    if isinstance(exception, RequestDataTooBig):
        return render(request, "413.html", status=413)
    return render(request, "400.html", status=400)


def broken(request: HttpRequest) -> HttpResponse:
    """The page for an error of ours: without anything that may be broken itself.

    503 while the database does not answer: whoever comes again soon will find it back.
    """
    away = isinstance(sys.exception(), OperationalError | InterfaceError)
    shown = {"reference": request.META.get("REQUEST_ID", ""), "away": away}
    return HttpResponse(
        loader.get_template("500.html").render(shown),
        status=503 if away else 500,
        headers={"Retry-After": "30"} if away else {},
    )


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
        return _can_be_written_to(Path(default_storage.location))
    try:
        default_storage.exists("readyz")
    except (BotoCoreError, ClientError):
        return False
    return True


def _can_be_written_to(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


READINESS: dict[str, Callable[[], bool]] = {
    "database": database_is_ready,
    "migrations": migrations_are_ready,
    "broker": broker_is_ready,
    "storage": storage_is_ready,
}
