"""The files that people add to messages: what is accepted, how it is kept, and when it is removed.

A file is known by its content. Pictures are drawn anew, so nothing hidden in them is kept; PDFs and
videos are kept as they are and are only ever downloaded. Who may read a file is in `views.files`.
"""

import hashlib
import io
import logging
import re
import struct
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import puremagic
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext
from PIL import Image, ImageOps

from marketplace import clock
from marketplace.doorbell import ring
from marketplace.models import User
from resolution.models import Attachment, storage_name
from resolution.templatetags.rc import filesize

log = logging.getLogger(__name__)

KEPT_UNSENT = timedelta(days=1)
# A form takes no upload that the sweep may remove before the form is through.
TAKEN_UNTIL = KEPT_UNSENT - timedelta(hours=1)
CAN_BE_SENT = (Attachment.State.CHECKING, Attachment.State.READY)
BATCH = 500
MAX_PIXELS = 40_000_000
MAX_MOVING_PIXELS = 100_000_000  # all frames of a moving picture together
MAX_NAME = 120
CHUNK = 64 * 1024
HEAD = 4096

STORAGE_ERRORS = (OSError, BotoCoreError, ClientError, Boto3Error)
PUBLIC_ID = re.compile(r"att_[A-Za-z0-9]{14}", re.ASCII)

ALLOWED = _lazy("Upload a PNG, JPEG, WebP, GIF, PDF, MP4, MOV or WebM file.")

# For the whole process: a picture that is larger than we take is an error, not a line in the log.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


class RefusedFile(Exception):
    """The file is not taken; the sentence says why, to the person who added it."""

    def __init__(self, sentence: str | Promise) -> None:
        super().__init__(sentence)
        self.sentence = str(sentence)


@dataclass(frozen=True)
class Format:
    """A kind of file that is taken: as people call it, by its content, and by its name."""

    name: str
    kind: Attachment.Kind
    content_type: str
    endings: tuple[str, ...]


IMAGE, VIDEO, PDF = Attachment.Kind.IMAGE, Attachment.Kind.VIDEO, Attachment.Kind.PDF
FORMATS = (
    Format("PNG", IMAGE, "image/png", (".png",)),
    Format("JPEG", IMAGE, "image/jpeg", (".jpg", ".jpeg", ".jpe", ".jfif")),
    Format("WebP", IMAGE, "image/webp", (".webp",)),
    Format("GIF", IMAGE, "image/gif", (".gif",)),
    Format("PDF", PDF, "application/pdf", (".pdf",)),
    Format("MP4", VIDEO, "video/mp4", (".mp4", ".m4v")),
    Format("MOV", VIDEO, "video/quicktime", (".mov", ".qt")),
    Format("WebM", VIDEO, "video/webm", (".webm",)),
)
BY_TYPE = {found.content_type: found for found in FORMATS}
BY_ENDING = {ending: found for found in FORMATS for ending in found.endings}
ACCEPT = ",".join(BY_ENDING)
# One container under two names: phones and editors write either name on either.
SAME_CONTAINER = {"video/mp4", "video/quicktime"}

MP4_BRANDS = {b"isom", b"mp41", b"mp42", b"mp71", b"avc1", b"dash", b"MSNV", b"M4V ", b"M4VH"}
MP4_BRANDS |= {b"M4VP", b"f4v ", *(b"iso%d" % number for number in range(2, 10))}
ENCRYPTED = re.compile(rb"/Encrypt(?:\s+\d+\s+\d+\s+R|\s*<<)")


# ── Taking a file ─────────────────────────────────────────────────────────────────────────────────


def accept(upload: UploadedFile, uploader: User) -> Attachment:
    """Check a file, store it, and answer its attachment, not yet part of a message.

    Raises RefusedFile with a sentence for the person; then nothing of the file is left.
    """
    name = safe_name(upload.name or "")
    found = _format_of(upload, name)
    if PurePosixPath(name).suffix.lower() not in BY_ENDING:
        name = safe_name(f"{name}{found.endings[0]}")
    content: File = upload
    if found.kind == IMAGE:
        content = _drawn_anew(upload, found, name)
    elif found.kind == PDF:
        _check_pdf(upload, name)
    else:
        _check_video(upload, found, name)
    return _store(content, found, name, uploader)


def safe_name(name: str) -> str:
    """A file's own name without its path and without characters that do not show, at most 120 long.

    Of a longer name the end is cut off, but never the ending that says what it is.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    shown = "".join(" " if c.isspace() else c for c in last if c.isspace() or _shows(c))
    stem, dot, ending = " ".join(shown.split()).rstrip(" .").rpartition(".")
    if not dot or len(ending) > 10:
        stem, ending = f"{stem}{dot}{ending}", ""
    stem, ending = stem.strip(" .") or "file", f".{ending}" if ending else ""
    return stem[: MAX_NAME - len(ending)].rstrip(" .") + ending


def _shows(character: str) -> bool:
    """Not a control, a direction mark, half a surrogate pair, or a line separator."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _format_of(upload: UploadedFile, name: str) -> Format:
    """What the file is by its content; refused when its name says otherwise, or its size."""
    size = upload.size or 0
    ending = PurePosixPath(name).suffix.lower()
    claimed = BY_ENDING.get(ending)
    if ending and claimed is None:
        raise RefusedFile(ALLOWED)
    if size == 0:
        raise RefusedFile(_("“{name}” is empty. Choose another file.").format(name=name))
    if size > settings.MAX_FILE_BYTES:
        most = filesize(settings.MAX_FILE_BYTES)
        raise RefusedFile(
            _("“{name}” is {size}. Choose a file smaller than {most}.").format(
                name=name, size=filesize(size), most=most
            )
        )
    upload.seek(0)
    found = _sniff(upload.read(HEAD))
    if claimed is None:
        if found is None:
            raise RefusedFile(ALLOWED)
        return found
    if found is None or not (
        found == claimed or {found.content_type, claimed.content_type} == SAME_CONTAINER
    ):
        raise RefusedFile(
            _("“{name}” is not a real {claimed} file.").format(name=name, claimed=claimed.name)
        )
    return found


def _sniff(head: bytes) -> Format | None:
    """The format that a file begins like, or None.

    The two video containers are read here: puremagic misses half the brands of MP4, and takes any
    Matroska file for a WebM.
    """
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand == b"qt  ":
            return BY_TYPE["video/quicktime"]
        return BY_TYPE["video/mp4"] if brand in MP4_BRANDS else None
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return BY_TYPE["video/webm"] if re.search(rb"\x42\x82.webm", head[:64]) else None
    try:
        looks = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return None
    named = BY_TYPE.get(looks[0].mime_type) if looks else None
    return named if named and named.kind != VIDEO else None


def _damaged(name: str) -> RefusedFile:
    return RefusedFile(
        _("“{name}” is damaged or incomplete. Choose another copy of it.").format(name=name)
    )


# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────


def _drawn_anew(upload: UploadedFile, found: Format, name: str) -> File:
    """The same picture in a new file: upright, without metadata and without anything after its end.

    GIF and WebP keep their movement; an animated PNG becomes its first frame. The size is read from
    the header before anything is decoded.
    """
    form, out = found.name.upper(), io.BytesIO()
    try:
        upload.seek(0)
        with Image.open(upload, formats=[form]) as image:
            _check_size(image, name)
            if form in ("GIF", "WEBP") and getattr(image, "is_animated", False):
                _redraw_moving(image, form, out, name)
            else:
                _redraw_still(image, form, out)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as reason:
        raise _too_large(name) from reason
    except RefusedFile:
        raise
    except Exception as reason:  # a decoder may raise anything when it is fed what is broken
        log.info("a picture could not be read: %r", reason)
        raise _damaged(name) from reason
    return ContentFile(out.getvalue(), name=name)


def _too_large(name: str) -> RefusedFile:
    return RefusedFile(
        _("“{name}” is larger than {value} megapixels. Choose a smaller picture.").format(
            name=name, value=MAX_PIXELS // 1_000_000
        )
    )


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name)


def _redraw_still(image: Image.Image, form: str, out: io.BytesIO) -> None:
    """Draw the first frame; in place where that will do, for a picture may take 160 MB."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if form == "JPEG" and image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    elif "transparency" in image.info:
        image = image.convert("RGBA")
    image.info.clear()
    options = {"JPEG": {"quality": 92}, "WEBP": {"quality": 90}}.get(form, {})
    image.save(out, form, **options)


def _redraw_moving(image: Image.Image, form: str, out: io.BytesIO, name: str) -> None:
    loop = image.info.get("loop")
    durations: list[int] = []

    def frames() -> Iterator[Image.Image]:
        pixels = 0
        while True:
            pixels += image.width * image.height
            if pixels > MAX_MOVING_PIXELS or len(durations) >= 1000:
                raise RefusedFile(
                    _("“{name}” moves for too long. Choose a shorter one, or a video.").format(
                        name=name
                    )
                )
            frame = image.convert("RGBA")
            durations.append(int(image.info.get("duration") or 100))
            frame.info = {"duration": durations[-1]}
            yield frame
            try:
                image.seek(image.tell() + 1)
            except EOFError:
                return

    drawn = frames()
    first = next(drawn)
    rest: list[Image.Image] = [frame.quantize(255) if form == "GIF" else frame for frame in drawn]
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    first.save(out, form, save_all=True, append_images=rest, duration=durations, **options)


# ── PDFs and videos ───────────────────────────────────────────────────────────────────────────────


def _check_pdf(upload: UploadedFile, name: str) -> None:
    """A PDF from its first byte to its trailer, and not locked. Its scripts are never run here."""
    upload.seek(0)
    if not re.match(rb"%PDF-[12]\.\d", upload.read(8)):
        raise RefusedFile(_("“{name}” is not a real PDF file.").format(name=name))
    size = upload.size or 0
    upload.seek(max(0, size - HEAD))
    end = upload.read(HEAD)
    if b"startxref" not in end or b"%%EOF" not in end:
        raise _damaged(name)
    before = b""
    for chunk in upload.chunks(CHUNK):
        if ENCRYPTED.search(before + chunk):
            raise RefusedFile(
                _("“{name}” needs a password. Remove the password first.").format(name=name)
            )
        before = chunk[-64:]


def _check_video(upload: UploadedFile, found: Format, name: str) -> None:
    """The boxes of an MP4 or MOV file fill it to its end, and one of them says what is shown.

    A WebM may be written without knowing its length, so only its beginning is looked at.
    """
    if found.content_type not in SAME_CONTAINER:
        return
    size, at = upload.size or 0, 0
    boxes: set[bytes] = set()
    while at < size:
        upload.seek(at)
        head = upload.read(16)
        if len(head) < 8 or len(boxes) > 1000:
            raise _damaged(name)
        length, box = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        elif length == 0:
            length = size - at
        if length < 8 or at + length > size:
            raise _damaged(name)
        boxes.add(box)
        at += length
    if b"moov" not in boxes:
        raise _damaged(name)


# ── Keeping ───────────────────────────────────────────────────────────────────────────────────────


def _store(content: File, found: Format, name: str, uploader: User) -> Attachment:
    """Write the row, then the bytes: bytes without a row would never be found again."""
    digest = hashlib.sha256()
    for chunk in content.chunks(CHUNK):
        digest.update(chunk)
    attachment = Attachment(
        uploader=uploader,
        filename=name,
        content_type=found.content_type,
        kind=found.kind,
        size=content.size,
        sha256=digest.hexdigest(),
    )
    attachment.file.name = storage_name(attachment, name)
    attachment.make_seal()
    if settings.CLAMD:
        # Until its bytes are stored there is nothing to scan.
        attachment.state = Attachment.State.CHECKING
        attachment.scan_at = timezone.now() + timedelta(minutes=10)
    with transaction.atomic():
        _check_unsent(uploader)
        attachment.save(force_insert=True)
    try:
        content.seek(0)
        stored_as = attachment.file.storage.save(attachment.file.name, content)
    except STORAGE_ERRORS as reason:
        log.exception("%s could not be stored", attachment.public_id)
        _take_back(attachment, reason)
        raise RefusedFile(
            _("We couldn’t store “{name}”. Try again in a minute.").format(name=name)
        ) from reason
    if stored_as != attachment.file.name:
        attachment.file.name = stored_as
        attachment.save(update_fields=["file"])
    if attachment.state == Attachment.State.CHECKING:
        attachment.scan_at = timezone.now()
        attachment.save(update_fields=["scan_at"])
        ring("resolution.tasks.scan_files")
    return attachment


def _check_unsent(uploader: User) -> None:
    """Refuse one more file of somebody who has sent none of many; two at once wait in line."""
    User.objects.select_for_update(no_key=True).get(pk=uploader.pk)
    since = clock.now() - KEPT_UNSENT
    unsent = Attachment.objects.filter(uploader=uploader, event=None, created_at__gt=since)
    if unsent.count() >= settings.MAX_UNSENT_FILES:
        raise RefusedFile(
            ngettext(
                "You have added {files} file in a day that you haven’t sent. Send or remove some "
                "of them first.",
                "You have added {files} files in a day that you haven’t sent. Send or remove some "
                "of them first.",
                settings.MAX_UNSENT_FILES,
            ).format(files=settings.MAX_UNSENT_FILES)
        )


def _take_back(attachment: Attachment, reason: Exception) -> None:
    """Remove what may have been stored, and the row. In doubt the row stays: the sweep needs it."""
    try:
        attachment.file.storage.delete(str(attachment.file.name))
    except STORAGE_ERRORS:
        if isinstance(reason, HTTPClientError):  # handed over without an answer: it may be there
            return
    attachment.delete()


def unsent_of(user: User, public_ids: Sequence[str]) -> list[Attachment]:
    """The user's own uploads among these ids that are in no message yet, in the order given."""
    ids = list(dict.fromkeys(i for i in public_ids if PUBLIC_ID.fullmatch(i)))
    since = clock.now() - TAKEN_UNTIL
    found = Attachment.objects.filter(
        uploader=user, event=None, public_id__in=ids, created_at__gt=since, state__in=CAN_BE_SENT
    )
    return sorted(found, key=lambda attachment: ids.index(attachment.public_id))


def infected_of(user: User, public_ids: Sequence[str]) -> list[str]:
    """The names of the user's own unsent uploads in which the virus scanner has found something."""
    ids = [i for i in public_ids if PUBLIC_ID.fullmatch(i)]
    found = Attachment.objects.filter(
        uploader=user, event=None, public_id__in=ids, state=Attachment.State.INFECTED
    )
    return list(found.order_by("pk").values_list("filename", flat=True))


def discard(user: User, public_id: str) -> None:
    """Give up an upload that its owner took out of a form; one that was sent stays.

    No form takes it from now on, and the next sweep removes it.
    """
    if PUBLIC_ID.fullmatch(public_id):
        unsent = Attachment.objects.filter(uploader=user, event=None, public_id=public_id)
        unsent.update(created_at=clock.now() - KEPT_UNSENT)


def remove_unsent() -> int:
    """Remove uploads that were in no message after a day, bytes first; answer how many.

    Safe to run twice and at once: a file that cannot be removed now is left for the next time.
    """
    removed = 0
    old = Attachment.objects.filter(event=None, created_at__lte=clock.now() - KEPT_UNSENT)
    for attachment in old.order_by("created_at")[:BATCH]:
        try:
            attachment.file.delete(save=False)
        except STORAGE_ERRORS as reason:
            log.warning("%s could not be removed: %r", attachment.public_id, reason)
            continue
        removed += Attachment.objects.filter(pk=attachment.pk, event=None).delete()[0]
    return removed
