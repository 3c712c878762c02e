"""Where the parts of a chart stand, in finished numbers: `templates/rc/charts/` only draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT, TOP, BOTTOM, LEFT = 220, 24, 26, 34
FEW = 20  # so many columns have room for a figure above each
LABELS = 8  # about so many are named below


@dataclass(frozen=True)
class Part:
    """One stretch of a column: its class in the style sheet, and where it is."""

    css: str
    y: str
    height: str


@dataclass(frozen=True)
class Column:
    """One column; `label` and `total` are empty where there is no room for them."""

    x: str
    width: str
    middle: str
    label: str
    total: str
    total_y: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Columns:
    """Columns of stacked parts over an axis."""

    name: str
    title: str
    text: str
    width: int
    height: int
    left: int
    axis_y: str
    label_y: str
    ticks: Sequence[tuple[str, int]]
    columns: Sequence[Column]


def columns(
    name: str,
    title: str,
    text: str,
    rows: Sequence[tuple[str, Sequence[int]]],
    *,
    width: int,
    name_all: bool = False,
) -> Columns:
    """A chart of (label, counts from the bottom up) rows; `name` is unique on the page."""
    top = max((sum(counts) for _, counts in rows), default=0)
    step = step_for(top)
    highest = max(step, -(-top // step) * step)
    room = HEIGHT - TOP - BOTTOM
    each = (width - LEFT) / max(1, len(rows))
    every = 1 if name_all else max(1, -(-len(rows) // LABELS))

    def y_of(count: float) -> float:
        return TOP + room * (1 - count / highest)

    drawn = []
    for number, (label, counts) in enumerate(rows):
        x = LEFT + each * number + each * 0.18
        below, parts = 0, []
        for place, count in enumerate(counts, 1):
            if count:
                y, foot = y_of(below + count), y_of(below)
                parts.append(Part(f"c{place}", _text(y), _text(max(foot - y, 0.5))))
            below += count
        drawn.append(
            Column(
                x=_text(x),
                width=_text(each * 0.64),
                middle=_text(x + each * 0.32),
                label=label if number % every == 0 else "",
                total=f"{below:,}" if below and len(rows) <= FEW else "",
                total_y=_text(y_of(below) - 6),
                parts=parts,
            )
        )
    ticks = [(_text(y_of(count)), count) for count in range(0, highest + 1, step)]
    return Columns(
        name, title, text, width, HEIGHT, LEFT, _text(y_of(0)), _text(HEIGHT - 6), ticks, drawn
    )


def step_for(top: int) -> int:
    """The distance of an axis' lines: 1, 2 or 5 times a power of ten, and at most five lines."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if top <= 5 * step:
                return step
        size *= 10


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart, its length in per cent of the longest."""

    label: str
    count: int
    length: str
    note: str = ""


def bars(rows: Sequence[tuple[str, int, str]]) -> list[Bar]:
    """A bar for each (label, count, note)."""
    longest = max((count for _, count, _ in rows), default=0) or 1
    return [Bar(label, count, _text(100 * count / longest), note) for label, count, note in rows]


def _text(number: float) -> str:
    """A number as SVG reads it, whatever the reader's language."""
    return f"{number:.1f}".removesuffix(".0")
