"""The demo's settings with little patience, so that thousands of histories fit into an hour."""

# What is killed and forked again has them loaded.
import paypalrestsdk  # noqa: F401
import stripe

from config.settings import *  # noqa: F403

# A read that broke is repeated at once, not after half a second.
stripe.HTTPClient.INITIAL_DELAY = 0.02

GATEWAY_TIMEOUT = (0.3, 0.3)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = False  # noqa: F405 its server does not go away
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# In each currency some sums are within the limits and some are over them.
SECOND_APPROVAL_LIMIT = dict.fromkeys(["USD", "EUR", "HUF", "TWD"], 300)
SECOND_APPROVAL_LIMIT |= dict.fromkeys(["JPY", "ISK", "UGX"], 30_000) | {"KWD": 30}
AGENT_DECIDE_LIMIT = {currency: limit // 3 for currency, limit in SECOND_APPROVAL_LIMIT.items()}
SUPPORT_ACCEPT_LIMIT = AGENT_DECIDE_LIMIT
