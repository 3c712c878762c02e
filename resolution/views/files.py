"""One file of a case, for those who may see it; to others it is like one that does not exist.

And the files of a form that is still being filled in, which go up as soon as they are chosen.
Files never come from an address of the storage: each is sent by us, after a look at who asks. What
a page links to lasts and gives no bytes; it leads to a link that does, for one person in one
session, and for FILE_LINK_SECONDS.
"""

import logging
import re

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import salted_hmac
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
signer = signing.TimestampSigner(salt="resolution.files")
SHOWN, SAVED = "shown", "saved"
AGAIN = {SHOWN: "?inline=1", SAVED: ""}
"""What to ask for when a link is to be had anew, by what the old one was for."""


@require_safe
@login_required
def download(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Lead to the bytes of a file, to be saved; of a picture with `?inline=1` to be looked at.

    Pictures are drawn anew when they are taken, so they may be shown; PDFs and videos never are.
    Answers 409 while a file is being checked for viruses and 410 when its bytes were removed.
    """
    user = request.user
    assert isinstance(user, User), "a login is needed first"
    attachment, _at_work = _find(user, public_id, second_step.lets_staff_work(request))
    if not can_be_had(attachment):
        return _held(request, attachment)
    shown = attachment.kind == Attachment.Kind.IMAGE and request.GET.get("inline") == "1"
    link = _link(request, user, public_id, SHOWN if shown else SAVED)
    return redirect("attachment-bytes", public_id, link)


@require_safe
def fetch(request: HttpRequest, public_id: str, link: str) -> HttpResponseBase:
    """Send the bytes of an attachment to the person whose link it is, if they may see it now.

    To anybody else the link is like none. Their own, when it is old or of another session, leads
    back to where they get a fresh one, and so does a login. Answers 409 and 410 as `download` does,
    and 503 when the storage does not have or give the bytes.
    """
    user = request.user
    if not isinstance(user, User):
        return redirect_to_login(reverse("attachment", args=[public_id]))
    try:
        said = signer.unsign(link)
    except signing.BadSignature as reason:
        raise Http404 from reason
    file, person, session, use = said.split(".")
    if (file, person) != (public_id, user.public_id):
        raise Http404
    attachment, works_here = _find(user, public_id, second_step.lets_staff_work(request))
    if session != _session_mark(request) or _is_old(link):
        return redirect(reverse("attachment", args=[public_id]) + AGAIN[use])
    if works_here and attachment.event:
        readings.note(user, attachment.event.case, Reading.What.FILE, attachment.public_id)
    if not can_be_had(attachment):
        return _held(request, attachment)
    try:
        return send(attachment, shown=use == SHOWN)
    except STORAGE_ERRORS:
        log.exception("the bytes of %s can’t be read", attachment.public_id)
        return render(
            request, "503.html", {"what": _("This file can’t be opened right now")}, status=503
        )


def _link(request: HttpRequest, user: User, public_id: str, use: str) -> str:
    """What makes an address give the bytes of a file: to who asks, in this session, from now."""
    return signer.sign(".".join([public_id, user.public_id, _session_mark(request), use]))


def _is_old(link: str) -> bool:
    try:
        signer.unsign(link, max_age=settings.FILE_LINK_SECONDS)
    except signing.SignatureExpired:
        return True
    return False


def _session_mark(request: HttpRequest) -> str:
    """Tells one session of a person from another, and does not tell its key."""
    return salted_hmac("resolution.files", request.session.session_key or "").hexdigest()[:16]


def _held(request: HttpRequest, attachment: Attachment) -> HttpResponseBase:
    checking = attachment.state == Attachment.State.CHECKING
    context = {"file": attachment, "checking": checking}
    return render(request, "rc/file_held.html", context, status=409 if checking else 410)


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
