"""A company's saved replies: all of them, and one to write, change or remove."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from resolution import replies as saved
from resolution import rules
from resolution.forms.replies import ReplyForm, ReplyRemoveForm
from resolution.models import SavedReply
from resolution.views.desk import Office, no_company, signed_in

TITLE_TAKEN = _lazy("Another reply has this title. Choose one that tells them apart.")
TOO_MANY = _lazy("A company can keep {most} replies. Remove one first.")


class Shelf(Office):
    """One company's replies, for somebody who may use them: a viewer sends and so reads none."""

    def check(self) -> None:
        if not saved.may_use(self.desk.actor(self.company.pk)):
            raise PermissionDenied(
                _(
                    "Only owners, admins and support of {company} use its saved replies. Your "
                    "role is viewer."
                ).format(company=self.company.name)
            )


def _shelf_with(request: HttpRequest, pk: int) -> tuple[Shelf, SavedReply]:
    """The reply with its shelf, for those on its company's team; for others there is none."""
    user = signed_in(request)
    reply = (
        SavedReply.objects.select_related("company")
        .filter(pk=pk, company__members__user=user)
        .first()
    )
    if reply is None:
        raise Http404("No such reply.")
    shelf = Shelf.of(user, reply.company.public_id)
    assert shelf, "whoever sees a reply is on the company's team"
    return shelf, reply


@login_required
@require_safe
@never_cache
def replies(request: HttpRequest) -> HttpResponse:
    """A company's replies by title, each as a buyer would read it."""
    shelf = Shelf.asked(request)
    if shelf is None:
        return no_company(request)
    return _show_all(request, shelf)


def _show_all(
    request: HttpRequest, shelf: Shelf, *, late: str = "", status: int = 200
) -> HttpResponse:
    values = saved.example_values(shelf.company)
    found = list(shelf.company.saved_replies.all())
    context = {
        "nav": shelf.desk.nav("replies"),
        "company": shelf.company,
        "late": late,
        "replies": [
            {
                "id": reply.pk,
                "title": reply.title,
                "reads": rules.fill_in(reply.text, values),
                "href": reverse("dash-reply", args=[reply.pk]),
            }
            for reply in found
        ],
        "new_href": shelf.href("dash-reply-new") if len(found) < saved.MOST else "",
        "full": TOO_MANY.format(most=saved.MOST) if len(found) >= saved.MOST else "",
    }
    return render(request, "dash/replies.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def reply_new(request: HttpRequest) -> HttpResponse:
    """Write a reply."""
    shelf = Shelf.asked(request)
    if shelf is None:
        raise Http404("On no team.")
    if request.method != "POST":
        return _show_form(request, shelf, ReplyForm(company=shelf.company))
    form = ReplyForm(request.POST, company=shelf.company)
    if not form.is_valid():
        return _show_form(request, shelf, form, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, shelf, form)
    try:
        reply = saved.add(shelf.company, **form.columns())
    except saved.TitleTaken:
        form.add_error("title", TITLE_TAKEN)
        return _show_form(request, shelf, form, status=422)
    except saved.TooMany:
        form.add_error(None, TOO_MANY.format(most=saved.MOST))
        return _show_form(request, shelf, form, status=422)
    return _saved(request, shelf, reply)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def reply_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a reply. When somebody else was faster nothing is saved, and nothing typed is lost."""
    try:
        shelf, reply = _shelf_with(request, pk)
    except Http404:
        return _show_removed(request)
    if request.method != "POST":
        form = ReplyForm(company=shelf.company, initial=ReplyForm.initial_of(reply))
        return _show_form(request, shelf, form, reply)
    form = ReplyForm(request.POST, company=shelf.company)
    if not form.is_valid():
        return _show_form(request, shelf, form, reply, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, shelf, form, reply)
    try:
        reply = saved.change(reply, form.cleaned_data["version"] or 0, **form.columns())
    except saved.TitleTaken:
        form.add_error("title", TITLE_TAKEN)
        return _show_form(request, shelf, form, reply, status=422)
    except saved.ReplyChanged:
        fresh = SavedReply.objects.filter(pk=pk).first()
        form.renew(fresh.version if fresh else 0)
        return _show_form(request, shelf, form, fresh, late=True, status=409)
    return _saved(request, shelf, reply)


def _show_removed(request: HttpRequest) -> HttpResponse:
    """What was typed for a reply that is gone, to be saved as a new one of the form's company."""
    company_id = request.POST.get("company", "")
    shelf = Shelf.of(signed_in(request), company_id) if company_id else None
    if shelf is None:
        raise Http404("No such reply.")
    form = ReplyForm(request.POST, company=shelf.company)
    return _show_form(request, shelf, form, late=True, status=409)


def _saved(request: HttpRequest, shelf: Shelf, reply: SavedReply) -> HttpResponse:
    messages.success(request, _("“{title}” is saved.").format(title=reply.title))
    return redirect(f"{shelf.href('dash-replies')}#reply-{reply.pk}")


def _show_form(
    request: HttpRequest,
    shelf: Shelf,
    form: ReplyForm,
    reply: SavedReply | None = None,
    *,
    late: bool = False,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "nav": shelf.desk.nav("replies"),
        "company": shelf.company,
        "form": form,
        "reply": reply,
        "title": _("Edit “{title}”").format(title=reply.title) if reply else _("New saved reply"),
        "action": reverse("dash-reply", args=[reply.pk]) if reply else shelf.href("dash-reply-new"),
        "back_href": shelf.href("dash-replies"),
        "preview": form.preview(),
        "variables": saved.VARIABLES.items(),
        "late": late,
    }
    return render(request, "dash/reply_form.html", context, status=status)


@login_required
@require_POST
@never_cache
def reply_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a reply, as it was on the page."""
    shelf, reply = _shelf_with(request, pk)
    form = ReplyRemoveForm(request.POST)
    if not form.is_valid():
        raise BadRequest("The form of a reply names its version.")
    try:
        saved.remove(reply, form.cleaned_data["version"])
    except saved.ReplyChanged:
        sentence = _("“{title}” has changed meanwhile. Nothing was removed.").format(
            title=reply.title
        )
        return _show_all(request, shelf, late=sentence, status=409)
    messages.success(request, _("“{title}” is removed.").format(title=reply.title))
    return redirect(shelf.href("dash-replies"))
