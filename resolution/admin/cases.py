"""The pages of a case in the administration: the queue, the decision page, and the acts below it.

A page is shown by GET and changed by nothing; each act is a POST to an address of its own, checked
by its form and taken by `resolution.cases`. There is no other way to edit a case here.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import cached_property

from marketplace import clock
from marketplace.admin import ReadOnlyAdmin
from marketplace.doorbell import ring
from marketplace.models import User
from payments import refunds
from payments.money import currency_symbol, format_money, limit_in
from resolution import cases, timeline, words
from resolution.actors import as_staff
from resolution.admin import money, queue, record
from resolution.cases import CaseChanged, NotAllowed, StepRefused
from resolution.forms.decisions import (
    DECIDING,
    ApproveForm,
    AskForm,
    AssignForm,
    CaseForm,
    CommentForm,
    CreditsForm,
    DecideForm,
    DeclineForm,
    NoteForm,
    PaidForm,
    ProposeCreditsForm,
    ProposeForm,
    ProposePaidForm,
    ProposeRetryForm,
    RetryForm,
)
from resolution.lifecycle import IN_REVIEW, may_award, takes_two
from resolution.models import Case, Event
from resolution.terms import BOTH, Money, Party, Remedy, State

STAFF = Party.STAFF
ACTS: dict[str, type[CaseForm]] = {
    form.name: form
    for form in (
        DecideForm, ProposeForm, AskForm, CommentForm, NoteForm, RetryForm, CreditsForm, PaidForm,
        ProposeRetryForm, ProposeCreditsForm, ProposePaidForm, ApproveForm, DeclineForm,
    )
}  # fmt: skip
MONEY_ACTS = ("retry", "credits", "paid")
DONE = {
    "decide": "Decided. Both sides are being told.",
    "ask": "Asked. The case waits for their answer now.",
    "comment": "Sent to both sides.",
    "note": "Noted, for staff only.",
    "retry": "The refund is sent once more.",
    "credits": "The credits are in the buyer’s account.",
    "paid": "Marked as paid by hand.",
    "approve": "Approved and done. Both sides are being told.",
    "decline": "The proposal is off the table. Staff read why.",
} | dict.fromkeys(
    ("propose", "propose-retry", "propose-credits", "propose-paid"),
    "Proposed. Somebody of finance approves it; nobody outside is told yet.",
)


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases: a queue in place of the stock list, a page to decide on in place of the stock form."""

    def get_urls(self) -> list[Any]:
        """The stock addresses of list and change; there are none to add, delete or edit raw."""

        def at(route: str, view: Callable[..., HttpResponse], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"resolution_case_{name}")

        return [
            at("", self.queue, "changelist"),
            at("take-next/", self.take_next, "take_next"),
            at("money/", self.money, "money"),
            at("money/try-again/", self.try_again, "money_try_again"),
            at("<str:public_id>/change/", self.page, "change"),
            at("<str:public_id>/assign/", self.assign, "assign"),
            path("<str:public_id>/live/", self.live, name="resolution_case_live"),
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
            title="Cases to decide",
            crumbs=[("Cases", "")],
            counts=counts,
            oldest=oldest,
            looking=looking,
            rows=[_Row(case, user) for case in page.cases],
            first_href=looking.address() if looking.after else "",
            next_href=looking.address(after=page.next_mark) if page.next_mark else "",
            filters=_filters(looking, counts),
            may_take=bool(user.staff_role),
        )

    def take_next(self, request: HttpRequest) -> HttpResponse:
        """Assign the next case and open it."""
        user = self._member(request)
        if request.method != "POST":
            return redirect("admin:resolution_case_changelist")
        case = queue.take_next(user) if user.staff_role else None
        if case is None:
            messages.info(request, "Nothing is left that you can take. Well done.")
            return redirect("admin:resolution_case_changelist")
        messages.success(request, "It’s yours.")
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
            title="Money tasks",
            crumbs=[("Cases", reverse("admin:resolution_case_changelist")), ("Money tasks", "")],
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
                raise PermissionDenied("Only finance let refunds be tried.")
            count = refunds.try_now(money.kept_waiting())
            ring("resolution.tasks.sweep_refunds")
            plural = "" if count == 1 else "s"
            messages.success(request, f"{count} refund{plural} will be tried within half a minute.")
        return redirect("admin:resolution_case_money")

    # ── One case ──────────────────────────────────────────────────────────────────────────────────

    def page(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """What is known of a case, and the forms that are open to this person."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user = self._member(request)
        return self._page(request, _Desk(_case(public_id), user))

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

    def assign(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Take a case, from nobody or from a colleague, or let it go."""
        user, case = self._member(request), _case(public_id)
        form = AssignForm(request.POST)
        if request.method == "POST" and form.is_valid() and as_staff(user, case).role:
            if as_staff(user, case).conflicted:
                raise PermissionDenied(record.CONFLICTED)
            seen = form.cleaned_data["seen"] or None
            to = None if seen == user.pk else user
            if not queue.assign(case, to, seen=seen):
                holder = _case(public_id).assigned_to
                who = f"{holder.name} has" if holder else "Nobody has"
                messages.error(request, f"{who} this case now. Nothing was changed.")
        return _to(case)

    def act(self, request: HttpRequest, public_id: str, act: str) -> HttpResponse:
        """Take one act on a case, or say why not with everything kept that was typed."""
        user = self._member(request)
        if act not in ACTS:
            raise Http404
        desk = _Desk(_case(public_id), user)
        if request.method != "POST":
            return _to(desk.case)
        form = desk.form(act, request.POST)
        form.is_valid()
        if desk.took(form):
            return _to(desk.case)
        if desk.actor.conflicted or not desk.actor.role:
            return self._refused(request, desk, form, desk.why_not, HTTPStatus.FORBIDDEN)
        moved_on = form.cleaned_data.get("version", desk.case.version) != desk.case.version
        if moved_on or (isinstance(form, ApproveForm) and form.is_of_another):
            return self._refused(request, desk, form, _latest(desk), HTTPStatus.CONFLICT)
        if not desk.may(act):
            reason = desk.why_not or "This is not yours to do in this case as it stands."
            return self._refused(request, desk, form, reason, HTTPStatus.FORBIDDEN)
        if isinstance(form, DecideForm):
            fill = request.POST.get("fill")
            if fill in ("half", "all"):
                return self._page(request, desk, _filled(form, fill))
            if request.POST.get("do") == "preview" and form.is_valid():
                return self._page(request, desk, form, preview=desk.preview(form))
        if not form.is_valid():
            return self._page(request, desk, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            desk.take(form)
        except CaseChanged:
            desk = _Desk(_case(public_id), user)
            return self._refused(request, desk, form, _latest(desk), HTTPStatus.CONFLICT)
        except NotAllowed as refusal:
            return self._refused(request, desk, form, str(refusal), HTTPStatus.FORBIDDEN)
        except StepRefused as refusal:
            form.add_error(None, str(refusal))
            return self._page(request, desk, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        messages.success(request, DONE[act])
        if request.POST.get("back") == "money":
            return redirect("admin:resolution_case_money")
        return _to(desk.case)

    # ── Pieces ────────────────────────────────────────────────────────────────────────────────────

    def _member(self, request: HttpRequest) -> User:
        if not isinstance(request.user, User) or not self.has_view_permission(request):
            raise PermissionDenied
        return request.user

    def _page(
        self,
        request: HttpRequest,
        desk: "_Desk",
        form: CaseForm | None = None,
        *,
        preview: dict[str, Any] | None = None,
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        case = desk.case
        context = desk.context(form)
        return self._respond(
            request,
            "case.html",
            status=status,
            title=f"{case.buyer.name} asks {case.company.name} for {words.asked(case)}",
            crumbs=[("Cases", reverse("admin:resolution_case_changelist")), (case.public_id, "")],
            preview=preview,
            live_href=f"{_live_address(case)}?after={desk.last_event_id}",
            seconds=settings.LIVE_SECONDS,
            refused=form if form is not None and form.errors else None,
            **context,
        )

    def _refused(
        self, request: HttpRequest, desk: "_Desk", form: CaseForm, reason: str, status: int
    ) -> HttpResponse:
        case = desk.case
        return self._respond(
            request,
            "refused.html",
            status=status,
            title="This case has changed" if status == HTTPStatus.CONFLICT else "Nothing was done",
            crumbs=[
                ("Cases", reverse("admin:resolution_case_changelist")),
                (case.public_id, _address(case)),
                ("Not sent", ""),
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


# ── Rows and filters of the queue ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Row:
    """A case in the queue, in finished strings."""

    case: Case
    user: User

    @property
    def href(self) -> str:
        return _address(self.case)

    @property
    def reason(self) -> str:
        return words.SHORT_REASONS[self.case.reason]  # type: ignore[index]

    @property
    def asked(self) -> str:
        return words.asked(self.case)

    @cached_property
    def pill(self) -> words.Pill:
        if self.case.proposed_by_id and not self.case.frozen_at:
            return words.Pill("whop", "Needs a second person", "users")
        if self.case.waiting_on == STAFF and not self.case.frozen_at:
            return words.review_pill(self.case)
        return words.pill(self.case, STAFF)

    @cached_property
    def ticking(self) -> words.Ticking | None:
        return words.ticking(self.case)

    @property
    def assigned(self) -> str:
        case = self.case
        if case.state == State.APPEALED and case.first_decider_id == self.user.pk:
            return "You can’t: you decided it"
        if case.assigned_to is None:
            return "Unassigned" if case.waiting_on == STAFF else ""
        return "You" if case.assigned_to == self.user else case.assigned_to.name


def _filters(looking: queue.Looking, counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Groups of links: what the list can be narrowed to, with how many wait of each."""
    found = bool(looking.text)

    def link(label: str, count: int | None, current: bool, **changes: str) -> dict[str, Any]:
        href = looking.address(q="", **changes)
        return {"label": label, "href": href, "count": count, "current": current and not found}

    views = [
        link(label, counts[name] if name in queue.COUNTED_VIEWS else None, looking.view == name,
             view=name, why="", amount="")
        for name, label in queue.VIEWS.items()
    ]  # fmt: skip
    if looking.view == "decided" and not found:
        return [{"title": "View", "links": views}]
    reasons = [
        link(label, counts[f"why_{name}"], looking.why == name,
             why="" if looking.why == name else name)
        for name, (label, _) in queue.WHY.items()
    ]  # fmt: skip
    bands = [
        link(label, counts[f"band_{name}"], looking.band == name,
             amount="" if looking.band == name else name)
        for name, (label, _) in queue.BANDS.items()
    ]  # fmt: skip
    return [
        {"title": "View", "links": views},
        {"title": "Why it’s here", "links": reasons},
        {"title": "Amount, in the case’s currency", "links": bands},
    ]


# ── The decision page ─────────────────────────────────────────────────────────────────────────────


class _Desk:
    """One case in front of one of the staff: what they may do, and what they need to know."""

    def __init__(self, case: Case, user: User) -> None:
        self.case, self.user = case, user
        self.actor = as_staff(user, case)
        self.steps = cases.steps_for(case, self.actor)

    @cached_property
    def events(self) -> list[Event]:
        events = timeline.events_of(self.case, STAFF)
        # A party to the case reads what both parties read, and no colleague's notes about it.
        return [event for event in events if not (event.staff_only and self.actor.conflicted)]

    @property
    def last_event_id(self) -> str:
        """The newest event on the page; a case that was written without any has none."""
        return self.events[-1].public_id if self.events else ""

    @cached_property
    def facts(self) -> list[record.Fact]:
        return record.facts(self.case, self.events)

    @cached_property
    def others(self) -> list[User]:
        return record.others_who_could_decide(self.case, self.user)

    @cached_property
    def deciding(self) -> str:
        return record.decision_open(self.case, self.actor, self.steps, self.others)

    @cached_property
    def why_not(self) -> str:
        return record.why_not(self.case, self.actor, self.others)

    @cached_property
    def proposal(self) -> Event | None:
        """What a colleague, or this person, has proposed and nobody has answered yet."""
        if self.case.proposed_by_id is None:
            return None
        return next((e for e in reversed(self.events) if e.step == "propose"), None)

    @cached_property
    def approving(self) -> str:
        """The step by which this person approves the proposal, or ""."""
        step = self.proposal.data["proposes"] if self.proposal else ""
        if step in DECIDING and step != self.deciding:
            return ""  # Whoever decided first reviews it alone, and says why, or not at all.
        theirs = self.case.proposed_by_id != self.user.pk
        within = may_award(self.actor, self.case.proposed_minor, self.case.currency)
        return step if theirs and within and step in self.steps else ""

    def may(self, act: str) -> bool:
        """Whether the act's step is open to this person."""
        form, failed = ACTS[act], self.case.money == Money.FAILED
        if act == "decide":
            return bool(self.deciding)
        if act == "approve":
            return bool(self.approving)
        if form.step == "propose":
            settles = bool(form.proposes)
            return "propose" in self.steps and settles == (
                failed and self.case.state not in IN_REVIEW
            )
        return form.step in self.steps

    def form(self, act: str, data: Any = None) -> CaseForm:
        """The form of an act, filled in or fresh."""
        if act in ("decide", "propose"):
            looked_at = record.looked_at(self.case, self.events, self.facts)
            if act == "propose":
                return ProposeForm(self.case, data, facts=looked_at)
            alone = self.deciding == "decide_final_alone"
            return DecideForm(self.case, data, facts=looked_at, alone=alone)
        if act == "approve":
            return ApproveForm(self.case, data, proposal=self.proposal)
        return ACTS[act](self.case, data)

    def took(self, form: CaseForm) -> bool:
        """Whether this very form was taken before, by this person and with the same words."""
        said, steps = form.cleaned_data, form.steps or (form.step,)
        message, key = said.get(form.words, ""), said.get("form_key")
        return any(cases.is_repeat(self.case, step, message, key, self.actor) for step in steps)

    def take(self, form: CaseForm) -> None:
        """Take the act of a valid form; a decision and its internal note together or not at all."""
        said, key = form.cleaned_data, form.cleaned_data["form_key"]
        alone = said.get("alone_because", "")
        step = form.step
        if isinstance(form, ApproveForm):
            step = self.approving
        elif form.name == "decide":
            step = self.deciding
        with transaction.atomic():
            cases.take_step(
                self.case, step, self.actor, message=said.get(form.words, ""), form_key=key,
                seen_version=said["version"], verdict=form.verdict(),
                asks=Party(said["asks"]) if "asks" in said else None,
                reference=said.get("reference", ""), proposes=form.proposes,
                facts={"alone_because": alone} if alone else None,
            )  # fmt: skip
            note = said.get("note", "")
            note = "\n\n".join(filter(None, [alone and f"Decided alone: {alone}", note]))
            if note:
                note_key = uuid.uuid5(key, "note")
                cases.take_step(self.case, "note", self.actor, message=note, form_key=note_key)

    def preview(self, form: DecideForm) -> dict[str, Any]:
        """The decision as both sides will read it, if it is sent now."""
        now = clock.now()
        verdict = form.verdict()
        due = now + words.DAY * words.settings.APPEAL_DAYS
        data = {
            "remedy": verdict.remedy.value,
            "amount_minor": verdict.amount_minor,
            "looked_at": list(verdict.looked_at),
            "due_at": due.isoformat(),
        }
        event = Event(
            public_id="preview", case=self.case, step=self._deciding_here, party=STAFF,
            message=form.cleaned_data["why"], data=data, created_at=now,
        )  # fmt: skip
        return timeline.entries(self.case, [event], STAFF)[0].verdict

    @property
    def _deciding_here(self) -> str:
        """The step that decides the case as it stands, whoever takes it."""
        return "decide_final" if self.case.state == State.APPEALED else "decide"

    def context(self, used: CaseForm | None) -> dict[str, Any]:
        """Everything the page shows; `used` takes the place of the fresh form of its act."""
        case = self.case

        def form(act: str) -> CaseForm | None:
            if not self.may(act):
                return None
            return used if used is not None and used.name == act else self.form(act)

        open_forms = {act: form(act) for act in ACTS}
        decide = self._decision_form(open_forms, used)
        return {
            "case": case,
            "turn": words.turn(case, STAFF, events=self.events),
            "pill": _Row(case, self.user).pill,
            "ticking": words.ticking(case),
            "head_facts": self._head(),
            "claims": record.claims(case, self.events),
            "facts": self.facts,
            "similar": record.similar(case),
            "entries": timeline.entries(case, self.events, STAFF),
            "forms": {act.replace("-", "_"): form for act, form in open_forms.items()},
            "used": used.name if used is not None else "",
            "decision": self._decision(decide) if decide else None,
            "proposal": self._proposal(),
            "final": self._deciding_here == "decide_final",
            "why_not": "" if self.deciding else self.why_not,
            "money": self._money(),
            "assigned": case.assigned_to,
            "assign_seen": case.assigned_to_id or 0,
            "is_mine": case.assigned_to == self.user,
            "may_assign": bool(self.actor.role) and not self.actor.conflicted
            and case.waiting_on == STAFF,
        }  # fmt: skip

    def _decision_form(
        self, forms: dict[str, CaseForm | None], used: CaseForm | None
    ) -> DecideForm | None:
        """The decision to be filled in: to take, or for whoever may not, to propose."""
        if isinstance(used, DecideForm):
            return used
        form = forms["decide"]
        if form is None and self.proposal is None:
            form = forms["propose"]
        return form if isinstance(form, DecideForm) else None

    def _decision(self, form: DecideForm) -> dict[str, Any]:
        """What the decision form needs beside its fields."""
        case, most = self.case, form.most_minor
        over = takes_two(most, case.currency) or not may_award(self.actor, most, case.currency)
        limit = limit_in(case.currency, settings.SECOND_APPROVAL_LIMIT)
        two = f"Over {format_money(limit, case.currency)} it takes two people."
        return _decision_context(case, form) | {
            "decides": bool(self.deciding),
            "proposes": self.may("propose") and (over or not self.deciding),
            "two": two if takes_two(most, case.currency) else "",
        }

    def _proposal(self) -> dict[str, Any] | None:
        """What stands proposed, in words, and who may answer it; None when nothing does."""
        event, case = self.proposal, self.case
        if event is None:
            return None
        entry = timeline.entries(case, [event], STAFF)[0]
        what = entry.role_line.removeprefix("Proposed: ")
        mine = case.proposed_by_id == self.user.pk
        finance = User.StaffRole.FINANCE
        able = [p for p in self.others if p.staff_role == finance and p.pk != event.actor_id]
        names = [person.name for person in able]
        key = event.form_key and uuid.uuid5(event.form_key, "note")
        return {
            "what": what,
            "button": f"Approve: {what[:1].lower()}{what[1:]}",
            "event": event,
            "who": "You" if mine else event.actor.name if event.actor else "",
            "mine": mine,
            "looked_at": event.data.get("looked_at", ()),
            "reference": event.data.get("reference", ""),
            "note": next((e.message for e in self.events if key and e.form_key == key), ""),
            "waits_for": record.any_of(names[:4]) if names else "somebody else of finance",
        }

    def _head(self) -> list[str]:
        """How the case came here, in a few words."""
        head = [f"Case {self.case.public_id}", str(self.case.get_reason_display())]
        told = {
            "deny": f"{self.case.company.name} denied it",
            "appeal": "appealed",
            "escalate": "No answer in time, came to us",
            "decide": "decided",
            "refund_failed": "The refund failed",
        }
        for event in self.events:
            if event.step not in told:
                continue
            what = told[event.step]
            if event.step == "appeal":
                what = f"{words.name_of(self.case, event.party, STAFF)} appealed"
            elif event.step == "decide" and event.actor:
                what = f"{event.actor.name} decided"
            head.append(f"{what} {words.when_text(event.created_at, 'date')}")
        return head

    def _money(self) -> dict[str, Any] | None:
        """The refund that failed, and who sees to it; None when none did."""
        case = self.case
        if case.money != Money.FAILED or case.refund is None:
            return None
        names = ", ".join(person.name for person in self.others[:4])
        two = takes_two(case.remedy_minor, case.currency)
        limit = limit_in(case.currency, settings.SECOND_APPROVAL_LIMIT)
        return {
            "two": f"Over {format_money(limit, case.currency)} it takes two people: one proposes "
            "what to do, and another of finance approves it." if two else "",
            "proposes": two and self.proposal is None and self.may("propose-retry"),
            "amount": format_money(case.remedy_minor, case.currency),
            "refund": case.refund,
            "way": case.payment.way_back,
            "finance": f"Finance sees to it: {names}." if names else "Finance sees to it.",
            "mine": not two and any(self.may(act) for act in MONEY_ACTS),
        }  # fmt: skip


def _decision_context(case: Case, form: DecideForm) -> dict[str, Any]:
    """What the decision form needs beside its fields: choices in words, and who gets and pays."""
    buyer, company, platform = case.buyer.first_name, case.company.name, words.platform()

    def money(minor: int | None, sign: str) -> str:
        if minor is None:
            return f"{sign} the amount above"
        return f"{sign}{format_money(minor, case.currency)}"

    nothing = format_money(0, case.currency)
    refund, credit = form.minor("amount"), form.minor("credits")
    refunded = format_money(refund, case.currency) if refund else ""
    credited = format_money(credit, case.currency) if credit else ""
    return {
        "form": form,
        "sign": currency_symbol(case.currency),
        "waits_for": _waits_for(case),
        "shown": {"amount": refund or "", "credits": credit or ""},
        "outcomes": [
            (Remedy.REFUND.value, f"Refund {buyer}", f"From {company}’s balance"),
            (
                Remedy.CREDIT.value,
                f"{platform} Credits",
                f"{platform} pays, {company} isn’t charged",
            ),
            (Remedy.NONE.value, "No refund", _nothing_changes(case)),
        ],
        "consequences": [
            (
                "refund",
                [
                    (f"{buyer}, {case.payment.way_back}", money(refund, "+")),
                    (company, money(refund, "−")),
                    (platform, nothing),
                ],
                f"Refund {refunded} and tell both" if refunded else "Refund and tell both",
            ),
            (
                "credit",
                [
                    (f"{buyer}, {platform} Credits", money(credit, "+")),
                    (company, nothing),
                    (platform, money(credit, "−")),
                ],
                f"Give {credited} in credits and tell both"
                if credited else "Give credits and tell both",
            ),
            (
                "none",
                [(buyer, nothing), (company, nothing), (platform, nothing)],
                "Decide no refund and tell both",
            ),
        ],
    }  # fmt: skip


def _waits_for(case: Case) -> str:
    if case.waiting_on not in BOTH or case.due_at is None:
        return ""
    who = words.name_of(case, case.waiting_on, STAFF)
    return f"{who} has until {words.when_text(case.due_at)} to answer."


def _nothing_changes(case: Case) -> str:
    if case.denial_appealed and case.state == State.ESCALATED:
        return "The creator’s denial stands"
    return "The creator keeps the payment"


def _filled(form: DecideForm, fill: str) -> DecideForm:
    """The same form, nothing lost, with half or all of what was asked for as the amount."""
    asked = min(form.case.asked_minor, form.most_minor)
    minor = max(1, asked // 2) if fill == "half" else asked
    typed = {name: form[name].value() for name in form.fields}
    typed |= {"outcome": Remedy.REFUND.value, "amount": form.as_typed(minor)}
    looked_at: Any = form.fields["looked_at"]
    facts = [fact for fact, _ in looked_at.choices]
    if isinstance(form, ProposeForm):
        return ProposeForm(form.case, initial=typed, facts=facts)
    return DecideForm(form.case, initial=typed, facts=facts, alone="alone_because" in form.fields)


def _latest(desk: _Desk) -> str:
    """Who did what last, in a sentence."""
    told = [event for event in desk.events if not event.staff_only]
    if not told:
        return "This case has changed."
    last = told[-1]
    who = last.actor.name if last.actor else "The system"
    if last.actor == desk.user:
        who = "You"
    rows = getattr(Case, last.step)._django_fsm.transitions.values()
    effects = next(iter(rows)).custom["effects"]
    on = words.when_text(last.created_at)
    return f"{who} took a step in the meantime: “{effects.label}”, {on}."


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


def _address(case: Case) -> str:
    return reverse("admin:resolution_case_change", args=[case.public_id])


def _live_address(case: Case) -> str:
    return reverse("admin:resolution_case_live", args=[case.public_id])


def _to(case: Case) -> HttpResponse:
    return redirect(_address(case))
