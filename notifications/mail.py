"""From a template of words to an e-mail: once as text, once as HTML with its styles inlined.

The words are written once, as named blocks of one template. `base.txt` and `base.html` lay them
out: in the first nothing is escaped, in the second everything is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import css_inline
from django.template import Context
from django.template.base import Template
from django.template.loader import get_template, render_to_string
from django.template.loader_tags import BlockNode
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from notifications.outbox import Composed, one_line

FOLDER = "notifications/email"
BLOCKS = (
    *("subject", "preheader", "tone", "label", "heading", "lead"),
    *("next_title", "next", "button", "after"),
)
BLANKS = re.compile(r"[ \t\r\n]+")

_inliner = css_inline.CSSInliner(load_remote_stylesheets=False)


class Strong(str):
    """Words that stand out: in bold where there is HTML, as they are where there is text."""

    __slots__ = ()

    def __html__(self) -> SafeString:
        return format_html("<strong>{}</strong>", str(self))


@dataclass(frozen=True)
class Around:
    """What stands around the words of a step: parts that are the same shape in every e-mail.

    `sections` are (title, text) and `facts` (term, value); `quote` is what somebody wrote; `day` of
    `days` draws a meter, 0 draws none.
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


def render(template_name: str, context: Mapping[str, Any], around: Around) -> Composed:
    """An e-mail with the words of this template, among the parts around them.

    What each of its BLOCKS is for is told in `base.html`; `next` is one more section, under
    `next_title`. A block that is left out is empty.
    """
    template: Template = get_template(template_name).template  # type: ignore[attr-defined]
    plain = _blocks(template, context, autoescape=False)
    subject = one_line(plain["subject"])
    text = render_to_string(f"{FOLDER}/base.txt", {"email": _email(plain, around, subject)})
    plain["preheader"] = plain["preheader"] or plain["lead"]
    escaped = _blocks(template, context, autoescape=True)
    marked = plain | {name: escaped[name] for name in ("lead", "next", "after")}
    html = render_to_string(f"{FOLDER}/base.html", {"email": _email(marked, around, subject)})
    return Composed(subject, _tidy(text), _inliner.inline(html))


def _blocks(template: Template, context: Mapping[str, Any], *, autoescape: bool) -> dict[str, str]:
    """Each block of the template by itself, as one line of text."""
    scope = Context(dict(context), autoescape=autoescape)
    said = dict.fromkeys(BLOCKS, "")
    with scope.bind_template(template):
        for block in cast("list[BlockNode]", template.nodelist.get_nodes_by_type(BlockNode)):
            line = BLANKS.sub(" ", block.render(scope)).strip()
            said[block.name] = mark_safe(line) if autoescape else line  # noqa: S308
    return said


def _email(said: Mapping[str, str], around: Around, subject: str) -> dict[str, Any]:
    """The context of the two bases."""
    sections = list(around.sections)
    if said["next"]:
        sections.append((said["next_title"], said["next"]))
    return asdict(around) | {
        "subject": subject,
        "preheader": said["preheader"],
        "tone": said["tone"],
        "label": said["label"],
        "heading": said["heading"],
        "lead": said["lead"],
        "lead_text": said["lead"],
        "sections": sections,
        "clock": f"Day {around.day} of {around.days}" if around.day else "",
        "button_label": said["button"],
        "after": said["after"],
    }


def _tidy(text: str) -> str:
    """The text without trailing blanks, and with one empty line between parts."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"
