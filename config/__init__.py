"""How the project is put together and run. Nothing here knows the rules of a case."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
