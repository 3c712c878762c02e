"""The addresses of logging in and of an account's safety; allauth asks for some by name."""

from django.contrib.auth import views as auth
from django.urls import path

from accounts import sso, views

safety = "account/security/"

urlpatterns = [
    path("login/second-step/", views.SecondStep.as_view(), name="mfa_authenticate"),
    path("login/passkey/", views.log_in_by_passkey, name="login-passkey"),
    path("login/sso/", sso.start, name="sso"),
    path("login/sso/callback/", sso.callback, name="sso-callback"),
    path("login/closed/", views.closed, name="account_inactive"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password-reset/", views.Forgotten.as_view(), name="password_reset"),
    path("password-reset/sent/", auth.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path(
        "password-reset/<uidb64>/<token>/",
        views.NewPassword.as_view(),
        name="password_reset_confirm",
    ),
    path(
        "password-reset/done/",
        auth.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
    path("account/confirm/", views.confirm, name="account-confirm"),
    path(safety, views.security, name="mfa_index"),
    path(f"{safety}password/", views.password, name="account-password"),
    path(f"{safety}app/", views.NewApp.as_view(), name="mfa_activate_totp"),
    path(f"{safety}app/remove/", views.NoApp.as_view(), name="mfa_deactivate_totp"),
    path(f"{safety}passkeys/new/", views.NewPasskey.as_view(), name="passkey-new"),
    path(f"{safety}passkeys/<int:pk>/remove/", views.remove_passkey, name="passkey-remove"),
    path(f"{safety}recovery-codes/", views.recovery_codes, name="mfa_view_recovery_codes"),
    path(f"{safety}sessions/end/", views.end_session, name="session-end"),
]
