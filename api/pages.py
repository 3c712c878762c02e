"""The addresses of the developers’ pages; the API's own are in urls.py."""

from django.urls import path

from api import developers

dash = "dash/resolution-center/developers/"

urlpatterns = [
    path(dash, developers.home, name="dash-developers"),
    path(f"{dash}tokens/new/", developers.token_new, name="dash-token-new"),
    path(
        f"{dash}tokens/<str:public_id>/revoke/", developers.token_revoke, name="dash-token-revoke"
    ),
    path(f"{dash}webhooks/new/", developers.webhook_new, name="dash-webhook-new"),
    path(f"{dash}webhooks/<str:public_id>/", developers.webhook, name="dash-webhook"),
    path(
        f"{dash}webhooks/<str:public_id>/<slug:act>/",
        developers.webhook_act,
        name="dash-webhook-act",
    ),
    path(
        f"{dash}webhooks/<str:public_id>/deliveries/<str:delivery_id>/replay/",
        developers.delivery_replay,
        name="dash-delivery-replay",
    ),
    path("hub/tokens/", developers.own_tokens, name="hub-tokens"),
    path("hub/tokens/new/", developers.own_token_new, name="hub-token-new"),
    path(
        "hub/tokens/<str:public_id>/revoke/", developers.own_token_revoke, name="hub-token-revoke"
    ),
]
