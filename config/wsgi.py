"""The WSGI application."""

import os
import sys
from importlib import import_module

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from config.memory import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    if settings.TRACES_TO:  # before the middleware is loaded
        import_module("config.traces").start("web")
    application = get_wsgi_application()
except ImproperlyConfigured as error:
    sys.exit(str(error))
settle()
