"""Which browser somebody uses, in words, and whether they have logged in with it before."""

import ipaddress

from allauth.core.internal.httpkit import get_client_ip
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from marketplace.models import User

SALT = "accounts.devices"
YEAR = 365 * 24 * 60 * 60
KNOWN = 8
"""How many people one browser is remembered to belong to."""

NOWHERE = "0.0.0.0"  # noqa: S104
LONGEST_AGENT = 200

BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)  # fmt: skip
"""A mark in what a browser calls itself, and its name; the first that is there is right."""

SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"),
    ("Windows", "Windows"), ("Mac OS", "Mac"), ("Linux", "Linux"),
)  # fmt: skip


def address_of(request: HttpRequest) -> str:
    """The address a request comes from, as far as the proxy in front of us is to be believed."""
    found = get_client_ip(request)
    return str(ipaddress.ip_address(found)) if found else NOWHERE


def agent_of(request: HttpRequest) -> str:
    """What the browser calls itself."""
    return request.headers.get("User-Agent", "").replace("\0", "")[:LONGEST_AGENT]


def in_words(agent: str) -> str:
    """A browser as its owner would call it: “Firefox on Windows”."""
    browser = next((name for mark, name in BROWSERS if mark in agent), "")
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("An unknown browser")


def is_known(request: HttpRequest, user: User) -> bool:
    """Whether this person has logged in with this browser before."""
    return user.public_id in _people(request)


def remember(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Have the browser keep that this person has logged in with it."""
    people = [user.public_id, *(one for one in _people(request) if one != user.public_id)]
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps(people[:KNOWN], salt=SALT),
        max_age=YEAR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _people(request: HttpRequest) -> list[str]:
    try:
        people: list[str] = signing.loads(
            request.COOKIES.get(settings.DEVICE_COOKIE_NAME, ""), salt=SALT, max_age=YEAR
        )
    except signing.BadSignature:
        return []
    return people
