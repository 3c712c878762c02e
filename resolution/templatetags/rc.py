"""The small parts every page is made of: icons, people, states, clocks, dates, money.

Pure presentation: each tag turns plain values into a finished string. No queries, no permissions
and no rules of a case; what a page says is decided by its view, and the larger parts are the
partials in `templates/rc/`, each of which names its context in the comment at its head.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from dataclasses import field as column
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from math import ceil
from secrets import token_hex
from textwrap import indent
from typing import Any, Literal

from babel import Locale
from babel.dates import DateTimePattern, get_timezone, get_timezone_name, parse_pattern
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent
from django import template
from django.conf import settings
from django.forms import MultipleHiddenInput
from django.template.loader import get_template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import wrap
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from marketplace import clock
from marketplace.language import locale as present_locale
from payments.money import format_money

register = template.Library()

# Who acts, and the shape that stands for them: a circle, a square, or the platform's hexagon.
SHAPES = {"buyer": "buyer", "creator": "creator", "staff": "whop", "system": "whop", "whop": "whop"}
SIZES = {"": "", "xs": " who--xs", "s": " who--s", "m": " who--m", "l": " who--l"}

# The icon a pill of this tone carries unless it is given another one.
TONE_ICONS = {
    "turn": "reply",
    "wait": "hourglass",
    "whop": "scale",
    "good": "checkc",
    "bad": "alert",
    "calm": "clock",
}
# The cells of a clock.
GONE, TODAY, LEFT = '<i class="on"></i>', '<i class="now"></i>', "<i></i>"
UNSEEN = SafeString('aria-hidden="true"')
# Icons that point along the line: they are turned round where people read from the right.
POINTING = frozenset({"left", "right", "chev", "reply", "logout"})
FILE_ICONS = {"image": "image", "video": "video", "pdf": "file", "file": "file"}


@lru_cache(maxsize=1)
def _sprite() -> str:
    """The address of the icon file, found once per process."""
    return static("img/icons.svg")


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, css: str = "", label: str = "") -> SafeString:
    """One icon of static/img/icons.svg, unseen by screen readers unless `label` says what it is."""
    meaning = format_html('role="img" aria-label="{}"', label) if label else UNSEEN
    return format_html(
        '<svg class="{}" viewBox="0 0 20 20" {}><use href="{}#i-{}"></use></svg>',
        f"icon{' icon--points' if name in POINTING else ''} {css}".rstrip(),
        meaning,
        _sprite(),
        name,
    )


@register.simple_tag
@lru_cache(maxsize=16)
def file_icon(kind: str) -> SafeString:
    """The icon of a kind of file: image, video, pdf; anything else is a plain file."""
    return icon(FILE_ICONS.get(kind, "file"))


@register.simple_tag
def platform_name() -> str:
    """What the marketplace calls itself."""
    return str(getattr(settings, "PLATFORM_NAME", "Whop"))


def initials(name: str) -> str:
    """Up to two letters that stand for a name: the first of its first and of its last word."""
    words = [word for word in str(name).split() if word[0].isalnum()]
    letters = [word[0] for word in ([words[0], words[-1]] if len(words) > 1 else words)]
    return "".join(letters).upper()


@register.simple_tag
def who(party: str, name: str = "", size: str = "") -> SafeString:
    """The badge of a person: the shape says which side, the letters say who.

    It is hidden from screen readers, since the name itself stands beside it as text. `party` is
    buyer, creator, staff or system; `size` is xs, s, m, "" or l.
    """
    return format_html(
        '<span class="who who--{}{}" aria-hidden="true">{}</span>',
        SHAPES.get(party, "buyer"),
        SIZES.get(size, ""),
        initials(name),
    )


@register.simple_tag
def art(seed: str, size: str = "") -> SafeString:
    """The picture that stands for a product: always the same one for the same public id."""
    pattern = zlib.crc32(str(seed).encode()) % 6 + 1
    return format_html(
        '<span class="art art--{}{}" aria-hidden="true"></span>',
        pattern,
        " art--s" if size == "s" else "",
    )


@register.simple_tag
def pill(tone: str, label: str, icon_name: str = "", solid: bool = False) -> SafeString:
    """A state in one or two words. `icon_name` replaces the tone's own icon."""
    return format_html(
        '<span class="pill{}" data-tone="{}">{}<span>{}</span></span>',
        " pill--solid" if solid else "",
        tone,
        tone_icon(tone, icon_name),
        label,
    )


@register.simple_tag
def tone_icon(tone: str, icon_name: str = "") -> SafeString:
    """The icon that goes with a tone, unless another is named."""
    return icon(icon_name or TONE_ICONS.get(tone, "info"))


@register.simple_tag
def meter(
    day: int, tone: str = "calm", total: int = 7, small: bool = False, label: str = ""
) -> SafeString:
    """One cell per day of a clock: days gone solid, today hatched, the rest pale.

    `day` counts from 1; above `total` the time is up and every cell is solid. `label` replaces
    "Day 4 of 7".
    """
    words = label or (
        _("Time is up") if day > total else _("Day {day} of {days}").format(day=day, days=total)
    )
    return _meter(day, tone, total, small, words)


@lru_cache(maxsize=512)
def _meter(day: int, tone: str, total: int, small: bool, words: str) -> SafeString:
    cells = SafeString("").join(
        GONE if cell < day else TODAY if cell == day else LEFT for cell in range(1, total + 1)
    )
    return format_html(
        '<span class="meter{}" data-tone="{}" role="img" aria-label="{}">{}</span>',
        " meter--s" if small else "",
        tone,
        words,
        SafeString(cells),  # nosec B703 (constants of ours)
    )


@dataclass(frozen=True)
class _Calendar:
    """How one language writes days and hours, as Unicode's CLDR has it."""

    language: Locale
    day: DateTimePattern
    day_of_year: DateTimePattern
    short_day: DateTimePattern
    hour: DateTimePattern
    both: str

    @classmethod
    @cache
    def of(cls, locale: str) -> "_Calendar":
        language = Locale.parse(locale)
        hour = language.time_formats["short"].pattern.replace("\u202f", " ")
        return cls(
            language,
            language.datetime_skeletons["MMMMd"],
            language.date_formats["long"],
            language.datetime_skeletons["MMMd"],
            parse_pattern(hour),
            str(language.datetime_formats["medium"]),
        )

    def together(self, first: str, then: str) -> str:
        return self.both.replace("{1}", first).replace("{0}", then)

    @cached_property
    def weekdays(self) -> Mapping[str, Sequence[str]]:
        """Their names from Monday on: wide, and abbreviated."""
        named = self.language.days["format"]
        return {
            width: [named[width][day].removesuffix(".") for day in range(7)]
            for width in ("wide", "abbreviated")
        }

    def weekday(self, day: date, width: str = "wide") -> str:
        return self.weekdays[width][day.weekday()]


def _calendar() -> _Calendar:
    return _Calendar.of(present_locale())


def clock_time(moment: datetime) -> str:
    """6:05 PM, or 18:05"""
    return _hour_in(present_locale(), moment.hour, moment.minute)


@lru_cache(maxsize=4096)
def _hour_in(locale: str, hour: int, minute: int) -> str:
    known = _Calendar.of(locale)
    return known.hour.apply(time(hour, minute), known.language)


def zone_name(moment: datetime) -> str:
    """EDT, or UTC+5:30 where the zone has no letters of its own; MESZ in German."""
    name = moment.tzname() or ""
    if name.isalpha() and moment.tzinfo:
        return _zone_in(present_locale(), str(moment.tzinfo), bool(moment.dst()), name)
    minutes = round((moment.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'−' if minutes < 0 else '+'}{hours}{f':{rest:02d}' if rest else ''}"


@lru_cache(maxsize=512)
def _zone_in(locale: str, zone: str, summer: bool, name: str) -> str:
    """A zone as the language abbreviates it; its own `name` where the language does not."""
    variant: Literal["daylight", "standard"] = "daylight" if summer else "standard"
    try:
        known = get_timezone_name(get_timezone(zone), "short", locale=locale, zone_variant=variant)
    except LookupError:
        return name
    return known if known.isalpha() else name


def day_name(day: date, this_year: int, always_year: bool = False) -> str:
    """July 17, with the year when it is another one."""
    with_year = always_year or day.year != this_year
    return _day_in(present_locale(), day.year, day.month, day.day, with_year)


@lru_cache(maxsize=4096)
def _day_in(locale: str, year: int, month: int, day: int, with_year: bool) -> str:
    known = _Calendar.of(locale)
    shape = known.day_of_year if with_year else known.day
    return shape.apply(date(year, month, day), known.language)


def short_day_name(day: date) -> str:
    """Jul 17"""
    known = _calendar()
    return known.short_day.apply(day, known.language)


def hour_name(hour: int) -> str:
    """6 PM, or 18 Uhr: an hour of any day."""
    known = _calendar()
    skeleton = "h" if "a" in known.hour.pattern else "H"
    shape = known.language.datetime_skeletons[skeleton]
    return shape.apply(time(hour), known.language).replace("\u202f", " ")


def when_text(moment: datetime, style: str = "datetime", *, in_a_sentence: bool = False) -> str:
    """A moment in the current time zone, in words:

    ========  ======================================================
    full      Friday, July 17, 6:05 PM EDT
    weekday   Friday, July 17
    datetime  July 17, 6:05 PM
    date      July 17, with the year when it is not this one
    day       July 17, 2026
    short     Tomorrow, 9:12 AM; otherwise Thu, July 16, 2:40 PM
    time      6:05 PM
    ========  ======================================================

    `in_a_sentence` keeps the near days small in languages that do: tomorrow, 9:12 AM.
    """
    local = timezone.localtime(moment)
    if style == "time":
        return clock_time(local)
    if style == "day":
        return day_name(local, local.year, always_year=True)
    today = timezone.localtime(clock.now()).date()
    named = day_name(local, today.year)
    known = _calendar()
    if style == "full":
        day = known.together(known.weekday(local), named)
        return f"{known.together(day, clock_time(local))} {zone_name(local)}"
    if style == "weekday":
        return known.together(known.weekday(local), named)
    if style == "date":
        return named
    if style == "short":
        away = (local.date() - today).days
        near = _near(in_a_sentence)[away] if -1 <= away <= 1 else ""
        day = near or known.together(known.weekday(local, "abbreviated"), named)
        return known.together(day, clock_time(local))
    if style == "datetime":
        return known.together(named, clock_time(local))
    raise ValueError(f"A date has no style called {style!r}.")


def _near(in_a_sentence: bool) -> Mapping[int, str]:
    if in_a_sentence:
        return {
            -1: pgettext("in a sentence", "yesterday"),
            0: pgettext("in a sentence", "today"),
            1: pgettext("in a sentence", "tomorrow"),
        }
    return {-1: _("Yesterday"), 0: _("Today"), 1: _("Tomorrow")}


@register.simple_tag
def when(moment: datetime | None, style: str = "datetime") -> SafeString:
    """A moment as `<time>`, in the words of `when_text`; nothing for None."""
    if moment is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}">{}</time>',
        timezone.localtime(moment).isoformat(timespec="minutes"),
        when_text(moment, style),
    )


@register.filter(name="when_text")
def when_text_filter(moment: datetime | None, style: str = "datetime") -> str:
    """`when_text` where no element may stand: titles, attributes, e-mails."""
    return when_text(moment, style) if moment else ""


@register.simple_tag
def time_zone_name() -> str:
    """The zone that dates are shown in, as short as people call it: EDT."""
    return zone_name(timezone.localtime(clock.now()))


@register.simple_tag
def money(minor: int, currency: str, signed: bool = False) -> str:
    """An exact amount in the currency's own decimals; `signed` puts + or − before it."""
    if not signed:
        return format_money(minor, currency)
    return f"{'−' if minor < 0 else '+' if minor else ''}{format_money(abs(minor), currency)}"


@register.simple_tag
def filesize(size: int) -> str:
    """388 KB, 1.2 MB: rounded up, so that a file over a limit never reads as the limit itself."""
    if size < 1024:
        return ngettext("{size} byte", "{size} bytes", size).format(size=size)
    if size <= 1023 * 1024:
        return _("{size} KB").format(size=ceil(size / 1024))
    tenths = ceil(size * 10 / 1024 / 1024)
    shown = tenths // 10 if tenths % 10 == 0 else number_format(Decimal(tenths) / 10, 1)
    return _("{size} MB").format(size=shown)


@register.simple_tag
def problems(form: Any) -> list[Mapping[str, str | Promise]]:
    """What a bound form has against its input, in reading order: a link to the control and a text.

    A group of choices has no single control, so its link goes to the error's own text.
    """
    found: list[Mapping[str, str | Promise]] = [
        {"href": "", "text": text} for text in form.non_field_errors()
    ]
    for field in form:
        target = f"{field.auto_id}_error" if field.use_fieldset else field.id_for_label
        found += [{"href": f"#{target}", "text": text} for text in field.errors]
    return found


@register.simple_tag
def meter_cells(day: int, total: int = 7) -> list[bool]:
    """Which cells of an e-mail's clock are solid: the days that have begun."""
    return [cell <= day for cell in range(1, total + 1)]


def decimal(number: float) -> str:
    """2.5, or 2,5: with one decimal."""
    return format_decimal(number, "#,##0.0", locale=present_locale())


def per_cent(number: float, decimals: int = 0) -> str:
    """13%, or 13 %: of a number of hundredths."""
    share = Decimal(str(round(number, decimals))) / 100
    return format_percent(share, locale=present_locale(), decimal_quantization=False)


def whole(number: int) -> str:
    """4,000, as the language groups its figures."""
    return format_decimal(number, locale=present_locale())


@register.filter
def many(count: object) -> int:
    """A count to choose the form of a word by: one known only as `99+` is as good as a hundred."""
    return count if isinstance(count, int) else 100


@register.filter
def and_list(parts: Sequence[object]) -> str:
    """$5.00, $7.00 and €2.00, as the language joins them."""
    return format_list([str(part) for part in parts], locale=present_locale())


def or_list_html(parts: Sequence[SafeString]) -> SafeString:
    """Finished parts of a page, joined like the texts of `or_list`."""
    return SafeString(format_list(list(parts), "or", locale=present_locale()))


@register.filter
def or_list(parts: Sequence[object]) -> str:
    """$5.00, $7.00 or €2.00"""
    return format_list([str(part) for part in parts], "or", locale=present_locale())


@register.filter
def quoted(text: str) -> str:
    """What someone wrote as it stands in a text e-mail: indented, in lines of 70 characters."""
    return indent(wrap(str(text), 68), "  ")


@dataclass(frozen=True)
class _Drawing:
    """A partial for one reader; two are the same when all that is drawn of them is the same."""

    partial: str
    said: Any
    language: str
    time_zone: str
    today: date
    given: Mapping[str, Any] = column(compare=False)


@register.simple_tag(takes_context=True)
def drawn(
    context: Mapping[str, Any], partial: str, same_as: Any = None, **given: Any
) -> SafeString:
    """A partial, as it was drawn before where all that it says is the same: pages are read again.

    It sees what it is `given` and nothing else of the page: plain values, and lists, mappings and
    dataclasses of them; or anything, where `same_as` has all that is drawn of it. What was drawn of
    the latest is kept, and found by those values and by how words and dates are written for the
    reader: what is the same for two people looks the same for both. Another day is another drawing.
    A form's token is put in each time.
    """
    text = _draw(_Drawing(partial, _said(same_as or given), *_reader(), given))
    if _TOKEN in text:
        return SafeString(text.replace(_TOKEN, str(context.get("csrf_token", ""))))  # nosec B703
    return text


@register.simple_tag
def drawn_each(partial: str, name: str, rows: Sequence[Any], **given: Any) -> SafeString:
    """A partial for each of some rows, which it sees by this `name`: `drawn`, without forms."""
    reader, rest = _reader(), _said(given)
    return SafeString(  # nosec B703
        "\n".join(
            [
                _draw(_Drawing(partial, (_said(row), rest), *reader, {name: row, **given}))
                for row in rows
            ]
        )
    )


def _reader() -> tuple[str, str, date]:
    """How words and dates are written for whoever reads."""
    today = timezone.localtime(clock.now()).date()
    return present_locale(), timezone.get_current_timezone_name(), today


@register.simple_tag
def hidden_inputs(form: Any) -> SafeString:
    """The hidden fields of a form as they are, without what drawing a field costs."""
    found = []
    for field in form.hidden_fields():
        held = field.value()
        several = isinstance(field.field.widget, MultipleHiddenInput)
        for n, value in enumerate(held or () if several else [held]):
            name = f"{field.auto_id}_{n}" if several else field.auto_id
            found.append((field.html_name, "" if value is None else value, name))
    return format_html_join("", '<input type="hidden" name="{}" value="{}" id="{}">', found)


@lru_cache(maxsize=3000)
def _draw(drawing: _Drawing) -> SafeString:
    return SafeString(  # nosec B703 (a template of ours)
        get_template(drawing.partial).render({**drawing.given, "csrf_token": _TOKEN})
    )


_TOKEN = f"token-{token_hex(16)}"
"""Stands where the token of a form goes; nobody can write it, so no text is taken for it."""


def _said(value: Any) -> Any:
    """All that can be drawn of a value, to be compared: what differs on a page differs here."""
    kind = type(value)
    if kind in _PLAIN:
        return value if kind is str else (kind, value)
    if kind is dict:
        return tuple([(name, _said(held)) for name, held in value.items()])
    if kind is list or kind is tuple:
        return tuple([_said(held) for held in value])
    if is_dataclass(value):
        return (kind, *[(name, _said(held)) for name, held in vars(value).items()])
    if isinstance(value, Promise | str):  # a lazy text, or a choice
        return str(value)
    raise TypeError(f"{kind.__name__} cannot be told from another one: give what is drawn of it")


_PLAIN = frozenset({str, SafeString, int, bool, float, type(None), datetime, date})
