"""All settings, from the environment. README lists the variables; `config/env.py` reads them.

Without DATABASE_URL and REDIS_URL the embedded servers of `config/embedded.py` are used, with their
files, the uploads and all other state in the folder VAR_DIR.
"""

import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from config.celery import CHORES, QUEUES, TIME_LIMIT, beat_schedule, routes, transport_options
from config.embedded import Embedded
from config.env import environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment(BASE_DIR)

VAR_DIR = Path(env.text("VAR_DIR", str(BASE_DIR / "var"))).resolve()

# A demo runs on one machine, over plain HTTP, with known passwords. It is not DEBUG: error pages,
# static files and headers are those of production.
DEMO = env.flag("DEMO", False)
DEBUG = env.flag("DEBUG", False)
SECURE = not (DEMO or DEBUG)


def kept_secret(path: Path) -> str:
    """The secret of this demo, made up at its first start. Two starts at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


if DEMO and not env.has("SECRET_KEY"):
    SECRET_KEY = kept_secret(VAR_DIR / "secret_key")
else:
    SECRET_KEY = env.text("SECRET_KEY", hint="make one up, or set DEMO=1 for a demo")
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS", [])

# Seals secrets that the database has to hold (marketplace/sealed.py): the first seals, all open.
if not SECURE and not env.has("SEALING_KEY"):
    SEALING_KEYS = [kept_secret(VAR_DIR / "sealing_key")]
else:
    SEALING_KEYS = env.text("SEALING_KEY", hint="make one up, and keep it").split(",")
if any(len(key.strip()) < 32 for key in SEALING_KEYS):
    raise ImproperlyConfigured("SEALING_KEY must have at least 32 characters.")

# The product

PLATFORM_NAME = env.text("PLATFORM_NAME", "Whop")
RESPONSE_DAYS = env.whole("RESPONSE_DAYS", 7, least=1)
FILING_DAYS = env.whole("FILING_DAYS", 30, least=1)
APPEAL_DAYS = env.whole("APPEAL_DAYS", 7, least=1)
STAFF_TARGET_DAYS = env.whole("STAFF_TARGET_DAYS", 2, least=1)  # business days
REMINDER_DAYS = env.wholes("REMINDER_DAYS", [3, 1], least=1)  # before a deadline
MAX_INFO_REQUESTS = env.whole("MAX_INFO_REQUESTS", 3)
MAX_FILES = env.whole("MAX_FILES", 3)
MAX_FILE_BYTES = env.whole("MAX_FILE_BYTES", 25 * 2**20, least=1)
MAX_UNSENT_FILES = env.whole("MAX_UNSENT_FILES", 20, least=3)  # of one person, in a day
# Who looks for viruses in files. Without one they are passed on as soon as they are taken.
CLAMD = env.socket("CLAMD_URL", 3310)
FILE_LINK_SECONDS = env.whole("FILE_LINK_SECONDS", 300, least=1)  # how long a file's link works
# How long files are kept once their case is closed, 0 for ever. Banks ask for up to 540 days.
EVIDENCE_KEPT_DAYS = env.whole("EVIDENCE_KEPT_DAYS", 540)
# Whether messages and files of a person who is erased go as well.
ERASE_WORDS = env.flag("ERASE_WORDS", True)
# What exports are signed with; without one a key that lasts as long as SECRET_KEY does.
EXPORT_SIGNING_KEY = (
    env.key("EXPORT_SIGNING_KEY") or sha256(f"export:{SECRET_KEY}".encode()).digest()
)
EXPORT_FORMER_KEYS = env.names("EXPORT_FORMER_KEYS", [])  # public ones, in base64
DOWNLOADS_AN_HOUR = env.whole("DOWNLOADS_AN_HOUR", 1000 if DEMO else 60, least=1)  # of one person
MAX_EXPORT_BYTES = env.whole("MAX_EXPORT_BYTES", 500 * 2**20, least=1)
DRAFT_DAYS = env.whole("DRAFT_DAYS", 30, least=1)  # how long a text that was not sent is kept
# Whole units by currency; sums in a currency that is not named here are over every limit.
SUPPORT_ACCEPT_LIMIT = env.amounts("SUPPORT_ACCEPT_LIMIT", "USD 50, EUR 50, GBP 40, JPY 7500")
AGENT_DECIDE_LIMIT = env.amounts("AGENT_DECIDE_LIMIT", "USD 250, EUR 250, GBP 200, JPY 37500")
# Over this one person proposes and another, of finance, approves.
SECOND_APPROVAL_LIMIT = env.amounts(
    "SECOND_APPROVAL_LIMIT", "USD 1000, EUR 1000, GBP 800, JPY 150000"
)
LIVE_SECONDS = env.whole("LIVE_SECONDS", 5, least=1)  # how often an open case asks for news
CLOCK_FILE = env.text("CLOCK_FILE", "") or None  # seconds that the demo and the tests are ahead
SWEEP_SECONDS = env.whole("SWEEP_SECONDS", 5 if DEMO else 20, least=1)

# Payment providers

# How long a refund without a clear answer must stay unknown at the provider to count as absent.
REFUND_DOUBT_SECONDS = env.whole("REFUND_DOUBT_SECONDS", 60)
# How long a worker holds a refund; payments/checks.py compares it with what a provider can take.
REFUND_LEASE_SECONDS = env.whole("REFUND_LEASE_SECONDS", 300, least=1)
_needed = None if SECURE else ""
STRIPE_API_KEY = env.text("STRIPE_API_KEY", _needed)
STRIPE_API_BASE = env.url("STRIPE_API_BASE", "https://api.stripe.com")
PAYPAL_CLIENT_ID = env.text("PAYPAL_CLIENT_ID", _needed)
PAYPAL_CLIENT_SECRET = env.text("PAYPAL_CLIENT_SECRET", _needed)
PAYPAL_API_BASE = env.url("PAYPAL_API_BASE", "https://api-m.paypal.com")
# What the providers' webhooks are checked by. Stripe's secret may be two while one replaces the
# other. The sandbox makes up an authority for PayPal's certificates; nobody else may.
STRIPE_WEBHOOK_SECRETS = [
    part.strip() for part in env.text("STRIPE_WEBHOOK_SECRET", _needed).split(",") if part.strip()
]
PAYPAL_WEBHOOK_ID = env.text("PAYPAL_WEBHOOK_ID", _needed)
PAYPAL_WEBHOOK_CA = env.text("PAYPAL_WEBHOOK_CA", "")
if SECURE and PAYPAL_WEBHOOK_CA:
    raise ImproperlyConfigured("PAYPAL_WEBHOOK_CA is for the sandbox and must not be set.")
# How far back each payment is compared with its provider, every day.
RECONCILIATION_DAYS = env.whole("RECONCILIATION_DAYS", 120, least=1)
EVENTS_KEPT_DAYS = env.whole("EVENTS_KEPT_DAYS", 90, least=1)  # of the providers, once handled
PAYMENT_NEWS_TASK = "resolution.tasks.notice_payment"  # who is told when a payment has changed

# Webhooks out. Loopback addresses, plain HTTP ones too, are for receivers on a developer's machine.
OUTGOING_WEBHOOKS_ALLOW_LOOPBACK = env.flag("OUTGOING_WEBHOOKS_ALLOW_LOOPBACK", False)
if SECURE and OUTGOING_WEBHOOKS_ALLOW_LOOPBACK:
    raise ImproperlyConfigured(
        "OUTGOING_WEBHOOKS_ALLOW_LOOPBACK is for development and must not be set."
    )
WEBHOOKS_TASK = "api.tasks.deliver_webhooks"  # who is told when there is something to send

# Who may feed us the marketplace’s records; two secrets while one replaces the other.
INGEST_SECRETS = env.names("INGEST_SECRET", [])
if any(len(secret) < 24 for secret in INGEST_SECRETS):
    raise ImproperlyConfigured("INGEST_SECRET must have at least 24 characters.")

# The API: how much one token may ask for. A demo is for trying things out, by scripts too.
API_REQUESTS_A_MINUTE = env.whole("API_REQUESTS_A_MINUTE", 10_000 if DEMO else 600, least=1)

# Who may read /metrics: nobody until there is a token, but in a demo everybody.
METRICS_TOKENS = env.names("METRICS_TOKEN", [])
if any(len(token) < 24 for token in METRICS_TOKENS):
    raise ImproperlyConfigured("METRICS_TOKEN must have at least 24 characters.")

# Who collects traces (config/traces.py): nobody unless said, and then nothing of it is imported.
TRACES_TO = env.url("OTEL_EXPORTER_OTLP_ENDPOINT") if env.has("OTEL_EXPORTER_OTLP_ENDPOINT") else ""

# Where it is reached

SITE_URL = env.url("SITE_URL", "http://localhost:8000" if not SECURE else None)
if SECURE and not SITE_URL.startswith("https://"):
    raise ImproperlyConfigured("SITE_URL must start with https:// outside the demo.")
_site = urlsplit(SITE_URL)
ALLOWED_HOSTS = env.names(
    "ALLOWED_HOSTS",
    [_site.hostname or ""] if SECURE else ["localhost", "127.0.0.1", "[::1]", _site.hostname or ""],
)
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

# Database, broker, files

EMBEDDED_POSTGRES = not env.has("DATABASE_URL")
EMBEDDED_VALKEY = not env.has("REDIS_URL")
EMBEDDED = Embedded(VAR_DIR)
REDIS_URL = EMBEDDED.redis_url if EMBEDDED_VALKEY else env.redis("REDIS_URL")

# One connection a thread, kept open: a new one costs PostgreSQL about 30 times as much. Our threads
# are few and long-lived (gunicorn's and Celery's), so a pool would add nothing to that.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        **(EMBEDDED.database if EMBEDDED_POSTGRES else env.database("DATABASE_URL")),
    }
}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", "5")
# No transaction of ours waits for anything but PostgreSQL. Whoever freezes inside of one would keep
# its rows from everybody else, so it is rolled back; waking up, they find their connection closed.
_PATIENCE = env.whole("IDLE_TRANSACTION_SECONDS", 15)
DATABASES["default"]["OPTIONS"].setdefault(
    "options",
    f"{env.text('PGOPTIONS', '')} -c idle_in_transaction_session_timeout={_PATIENCE}s".strip(),
)
# PostgreSQL keeps the plans of statements that pages ask all the time (marketplace/statements.py).
if env.flag("PREPARED_STATEMENTS", True):
    DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 2
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "accounts.cache.SharedCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    }
}

S3_BUCKET = env.text("S3_BUCKET", "")
UPLOADS: dict[str, Any]
if S3_BUCKET:
    UPLOADS = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": env.url("S3_ENDPOINT_URL") if env.has("S3_ENDPOINT_URL") else None,
            "access_key": env.text("S3_ACCESS_KEY"),
            "secret_key": env.text("S3_SECRET_KEY"),
            "region_name": env.text("S3_REGION", "us-east-1"),
            "addressing_style": "path",
            "signature_version": "s3v4",
            "default_acl": None,
            "querystring_auth": True,
            "querystring_expire": 60,
            "file_overwrite": False,
            "object_parameters": {"ContentDisposition": "attachment"},
        },
    }
else:
    UPLOADS = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": str(Path(env.text("MEDIA_ROOT", str(VAR_DIR / "media")))),
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    }
STORAGES = {
    "default": UPLOADS,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(VAR_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
# A request holds three files at the most, and their forms check each; what is larger than this is
# refused before anything is read of it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 * 2**20

# Mail

SMTP = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_BACKEND = env.text("EMAIL_BACKEND", SMTP)
ANYMAIL = env.table("ANYMAIL")  # keys of the provider, for anymail.backends.…
_needs_server = SECURE and EMAIL_BACKEND == SMTP
_mail = env.mail("EMAIL_URL", None if _needs_server else "smtp://localhost:1025")
EMAIL_HOST = _mail["EMAIL_HOST"]
EMAIL_PORT = _mail["EMAIL_PORT"]
EMAIL_HOST_USER = _mail["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = _mail["EMAIL_USE_TLS"]
EMAIL_USE_SSL = _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.text(
    "DEFAULT_FROM_EMAIL",
    f"{PLATFORM_NAME} <no-reply@{_site.hostname}>"
    if SECURE
    else f"{PLATFORM_NAME} <no-reply@resolution.example>",
)
SERVER_EMAIL = DEFAULT_FROM_EMAIL
# Signs what the mail service reports of bounces and complaints; without it, it cannot report.
EMAIL_WEBHOOK_SECRET = env.text("EMAIL_WEBHOOK_SECRET", "")

# Parts

INSTALLED_APPS = [
    "accounts.apps.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "csp",
    "django_htmx",
    "anymail",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "accounts",
    "marketplace",
    "payments",
    "notifications",
    "resolution",
    "api",
    "config",
]
MIDDLEWARE = [
    "config.middleware.watch",
    "config.middleware.keep_apart",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    # Whatever is answered from here on gets the headers of those above.
    "api.errors.in_whops_shape",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.note_use",
    "config.middleware.keep_no_copy",
    "marketplace.time_zone.in_their_time_zone",
    "marketplace.language.in_their_language",
    # From here on what is refused is said in the reader's language.
    "config.middleware.refuse_nul",
    "config.middleware.explain_the_method",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
# The code is written in English; every other language here is complete, under its own name.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]

# Accounts: they come from the marketplace; allauth carries the login and its second step

AUTH_USER_MODEL = "marketplace.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"  # sends each role to its own place
LOGOUT_REDIRECT_URL = "/login/"
PASSWORD_RESET_TIMEOUT = 60 * 60
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "email")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Staff need a second step. A demo does without, so that it can be looked at at once.
STAFF_TWO_FACTOR = env.flag("STAFF_TWO_FACTOR", not DEMO)
if SECURE and not STAFF_TWO_FACTOR:
    raise ImproperlyConfigured("STAFF_TWO_FACTOR=0 is for the demo only.")
# Acts that move money, and those on the account itself, ask again who it is after this long.
FRESH_LOGIN_MINUTES = env.whole("FRESH_LOGIN_MINUTES", 30, least=1 if SECURE else 0)
LOGINS_A_MINUTE = env.whole("LOGINS_A_MINUTE", 600 if DEMO else 30, least=1)  # of one address
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_TIMEOUT = 15 * 60  # from the password to the second step
ACCOUNT_RATE_LIMITS: dict[str, str | None] = {
    "login": f"{LOGINS_A_MINUTE}/m/ip",
    "login_failed": f"{LOGINS_A_MINUTE}/m/ip,5/5m/key",
    "reset_password": "20/m/ip",
    "reset_password_of": "5/h/key",
}
MFA_ADAPTER = "accounts.adapters.StepAdapter"
MFA_FORMS = {
    "authenticate": "accounts.forms.StepForm",
    "add_webauthn": "accounts.forms.PasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are the marketplace's to verify
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_TOLERANCE = 1  # a code from half a minute ago is still good
# Single sign-on with the marketplace's own accounts, by OpenID Connect
SSO_ISSUER = env.url("SSO_ISSUER") if env.has("SSO_ISSUER") else ""
SSO_NAME = env.text("SSO_NAME", PLATFORM_NAME)
SSO_CLIENT_ID = env.text("SSO_CLIENT_ID", None if SSO_ISSUER else "")
SSO_CLIENT_SECRET = env.text("SSO_CLIENT_SECRET", None if SSO_ISSUER else "")
SSO_SUBJECT_IS_ID = env.flag("SSO_SUBJECT_IS_ID", False)  # the `user_…` that ingest is fed
if SECURE and SSO_ISSUER and not SSO_ISSUER.startswith("https://"):
    raise ImproperlyConfigured("SSO_ISSUER must start with https:// outside the demo.")
SOCIALACCOUNT_ADAPTER = "accounts.sso.Linking"
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
if env.flag("BEHIND_PROXY", False):  # one that adds whom it speaks for at the end
    ALLAUTH_TRUSTED_PROXY_COUNT = 1

# The browser

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "__Host-session" if SECURE else "session"
DEVICE_COOKIE_NAME = "__Host-device" if SECURE else "device"
SESSION_COOKIE_AGE = 14 * 24 * 60 * 60
SESSION_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE else "csrf"
CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_NAME = "__Host-language" if SECURE else "language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 60 * 60
LANGUAGE_COOKIE_SECURE = SECURE
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "resolution.views.login.refused_form"
SECURE_SSL_REDIRECT = SECURE
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 2 * 365 * 24 * 60 * 60 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
if env.flag("BEHIND_PROXY", False):  # one that sets or strips this header itself
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        **({"frame-src": [SELF]} if DEMO else {}),  # the mailbox shows e-mails in a frame
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    feature: []
    for feature in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "encrypted-media",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
        "xr-spatial-tracking",
    )
}

# Celery: at least once, one at a time, and soon again after a worker was killed

BROKER_URL = env.broker("BROKER_URL", REDIS_URL)
CELERY_BROKER_URL = BROKER_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(BROKER_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = TIME_LIMIT
CELERY_TASK_SOFT_TIME_LIMIT = TIME_LIMIT - 60
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = CHORES
CELERY_TASK_ROUTES = routes()
CELERY_TASK_QUEUES = [Queue(name) for name in QUEUES]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = beat_schedule(SWEEP_SECONDS)
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat-schedule")

# Places to die at (marketplace/failpoints.py), for the tests that kill workers

FAILPOINTS = env.text("FAILPOINTS", "")
FAILPOINTS_LOG = env.text("FAILPOINTS_LOG", "")
if SECURE and FAILPOINTS:
    raise ImproperlyConfigured("FAILPOINTS is for tests and must not be set.")

# Logs: one line each, to standard error, never a body or a header

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "config.logs.OneLine"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        # Names addresses, and what they hold; the line of the request itself does not.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.server": {"handlers": [], "propagate": True},
        "fontTools": {"handlers": [], "level": "WARNING"},
        "fpdf": {"handlers": [], "level": "WARNING"},
        "gunicorn.access": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
        "paypalrestsdk": {"level": "WARNING"},
    },
}
SILENCED_SYSTEM_CHECKS: list[str] = []
