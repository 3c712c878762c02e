"""The pages of a case in the administration: the queue, the decision page, and the acts below it.

A page is shown by GET and changed by nothing; each act is a POST to an address of its own, checked
by its form and taken by `resolution.cases`. There is no other way to edit a case here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace import clock
from marketplace.admin import ReadOnlyAdmin
from marketplace.doorbell import ring
from marketplace.models import User
from payments import refunds
from resolution import presence, readings, timeline, words
from resolution.actors import as_staff
from resolution.admin import audit, deciding, decision_page, listing, money, queue, record
from resolution.admin.desk import ACTS, Desk
from resolution.cases import CaseChanged, NotAllowed, StepRefused
from resolution.export import Audience
from resolution.forms.decisions import (
    ApproveForm,
    AssignForm,
    CaseForm,
    DecideForm,
)
from resolution.models import Case, Reading
from resolution.terms import Party
from resolution.views import exports
from resolution.views.onward import onward

STAFF = Party.STAFF
DONE = {
    "decide": _lazy("Decided. Both sides are being told."),
    "ask": _lazy("Asked. The case waits for their answer now."),
    "comment": _lazy("Sent to both sides."),
    "note": _lazy("Noted, for staff only."),
    "retry": _lazy("The refund is sent once more."),
    "credits": _lazy("The credits are in the buyer’s account."),
    "paid": _lazy("Marked as paid by hand."),
    "approve": _lazy("Approved and done. Both sides are being told."),
    "decline": _lazy("The proposal is off the table. Staff read why."),
} | dict.fromkeys(
    ("propose", "propose-retry", "propose-credits", "propose-paid"),
    _lazy("Proposed. Somebody of finance approves it; nobody outside is told yet."),
)


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases: a queue in place of the stock list, a page to decide on in place of the stock form."""

    def get_urls(self) -> list[Any]:
        """The stock addresses of list and change; there are none to add, delete or edit raw."""

        def at(route: str, view: Callable[..., HttpResponseBase], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"resolution_case_{name}")

        return [
            at("", self.queue, "changelist"),
            at("take-next/", self.take_next, "take_next"),
            at("money/", self.money, "money"),
            at("money/try-again/", self.try_again, "money_try_again"),
            at("<str:public_id>/change/", self.page, "change"),
            at("<str:public_id>/assign/", self.assign, "assign"),
            at("<str:public_id>/audit/", self.audit, "audit"),
            at("<str:public_id>/export/<slug:audience>/", self.export, "export"),
            path("<str:public_id>/live/", self.live, name="resolution_case_live"),
            path("<str:public_id>/present/", self.present, name="resolution_case_present"),
            at("<str:public_id>/<slug:act>/", self.act, "act"),
        ]

    # ── The queue ─────────────────────────────────────────────────────────────────────────────────

    def queue(self, request: HttpRequest) -> HttpResponse:
        """The cases that wait, by due date, or whatever else was asked for."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user = self._member(request)
        looking = queue.Looking.from_query(request.GET)
        page = queue.page_of(looking, user)
        counts = queue.counts(user)
        oldest = (clock.now() - counts["oldest"]).days if counts["oldest"] else 0
        return self._respond(
            request,
            "queue.html",
            title=_("Cases to decide"),
            crumbs=[(_("Cases"), "")],
            counts=counts,
            oldest=oldest,
            looking=looking,
            rows=listing.rows(page.cases, user),
            first_href=looking.address() if looking.after else "",
            next_href=looking.address(after=page.next_mark) if page.next_mark else "",
            filters=listing.filters(looking, counts),
            may_take=bool(user.staff_role),
        )

    def take_next(self, request: HttpRequest) -> HttpResponse:
        """Assign the next case and open it."""
        user = self._member(request)
        if request.method != "POST":
            return redirect("admin:resolution_case_changelist")
        case = queue.take_next(user) if user.staff_role else None
        if case is None:
            messages.info(request, _("Nothing is left that you can take. Well done."))
            return redirect("admin:resolution_case_changelist")
        messages.success(request, _("It’s yours."))
        return _to(case)

    # ── Money ─────────────────────────────────────────────────────────────────────────────────────

    def money(self, request: HttpRequest) -> HttpResponse:
        """Everything about money that waits for somebody here."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user = self._member(request)
        tasks = [
            money.failed(user), money.proposed(user), money.waiting(), money.differing(),
            money.slow(),
        ]  # fmt: skip
        return self._respond(
            request,
            "money.html",
            title=_("Money tasks"),
            crumbs=[
                (_("Cases"), reverse("admin:resolution_case_changelist")),
                (_("Money tasks"), ""),
            ],
            groups=[group for group in tasks if group.count],
            count=sum(group.count for group in tasks if group.id != "slow"),
            stuck_events=money.stuck_events(),
            is_finance=user.staff_role == User.StaffRole.FINANCE,
        )

    def try_again(self, request: HttpRequest) -> HttpResponse:
        """Let the refunds that wait for us be tried now, because their cause is mended."""
        user = self._member(request)
        if request.method == "POST":
            if user.staff_role != User.StaffRole.FINANCE:
                raise PermissionDenied(_("Only finance let refunds be tried."))
            count = refunds.try_now(money.kept_waiting())
            ring("resolution.tasks.sweep_refunds")
            said = ngettext(
                "{refunds} refund will be tried within half a minute.",
                "{refunds} refunds will be tried within half a minute.",
                count,
            )
            messages.success(request, said.format(refunds=count))
        return redirect("admin:resolution_case_money")

    # ── One case ──────────────────────────────────────────────────────────────────────────────────

    def page(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """What is known of a case, and the forms that are open to this person."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user, case = self._member(request), _case(public_id)
        presence.here(user, case)
        return self._page(request, Desk(case, user))

    def live(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Whether the case has moved on; who is logged out is told so, and not sent elsewhere."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.admin_site.has_permission(request):
            return render(request, "rc/_logged_out.html", status=HTTPStatus.UNAUTHORIZED)
        user, case = self._member(request), _case(public_id)
        news = timeline.news_of(as_staff(user, case), public_id, request.GET)
        if news is None:
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        told = news.told(page_href=_address(case), live_href=_live_address(case))
        return render(request, "rc/_news.html", {**told, "new_tab": True})

    def present(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Say that this person still has the case open, and who else has."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.admin_site.has_permission(request):
            return render(request, "rc/_logged_out.html", status=HTTPStatus.UNAUTHORIZED)
        user, case = self._member(request), _case(public_id)
        presence.here(user, case)
        return render(request, "admin/resolution/case/_present.html", _present(case, user))

    def audit(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Who did what on a case and who looked at it; not for somebody who is a party to it."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user, case = self._member(request), _case(public_id)
        if as_staff(user, case).conflicted:
            raise PermissionDenied(record.CONFLICTED)
        return self._respond(
            request,
            "audit.html",
            title=_("Who was at this case"),
            crumbs=[
                (_("Cases"), reverse("admin:resolution_case_changelist")),
                (case.public_id, _address(case)),
                (_("Audit"), ""),
            ],
            case=case,
            audit=audit.of(case),
        )

    def export(self, request: HttpRequest, public_id: str, audience: str) -> HttpResponseBase:
        """The sealed record of a case, as somebody reads it; who takes it is written down."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        user, case = self._member(request), _case(public_id)
        if audience not in list(Audience):
            raise Http404
        if as_staff(user, case).conflicted:
            raise PermissionDenied(record.CONFLICTED)
        answer = exports.send(request, case, Audience(audience))
        if answer.status_code == HTTPStatus.OK:
            readings.note(user, case, Reading.What.EXPORT, audience)
        return answer

    def assign(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Take a case, from nobody or from a colleague, or let it go."""
        user, case = self._member(request), _case(public_id)
        form = AssignForm(request.POST)
        if request.method == "POST" and form.is_valid() and as_staff(user, case).role:
            if as_staff(user, case).conflicted:
                raise PermissionDenied(record.CONFLICTED)
            seen = form.cleaned_data["seen"] or None
            to = None if seen == user.pk else user
            if not queue.assign(case, to, by=user, seen=seen):
                holder = _case(public_id).assigned_to
                if holder:
                    said = _("{holder} has this case now. Nothing was changed.").format(
                        holder=holder.name
                    )
                else:
                    said = _("Nobody has this case now. Nothing was changed.")
                messages.error(request, said)
        return _to(case)

    def act(self, request: HttpRequest, public_id: str, act: str) -> HttpResponse:
        """Take one act on a case, or say why not with everything kept that was typed."""
        user = self._member(request)
        if act not in ACTS:
            raise Http404
        desk = Desk(_case(public_id), user)
        if request.method != "POST":
            return _to(desk.case)
        form = desk.form(act, request.POST)
        form.is_valid()
        if desk.took(form):
            return onward(request, _address(desk.case))
        if desk.actor.conflicted or not desk.actor.role:
            return self._refused(request, desk, form, desk.why_not, HTTPStatus.FORBIDDEN)
        moved_on = form.cleaned_data.get("version", desk.case.version) != desk.case.version
        if moved_on or (isinstance(form, ApproveForm) and form.is_of_another):
            return self._refused(request, desk, form, desk.latest(), HTTPStatus.CONFLICT)
        if not desk.may(act):
            reason = desk.why_not or _("This is not yours to do in this case as it stands.")
            return self._refused(request, desk, form, reason, HTTPStatus.FORBIDDEN)
        if isinstance(form, DecideForm):
            fill = request.POST.get("fill")
            if fill in ("half", "all"):
                return self._page(request, desk, deciding.filled(form, fill))
            if request.POST.get("do") == "preview" and form.is_valid():
                return self._page(request, desk, form, previews=deciding.previews(desk.case, form))
        if not form.is_valid():
            return self._page(request, desk, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            desk.take(form)
        except CaseChanged:
            desk = Desk(_case(public_id), user)
            return self._refused(request, desk, form, desk.latest(), HTTPStatus.CONFLICT)
        except NotAllowed as refusal:
            return self._refused(request, desk, form, str(refusal), HTTPStatus.FORBIDDEN)
        except StepRefused as refusal:
            form.add_error(None, str(refusal))
            return self._page(request, desk, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        messages.success(request, DONE[act])
        if request.POST.get("back") == "money":
            return redirect("admin:resolution_case_money")
        return onward(request, _address(desk.case))

    # ── Pieces ────────────────────────────────────────────────────────────────────────────────────

    def _member(self, request: HttpRequest) -> User:
        if not isinstance(request.user, User) or not self.has_view_permission(request):
            raise PermissionDenied
        return request.user

    def _page(
        self,
        request: HttpRequest,
        desk: "Desk",
        form: CaseForm | None = None,
        *,
        previews: Sequence[tuple[str, dict[str, Any]]] = (),
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        case = desk.case
        context = decision_page.context(desk, form)
        readings.note(desk.user, case, Reading.What.PAGE)
        return self._respond(
            request,
            "case.html",
            status=status,
            title=_("{buyer} asks {company} for {asked}").format(
                buyer=case.buyer.name, company=case.company.name, asked=words.asked(case)
            ),
            crumbs=[
                (_("Cases"), reverse("admin:resolution_case_changelist")),
                (case.public_id, ""),
            ],
            previews=previews,
            live_href=f"{_live_address(case)}?after={desk.last_event_id}",
            seconds=settings.LIVE_SECONDS,
            refused=form if form is not None and form.errors else None,
            **context,
            **_present(case, desk.user),
        )

    def _refused(
        self, request: HttpRequest, desk: "Desk", form: CaseForm, reason: str, status: int
    ) -> HttpResponse:
        case = desk.case
        return self._respond(
            request,
            "refused.html",
            status=status,
            title=_("This case has changed")
            if status == HTTPStatus.CONFLICT
            else _("Nothing was done"),
            crumbs=[
                (_("Cases"), reverse("admin:resolution_case_changelist")),
                (case.public_id, _address(case)),
                (_("Not sent"), ""),
            ],
            case=case,
            reason=reason,
            turn=replace(words.turn(case, STAFF), cta_label=""),
            case_href=_address(case),
            kept=form.typed(),
        )

    def _respond(
        self, request: HttpRequest, template: str, *, status: int = HTTPStatus.OK, **context: Any
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/resolution/case/{template}",
            {**self.admin_site.each_context(request), "opts": self.opts, **context},
            status=status,
        )


def _case(public_id: str) -> Case:
    """The case of an address, with all that its page reads of other tables, or 404."""
    related = (
        "payment__membership", "refund", "buyer", "company", "product", "assigned_to",
        "first_decider",
    )  # fmt: skip
    case = Case.objects.select_related(*related).filter(public_id=public_id).first()
    if case is None:
        raise Http404
    return case


def _present(case: Case, user: User) -> dict[str, Any]:
    """Who else has the case open, and where the page asks for that."""
    return {
        "others": presence.on([case], but=user).get(case.pk, []),
        "present_href": reverse("admin:resolution_case_present", args=[case.public_id]),
        "present_seconds": presence.SECONDS,
    }


def _address(case: Case) -> str:
    return reverse("admin:resolution_case_change", args=[case.public_id])


def _live_address(case: Case) -> str:
    return reverse("admin:resolution_case_live", args=[case.public_id])


def _to(case: Case) -> HttpResponse:
    return redirect(_address(case))
