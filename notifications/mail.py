"""From a template of words to an e-mail: once as text, once as HTML with its styles inlined.

The words are written once, as named blocks of one template. `base.txt` and `base.html` lay them
out: in the first nothing is escaped, in the second everything is.

E-mails are many and their shapes are few (this tone, five facts, a quote, no meter). So each shape
is laid out once, with marks where the texts go, and its styles are inlined; an e-mail of the shape
is then the pieces between the marks, joined by its own texts.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from textwrap import indent
from typing import Any, NamedTuple, cast

import css_inline
from django.conf import settings
from django.template import Context
from django.template.base import NodeList, Template
from django.template.loader import get_template, render_to_string
from django.template.loader_tags import BlockNode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from notifications.outbox import Composed, one_line

FOLDER = "notifications/email"
BLOCKS = (
    *("subject", "preheader", "tone", "label", "heading", "lead"),
    *("next_title", "next", "button", "after"),
)
LINE, QUOTED_LINE, TERM = 72, 68, 10
"""How wide the text's lines, those of a quote, and the terms of its facts are."""

AROUND = ("quote_label", "quote", "quote_note", "button_href", "why", "settings_href", "stop_href")
TEXTS = (
    *("subject", "preheader", "label", "heading", "lead", "clock", "button_label", "after"),
    *AROUND,
)
BLANKS = re.compile(r"[ \t\r\n]+")
STRONG = '<strong style="font-weight: 600;color: #17171a;">'
STRONG_TAG = re.compile(r"</?strong[^>]*>")

_inliner = css_inline.CSSInliner(load_remote_stylesheets=False)


class Strong(str):
    """Words that stand out: in bold where there is HTML, as they are where there is text."""

    __slots__ = ()

    def __html__(self) -> SafeString:
        return mark_safe(f"{STRONG}{html.escape(self)}</strong>")  # noqa: S308 (escaped)


@dataclass(frozen=True)
class Around:
    """What stands around the words of a step: parts that are the same shape in every e-mail.

    `sections` are (title, text) and `facts` (term, value); `quote` is what somebody wrote; `day` of
    `days` draws a meter, 0 draws none. `settings_href` is where to choose what to get, `stop_href`
    where one click ends messages like this one.
    """

    button_href: str
    why: str
    sections: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    quote_label: str = ""
    quote: str = ""
    quote_note: str = ""
    day: int = 0
    days: int = 7
    settings_href: str = ""
    stop_href: str = ""


def render(
    template_name: str,
    context: Mapping[str, Any],
    around: Around,
    *,
    group: str = "",
    topic: str = "",
) -> Composed:
    """An e-mail with the words of this template, among the parts around them.

    What each of its BLOCKS is for is told in `base.html`; `next` is one more section, under
    `next_title`. A block that is left out is empty. `group` is what the e-mail can be muted by;
    `topic` what its conversation is called, in place of the subject, which is read first then.
    """
    escaped = _blocks(template_name, context)
    plain = {name: _plain(line) for name, line in escaped.items()}
    subject, more = one_line(plain["subject"]), plain["preheader"] or plain["lead"]
    texts = {
        "subject": subject,
        "preheader": f"{subject}. {more}" if topic else more,
        "label": plain["label"],
        "heading": plain["heading"],
        "lead": plain["lead"],
        "clock": _("Day {day} of {days}").format(day=around.day, days=around.days)
        if around.day
        else "",
        "button_label": plain["button"],
        "after": plain["after"],
        **{name: getattr(around, name) for name in AROUND},
    }
    sections = list(around.sections)
    if plain["next"]:
        sections.append((plain["next_title"], plain["next"]))
    shape = _Shape(
        plain["tone"], around.day, around.days, len(sections), len(around.facts),
        tuple(name for name, text in texts.items() if text),
    )  # fmt: skip
    text = _filled(
        _pieces("txt", shape, *_beside()),
        {**texts, **_for_text(texts)},
        [(title, wrapped(said)) for title, said in sections],
        [(term.ljust(TERM), value) for term, value in around.facts],
    )
    if plain["next"]:
        sections[-1] = (plain["next_title"], escaped["next"])
    marked = {**texts, "lead": escaped["lead"], "after": escaped["after"]}
    as_html = _filled(
        _pieces("html", shape, *_beside()),
        {name: _escaped(said) for name, said in marked.items()},
        [(_escaped(title), _escaped(said)) for title, said in sections],
        [(_escaped(term), _escaped(value)) for term, value in around.facts],
    )
    return Composed(subject, text, as_html, group, around.stop_href, topic)


def headline(template_name: str, context: Mapping[str, Any]) -> str:
    """What an e-mail with these words has as its subject."""
    return one_line(_plain(_blocks(template_name, context, only="subject")["subject"]))


# ── The words ─────────────────────────────────────────────────────────────────────────────────────


def _blocks(template_name: str, context: Mapping[str, Any], only: str = "") -> dict[str, str]:
    """Each block of the template by itself, as one line of HTML."""
    template: Template = get_template(template_name).template  # type: ignore[attr-defined]
    scope = Context(dict(context))
    said = dict.fromkeys(BLOCKS, "")
    with scope.bind_template(template):
        for name, nodes in _nodes(template).items():
            if not only or name == only:
                line = BLANKS.sub(" ", nodes.render(scope)).strip()
                said[name] = mark_safe(line)  # noqa: S308 (rendered with escaping)
    return said


@lru_cache(maxsize=256)
def _nodes(template: Template) -> dict[str, NodeList]:
    """What is in each block of a template."""
    blocks = cast("list[BlockNode]", template.nodelist.get_nodes_by_type(BlockNode))
    return {block.name: block.nodelist for block in blocks}


def _plain(line: str) -> str:
    """A line of escaped words as text."""
    if "<" in line or "&" in line:
        return html.unescape(STRONG_TAG.sub("", line))
    return str(line)


def _escaped(text: str) -> str:
    """A text for HTML, unless it is HTML."""
    return text if isinstance(text, SafeString) else html.escape(text)


def wrapped(text: str, width: int = LINE) -> str:
    """The text in lines that are no longer than this, except where a single word is."""
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line.rstrip()
        while len(rest) > width:
            at = rest.rfind(" ", 1, width + 1)
            at = at if at > 0 else rest.find(" ", width)
            if at < 0:
                break
            lines.append(rest[:at].rstrip())
            rest = rest[at + 1 :].lstrip()
        lines.append(rest)
    return "\n".join(lines)


def _for_text(texts: Mapping[str, str]) -> dict[str, str]:
    """Those of the texts that read otherwise where there is no HTML."""
    quote = re.sub(r"\n{3,}", "\n\n", wrapped(texts["quote"], QUOTED_LINE))
    return {
        "label": texts["label"].upper(),
        "lead": wrapped(texts["lead"]),
        "quote": indent(quote, "  ").removeprefix("  "),  # the layout indents the first line
        "after": wrapped(texts["after"]),
        "why": wrapped(texts["why"]),
    }


# ── The layout ────────────────────────────────────────────────────────────────────────────────────


class _Shape(NamedTuple):
    """What two e-mails have in common when they differ in nothing but their texts."""

    tone: str
    day: int
    days: int
    sections: int
    facts: int
    said: tuple[str, ...]


def _beside() -> tuple[str, str]:
    """What the layout depends on besides: the platform's name, and the language."""
    return settings.PLATFORM_NAME, get_language() or ""


MARK = re.compile("\ue000([0-9a-z_]{8,})\ue001", re.IGNORECASE)


def _mark(name: str) -> str:
    """A place for a text: letters of private use, which no template holds."""
    return f"\ue000{name:_>8}\ue001"


@lru_cache(maxsize=256)
def _pieces(form: str, shape: _Shape, platform: str, language: str) -> tuple[str, ...]:
    """The layout of a shape as HTML or as text: its pieces, and between them the texts' names."""
    email: dict[str, Any] = {name: _mark(name) if name in shape.said else "" for name in TEXTS}
    email |= {
        "tone": shape.tone,
        "day": shape.day,
        "days": shape.days,
        "sections": [
            (_mark(f"title{place}"), _mark(f"section{place}")) for place in range(shape.sections)
        ],
        "facts": [(_mark(f"term{place}"), _mark(f"value{place}")) for place in range(shape.facts)],
    }
    email["lead_text"] = email.get("lead", "")
    laid_out: str = render_to_string(f"{FOLDER}/base.{form}", {"email": email})
    laid_out = _inliner.inline(laid_out) if form == "html" else _tidy(laid_out)
    return tuple(
        part.lower().lstrip("_") if at % 2 else part for at, part in enumerate(MARK.split(laid_out))
    )


def _filled(
    pieces: Sequence[str],
    texts: Mapping[str, str],
    sections: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
) -> str:
    """The pieces of a layout with the texts in their places."""
    known = dict(texts)
    for place, (title, text) in enumerate(sections):
        known[f"title{place}"], known[f"section{place}"] = title, text
    for place, (term, value) in enumerate(facts):
        known[f"term{place}"], known[f"value{place}"] = term, value
    return "".join([known[part] if at % 2 else part for at, part in enumerate(pieces)])


def _tidy(text: str) -> str:
    """The text without trailing blanks, and with one empty line between parts."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"
