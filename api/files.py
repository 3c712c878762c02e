"""Files before they are sent: announced, filled by one PUT, and then attached to any act."""

import mimetypes
from datetime import timedelta
from typing import Annotated, Literal

from django.conf import settings
from django.core import signing
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from api import tokens
from api.attachments import attachment_out
from api.auth import ApiRequest, Caller
from api.cases import OldestFirst, Strict
from api.errors import ApiError, ErrorOut, documented, not_found
from api.idempotency import idempotent
from api.models import FileUpload
from api.paging import Order, PageInfo, Window, page_of
from api.shapes import timestamp
from resolution import evidence
from resolution.models import Attachment
from resolution.templatetags.rc import filesize

router = Router(tags=["Files"])
signer = signing.TimestampSigner(salt="api.files")
GOOD_FOR = 15 * 60  # seconds
CHUNK = 64 * 1024
KEPT_EMPTY = timedelta(days=1)

PENDING, PROCESSING = FileUpload.State.PENDING, FileUpload.State.PROCESSING
READY, FAILED = FileUpload.State.READY, FileUpload.State.FAILED

StatusName = Literal["pending", "processing", "ready", "failed"]
STATUSES: dict[str, StatusName] = {
    PENDING: "pending",
    PROCESSING: "processing",
    READY: "ready",
    FAILED: "failed",
}


class FileOut(Schema):
    """A file. `upload_url` and `upload_headers` come once, when it is created."""

    object: Literal["file"] = "file"
    id: str
    filename: str
    visibility: Literal["private"] = "private"
    upload_status: StatusName
    content_type: str | None
    size: int | None
    url: str | None
    upload_url: str | None = None
    upload_headers: dict[str, str] | None = None
    multipart_chunk_size: None = None
    multipart_upload_id: None = None
    multipart_upload_urls: None = None
    blurhash: None = None
    duration_seconds: None = None
    height: None = None
    width: None = None
    waveform_url: None = None
    removed_by_moderation: bool = False
    created_at: str


class FilePage(Schema):
    """A page of files."""

    data: list[FileOut]
    page_info: PageInfo


class NewFileIn(Strict):
    """A file to come."""

    filename: Annotated[str, Field(min_length=1, max_length=300)]
    byte_size: Annotated[int, Field(ge=1, le=2**53)] | None = None
    multipart: bool | None = Field(None, description="Files here go up in one part.")
    visibility: Literal["public", "private"] | None = Field(
        None, description="Whatever is asked for, files here are private."
    )


FileId = Annotated[str, Field(pattern="^file_[A-Za-z0-9]{14}$")]


class FileQuery(Window):
    """Which files, and which part of the list."""

    file_ids: list[FileId] = Field([], max_length=250, description="Only these (`file_`).")
    order: Literal["created_at"] = "created_at"
    direction: OldestFirst = "desc"


def file_out(upload: FileUpload, caller: Caller) -> FileOut:
    """A file as its uploader sees it."""
    attachment = upload.attachment
    shown = attachment_out(attachment, caller.token) if attachment else None
    return FileOut(
        id=upload.public_id,
        filename=attachment.filename if attachment else upload.filename,
        upload_status=_status_of(upload),
        content_type=attachment.content_type if attachment else None,
        size=attachment.size if attachment else None,
        url=shown.url if shown else None,
        created_at=timestamp(upload.created_at),
    )


def _status_of(upload: FileUpload) -> StatusName:
    """A file that is being checked for viruses is not ready; one that has one has failed."""
    state = upload.attachment.state if upload.attachment else ""
    if state == Attachment.State.CHECKING:
        return "processing"
    if state == Attachment.State.INFECTED:
        return "failed"
    return STATUSES[upload.state]


@router.post(
    "/files",
    response={201: FileOut, **documented(409, 413, 415, 422)},
    operation_id="create_file",
)
@idempotent
def create_file(request: ApiRequest, body: NewFileIn) -> Status[FileOut]:
    """Announce a file. PUT its bytes to `upload_url`, with `upload_headers`, within 15 minutes."""
    caller = request.auth
    caller.needs(tokens.MANAGE_CASES)
    if body.multipart:
        raise ApiError(
            422, "parameter_invalid", "Files here go up in one part.", param="multipart"
        )  # fmt: skip
    if body.byte_size is not None and body.byte_size > settings.MAX_FILE_BYTES:
        most = filesize(settings.MAX_FILE_BYTES)
        raise ApiError(
            422, "file_too_large", f"A file is smaller than {most}.", param="byte_size"
        )  # fmt: skip
    name = evidence.safe_name(body.filename)
    upload = FileUpload.objects.create(user=caller.user, filename=name)
    signature = signer.sign(upload.public_id).partition(":")[2]
    path = reverse("api:put_content", args=[upload.public_id])
    shown = file_out(upload, caller)
    shown.upload_url = f"{settings.SITE_URL}{path}?signature={signature}"
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    shown.upload_headers = {"Content-Type": kind}
    return Status(201, shown)


@router.get("/files", response={200: FilePage, **documented()}, operation_id="list_files")
def list_files(request: ApiRequest, query: Query[FileQuery]) -> FilePage:
    """List the files you announced."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    mine = FileUpload.objects.filter(user=caller.user)
    if query.file_ids:
        mine = mine.filter(public_id__in=query.file_ids)
    rows = FileUpload.objects.select_related("attachment")
    order = Order("created_at", "created_at", query.direction == "desc")
    found, info = page_of([mine], rows, order, query)
    return FilePage(data=[file_out(upload, caller) for upload in found], page_info=info)


@router.get(
    "/files/{file_id}", response={200: FileOut, **documented(404)}, operation_id="retrieve_file"
)
def retrieve_file(request: ApiRequest, file_id: str) -> FileOut:
    """Retrieve a file that you announced."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    uploads = FileUpload.objects.select_related("attachment")
    upload = uploads.filter(user=caller.user, public_id=file_id).first()
    if upload is None:
        raise not_found("file", "id")
    return file_out(upload, caller)


@router.put(
    "/files/{file_id}/content",
    auth=None,
    response={204: None, **dict.fromkeys((400, 404, 409, 413, 422, 503), ErrorOut)},
    operation_id="upload_file_content",
    openapi_extra={
        "requestBody": {
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            "required": True,
        }
    },
)
def put_content(request: HttpRequest, file_id: str, signature: str = "") -> HttpResponse:
    """Take a file's bytes, at the `upload_url` that was given for it. No token is needed."""
    upload = _authorised(file_id, signature)
    if upload is None:
        raise not_found("upload", "id")
    mine = FileUpload.objects.filter(pk=upload.pk)
    if not mine.filter(state=PENDING).update(state=PROCESSING):
        raise ApiError(409, "already_uploaded", "The bytes of this file have come before.")
    try:
        with _received(request, upload.filename) as content:
            attachment = evidence.accept(content, upload.user)
    except evidence.RefusedFile as refusal:
        mine.update(state=FAILED)
        raise ApiError(422, "file_refused", refusal.sentence) from refusal
    except BaseException:
        mine.update(state=PENDING)
        raise
    mine.update(state=READY, attachment=attachment)
    return HttpResponse(status=204)


def _authorised(file_id: str, signature: str) -> FileUpload | None:
    try:
        signer.unsign(f"{file_id}:{signature}", max_age=GOOD_FOR)
    except signing.BadSignature:
        return None
    found = FileUpload.objects.select_related("user")
    return found.filter(public_id=file_id, user__is_active=True).first()


def _received(request: HttpRequest, name: str) -> TemporaryUploadedFile:
    """The body on disk. Raises ApiError as soon as it is more than we take."""
    most = settings.MAX_FILE_BYTES
    refusal = ApiError(413, "file_too_large", f"Choose a file smaller than {filesize(most)}.")
    claimed = request.headers.get("Content-Length", "")
    if claimed.isascii() and claimed.isdigit() and int(claimed) > most:
        raise refusal
    content = TemporaryUploadedFile(name, request.content_type or "", 0, None)
    size = 0
    while chunk := request.read(CHUNK):
        size += len(chunk)
        if size > most:
            content.close()
            raise refusal
        content.write(chunk)
    content.size = size
    content.seek(0)
    return content


def forget_unused() -> int:
    """Remove what was announced a day ago and never came; answer how many."""
    old = FileUpload.objects.filter(
        attachment=None, created_at__lte=timezone.now() - KEPT_EMPTY
    )  # fmt: skip
    return old.delete()[0]
