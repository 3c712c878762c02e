"""Makes the project itself an app, for its commands."""

from django.apps import AppConfig

from config import translations


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Project"

    def ready(self) -> None:
        """Have the texts of every language at hand, whatever it is that starts."""
        translations.compile_what_is_newer()
