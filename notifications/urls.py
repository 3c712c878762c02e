"""Addresses of the messages' side: where the mail service reports."""

from django.urls import path

from notifications import views

urlpatterns = [path("email/", views.email_reports, name="email_reports")]
