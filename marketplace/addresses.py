"""Addresses of pages, as `reverse` makes them, at a tenth of its cost: a page has dozens."""

import re
from functools import cache

from django.urls import reverse

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def address(name: str, *args: str) -> str:
    """The address of a page by name; what goes into it are public ids, acts and the like."""
    if not all(map(_PLAIN.fullmatch, args)):
        return reverse(name, args=args)
    return _pattern(name, len(args)) % args


@cache
def _pattern(name: str, many: int) -> str:
    """The address with `%s` where its parts go."""
    places = [f"place-{n}" for n in range(many)]
    pattern = reverse(name, args=places).replace("%", "%%")
    for place in places:
        pattern = pattern.replace(place, "%s", 1)
    return pattern
