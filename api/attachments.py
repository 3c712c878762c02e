"""The files of messages: how a call names them, and addresses that give their bytes for minutes."""

from collections.abc import Sequence

from django.conf import settings
from django.core import signing
from django.http import FileResponse, HttpRequest
from django.urls import reverse
from ninja import Router, Schema
from pydantic import ConfigDict
from pydantic.config import JsonDict

from api.auth import Caller
from api.errors import ApiError, ErrorOut, not_found
from api.models import ApiToken, FileUpload
from api.shapes import AttachmentOut
from resolution.evidence import STORAGE_ERRORS, unsent_of
from resolution.models import Attachment
from resolution.views.files import can_be_had, send

router = Router(tags=["Files"])
signer = signing.TimestampSigner(salt="api.attachments")


ONE_OF: JsonDict = {
    "anyOf": [{"required": ["id"]}, {"required": ["direct_upload_id"]}],
    "properties": {
        name: {"type": "string", "pattern": r"^(att|file)_[A-Za-z0-9]{14}$"}
        for name in ("id", "direct_upload_id")
    },
}
"""What the document says of an upload that is named: one of the ids is there, and is one."""


class AttachmentIn(Schema):
    """A file that was uploaded before, by one of its two ids."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=ONE_OF)

    id: str | None = None
    direct_upload_id: str | None = None


def uploads_of(caller: Caller, named: Sequence[AttachmentIn]) -> list[str]:
    """The public ids of the caller's unsent uploads that are named, for the form to look at."""
    ids = _of_files(caller, [item.id or item.direct_upload_id or "" for item in named])
    if ids and len(unsent_of(caller.user, ids)) < len(set(ids)):
        raise ApiError(404, "not_found", "There is no such upload of yours.", param="attachments")
    return ids


def _of_files(caller: Caller, ids: Sequence[str]) -> list[str]:
    """The same ids, where those of files that the caller announced are of what became of them."""
    named = [one for one in ids if one.startswith("file_")]
    if not named:
        return list(ids)
    uploads = {
        upload.public_id: upload
        for upload in FileUpload.objects.filter(
            user=caller.user, public_id__in=named
        ).select_related("attachment")
    }
    for upload in uploads.values():
        if upload.attachment is None:
            raise ApiError(
                422, "file_not_ready", f"“{upload.filename}” has no bytes yet.", param="attachments"
            )
    of_files = {
        name: upload.attachment.public_id for name, upload in uploads.items() if upload.attachment
    }
    return [of_files.get(one, one) for one in ids]


def attachment_out(attachment: Attachment, token: ApiToken) -> AttachmentOut:
    """A file, with an address that this token's owner may hand to a browser at once."""
    signature = signer.sign(f"{attachment.public_id}:{token.public_id}").partition(":")[2]
    path = reverse("api:download", args=[attachment.public_id])
    return AttachmentOut(
        id=attachment.public_id,
        filename=attachment.filename,
        content_type=attachment.content_type,
        url=f"{settings.SITE_URL}{path}?signature={signature}",
    )


BYTES = {"200": {"description": "The bytes of the file.", "content": {"*/*": {}}}}


@router.get(
    "/attachments/{attachment_id}",
    auth=None,
    response=dict.fromkeys((400, 404, 409, 410, 503), ErrorOut),
    operation_id="download_attachment",
    openapi_extra={"responses": BYTES},
)
def download(request: HttpRequest, attachment_id: str, signature: str = "") -> FileResponse:
    """The bytes of a file, at the address that an event or a file gives for it.

    The address works for some minutes, without a token, as long as the token that it was given to
    can see the file.
    """
    attachment = _find(attachment_id, signature)
    if attachment is None:
        raise not_found("file")
    if attachment.state == Attachment.State.CHECKING and attachment.event:
        raise ApiError(409, "file_not_ready", "This file is being checked for viruses.")
    if not can_be_had(attachment):
        raise ApiError(410, "file_removed", "The bytes of this file were removed.")
    try:
        return send(attachment, shown=attachment.kind == Attachment.Kind.IMAGE)
    except STORAGE_ERRORS as reason:
        raise ApiError(503, "storage_unavailable", "This file can’t be read now.") from reason


def _find(public_id: str, signature: str) -> Attachment | None:
    """The file, when the signature is good and its token's owner may see it at this moment."""
    try:
        signed = signer.unsign(f"{public_id}:{signature}", max_age=settings.FILE_LINK_SECONDS)
    except signing.BadSignature:
        return None
    token = (
        ApiToken.objects.select_related("user", "company")
        .filter(public_id=signed.partition(":")[2])
        .first()
    )
    attachment = (
        Attachment.objects.select_related("event__case").filter(public_id=public_id).first()
    )
    if attachment is None or token is None or not token.is_usable or not token.user.is_active:
        return None
    event, caller = attachment.event, Caller(token)
    if event is None:
        return attachment if attachment.uploader_id == token.user_id else None
    return attachment if not event.staff_only and caller.actors_on(event.case) else None
