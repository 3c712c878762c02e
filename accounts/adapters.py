"""What allauth asks of us: who may log in how, what is kept secret, and whom we tell."""

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import devices, events, second_step
from accounts.models import AccountEvent
from accounts.sessions import SEEN
from marketplace import sealed


class AccountAdapter(DefaultAccountAdapter):
    """Logging in. Accounts come from the marketplace, and so do their addresses."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "incorrect_code": _("That code is not right. Codes change every half minute."),
        "too_many_login_attempts": _("Too many attempts. Wait a few minutes, then try again."),
        "rate_limited": _("Too many attempts. Wait a few minutes, then try again."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_stages(self) -> list[str]:
        return ["allauth.mfa.stages.AuthenticateStage"]

    def get_client_ip(self, request: HttpRequest) -> str:
        return devices.address_of(request)

    def is_reauthentication_required(self, **kwargs: Any) -> bool:
        """Never: `fresh.needs_fresh` stands before each view that would want it."""
        return False

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Our pages say themselves what has happened."""

    def send_notification_mail(self, template_prefix: str, user: Any, *a: Any, **kw: Any) -> None:
        """Tell the person by our own words; what has no kind here is told by our own views."""
        if kind := TOLD.get(template_prefix):
            events.note(self.request, user, kind)

    def login(self, request: HttpRequest, user: Any) -> None:
        self.first = user.last_login is None
        super().login(request, user)
        request.session[SEEN] = timezone.now().timestamp()
        request.session["first"] = self.first

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response = super().post_login(request, user, **kwargs)
        if not request.session.pop("first", False) and not devices.is_known(request, user):
            events.note(request, user, AccountEvent.Kind.NEW_DEVICE)
        devices.remember(request, response, user)
        return response


TOLD = {
    "mfa/email/totp_activated": AccountEvent.Kind.STEP_ADDED,
    "mfa/email/totp_deactivated": AccountEvent.Kind.STEP_REMOVED,
    "mfa/email/webauthn_added": AccountEvent.Kind.STEP_ADDED,
    "mfa/email/webauthn_removed": AccountEvent.Kind.STEP_REMOVED,
    "mfa/email/recovery_codes_generated": AccountEvent.Kind.NEW_CODES,
}


class StepAdapter(DefaultMFAAdapter):
    """The second step. Its secrets are sealed before they reach the database."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("That code is not right. Codes change every half minute."),
        "cannot_delete_authenticator": _("Your work needs a second step: set up another first."),
    }

    def encrypt(self, text: str) -> str:
        return sealed.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return sealed.unseal(encrypted_text)

    def can_delete_authenticator(self, authenticator: Any) -> bool:
        """The last one of somebody who has to have one stays."""
        if authenticator.type not in second_step.STEPS:
            return True
        others = type(authenticator).objects.filter(
            user=authenticator.user, type__in=second_step.STEPS
        )
        return (
            not second_step.must_keep(authenticator.user)
            or others.exclude(pk=authenticator.pk).exists()
        )

    def get_totp_issuer(self) -> str:
        return settings.PLATFORM_NAME

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys belong to the address people know us by, whatever host a request names."""
        host = urlsplit(settings.SITE_URL).hostname or ""
        return {"id": host, "name": settings.PLATFORM_NAME}
