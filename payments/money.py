"""Amounts as people write and read them. Inside, money is whole minor units and an ISO code."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from babel.core import get_global
from babel.numbers import (
    format_currency,
    get_currency_precision,
    get_currency_symbol,
    get_decimal_symbol,
    get_group_symbol,
)
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from marketplace.language import locale as present_locale

MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"

_LONGEST = 32


def exponent(currency: str) -> int:
    """How many decimals a currency is written with: USD 2, JPY 0, KWD 3."""
    return get_currency_precision(currency.upper())


@lru_cache(maxsize=1)
def currencies_by_exponent() -> Mapping[int, Sequence[str]]:
    """The currencies that are not written with two decimals, by how many they are written with."""
    found: dict[int, list[str]] = {}
    for code in sorted(get_global("currency_fractions")):
        if code != "DEFAULT" and exponent(code) != 2:
            found.setdefault(exponent(code), []).append(code)
    return found


def currency_symbol(currency: str) -> str:
    """What stands by an amount: `$`, `€`, `¥`; the code itself where there is no symbol."""
    return get_currency_symbol(currency.upper(), locale=present_locale())


@lru_cache(maxsize=32)
def _written(locale: str) -> re.Pattern[str]:
    """How an amount may be typed: in the marks of the language, or with a plain point."""
    group, point = (re.escape(get(locale)) for get in (get_group_symbol, get_decimal_symbol))
    blank = r"[ \u00a0\u202f]"
    group = blank if re.fullmatch(blank, get_group_symbol(locale)) else group
    return re.compile(
        rf"(?P<units>[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)(?:(?:{point}|\.)(?P<decimals>[0-9]+))?",
        re.ASCII,
    )


def limit_in(currency: str, limits: Mapping[str, int]) -> int:
    """A limit in minor units: 0 in a currency that has none, since no sum may be assumed."""
    return limits.get(currency, 0) * 10 ** exponent(currency)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Minor units in whole ones: 7900 USD is 79.00, 1200 JPY is 1200."""
    return Decimal(minor).scaleb(-exponent(currency))


def format_money(minor: int, currency: str, locale: str = "") -> str:
    """An amount for a person: `$79.00`, `¥1,200`, and `−$5.00` with a real minus.

    Written as in the present language, unless another locale is named: `79,00 $` in German.
    """
    return _format_money(minor, currency.upper(), locale or present_locale())


@lru_cache(maxsize=8192)
def _format_money(minor: int, currency: str, locale: str) -> str:
    text = format_currency(to_decimal(abs(minor), currency), currency, locale=locale)
    symbol = get_currency_symbol(currency, locale=locale)
    if symbol[-1].isalpha() and text.startswith(symbol):
        text = symbol + NBSP + text.removeprefix(symbol).lstrip(f" {NBSP}")
    return f"{MINUS}{text}" if minor < 0 else text


def parse_money(text: str, currency: str, *, maximum_minor: int, step_minor: int = 1) -> int:
    """The minor units of an amount that a person typed: `79`, `79.00`, `$1,200.50`, `12 USD`.

    Raises ValueError, with a sentence for the field that names the maximum, unless it is more than
    nothing, at most `maximum_minor`, written with no more decimals than the currency has, and in
    steps of `step_minor`: the smallest that whoever pays it out can make.
    """
    currency = currency.upper()
    most = format_money(maximum_minor, currency)
    written = _written(present_locale())
    amount = written.fullmatch(_bare(text, currency)) if len(text) <= _LONGEST else None
    if amount is None:
        raise ValueError(
            _("Enter an amount above zero and up to {most}, in figures only.").format(most=most)
        )
    digits, decimals = exponent(currency), amount["decimals"] or ""
    if len(decimals) > digits:
        if digits:
            said = ngettext(
                "{currency} amounts have {decimals} decimal at most. Enter up to {most}.",
                "{currency} amounts have {decimals} decimals at most. Enter up to {most}.",
                digits,
            )
        else:
            said = _("{currency} amounts have no decimals. Enter up to {most}.")
        raise ValueError(said.format(currency=currency, decimals=digits, most=most))
    minor = int(re.sub(r"[^0-9]", "", amount["units"]) + decimals.ljust(digits, "0"))
    if minor <= 0:
        raise ValueError(_("Enter an amount above zero and up to {most}.").format(most=most))
    if minor > maximum_minor:
        raise ValueError(_("That is more than can be given. Enter up to {most}.").format(most=most))
    if minor % step_minor:
        below = minor - minor % step_minor
        near = [format_money(below + n, currency) for n in (0, step_minor)]
        if 0 < below <= maximum_minor - step_minor:
            raise ValueError(
                _("It can’t be paid back to the last digit. Enter %(below)s or %(above)s.")
                % {"below": near[0], "above": near[1]}
            )
        raise ValueError(
            _("It can’t be paid back to the last digit. Enter %(near)s.")
            % {"near": near[0] if below else near[1]}
        )
    return minor


def parse_signed(text: str, currency: str, *, most_minor: int, least_minor: int) -> int:
    """The minor units of an amount that a person typed, taken off when it begins with a minus.

    `most_minor` may be given and `least_minor` taken, both above zero or nothing. Raises ValueError
    with a sentence for the field.
    """
    text = text.strip()
    if not text.startswith((MINUS, "-")):
        return parse_money(text.removeprefix("+"), currency, maximum_minor=most_minor)
    if least_minor <= 0:
        raise ValueError(_("There are no credits to take back."))
    return -parse_money(text[1:], currency, maximum_minor=least_minor)


def _bare(text: str, currency: str) -> str:
    """The text without white space around it and without the currency, before or after it."""
    text = text.strip()
    for mark in (currency, currency_symbol(currency)):
        if text.upper().startswith(mark):
            return text[len(mark) :].strip()
        if text.upper().endswith(mark):
            return text[: -len(mark)].strip()
    return text
