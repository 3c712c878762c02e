"""Small real files for the demo's messages: pictures like screenshots, and plain PDFs."""

import io
import zlib

from PIL import Image, ImageDraw

INK, PAPER, LINE, ACCENT = "#1f2430", "#f6f5f1", "#d9d6cc", "#3a5bd0"


def make(filename: str) -> bytes:
    """The bytes of a PNG or a PDF of that name; the same name gives the same bytes."""
    title = filename.rsplit(".", 1)[0].capitalize()
    return picture(title) if filename.endswith(".png") else document(title)


def picture(title: str) -> bytes:
    """A PNG that looks like a part of somebody's screen."""
    seed = zlib.crc32(title.encode())
    image = Image.new("RGB", (960, 600), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 960, 56), fill=INK)
    for dot in range(3):
        draw.ellipse((20 + dot * 26, 20, 36 + dot * 26, 36), fill=LINE)
    draw.text((120, 16), title, fill=PAPER, font_size=22)
    for row in range(7):
        top = 96 + row * 68
        width = 240 + (seed >> row * 4) % 520
        draw.rounded_rectangle((48, top, 96, top + 44), 8, fill=LINE)
        colour = ACCENT if row == seed % 7 else LINE
        draw.rounded_rectangle((120, top + 4, 120 + width, top + 20), 6, fill=colour)
        draw.rounded_rectangle((120, top + 28, 120 + width * 2 // 3, top + 40), 6, fill=LINE)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def document(title: str) -> bytes:
    """A PDF of one page with a heading and a line."""
    words = (
        f"BT /F1 24 Tf 72 760 Td ({title}) Tj ET\n"
        "BT /F1 12 Tf 72 724 Td (Kept as it was at the time of the order.) Tj ET"
    ).encode("ascii")
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(words), words),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table, len(objects) + 1, len(out))
    )
