"""One case on a page, and the acts on it: the same for buyers and creators, each with their words.

A view finds the case and calls `show`, `act` or `confirm`. What the person typed is never lost: a
refused form comes back with its text and files (422), and so does one that came too late (409).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from marketplace import clock
from payments.money import format_money
from resolution import cases, words
from resolution.evidence import ACCEPT
from resolution.forms.messages import MessageForm, WithFiles
from resolution.forms.responding import ConfirmForm, RespondForm
from resolution.lifecycle import limit_in
from resolution.models import Case, Event
from resolution.terms import Actor, Party, State
from resolution.timeline import entries, events_of, file_row

BUYER, CREATOR = Party.BUYER, Party.CREATOR
STEPS = {
    "reply": "reply",
    "comment": "comment",
    "appeal": "appeal",
    "withdraw": "withdraw",
    "accept-decision": "accept_decision",
}
CONFIRMED = ("withdraw", "accept-decision")
SENT = {
    "accept": "Accepted. The refund is on its way.",
    "deny": "Denied. The buyer has been told.",
    "request_info": "Sent. The buyer has been asked for details.",
    "reply": "Your answer is sent.",
    "comment": "Your message is sent.",
    "appeal": "Your appeal is sent. Somebody is going to look at the whole case.",
    "withdraw": "The case is withdrawn and closed.",
    "accept_decision": "You accepted the decision.",
}


@dataclass(frozen=True)
class Surface:
    """The buyers' hub or the creators' dashboard: its templates, addresses and menu."""

    party: Party
    template: str
    confirm_template: str
    page: str
    act: str
    nav: Callable[[HttpRequest, Case | None], Mapping[str, Any]]

    def href(self, case: Case) -> str:
        return reverse(self.page, args=[case.public_id])

    def act_href(self, case: Case, act: str) -> str:
        return reverse(self.act, args=[case.public_id, act])


@dataclass(frozen=True)
class Late:
    """An act that came too late or was not allowed: why, and the text that was not sent.

    `again` says that its form is still open and holds the text.
    """

    reason: str
    kept: str = ""
    again: bool = False


def find(actor: Actor, public_id: str) -> Case:
    """The case, when this actor may see it; otherwise there is none."""
    case = (
        Case.objects.visible_to(actor)
        .select_related("payment", "refund", "buyer", "company", "product")
        .filter(public_id=public_id)
        .first()
    )
    if case is None:
        raise Http404("No such case.")
    return case


def show(
    request: HttpRequest,
    surface: Surface,
    actor: Actor,
    case: Case,
    *,
    bound: Mapping[str, Any] | None = None,
    late: Late | None = None,
    status: int = 200,
    extra: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page of a case. `bound` holds forms that were refused, by act."""
    events = events_of(case, surface.party)
    steps = cases.steps_for(case, actor, now=clock.now())
    page = _Forms(request, surface, actor, case, steps, bound or {})
    composer, comment = page.main_composer(), page.comment()
    respond = page.respond()
    if not composer and not respond:
        composer, comment = comment, None
    context = {
        "case": case,
        "turn": page.turn(events),
        "entries": entries(case, events, surface.party),
        "facts": words.facts(case, surface.party),
        "how": words.what_next(case, surface.party),
        "respond": respond,
        "composer": composer,
        "comment": comment,
        "withdraw_href": page.confirm_href("withdraw"),
        "accept_decision_href": page.confirm_href("accept-decision"),
        "cannot_accept": page.cannot_accept(),
        "late": late,
        "failed": bool(bound) and status == 422,
        "nav": surface.nav(request, case),
        "file_count": sum(len(event.attachments.all()) for event in events),
        **(extra or {}),
    }
    return render(request, surface.template, context, status=status)


def act(
    request: HttpRequest, surface: Surface, actor: Actor, case: Case, name: str
) -> HttpResponse:
    """Take an act that a form of the page was sent for, and go back to the page."""
    if name not in STEPS and not (name == "respond" and surface.party == CREATOR):
        raise Http404("No such act.")
    if request.method != "POST":
        if name in CONFIRMED:
            return confirm(request, surface, actor, case, name)
        return redirect(surface.href(case))
    if request.POST.get("do") == "accept_decision" and name == "appeal":
        return redirect(surface.act_href(case, "accept-decision"))
    form = _Forms(request, surface, actor, case, {}, {}).posted(name)
    if not form.is_valid():
        if name in CONFIRMED:
            return redirect(surface.act_href(case, name))
        status = 200 if form.is_asking_for_more else 422
        return show(request, surface, actor, case, bound={name: form}, status=status)
    step = STEPS.get(name) or form.step
    message = form.message if name == "respond" else form.cleaned_data.get("message", "")
    try:
        event = cases.take_step(
            case,
            step,
            actor,
            message=message,
            files=getattr(form, "files_to_send", ()),
            form_key=form.cleaned_data["form_key"],
            seen_version=None if step == "comment" else form.cleaned_data["version"],
        )
    except cases.StepRefused as refusal:
        status = 403 if isinstance(refusal, cases.NotAllowed) else 409
        fresh = find(actor, case.public_id)
        if name not in CONFIRMED and step in cases.steps_for(fresh, actor):
            form.renew(fresh.version)
            return show(
                request,
                surface,
                actor,
                fresh,
                bound={name: form},
                late=Late(str(refusal), again=True),
                status=status,
            )
        late = Late(str(refusal), message)
        return show(request, surface, actor, fresh, late=late, status=status)
    messages.success(request, SENT[step])
    return redirect(f"{surface.href(case)}#{event.public_id}")


def confirm(
    request: HttpRequest, surface: Surface, actor: Actor, case: Case, name: str
) -> HttpResponse:
    """Ask once more before something that cannot be undone."""
    if STEPS[name] not in cases.steps_for(case, actor):
        return redirect(surface.href(case))
    title, text, button = _confirmation(case, surface.party, name)
    context = {
        "case": case,
        "title": title,
        "text": text,
        "button": button,
        "action": surface.act_href(case, name),
        "back_href": surface.href(case),
        "form": ConfirmForm(initial={"version": case.version}),
        "nav": surface.nav(request, case),
    }
    return render(request, surface.confirm_template, context)


def _confirmation(case: Case, party: str, name: str) -> tuple[str, str, str]:
    if name == "withdraw":
        return (
            "Withdraw this case?",
            f"The case closes for good, without a refund. {case.company.name} is told. "
            "You can’t open another case for this payment.",
            "Withdraw and close the case",
        )
    if case.decided_by == CREATOR:
        return (
            "Close the case without a refund?",
            "You give up your appeal, and the case closes for good. "
            "You can’t open another case for this payment.",
            "Close without a refund",
        )
    result = words.remedy_sentence(case, party)
    return (
        "Accept the decision?",
        f"{result}. You give up your appeal. When nobody is left who could appeal, the decision "
        "is carried out at once.",
        "Accept the decision",
    )


class _Forms:
    """The forms that a page offers, given the steps that are open to the reader."""

    def __init__(
        self,
        request: HttpRequest,
        surface: Surface,
        actor: Actor,
        case: Case,
        steps: Mapping[str, Any],
        bound: Mapping[str, Any],
    ) -> None:
        assert actor.user, "a page is shown to a person"
        self.request, self.surface, self.user = request, surface, actor.user
        self.case, self.steps, self.bound = case, steps, bound
        self.reader = surface.party

    def turn(self, events: Sequence[Event]) -> words.Turn:
        """The card on top; its button only where the form that it leads to is on the page."""
        turn = words.turn(self.case, self.reader, events=events)
        offered = self.respond(), self.main_composer()
        if turn.cta_href.removeprefix("#") in [form["id"] for form in offered if form]:
            return turn
        return replace(turn, cta_label="", cta_href="")

    def posted(self, name: str) -> Any:
        """The form that was sent for an act."""
        data, files = self.request.POST, self.request.FILES
        if name in CONFIRMED:
            return ConfirmForm(data)
        if name == "respond":
            return RespondForm(data, files, user=self.user, auto_id="respond_%s")
        return self._message_form(name, data, files)

    def _message_form(self, name: str, data: Any = None, files: Any = None) -> MessageForm:
        label, hint = self._labels(name)
        initial = {"version": self.case.version}
        return MessageForm(
            data, files, user=self.user, message_label=label, message_hint=hint,
            auto_id=f"{name}_%s", initial=initial,
        )  # fmt: skip

    def _labels(self, name: str) -> tuple[str, str]:
        case = self.case
        if name == "reply":
            return "Your answer", ""
        if name == "comment":
            note = "Both sides see it. It doesn’t answer a question or move a date."
            return "Add a message", note
        if case.state == State.DECIDED and case.decided_by == CREATOR:
            return (
                f"Appeal to {words.platform()}",
                f"What did {case.company.name} leave out or get wrong? {words.platform()} already "
                "has everything above, so you don’t need to repeat it.",
            )
        return (
            "Appeal this decision",
            "Someone who wasn’t involved before looks at the whole case again. Tell them what the "
            "decision missed or got wrong. Their answer is final.",
        )

    def _composer(self, name: str, button: str, **more: Any) -> dict[str, Any]:
        form = self.bound.get(name) or self._message_form(name)
        return {
            "id": name,
            "party": self.reader,
            "who_name": self._writer(),
            "action": self.surface.act_href(self.case, name),
            "form": form,
            "button": button,
            **about_files(form),
            **more,
        }

    def _writer(self) -> str:
        return self.case.buyer.name if self.reader == BUYER else self.case.company.name

    def main_composer(self) -> dict[str, Any] | None:
        """The one thing that the reader is asked for: an answer or an appeal."""
        if "reply" in self.steps:
            return self._composer("reply", "Send answer")
        if "appeal" in self.steps:
            more: dict[str, Any] = {"foot": f"Open until {words.until(self.case)}"}
            if "accept_decision" in self.steps:
                denied = self.case.decided_by == CREATOR
                label = "Close the case without a refund" if denied else "Accept the decision"
                more["secondary"] = [("accept_decision", label)]
            return self._composer("appeal", "Send appeal", **more)
        return None

    def comment(self) -> dict[str, Any] | None:
        return self._composer("comment", "Send message") if "comment" in self.steps else None

    def confirm_href(self, name: str) -> str:
        return self.surface.act_href(self.case, name) if STEPS[name] in self.steps else ""

    def respond(self) -> dict[str, Any] | None:
        """The creator's three answers, those that are open."""
        case = self.case
        first = case.buyer.first_name
        asks_left = settings.MAX_INFO_REQUESTS - case.info_requests
        left = f"{asks_left} of {settings.MAX_INFO_REQUESTS} questions left"
        every = [
            ("accept", "Accept and refund", "Closes the case"),
            ("request_info", "Request more details", f"The days move to {first}; {left}"),
            ("deny", "Deny the request", f"{first} can appeal to {words.platform()}"),
        ]
        options = [option for option in every if option[0] in self.steps]
        if not options or self.reader != CREATOR:
            return None
        amount = format_money(min(case.asked_minor, case.payment.refundable_minor), case.currency)
        form = self.bound.get("respond") or RespondForm(
            user=self.user, auto_id="respond_%s", initial={"version": case.version}
        )
        return {
            "id": "respond",
            "party": CREATOR,
            "who_name": case.company.name,
            "action": self.surface.act_href(case, "respond"),
            "form": form,
            "options": options,
            "accept_note_lead": f"{amount} leaves your balance",
            "accept_note": f"and goes back to {first}’s {case.payment.way_back}. {first} keeps "
            "access until you remove it. You can’t undo a refund.",
            "accept_button": f"Refund {amount} and close",
            **about_files(form),
        }

    def cannot_accept(self) -> str:
        """Why somebody who may answer may not refund, and who can."""
        if self.reader != CREATOR or "deny" not in self.steps or "accept" in self.steps:
            return ""
        if self.case.frozen_at:
            return ""
        currency = self.case.currency
        limit = limit_in(currency, settings.SUPPORT_ACCEPT_LIMIT)
        can = f"up to {format_money(limit, currency)}" if limit else f"nothing in {currency}"
        return f"Support can refund {can}. Ask an owner or an admin to accept this one."


def about_files(form: WithFiles) -> dict[str, Any]:
    """The files that a form has kept, and how many more it takes; for the composer and the drop."""
    kept = form.kept_files
    left = settings.MAX_FILES - len(kept)
    return {
        "files": [
            replace(
                file_row(file),
                note="uploaded",
                href="",
                remove_name=form.add_prefix("remove_upload"),
                remove_value=file.public_id,
            )
            for file in kept
        ],
        "left": f"{left} of {settings.MAX_FILES} left" if kept else f"Up to {settings.MAX_FILES}",
        "max_bytes": settings.MAX_FILE_BYTES,
        "max_files": left,
        "accept": ACCEPT,
    }
