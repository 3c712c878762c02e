"""The project's settings as the tests run them: nothing of this machine, and servers of their own.

Each run of the tests holds one of a few state folders, with a PostgreSQL and a Valkey that no demo
and no other run uses. They keep nothing safe from a power cut, which makes them fast. Where the
environment gives a DATABASE_URL or a REDIS_URL, that server is used.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent.parent
held: list[TextIO] = []


def hold_a_state_folder() -> Path:
    """The first folder that no other run of the tests holds; kept until this process ends."""
    for number in range(100):
        folder = HERE / "var" / f"test-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "run.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        held.append(lock)
        shutil.rmtree(folder / "media", ignore_errors=True)
        return folder
    raise RuntimeError("A hundred runs of the tests at once are enough.")


# The workers of pytest-xdist inherit what the first process has put here.
if "RESOLUTION_TEST_STATE" not in os.environ:
    os.environ["RESOLUTION_TEST_STATE"] = str(hold_a_state_folder())
os.environ |= {
    "VAR_DIR": os.environ["RESOLUTION_TEST_STATE"],
    "MEDIA_ROOT": os.environ["RESOLUTION_TEST_STATE"] + "/media",
    "DEMO": "0",
    "DEBUG": "0",
    "SECRET_KEY": "known to everyone who reads the tests",
    "SEALING_KEY": "the tests seal with what everyone can read",
    "SITE_URL": "https://testserver",
    "EMAIL_URL": "smtp://localhost:1",
    "STRIPE_API_KEY": "sk_test_tests",
    "PAYPAL_CLIENT_ID": "tests",
    "PAYPAL_CLIENT_SECRET": "tests",
    "STRIPE_WEBHOOK_SECRET": "whsec_tests",
    "PAYPAL_WEBHOOK_ID": "WH-TESTS",
    "DEFAULT_FROM_EMAIL": "Whop <no-reply@resolution.example>",
    # Playwright runs an event loop in the thread of the test.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
}

from config.embedded import Embedded  # noqa: E402
from config.settings import *  # noqa: E402, F403
from config.settings import EMBEDDED_POSTGRES, EMBEDDED_VALKEY, LOGGING, STORAGES, VAR_DIR  # noqa: E402

EMBEDDED = Embedded(VAR_DIR, durable=False)
EMBEDDED.start(postgres=EMBEDDED_POSTGRES, valkey=EMBEDDED_VALKEY)

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
LOGGING = {**LOGGING, "root": {"handlers": ["stderr"], "level": "WARNING"}}

# The test client and the live server speak plain HTTP.
SECURE_SSL_REDIRECT = False
SESSION_COOKIE_SECURE = False
SESSION_COOKIE_NAME = "session"
CSRF_COOKIE_SECURE = False
CSRF_COOKIE_NAME = "csrf"

DEVICE_COOKIE_NAME = "device"

# Most tests are of what comes after the login; those of the login itself ask for these again.
STAFF_TWO_FACTOR = False
FRESH_LOGIN_MINUTES = 0
LOGINS_A_MINUTE = 100_000
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None, "reset_password": None}
