"""The app, and Django's admin with our own door."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin

from marketplace import sealed


class AccountsConfig(AppConfig):
    name = "accounts"
    default = True

    def ready(self) -> None:
        from accounts.second_step import reseal

        sealed.OTHERS.append(reseal)


class AdministrationConfig(admin.AdminConfig):
    """Django's admin, entered by our own door."""

    default = False
    default_site = "accounts.administration.Administration"
