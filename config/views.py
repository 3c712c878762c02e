"""Pages of the installation itself: the front door, and what a load balancer asks."""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.template import loader
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.env import ACCOUNTS_FILE
from marketplace.language import speaking_to
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


class LogIn(LoginView):
    """The one way in, for buyers, creators and staff."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Somebody who is logged in and was sent here from a page may want to be somebody else.
        if (
            request.user.is_authenticated
            and not self.get_redirect_url()
            and request.method == "GET"
        ):
            return redirect("home")
        return super().dispatch(request, *args, **kwargs)

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


class ForgottenPassword(PasswordResetForm):
    """Sends the link to a new password, in the language of whoever has lost theirs."""

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        with speaking_to(context["user"]):
            super().send_mail(
                subject_template_name,
                email_template_name,
                context,
                from_email,
                to_email,
                html_email_template_name,
            )


def demo_logins() -> list[dict[str, str]]:
    """Who one can be in this demo; nobody anywhere else."""
    try:
        return json.loads((settings.VAR_DIR / ACCOUNTS_FILE).read_text()) if settings.DEMO else []
    except FileNotFoundError:
        return []


@require_safe
def log_in_to_admin(request: HttpRequest) -> HttpResponse:
    """The administration has no door of its own."""
    return redirect_to_login(request.GET.get("next", ADMIN))


def links_in_mail() -> dict[str, str]:
    """Where links in e-mails lead: never to whatever host a request has named."""
    site = urlsplit(settings.SITE_URL)
    return {"protocol": site.scheme, "domain": site.netloc}


def own_place(user: User) -> str:
    if user.is_staff:
        return ADMIN
    if TeamMember.objects.filter(user=user).exists():
        return DASHBOARD
    return HUB


def broken(request: HttpRequest) -> HttpResponse:
    """The page for an error of ours: without anything that may be broken itself."""
    shown = {"reference": request.META.get("REQUEST_ID", "")}
    return HttpResponse(loader.get_template("500.html").render(shown), status=500)


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
