"""Makes files: good ones of every kind, and those that people with bad intentions would send."""

import io
import struct
import zipfile
import zlib

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

SCRIPT = b"<html><script>alert(document.cookie)</script></html>"


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    """A file as a browser sends it; what the browser says of its type is never believed."""
    made = SimpleUploadedFile("plain", content, content_type="image/png")
    made._name = name  # type: ignore[attr-defined]  # past Django's own cleaning of names
    return made


# ── Good files ────────────────────────────────────────────────────────────────────────────────────


def picture(form: str = "PNG", size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, (200, 30, 30))
    image.paste((30, 30, 200), (size[0] // 2, 0, *size))
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def moving_picture(form: str = "GIF", frames: int = 3) -> bytes:
    drawn = [Image.new("RGB", (40, 30), (60 * number, 90, 120)) for number in range(frames)]
    out = io.BytesIO()
    drawn[0].save(out, form, save_all=True, append_images=drawn[1:], duration=80, loop=0)
    return out.getvalue()


def pdf(body: bytes = b"", trailer: bytes = b"") -> bytes:
    objects = b"1 0 obj\n<< /Type /Catalog " + body + b">>\nendobj\n"
    return (
        b"%PDF-1.7\n" + objects + b"xref\n0 1\n0000000000 65535 f \n"
        b"trailer\n<< /Size 2 /Root 1 0 R " + trailer + b">>\nstartxref\n60\n%%EOF\n"
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def video(brand: bytes = b"isom", size: int = 2000) -> bytes:
    """An MP4 (or, with the brand `qt  `, a MOV) of the right shape."""
    return (
        _box(b"ftyp", brand + b"\0\0\2\0" + brand)
        + _box(b"moov", _box(b"mvhd", bytes(100)))
        + _box(b"mdat", bytes(size))
    )


def webm(doc_type: bytes = b"webm") -> bytes:
    head = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08"
    head += b"\x42\x82" + bytes([0x80 | len(doc_type)]) + doc_type
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(head)]) + head + b"\x18\x53\x80\x67" + bytes(200)


# ── Files that are not what we take ───────────────────────────────────────────────────────────────

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html>" + SCRIPT
XML = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00" + bytes(200)


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"something")
    return out.getvalue()


ZIP = archive("readme.txt")
DOCM = archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin")


# ── Files that pretend ────────────────────────────────────────────────────────────────────────────


def polyglot() -> bytes:
    """A picture to one reader, a page with a script to another."""
    return picture("PNG") + SCRIPT


def jpeg_with_a_place() -> bytes:
    """A photograph, lying on its side, that says where and by whom it was taken."""
    image = Image.new("RGB", (60, 40), (20, 120, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # Orientation: turn right
    exif[0x010F] = "Nadia’s phone"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 59.0), 3: "E", 4: (13.0, 22.0, 39.0)})
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, comment=b"taken at home")
    return out.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def huge_png(width: int = 30_000, height: int = 30_000) -> bytes:
    """900 megapixels of one colour in some hundred kilobytes."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    squeezed = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(squeezed.compress(row) for _ in range(height)) + squeezed.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", pixels)
        + _chunk(b"IEND", b"")
    )


def encrypted_pdf() -> bytes:
    return pdf(trailer=b"/Encrypt 5 0 R /ID [<00> <00>] ")


def pdf_with_javascript() -> bytes:
    return pdf(body=b"/OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> ")
