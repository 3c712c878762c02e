"""The pages of logging in, and of how somebody's account is kept safe."""

import json
from typing import Any

from allauth.account.internal import flows
from allauth.account.models import Login
from allauth.core import ratelimit
from allauth.decorators import rate_limit
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.flows import generate_recovery_codes, view_recovery_codes
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.forms import LoginWebAuthnForm
from allauth.mfa.webauthn.internal import auth as webauthn
from allauth.mfa.webauthn.internal.flows import perform_passwordless_login, remove_authenticator
from allauth.mfa.webauthn.views import AddWebAuthnView
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.views import LoginView, PasswordResetConfirmView, PasswordResetView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import events, fresh, second_step, sessions
from accounts.forms import LogInForm, NewPasswordForm
from accounts.fresh import needs_fresh, needs_fresh_to_see
from accounts.models import AccountEvent
from marketplace.models import User


def signed_in(request: HttpRequest) -> User:
    """Who asks; the pages need a login before this."""
    assert isinstance(request.user, User)
    return request.user


# ── Logging in ────────────────────────────────────────────────────────────────────────────────────


@method_decorator(rate_limit(action="login"), name="dispatch")
class LogIn(LoginView):
    """The one way in, for buyers, creators and staff: the password, then the second step."""

    form_class = LogInForm
    template_name = "registration/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Somebody who is logged in and was sent here from a page may want to be somebody else.
        if (
            request.user.is_authenticated
            and not self.get_redirect_url()
            and request.method == "GET"
        ):
            return redirect("home")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        return _go_on(self.request, form.get_user(), self.get_redirect_url())

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        sso = settings.SSO_NAME if settings.SSO_ISSUER else ""
        return super().get_context_data(sso=sso, **context)


def _go_on(request: HttpRequest, user: User, place: str) -> HttpResponse:
    """After the password: to the second step, if they have one, or in."""
    if request.user.is_authenticated and request.user != user:
        logout(request)
    login = Login(user=user, email=user.email, redirect_url=place or None)
    return flows.login.perform_password_login(request, {"email": user.email}, login)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def log_in_by_passkey(request: HttpRequest) -> HttpResponse:
    """What a browser is to sign (as JSON), and the login of whoever has signed it."""
    if not ratelimit.consume(request, action="login"):
        return ratelimit.respond_429(request)
    if request.method != "POST":
        return JsonResponse(webauthn.begin_authentication())
    form = LoginWebAuthnForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("That passkey is not one we know. Log in another way."))
        return redirect("account_login")
    authenticator = form.cleaned_data["credential"]
    if not authenticator.user.is_active:
        messages.error(request, _("That passkey is not one we know. Log in another way."))
        return redirect("account_login")
    if request.user.is_authenticated and request.user != authenticator.user:
        logout(request)
    place = LogIn(request=request).get_redirect_url()
    login = Login(user=authenticator.user, redirect_url=place or None)
    return perform_passwordless_login(request, authenticator, login)


class SecondStep(AuthenticateView):
    """The second step of a login that has one."""

    template_name = "accounts/second_step.html"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        found = super().get_context_data(**context)
        if data := found.pop("js_data", None):
            keys = Authenticator.objects.filter(
                user=self.stage.login.user, type=Authenticator.Type.WEBAUTHN
            )
            found["options"] = json.dumps(data["request_options"]) if keys.exists() else ""
        return found


@require_safe
def closed(request: HttpRequest) -> HttpResponse:
    """Where somebody ends whose account is closed; they are told no more than anybody else."""
    return redirect("account_login")


confirm = login_required(never_cache(require_http_methods(["GET", "HEAD", "POST"])(fresh.confirm)))


# ── A forgotten password ──────────────────────────────────────────────────────────────────────────


class ForgottenForm(PasswordResetForm):
    """Writes down that a new password was asked for; the link is made when the e-mail leaves."""

    def save(self, *args: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
        for user in self.get_users(self.cleaned_data["email"]):
            assert isinstance(user, User)
            events.note(request, user, AccountEvent.Kind.RESET_ASKED)


@method_decorator(rate_limit(action="reset_password"), name="dispatch")
class Forgotten(PasswordResetView):
    """Ask for a link. The same answer, as fast, whether or not there is such an account."""

    form_class = ForgottenForm

    def form_valid(self, form: Any) -> HttpResponse:
        key = form.cleaned_data["email"].lower()
        if ratelimit.consume(self.request, action="reset_password_of", key=key):
            return super().form_valid(form)
        return redirect(self.get_success_url())


@method_decorator(rate_limit(action="reset_password_from_key"), name="dispatch")
class NewPassword(PasswordResetConfirmView):
    """Choose a new password by the link. It ends every session of the person."""

    def form_valid(self, form: SetPasswordForm) -> HttpResponse:
        response = super().form_valid(form)
        user = form.user
        assert isinstance(user, User)
        sessions.end(user)
        events.note(self.request, user, AccountEvent.Kind.NEW_PASSWORD)
        return response


# ── How the account is kept safe ──────────────────────────────────────────────────────────────────


@login_required
@never_cache
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    """The password, the second step, and where the person is logged in."""
    user = signed_in(request)
    steps = list(Authenticator.objects.filter(user=user).order_by("pk"))
    of = {step.type: step for step in steps}
    codes = of.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "tab": "security",
        "app": of.get(Authenticator.Type.TOTP),
        "passkeys": [
            {"pk": step.pk, "name": step.wrap().name, "since": step.created_at,
             "used": step.last_used_at}
            for step in steps
            if step.type == Authenticator.Type.WEBAUTHN
        ],
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else None,
        "must": second_step.must_keep(user),
        "held_up": user.is_staff and not second_step.lets_staff_work(request),
        "places": sessions.places(request, user),
        "linked": bool(settings.SSO_ISSUER) and SocialAccount.objects.filter(user=user).exists(),
        "sso": settings.SSO_NAME if settings.SSO_ISSUER else "",
    }  # fmt: skip
    return render(request, "accounts/security.html", context)


@sensitive_post_parameters()
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change the password: it ends all other sessions, and this one gets a new key."""
    user = signed_in(request)
    if not user.has_usable_password():
        raise Http404("They log in another way.")
    form = NewPasswordForm(request, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        form.save()
        sessions.end(user)
        update_session_auth_hash(request, form.user)
        UserSession.objects.create_from_request(request)
        events.note(request, user, AccountEvent.Kind.NEW_PASSWORD)
        messages.success(
            request, _("Your password is changed. You are logged out everywhere but here.")
        )
        return redirect("mfa_index")
    status = 422 if form.errors else 200
    return render(
        request, "accounts/password.html", {"form": form, "tab": "security"}, status=status
    )


@method_decorator([login_required, never_cache, needs_fresh_to_see], name="dispatch")
class NewApp(ActivateTOTPView):
    """Set up the authenticator app: a secret to scan, and a code that shows it has arrived."""

    template_name = "accounts/app.html"

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        user = signed_in(self.request)
        second_step.note_taken(self.request, user, Authenticator.Type.TOTP)
        _set_up(self.request)
        return response


@method_decorator([login_required, never_cache, needs_fresh_to_see], name="dispatch")
class NoApp(DeactivateTOTPView):
    """Do without the authenticator app."""

    template_name = "accounts/no_app.html"

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        _removed(self.request)
        return response


@method_decorator([login_required, never_cache, needs_fresh_to_see], name="dispatch")
class NewPasskey(AddWebAuthnView):
    """Set up a passkey: good as the second step, and for a login without a password."""

    template_name = "accounts/passkey.html"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        found = super().get_context_data(**context)
        options = webauthn.begin_registration(signed_in(self.request), True)
        found["options"] = json.dumps(options)
        return found

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        user = signed_in(self.request)
        second_step.note_taken(self.request, user, Authenticator.Type.WEBAUTHN)
        _set_up(self.request)
        return response


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh
def remove_passkey(request: HttpRequest, pk: int) -> HttpResponse:
    """Do without a passkey; the last second step of the staff stays."""
    user = signed_in(request)
    found = Authenticator.objects.filter(pk=pk, user=user, type=Authenticator.Type.WEBAUTHN).first()
    if found is None:
        raise Http404("No such passkey.")
    if request.method != "POST":
        context = {"name": found.wrap().name, "tab": "security"}
        return render(request, "accounts/no_passkey.html", context)
    others = Authenticator.objects.filter(user=user, type__in=second_step.STEPS).exclude(pk=pk)
    if second_step.must_keep(user) and not others.exists():
        messages.error(request, _("Your work needs a second step: set up another first."))
        return redirect("mfa_index")
    remove_authenticator(request, found)
    _removed(request)
    return redirect("mfa_index")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_to_see
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """The recovery codes that are left; a POST makes new ones in their place."""
    user = signed_in(request)
    if not second_step.is_set_up(user):
        raise Http404("No second step.")
    if request.method == "POST":
        generate_recovery_codes(request)
        messages.success(request, _("These are your new codes. The old ones no longer work."))
        return redirect("mfa_view_recovery_codes")
    codes, _may = view_recovery_codes(request)
    context = {"codes": codes.get_unused_codes() if codes else [], "tab": "security"}
    return render(request, "accounts/recovery_codes.html", context)


def _set_up(request: HttpRequest) -> None:
    messages.success(request, _("It works: from now on we ask for it when you log in."))


def _removed(request: HttpRequest) -> None:
    """Sessions elsewhere have to log in as the account now is."""
    sessions.end(signed_in(request), but=request.session.session_key)
    messages.success(request, _("Removed. You are logged out everywhere but here."))


@login_required
@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """Log out in one place (`place`), or everywhere but here."""
    user = signed_in(request)
    named = request.POST.get("place", "")
    if named and not (named.isascii() and named.isdigit() and int(named) < 2**63):
        raise Http404("No such session.")
    ended = sessions.end(user, pk=int(named) if named else None, but=request.session.session_key)
    if named and not ended:
        raise Http404("No such session.")
    messages.success(
        request, _("Logged out there.") if named else _("You are logged out everywhere but here.")
    )
    return redirect("mfa_index")
