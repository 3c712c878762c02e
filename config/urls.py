"""Every address of the project, or the app that has it."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.views.decorators.http import require_safe

from accounts.administration import to_the_door
from api.urls import api
from config import mailbox, metrics, views

handler400 = views.unreadable
handler500 = views.broken
urlpatterns = [
    path("", views.home, name="home"),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("login/", views.LogIn.as_view(), name="login"),
    path("login/", views.LogIn.as_view(), name="account_login"),  # as allauth calls it
    path("", include("accounts.urls")),
    path("admin/login/", require_safe(to_the_door)),
    path("admin/logout/", auth.LogoutView.as_view()),
    path("admin/", admin.site.urls),
    path("webhooks/", include("payments.urls")),
    path("webhooks/", include("notifications.urls")),
    path("api/v1/", api.urls),
    path("", include("api.pages")),
    path("", include("resolution.urls")),
]
if settings.ANYMAIL.get("WEBHOOK_SECRET"):
    urlpatterns.append(path("webhooks/anymail/", include("anymail.urls")))
if settings.DEMO:
    urlpatterns.append(path("dev/mailbox/", include(mailbox.urlpatterns)))
