"""Addresses of the money's side: where providers send their events."""

from django.urls import path

from payments import views

urlpatterns = [
    path("stripe/", views.webhook, {"provider": "stripe"}, name="stripe_webhook"),
    path("paypal/", views.webhook, {"provider": "paypal"}, name="paypal_webhook"),
]
