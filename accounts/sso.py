"""Single sign-on: the marketplace's own login is good here too, by OpenID Connect.

The flow is allauth's: a code with PKCE, and a state in the session. What we demand on top is a
signed token with our nonce in it, and we say ourselves whose account it opens.
"""

import hashlib
import secrets
from typing import Any

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import events
from accounts.models import AccountEvent
from marketplace.models import User

SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""How a token may be signed: by a key that only its issuer has, never by one that we have too."""


class Protocol(OpenIDConnectOAuth2Adapter):
    """OpenID Connect with the one issuer of the settings."""

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Where people come back to: our own address, whatever host a request names."""
        return settings.SITE_URL.rstrip("/") + reverse("sso-callback")

    def complete_login(
        self, request: HttpRequest, app: Any, token: Any, **kwargs: Any
    ) -> SocialLogin:
        """Whom the issuer vouches for. Raises OAuth2Error when it does not do so to us, and now."""
        signed = kwargs["response"].get("id_token")
        if not signed:
            raise OAuth2Error("There is no id_token.")
        if str(self.openid_config.get("issuer")).rstrip("/") != settings.SSO_ISSUER:
            raise OAuth2Error("The issuer is another one.")
        claims = self._decode_id_token(app, signed)
        nonce = request.session.pop(NONCE, None)
        if not nonce or claims.get("nonce") != nonce:
            raise OAuth2Error("The token was made for another login.")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise OAuth2Error("The token names nobody.")
        if "email" not in claims and "userinfo_endpoint" in self.openid_config:
            told = self._fetch_user_info(token.token)
            if told.get("sub") != claims["sub"]:
                raise OAuth2Error("The userinfo is about somebody else.")
            claims |= {key: told[key] for key in ("email", "email_verified", "name") if key in told}
        return self.get_provider().sociallogin_from_response(request, {"id_token": claims})

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        """The claims of a token that is signed by the issuer, for us, and still good."""
        header: dict[str, Any] = jwtkit.jwt.get_unverified_header(id_token)
        if header.get("alg") not in SIGNED_BY:
            raise OAuth2Error("The token is not signed by a key of the issuer's alone.")
        try:
            claims: dict[str, Any] = jwtkit.verify_and_decode(
                credential=id_token,
                keys_url=self.openid_config["jwks_uri"],
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
            )
        except (KeyError, TypeError, ValueError) as reason:
            raise OAuth2Error("The token can’t be checked.") from reason
        return claims


NONCE = "sso_nonce"


class Linking(DefaultSocialAccountAdapter):
    """Whose account somebody opens who comes from the marketplace's login."""

    def list_apps(
        self, request: HttpRequest, provider: Any = None, client_id: Any = None
    ) -> list[SocialApp]:
        """The one issuer of the settings."""
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=provider_id(),
                name=settings.SSO_NAME,
                client_id=settings.SSO_CLIENT_ID,
                secret=settings.SSO_CLIENT_SECRET,
                settings={"server_url": settings.SSO_ISSUER, "oauth_pkce_enabled": True},
            )
        ]

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: Any) -> Any:
        """What the issuer says of somebody is not taken over: the marketplace feeds that."""
        return sociallogin.user

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find the account, and link it the first time.

        By the link there is; by the id in the subject, where the settings say that it is one; by an
        address that the issuer has verified. The staff are not linked by an address: whoever could
        get it at the marketplace would be let in here. Nobody is made up.
        """
        if sociallogin.is_existing:
            SocialAccount.objects.filter(pk=sociallogin.account.pk).update(extra_data={})
            return
        claims = sociallogin.account.extra_data.get("id_token", {})
        user = self._whose(claims)
        if user is None:
            raise ImmediateHttpResponse(_turned_away(request, _no_account()))
        try:
            with transaction.atomic():
                account = sociallogin.account
                SocialAccount.objects.create(user=user, provider=account.provider, uid=account.uid)
                events.note(request, user, AccountEvent.Kind.LINKED)
        except IntegrityError:
            raise ImmediateHttpResponse(_turned_away(request, _no_account())) from None
        sociallogin.user = user

    def _whose(self, claims: dict[str, Any]) -> User | None:
        people = User.objects.filter(is_active=True)
        if settings.SSO_SUBJECT_IS_ID:
            return people.filter(public_id=claims.get("sub", "")).first()
        email = claims.get("email")
        if claims.get("email_verified") is not True or not isinstance(email, str):
            return None
        return people.filter(email=email.strip().lower(), is_staff=False).first()

    def on_authentication_error(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        said = _("The login at %(name)s did not work out. Try again, or log in here.")
        raise ImmediateHttpResponse(_turned_away(request, said % {"name": settings.SSO_NAME}))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False


@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Send somebody to the marketplace's login.

    By a link: the answer to a form must not lead to another site (`form-action`).
    """
    provider = _provider(request)
    wanted = request.GET.get("next", "")
    place = wanted if url_has_allowed_host_and_scheme(wanted, request.get_host()) else None
    nonce = secrets.token_urlsafe(24)
    request.session[NONCE] = nonce
    try:
        sent: HttpResponse = provider.redirect(
            request, process="login", next_url=place, auth_params={"nonce": nonce}
        )
    except (requests.RequestException, ValueError, KeyError):
        said = _("%(name)s can’t be reached at the moment. Try again, or log in here.")
        return _turned_away(request, said % {"name": settings.SSO_NAME})
    return sent


@never_cache
@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    """Somebody comes back from there."""
    _provider(request)
    view = OAuth2CallbackView.adapter_view(Protocol(request, provider_id()))
    try:
        answer: HttpResponse = view(request)
    except (ValueError, KeyError, TypeError):
        said = _("The login at %(name)s did not work out. Try again, or log in here.")
        return _turned_away(request, said % {"name": settings.SSO_NAME})
    return answer


def provider_id() -> str:
    """Names the issuer in the links of people: another issuer's subjects are other people."""
    return "sso-" + hashlib.sha256(settings.SSO_ISSUER.encode()).hexdigest()[:16]


def _provider(request: HttpRequest) -> Any:
    if not settings.SSO_ISSUER:
        raise Http404("There is no single sign-on.")
    provider = get_adapter().get_provider(request, provider_id())
    provider.oauth2_adapter_class = Protocol
    return provider


def _no_account() -> str:
    return _("There is no account here for that login. Log in here, or write to %(platform)s.") % {
        "platform": settings.PLATFORM_NAME
    }


def _turned_away(request: HttpRequest, said: str) -> HttpResponse:
    messages.error(request, said)
    return redirect("account_login")
