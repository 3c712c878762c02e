"""One file of a case, for those who may see it; to others it is like one that does not exist.

And the files of a form that is still being filled in, which go up as soon as they are chosen.
Files never come from an address of the storage: each is sent by us, after a look at who asks.
"""

import logging
import re

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from accounts import second_step
from marketplace.models import User
from resolution import readings
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.evidence import PUBLIC_ID, STORAGE_ERRORS
from resolution.forms.messages import WithFiles
from resolution.models import Attachment, Case, Reading
from resolution.views.case_page import about_files
from resolution.views.login import needs_login

log = logging.getLogger(__name__)


@require_safe
@login_required
def download(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Send the bytes of an attachment, to be saved; a picture with `?inline=1` to be looked at.

    Pictures are drawn anew when they are taken, so they may be shown; PDFs and videos never are.
    Answers 409 while a file is being checked for viruses, 410 when its bytes were removed, and 503
    when the storage does not have or give them.
    """
    user = request.user
    assert isinstance(user, User), "a login is needed first"
    attachment, works_here = _find(user, public_id, second_step.lets_staff_work(request))
    if works_here and attachment.event:
        readings.note(user, attachment.event.case, Reading.What.FILE, attachment.public_id)
    if not can_be_had(attachment):
        checking = attachment.state == Attachment.State.CHECKING
        context = {"file": attachment, "checking": checking}
        return render(request, "rc/file_held.html", context, status=409 if checking else 410)
    shown = attachment.kind == Attachment.Kind.IMAGE and request.GET.get("inline") == "1"
    try:
        return send(attachment, shown=shown)
    except STORAGE_ERRORS:
        log.exception("the bytes of %s can’t be read", attachment.public_id)
        return render(
            request, "503.html", {"what": _("This file can’t be opened right now")}, status=503
        )


def can_be_had(attachment: Attachment) -> bool:
    """The bytes are there, and checked unless only their uploader gets them.

    An upload that was not sent yet is shown to nobody else.
    """
    unsent = attachment.event is None and attachment.state == Attachment.State.CHECKING
    return unsent or attachment.state == Attachment.State.READY


def send(attachment: Attachment, *, shown: bool) -> FileResponse:
    """The bytes of a file, to be looked at or to be saved; one of STORAGE_ERRORS without them."""
    response = FileResponse(
        attachment.file.open("rb"),
        as_attachment=not shown,
        filename=attachment.filename,
        content_type=attachment.content_type,
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, no-store"
    return response


@needs_login
@require_POST
def upload(request: HttpRequest) -> HttpResponseBase:
    """Take the files just chosen, or one of them out again; answers that part of the form anew.

    `for` is what the ids of the form's fields begin with. What is wrong is said there (422), and
    what has become of it is announced.
    """
    user, name = request.user, request.GET.get("for", "id")
    assert isinstance(user, User), "a login is needed first"
    if not re.fullmatch(r"[a-z]{1,24}", name):
        raise Http404("No such form.")
    form = WithFiles(request.POST, request.FILES, user=user, auto_id=f"{name}_%s")
    form.is_valid()
    drop = about_files(form)
    many = len(drop["files"])
    tall = name == "id"
    context = {
        **drop,
        "field": form["files"],
        "kept": drop["files"],
        "tall": tall,
        "drop_label": _("Choose files") if tall else "",
    }
    response = render(request, "rc/_drop.html", context, status=422 if form.errors else 200)
    text = ngettext(
        "{files} file added. Not sent yet.", "{files} files added. Not sent yet.", many
    ).format(files=many)
    return trigger_client_event(response, "said", {"text": text if many else _("No files added.")})


def _find(user: User, public_id: str, at_work: bool) -> tuple[Attachment, bool]:
    """The file, if this person may see it, and whether it is as one of the staff.

    In a message it is for who may see the case; before that, for its uploader. `at_work` says
    whether somebody of the staff may act as such in this session.
    """
    if not PUBLIC_ID.fullmatch(public_id):
        raise Http404
    files = Attachment.objects.select_related("event__case")
    attachment = files.filter(public_id=public_id).first()
    if attachment is None:
        raise Http404
    event = attachment.event
    if event is None:
        if attachment.uploader_id != user.pk:
            raise Http404
        return attachment, False
    if at_work and _works_on(user, event.case):
        return attachment, True
    if event.staff_only or not _is_party_to(user, event.case):
        raise Http404
    return attachment, False


def _works_on(user: User, case: Case) -> bool:
    """One of the staff, who is not a party to this very case."""
    return user.is_staff and bool(user.staff_role) and not as_staff(user, case).conflicted


def _is_party_to(user: User, case: Case) -> bool:
    sides = (as_buyer(user), as_creator(user))
    return any(Case.objects.visible_to(side).filter(pk=case.pk).exists() for side in sides)
