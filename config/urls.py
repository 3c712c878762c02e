"""Every address of the project, or the app that has it."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from api.urls import api
from config import mailbox, metrics, views

handler500 = views.broken
urlpatterns = [
    path("", views.home, name="home"),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("login/", views.LogIn.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "password-reset/",
        auth.PasswordResetView.as_view(
            form_class=views.ForgottenPassword,
            email_template_name="registration/password_reset_email.txt",
            html_email_template_name="registration/password_reset_email.html",
            extra_email_context=views.links_in_mail(),
        ),
        name="password_reset",
    ),
    path("password-reset/sent/", auth.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path(
        "password-reset/<uidb64>/<token>/",
        auth.PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    path(
        "password-reset/done/",
        auth.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
    path("admin/login/", views.log_in_to_admin),
    path("admin/logout/", auth.LogoutView.as_view()),
    path("admin/", admin.site.urls),
    path("webhooks/", include("payments.urls")),
    path("webhooks/", include("notifications.urls")),
    path("api/v1/", api.urls),
    path("", include("api.pages")),
    path("", include("resolution.urls")),
]
if settings.DEMO:
    urlpatterns.append(path("dev/mailbox/", include(mailbox.urlpatterns)))
