from django.apps import AppConfig


class ResolutionConfig(AppConfig):
    name = "resolution"
    default_auto_field = "django.db.models.BigAutoField"
