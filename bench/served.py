"""The WSGI application with the addresses of the twins beside ours, for `bench.server`."""

import os

from django.conf import settings
from django.db import connections

from bench.measure import prepare

prepare()
settings.ROOT_URLCONF = "bench.twins"

from config.wsgi import application  # noqa: E402

connections["default"].settings_dict["NAME"] = os.environ["BENCH_DATABASE"]

__all__ = ["application"]
