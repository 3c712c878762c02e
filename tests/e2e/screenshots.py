"""Pictures of the main pages for the documentation: `make screenshots`.

Not among the tests by its name, and run like one, for the product and the people they have.
"""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.people import MAYA, PRIYA, Person

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
SIZE = {"width": 1280, "height": 960}
COLOURS = 128
MOST_BYTES = 150_000
TO_DECIDE = "tr:has-text('Buyer appealed a denial') a.row__link"
"""Not a large one that stands proposed and waits for somebody else."""


@pytest.mark.parametrize(
    ("name", "email", "page", "link"),
    [
        ("buyer-case.png", MAYA, "/hub/", ".turn__clock a.btn"),
        ("staff-decision.png", PRIYA, "/admin/resolution/case/?why=denial", TO_DECIDE),
    ],
)
def test_take_a_picture(person, name, email, page, link):
    reader = person(Person, email, viewport=SIZE, color_scheme="light")
    reader.visit(page)
    href = reader.page.locator(link).first.get_attribute("href")
    reader.visit(href.split("#")[0])
    reader.page.wait_for_load_state("networkidle")

    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = with_few_colours(reader.page.screenshot())
    (FOLDER / name).write_bytes(picture)

    assert len(picture) < MOST_BYTES


def with_few_colours(picture: bytes) -> bytes:
    """The same picture at a fraction of the size: pages have few colours."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        palette = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        palette.save(out, "PNG", optimize=True)
    return out.getvalue()
