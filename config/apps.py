"""Makes the project itself an app, for its commands, its own table and the watch over its tasks."""

from django.apps import AppConfig

from config import translations


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Project"

    def ready(self) -> None:
        """Have the texts of every language at hand and tasks watched, whatever starts."""
        translations.compile_what_is_newer()
        translations.name_records_in_every_language()

        from config import watch  # its table needs the apps to be there

        watch.start()
