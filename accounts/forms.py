"""What people send to log in and to show who they are."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AddWebAuthnForm, ReauthenticateWebAuthnForm
from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from marketplace.models import User

CONFIRMING = "confirm"
"""What the fields begin with that show who somebody is, beside those of the act itself."""

CODE = {"class": "input", "autocomplete": "one-time-code", "inputmode": "numeric"}


class LogInForm(AuthenticationForm):
    """E-mail address and password. The same sentence whether or not there is such an account."""

    username = forms.EmailField(
        label=_("Email"),
        max_length=254,
        widget=forms.EmailInput(attrs={"class": "input", "autocomplete": "username webauthn"}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "current-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError when they do not belong together, or after too many attempts."""
        email = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if email and password:
            self.user_cache = get_adapter(self.request).authenticate(
                self.request, email=email.lower(), password=password
            )
            if self.user_cache is None:
                raise self.get_invalid_login_error()
        return self.cleaned_data


class StepForm(AuthenticateForm):
    """A code from the app, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=32,
        help_text=_("From your authenticator app. A recovery code works too."),
        widget=forms.TextInput(attrs=CODE),
    )


class ConfirmForm(forms.Form):
    """One of the ways to show who somebody is: the password, a code, or a passkey.

    `has` names the kinds of second steps they have; `note()` writes down that they have shown it.
    """

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        required=False,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "current-password"}),
    )
    code = forms.CharField(
        label=_("Or a code from your app"),
        max_length=32,
        required=False,
        widget=forms.TextInput(attrs=CODE),
    )
    credential = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, data: Any, *, request: HttpRequest, has: set[str], with_password: bool
    ) -> None:
        super().__init__(data, prefix=CONFIRMING)
        assert isinstance(request.user, User)
        self.request, self.user = request, request.user
        self.way: forms.Form | None = None
        for name in ("password", "code"):  # one of the two is enough
            self.fields[name].needed = True  # type: ignore[attr-defined]
        if not with_password:
            del self.fields["password"]
            self.fields["code"].label = _("A code from your app, or a recovery code")
        if not has & {Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES}:
            del self.fields["code"]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        password, code = said.get("password"), said.get("code")
        if credential := said.get("credential"):
            self.way = ReauthenticateWebAuthnForm({"credential": credential}, user=self.user)
            self._tell("credential", None)
        elif code:
            self.way = ReauthenticateForm({"code": code}, user=self.user)
            self._tell("code", "code")
        elif password:
            same = get_adapter(self.request).authenticate(
                self.request, email=self.user.email, password=password
            )
            if same is None or same.pk != self.user.pk:
                self.add_error("password", _("That is not your password."))
        else:
            first = next((name for name in ("password", "code") if name in self.fields), None)
            self.add_error(first, _("Enter it to go on."))
        return said

    def _tell(self, name: str, field: str | None) -> None:
        assert self.way
        for error in self.way.errors.get(name, []):
            self.add_error(field, error)

    def note(self) -> None:
        """Write down in the session that this person has just shown who they are."""
        if self.way:
            self.way.save()  # type: ignore[attr-defined]
        else:
            record_authentication(self.request, self.user, "password", reauthenticated=True)


class PasskeyForm(AddWebAuthnForm):
    """A new passkey, by the name that its owner gives it."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        required=False,
        help_text=_("So that you can tell your passkeys apart: “My phone”."),
        widget=forms.TextInput(attrs={"class": "input"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["name"] = ""
        self.fields.pop("passwordless", None)

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        said["passwordless"] = True  # what is stored is good for a login by itself
        return said

    def clean_name(self) -> str:
        named: str = self.cleaned_data["name"].strip()
        return named or str(_("Passkey"))


class NewPasswordForm(PasswordChangeForm):
    """The present password, and a new one twice."""

    field_order = ("old_password", "new_password1", "new_password2")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        assert isinstance(request.user, User)
        super().__init__(request.user, *args, **kwargs)
        self.request = request
        names: dict[str, Any] = {
            "old_password": _("Present password"),
            "new_password1": _("New password"),
            "new_password2": _("New password, once more"),
        }
        for name, label in names.items():
            self.fields[name].label = label
            self.fields[name].widget.attrs["class"] = "input"

    def clean_old_password(self) -> str:
        """Counts as an attempt to log in: whoever is at the browser could be guessing."""
        password: str = self.cleaned_data["old_password"]
        user = self.user
        assert isinstance(user, User)
        same = get_adapter(self.request).authenticate(
            self.request, email=user.email, password=password
        )
        if same is None or same.pk != user.pk:
            raise ValidationError(_("That is not your password."), code="password_incorrect")
        return password
