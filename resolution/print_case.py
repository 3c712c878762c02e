"""Prints a case as a PDF, in whatever script people have written. What is in it says `export.py`.

Fonts travel in the file: Noto Sans, and for texts that need them its Arabic and its Chinese,
Japanese and Korean. What no font has (an emoji) is named in square brackets, so nothing is lost.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

import fontpkg_noto_sans
import fontpkg_noto_sans_arabic
import noto_cjk_sans_jp_regular
from django.utils.translation import gettext as _
from fontTools.ttLib import TTFont
from fpdf import FPDF

from resolution.templatetags.rc import filesize
from resolution.timeline import Entry

PLAIN, ARABIC, ASIAN = "plain", "arabic", "asian"
FONTS = {
    PLAIN: Path(fontpkg_noto_sans.ROOT, "files", "NotoSans[wdth,wght].ttf"),
    ARABIC: Path(fontpkg_noto_sans_arabic.ROOT, "files", "NotoSansArabic[wdth,wght].ttf"),
    ASIAN: Path(str(noto_cjk_sans_jp_regular.FONT_PATH)),
}
INK, SOFT, LINE = (25, 25, 28), (105, 105, 112), (215, 215, 220)
RIGHT_TO_LEFT = ("R", "AL")
JOINERS = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")


def moment(at: datetime) -> str:
    """A moment for the record, to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@cache
def _characters(font: str) -> frozenset[int]:
    return frozenset(TTFont(FONTS[font], lazy=True).getBestCmap())


@cache
def _beyond_plain(font: str) -> frozenset[int]:
    return _characters(font) - _characters(PLAIN)


def _needs(font: str, text: str) -> bool:
    """Something in the text is not in the plain font, and is in this one."""
    return any(ord(character) in _beyond_plain(font) for character in text)


def printable(text: str) -> str:
    """The text with every character that no font has named in square brackets."""
    shown = []
    for character in JOINERS.sub("", text):
        kind = unicodedata.category(character)
        if character in "\n\t":
            shown.append(character)
        elif kind in ("Cc", "Cf", "Cs", "Co", "Cn"):
            continue
        elif any(ord(character) in _characters(font) for font in FONTS):
            shown.append(character)
        elif kind not in ("Mn", "Me"):
            shown.append(f"[{unicodedata.name(character, f'U+{ord(character):04X}').lower()}]")
    return "".join(shown)


class _Paper(FPDF):
    """A4 with a line at the foot; fonts come in when the first text needs them."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self.foot = foot
        self.loaded: set[str] = set()
        self.set_auto_page_break(True, margin=18)
        self.set_margins(20, 18, 20)
        self.alias_nb_pages()
        self.set_creator("Resolution Center")
        self._load(PLAIN)

    def footer(self) -> None:
        self.set_y(-13)
        self.set_text_color(*SOFT)
        self.set_font(PLAIN, size=8)
        self.set_text_shaping(False)
        self.cell(0, 5, f"{self.foot}   {self.page_no()} / {{nb}}", align="L")

    def _load(self, font: str) -> None:
        if font not in self.loaded:
            self.add_font(font, fname=FONTS[font])
            self.loaded.add(font)

    def write_text(self, text: str, size: float = 10, *, soft: bool = False) -> None:
        """A text of any length, each of its paragraphs from the side that its script begins at."""
        for paragraph in printable(text).split("\n"):
            self._paragraph(paragraph or " ", size, soft)

    def _paragraph(self, text: str, size: float, soft: bool) -> None:
        first = ARABIC if _needs(ARABIC, text) else PLAIN
        for font in FONTS:
            if _needs(font, text):
                self._load(font)
        # After a text in several fonts fpdf2 takes the first to be set still, when it is not.
        self.set_font(first, size=size + 1)
        self.set_font(first, size=size)
        self.set_fallback_fonts(
            [f for f in FONTS if f in self.loaded and f != first], exact_match=False
        )
        self.set_text_shaping(True)
        self.set_text_color(*(SOFT if soft else INK))
        reads = next((unicodedata.bidirectional(c) for c in text if c.isalpha()), "L")
        align = "R" if reads in RIGHT_TO_LEFT else "L"
        self.multi_cell(0, size * 0.5, text, align=align, new_x="LMARGIN", new_y="NEXT")

    def rule(self) -> None:
        self.ln(2)
        self.set_draw_color(*LINE)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.ln(3)


def write(
    target: BinaryIO,
    *,
    title: str,
    about: str,
    facts: Sequence[tuple[str, str]],
    entries: Sequence[Entry],
    files: Sequence[tuple[str, str, str, str]],
) -> None:
    """Write the PDF. A file is (name, id, sha256, why its bytes are not there or "")."""
    paper = _Paper(title)
    paper.set_title(title)
    paper.add_page()
    paper.write_text(title, 17)
    paper.write_text(about, 9, soft=True)
    paper.rule()
    for term, value in facts:
        paper.write_text(term, 8, soft=True)
        paper.write_text(value, 10)
        paper.ln(1)
    paper.ln(2)
    paper.write_text(_("What happened"), 14)
    for entry in entries:
        paper.rule()
        _write_entry(paper, entry)
    if files:
        paper.rule()
        paper.write_text(_("Files, with the sha256 of their bytes"), 14)
        for name, number, digest, gone in files:
            paper.ln(1)
            paper.write_text(name, 10)
            paper.write_text(f"{number}  {gone}".rstrip(), 8, soft=True)
            paper.write_text(digest, 8, soft=True)
    paper.output(target)


def _write_entry(paper: _Paper, entry: Entry) -> None:
    who = ", ".join(part for part in (entry.who_name, entry.role_line) if part)
    paper.write_text(
        "   ".join(part for part in (moment(entry.at), who, entry.id) if part), 8, soft=True
    )
    tag = f"{entry.tag_lead} {entry.tag_strong}{entry.tag_text}".strip()
    if entry.verdict:
        verdict = entry.verdict
        paper.write_text(verdict["title"], 12)
        paper.write_text(verdict["by"], 8, soft=True)
        for text in (verdict["why"], *verdict["looked_at"], verdict["next"]):
            paper.write_text(str(text))
    elif entry.kind in ("message", "note"):
        if entry.text:
            paper.write_text(entry.text)
        if tag:
            paper.write_text(tag, 9, soft=True)
    else:
        said = f"{entry.lead} {entry.strong}".strip() + entry.text
        if entry.kind == "money":
            said = f"{entry.strong} {entry.amount_text} {entry.text}"
        paper.write_text(said)
    for file in entry.files:
        gone = f", {file.problem or file.note}" if file.problem or file.note else ""
        paper.write_text(f"{_('File')}: {file.name}, {filesize(file.size)}{gone}", 9, soft=True)
