"""The sealed record of a case, made while its reader waits. What is in it says `export.py`."""

import logging
import tempfile

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from marketplace.models import User
from resolution import export
from resolution.actors import as_buyer, as_creator
from resolution.evidence import STORAGE_ERRORS
from resolution.export import Audience
from resolution.models import Case
from resolution.terms import Actor
from resolution.views.pace import one_too_many

log = logging.getLogger(__name__)


@require_GET
@login_required
def for_buyer(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A buyer's own case, as its page in the hub shows it."""
    assert isinstance(request.user, User), "a login is needed first"
    return send(request, _find(as_buyer(request.user), public_id), Audience.BUYER)


@require_GET
@login_required
def for_creator(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """A case against a company of theirs, as its page on the dashboard shows it."""
    assert isinstance(request.user, User), "a login is needed first"
    return send(request, _find(as_creator(request.user), public_id), Audience.CREATOR)


def _find(actor: Actor, public_id: str) -> Case:
    cases = Case.objects.visible_to(actor).select_related("payment", "buyer", "company", "product")
    case = cases.filter(public_id=public_id).first()
    if case is None:
        raise Http404("No such case.")
    return case


def send(request: HttpRequest, case: Case, audience: Audience) -> HttpResponseBase:
    """The export as a download; 413 when its files are too many, 503 when one can't be read.

    429 when this person has had too many downloads lately.
    """
    assert isinstance(request.user, User), "a login is needed first"
    if refusal := one_too_many(request):
        return refusal
    made = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    try:
        export.write(case, audience, request.user, made)
    except export.TooLarge:
        made.close()
        why = _("The files of this case are too large for one download. Open them one by one.")
        return render(request, "413.html", {"why": why}, status=413)
    except STORAGE_ERRORS:
        made.close()
        log.exception("the export of %s can’t be made", case.public_id)
        what = _("The record of this case can’t be made")
        return render(request, "503.html", {"what": what}, status=503)
    made.seek(0)
    response = FileResponse(
        made,
        as_attachment=True,
        filename=f"{case.public_id}-{audience}.zip",
        content_type="application/zip",
    )
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, no-store"
    return response
