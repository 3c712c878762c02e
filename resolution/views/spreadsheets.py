"""Rows for a spreadsheet: a CSV file that is written while it is sent, without formulas in it."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from django.http import StreamingHttpResponse
from django.utils.translation import get_language, override

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""

AT_ONCE = 200
BOM = "\ufeff"


def harmless(cell: object) -> str:
    """The cell as text; one that a spreadsheet would run begins with an apostrophe instead."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def as_csv(filename: str, rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """The rows as a download, in UTF-8 with its mark, so that every program reads the letters.

    They are asked for as they are sent, in the language of the request; what makes them may not
    count on its time zone.
    """
    return StreamingHttpResponse(
        _in_language(get_language() or "", _lines(rows)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _in_language(language: str, parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, each made in this language: the request has ended when they are asked for."""
    while True:
        with override(language):
            part = next(parts, None)
        if part is None:
            return
        yield part


def _lines(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    kept = StringIO(BOM)
    kept.seek(0, 2)
    writer = csv.writer(kept)
    for number, row in enumerate(rows, 1):
        writer.writerow([harmless(cell) for cell in row])
        if number % AT_ONCE == 0:
            yield kept.getvalue().encode()
            kept.seek(0)
            kept.truncate()
    yield kept.getvalue().encode()
