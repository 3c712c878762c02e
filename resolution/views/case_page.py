"""One case on a page, and the acts on it: the same for buyers and creators, each with their words.

A view finds the case and calls `show`, `act`, `draft` or `live`. What the person typed is never
lost: a refused form comes back with its text and files (422), and so does one that came too late
(409); until it is sent, a draft of it is kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Subquery
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from marketplace import clock
from marketplace.addresses import address
from marketplace.models import Membership, User
from marketplace.statements import Statement
from payments.money import format_money
from resolution import cases, drafts, replies, timeline, words
from resolution.evidence import ACCEPT
from resolution.forms.messages import MessageForm, WithFiles
from resolution.forms.responding import ConfirmForm, RespondForm
from resolution.lifecycle import limit_in
from resolution.models import Case, CaseQuerySet, Draft, Event, SavedReply
from resolution.templatetags.rc import when_text
from resolution.terms import Actor, Party, State
from resolution.views.onward import onward

BUYER, CREATOR = Party.BUYER, Party.CREATOR
STEPS = {
    "reply": "reply",
    "comment": "comment",
    "appeal": "appeal",
    "withdraw": "withdraw",
    "accept-decision": "accept_decision",
    "cancel-refund": "cancel_refund",
}
CONFIRMED = ("withdraw", "accept-decision", "cancel-refund")
WRITTEN = ("reply", "comment", "appeal", "respond")
NO_VERSION = (
    -1
)  # of a form that does not say which state of the case it was made for: no case's own
SENT = {
    "accept": _lazy("Accepted. The refund is on its way."),
    "deny": _lazy("Denied. The buyer has been told."),
    "request_info": _lazy("Sent. The buyer has been asked for details."),
    "reply": _lazy("Your answer is sent."),
    "comment": _lazy("Your message is sent."),
    "appeal": _lazy("Your appeal is sent. Somebody is going to look at the whole case."),
    "withdraw": _lazy("The case is withdrawn and closed."),
    "accept_decision": _lazy("You accepted the decision."),
    "cancel_refund": _lazy("The refund is canceled. It’s your turn to reply."),
}


@dataclass(frozen=True)
class Surface:
    """The buyers' hub or the creators' dashboard: its templates, addresses and menu."""

    party: Party
    template: str
    confirm_template: str
    page: str
    act: str
    draft: str
    live: str
    export: str
    nav: Callable[[HttpRequest, Case | None], Mapping[str, Any]]

    def href(self, case: Case) -> str:
        return address(self.page, case.public_id)

    def act_href(self, case: Case, act: str) -> str:
        return address(self.act, case.public_id, act)

    def draft_href(self, case: Case, act: str) -> str:
        return address(self.draft, case.public_id, act)

    def live_href(self, case: Case, after: str) -> str:
        return f"{address(self.live, case.public_id)}?{urlencode({'after': after})}"


@dataclass(frozen=True)
class Late:
    """An act that came too late or was not allowed, and why.

    `again` says that its form is still open and holds the text; else the text is a draft.
    """

    reason: str
    again: bool = False


def find(actor: Actor, public_id: str) -> Case:
    """The case, when this actor may see it; otherwise there is none. One query.

    With it come their `drafts` and, for a creator, the `next_in_line` that needs their reply and
    the titles of the company's `saved_replies`.
    """
    assert actor.user, "a page is shown to a person"
    case: Case | None = _find(actor.party).first(actor.user.pk, public_id)
    if case is None:
        raise Http404("No such case.")
    return case


@cache
def _find(party: Party) -> Statement[Case]:
    """What `find` asks: for a person, as this party, and a public id."""

    def build(person: int, public_id: str) -> CaseQuerySet:
        somebody = User(pk=person)
        found = (
            Case.objects.visible_to(Actor(party, somebody))
            .select_related("payment__membership", "refund", "buyer", "company", "product")
            .annotate(drafts=drafts_on("public_id", somebody))
            .filter(public_id=public_id)
        )
        if party != CREATOR:
            return found
        others = Case.objects.filter(company=OuterRef("company")).needs_creator()
        following = others.exclude(pk=OuterRef("pk")).order_by("due_at", "pk")
        return found.annotate(
            next_in_line=Subquery(following.values("public_id")[:1]),
            saved_replies=ArraySubquery(
                SavedReply.objects.filter(company=OuterRef("company")).values(
                    row=JSONObject(id="pk", title="title")
                )
            ),
        )

    return Statement(build, int, str, skewed=party == CREATOR)


def drafts_on(column: str, user: User | None) -> ArraySubquery:
    """This person's drafts on what a row is about, as `{act, fields, at}`."""
    theirs = Draft.objects.filter(user=user, about=OuterRef(column)).order_by("act")
    return ArraySubquery(theirs.values(row=JSONObject(act="act", fields="fields", at="updated_at")))


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
    before = request.GET.get("before", "")
    alone = bool(before and request.headers.get("HX-Request"))
    part = timeline.part_of(case, surface.party, before=before, alone=alone)
    told = {
        "entries": timeline.entries(case, part.events, surface.party),
        "earlier": _earlier(surface, case, part),
    }
    if alone:
        return render(request, "rc/_entries.html", told)
    steps = cases.steps_for(case, actor, now=clock.now())
    page = _Forms(request, surface, actor, case, steps, bound or {})
    composer, comment = page.main_composer(), page.comment()
    respond = page.respond()
    if not composer and not respond:
        composer, comment = comment, None
    context = told | {
        "case": case,
        "page_href": surface.href(case),
        "live_href": _live_href(surface, case, part),
        "export_href": address(surface.export, case.public_id),
        "seconds": settings.LIVE_SECONDS,
        "turn": page.turn(part.steps),
        "facts": words.facts(case, surface.party),
        "how": words.what_next(case, surface.party),
        "respond": respond,
        "composer": composer,
        "comment": comment,
        "unsent": page.unsent(form["id"] for form in (respond, composer, comment) if form),
        "withdraw_href": page.confirm_href("withdraw"),
        "cancel_refund_href": page.confirm_href("cancel-refund"),
        "accept_decision_href": page.confirm_href("accept-decision"),
        "cannot_accept": page.cannot_accept(),
        "late": late,
        "failed": bool(bound) and status == 422,
        "nav": surface.nav(request, case),
        **(extra or {}),
    }
    return render(request, surface.template, context, status=status)


def _earlier(surface: Surface, case: Case, part: timeline.Part) -> dict[str, str] | None:
    """The way to the entries before those on the page, which keeps the reader where they are."""
    if not (part.left_out and part.since and part.until):
        return None
    first, last = when_text(part.since, "date"), when_text(part.until, "date")
    dates = first if first == last else _("{first} to {last}").format(first=first, last=last)
    left = part.left_out
    if left > timeline.PAGE:
        label = ngettext(
            "Show {shown} of {left} earlier entry, {dates}",
            "Show {shown} of {left} earlier entries, {dates}",
            left,
        )
    else:
        label = ngettext(
            "Show {left} earlier entry, {dates}", "Show {left} earlier entries, {dates}", left
        )
    edge = part.events[0].public_id
    return {
        "label": label.format(shown=timeline.PAGE, left=left, dates=dates),
        "href": f"{surface.href(case)}?{urlencode({'before': edge})}",
        "edge": edge,
    }


def _live_href(surface: Surface, case: Case, part: timeline.Part) -> str:
    """Where the page asks for news; of a closed case there is little to hear."""
    if case.state == State.CLOSED:
        return ""
    return surface.live_href(case, part.last_id)


def live(request: HttpRequest, surface: Surface, actor: Actor, public_id: str) -> HttpResponse:
    """Whether the case has moved on since the page was made: 204 if not, after one query."""
    news = timeline.news_of(actor, public_id, request.GET)
    if news is None:
        return HttpResponse(status=204)
    page, ask = (address(name, public_id) for name in (surface.page, surface.live))
    return render(request, "rc/_news.html", news.told(page_href=page, live_href=ask))


def draft(
    request: HttpRequest, surface: Surface, actor: Actor, public_id: str, act: str
) -> HttpResponse:
    """Keep what is typed into a form of the page, or give it up; the page's own script asks for it.

    A text that has been sent meanwhile, by its form's key, is not kept any more.
    """
    case = Case.objects.visible_to(actor).filter(public_id=public_id).first()
    if case is None or not _is_written(act, surface):
        raise Http404("No such form.")
    assert actor.user, "a draft is a person's"
    key = drafts.key_of(request.POST)
    sent = key is not None and case.events.filter(form_key=key).exists()
    fields = {} if sent or "discard" in request.POST else drafts.typed_in(act, request.POST)
    kept = drafts.keep(actor.user, public_id, act, fields)
    return about_draft(request, kept, fields, surface.href(case))


def about_draft(
    request: HttpRequest, kept: bool, fields: Mapping[str, Any], page_href: str
) -> HttpResponse:
    """What a page says of its draft; without scripts, the page."""
    if not request.headers.get("HX-Request"):
        return redirect(page_href)
    return render(request, "rc/_draft.html", {"kept": kept, "too_long": bool(fields) and not kept})


def _is_written(act: str, surface: Surface) -> bool:
    return act in WRITTEN and (act != "respond" or surface.party == CREATOR)


def act(
    request: HttpRequest, surface: Surface, actor: Actor, case: Case, name: str
) -> HttpResponse:
    """Take an act that a form of the page was sent for, and go back to the page."""
    if name not in STEPS and not (name == "respond" and surface.party == CREATOR):
        raise Http404("No such act.")
    if request.method != "POST":
        if name in CONFIRMED:
            return confirm(request, surface, actor, case, name)
        return redirect(f"{surface.href(case)}#{name}")
    assert actor.user, "an act is a person's"
    if request.POST.get("do") == "accept_decision" and name == "appeal":
        drafts.keep(actor.user, case.public_id, name, drafts.typed_in(name, request.POST))
        return onward(request, surface.act_href(case, "accept-decision"))
    form = _Forms(request, surface, actor, case, {}, {}).posted(name)
    if not form.is_valid():
        if name in CONFIRMED:
            return redirect(surface.act_href(case, name))
        if "fill_in" in request.POST and surface.party == CREATOR:
            chosen = request.POST.get("saved_reply", "")
            form.fill_in(replies.filled_in(case, actor, chosen))
        drafts.keep(actor.user, case.public_id, name, drafts.typed_in(name, form.data))
        status = 200 if form.is_asking_for_more else 422
        return show(request, surface, actor, case, bound={name: form}, status=status)
    step = STEPS.get(name) or form.step
    message = form.message if name == "respond" else form.cleaned_data.get("message", "")
    version = form.cleaned_data["version"]
    try:
        event = cases.take_step(
            case,
            step,
            actor,
            message=message,
            ends_membership=step == "accept" and form.cleaned_data["ends_membership"],
            files=getattr(form, "files_to_send", ()),
            form_key=form.cleaned_data["form_key"],
            seen_version=None if step == "comment" else NO_VERSION if version is None else version,
        )
    except cases.StepRefused as refusal:
        status = 403 if isinstance(refusal, cases.NotAllowed) else 409
        if name not in CONFIRMED:
            drafts.keep(actor.user, case.public_id, name, drafts.typed_in(name, form.data))
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
        return show(request, surface, actor, fresh, late=Late(str(refusal)), status=status)
    drafts.forget(actor.user, case.public_id, name)
    messages.success(request, SENT[step])
    return onward(request, f"{surface.href(case)}#{event.public_id}")


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
            _("Withdraw this case?"),
            _(
                "The case closes for good, without a refund. {company} is told. You can’t "
                "open another case for this payment."
            ).format(company=case.company.name),
            _("Withdraw and close the case"),
        )
    if name == "cancel-refund":
        text = _(
            "%(buyer)s has been told that %(amount)s comes back on %(date)s. Cancel it if you want "
            "to answer yourself: they are told, and you have what is left of the days since they "
            "opened the case."
        )
        told = {"buyer": case.buyer.name, "amount": words.planned(case), "date": words.until(case)}
        return _("Cancel the planned refund?"), text % told, _("Cancel the refund")
    if case.decided_by == CREATOR:
        return (
            _("Close the case without a refund?"),
            _(
                "You give up your appeal, and the case closes for good. You can’t open "
                "another case for this payment."
            ),
            _("Close without a refund"),
        )
    result = words.remedy_sentence(case, party)
    return (
        _("Accept the decision?"),
        f"{result}. "
        + _(
            "You give up your appeal. When nobody is left who could appeal, the decision is "
            "carried out at once."
        ),
        _("Accept the decision"),
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
            return self._respond_form(data, files)
        return self._message_form(name, data, files)

    def _draft_of(self, name: str) -> dict[str, Any]:
        """What this person has typed for an act and not sent: `{fields, at}`, or nothing."""
        every: list[dict[str, Any]] = getattr(self.case, "drafts", [])
        return next((found for found in every if found["act"] == name), {})

    def _initial(self, name: str) -> dict[str, Any]:
        return {"version": self.case.version, **self._draft_of(name).get("fields", {})}

    def _about_draft(self, name: str, form: WithFiles) -> dict[str, str]:
        """Where the form's draft is kept, and of when it is, where the form shows it."""
        at = None if form.is_bound else parse_datetime(self._draft_of(name).get("at", ""))
        note = _("From {date}. Not sent yet.").format(date=when_text(at)) if at else ""
        return {"draft_href": self.surface.draft_href(self.case, name), "draft_note": note}

    def _saved_replies(self, form: WithFiles) -> dict[str, Any]:
        """The replies that may be filled into a form of the creator's, and what became of it."""
        kept: list[dict[str, Any]] = getattr(self.case, "saved_replies", [])
        return {"replies": kept if self.reader == CREATOR else [], "filled": form.filled}

    def unsent(self, offered: Iterable[str]) -> list[dict[str, str]]:
        """The drafts for acts that are no longer open, to be read and copied or given up."""
        there = {*offered, *self.bound}
        return [
            {
                "text": "\n\n".join(_texts(found["fields"])),
                "discard_href": self.surface.draft_href(self.case, found["act"]),
            }
            for found in getattr(self.case, "drafts", [])
            if found["act"] not in there and _texts(found["fields"])
        ]

    def _message_form(self, name: str, data: Any = None, files: Any = None) -> MessageForm:
        label, hint = self._labels(name)
        initial = self._initial(name)
        return MessageForm(
            data, files, user=self.user, message_label=label, message_hint=hint,
            auto_id=f"{name}_%s", initial=initial,
        )  # fmt: skip

    def _respond_form(self, data: Any = None, files: Any = None) -> RespondForm:
        return RespondForm(
            data, files, user=self.user, ends=self._ends(), auto_id="respond_%s",
            initial=self._initial("respond"),
        )  # fmt: skip

    def _ends(self) -> str:
        """The membership that an acceptance could end: its product; nothing when there is none."""
        held = self.case.payment.membership
        return self.case.product.name if held and held.status != Membership.Status.ENDED else ""

    def _labels(self, name: str) -> tuple[str, str]:
        case = self.case
        if name == "reply":
            return _("Your answer"), ""
        if name == "comment":
            note = _("Both sides see it. It doesn’t answer a question or move a date.")
            return _("Add a message"), note
        if case.state == State.DECIDED and case.decided_by == CREATOR:
            return (
                _("Appeal to {platform}").format(platform=words.platform()),
                _(
                    "What did {company} leave out or get wrong? {platform} already has "
                    "everything above, so you don’t need to repeat it."
                ).format(company=case.company.name, platform=words.platform()),
            )
        return (
            _("Appeal this decision"),
            _(
                "Someone who wasn’t involved before looks at the whole case again. Tell "
                "them what the decision missed or got wrong. Their answer is final."
            ),
        )

    def _composer(self, name: str, button: str, **more: Any) -> dict[str, Any]:
        form = self.bound.get(name) or self._message_form(name)
        composer = {
            "id": name,
            "party": self.reader,
            "who_name": self._writer(),
            "action": self.surface.act_href(self.case, name),
            "form": form,
            "button": button,
            **self._saved_replies(form),
            **about_files(form),
            **self._about_draft(name, form),
            **more,
        }
        if not form.is_bound:
            drawn_of = {key: value for key, value in composer.items() if key != "form"}
            typed = self._draft_of(name).get("fields", {})
            composer["same_as"] = [drawn_of, self._labels(name), typed]
        return composer

    def _writer(self) -> str:
        return self.case.buyer.name if self.reader == BUYER else self.case.company.name

    def main_composer(self) -> dict[str, Any] | None:
        """The one thing that the reader is asked for: an answer or an appeal."""
        if "reply" in self.steps:
            return self._composer("reply", _("Send answer"))
        if "appeal" in self.steps:
            more: dict[str, Any] = {
                "foot": _("Open until {date}").format(date=words.until(self.case))
            }
            if "accept_decision" in self.steps:
                denied = self.case.decided_by == CREATOR
                label = _("Close the case without a refund") if denied else _("Accept the decision")
                more["secondary"] = [("accept_decision", label)]
            return self._composer("appeal", _("Send appeal"), **more)
        return None

    def comment(self) -> dict[str, Any] | None:
        return self._composer("comment", _("Send message")) if "comment" in self.steps else None

    def confirm_href(self, name: str) -> str:
        return self.surface.act_href(self.case, name) if STEPS[name] in self.steps else ""

    def respond(self) -> dict[str, Any] | None:
        """The creator's three answers, those that are open."""
        case = self.case
        first = case.buyer.first_name
        asks_left = settings.MAX_INFO_REQUESTS - case.info_requests
        left = ngettext(
            "The days move to {name}; {left} of {all} question left",
            "The days move to {name}; {left} of {all} questions left",
            settings.MAX_INFO_REQUESTS,
        ).format(name=first, left=asks_left, all=settings.MAX_INFO_REQUESTS)
        every = [
            ("accept", _("Accept and refund"), _("Closes the case")),
            ("request_info", _("Request more details"), left),
            (
                "deny",
                _("Deny the request"),
                _("{first} can appeal to {platform}").format(
                    first=first, platform=words.platform()
                ),
            ),
        ]
        options = [option for option in every if option[0] in self.steps]
        if not options or self.reader != CREATOR:
            return None
        amount = format_money(min(case.asked_minor, case.payment.refundable_minor), case.currency)
        form = self.bound.get("respond") or self._respond_form()
        return {
            "id": "respond",
            "party": CREATOR,
            "who_name": case.company.name,
            "action": self.surface.act_href(case, "respond"),
            "form": form,
            "options": options,
            "accept_note_lead": _(
                "{amount} leaves your balance and goes back to {first}’s {way_back}."
            ).format(amount=amount, first=first, way_back=case.payment.way_back),
            "accept_note": _("You can’t undo a refund."),
            "keeps_note": _("{first} keeps access to {ends}.").format(
                first=first, ends=self._ends()
            )
            if self._ends()
            else "",
            "ends_note": _("{first}’s membership ends at once.").format(first=first),
            "accept_button": _("Refund {amount} and close").format(amount=amount),
            **self._saved_replies(form),
            **about_files(form),
            **self._about_draft("respond", form),
        }

    def cannot_accept(self) -> str:
        """Why somebody who may answer may not refund, and who can."""
        if self.reader != CREATOR or "deny" not in self.steps or "accept" in self.steps:
            return ""
        if self.case.frozen_at:
            return ""
        currency = self.case.currency
        limit = limit_in(currency, settings.SUPPORT_ACCEPT_LIMIT)
        if not limit:
            return _(
                "Support can’t refund anything in {currency}. Ask an owner or an admin to "
                "accept this one."
            ).format(currency=currency)
        can = format_money(limit, currency)
        return _(
            "Support can refund up to {can}. Ask an owner or an admin to accept this one."
        ).format(can=can)


def about_files(form: WithFiles) -> dict[str, Any]:
    """The files that a form has kept, and how many more it takes; for the composer and the drop."""
    kept = form.kept_files
    left = settings.MAX_FILES - len(kept)
    return {
        "files": [
            replace(
                timeline.file_row(file),
                note=_("uploaded"),
                href="",
                thumb=timeline.thumb(file.public_id, file.kind, file.size),
                upload=file.public_id,
                remove_name=form.add_prefix("remove_upload"),
                remove_value=file.public_id,
            )
            for file in kept
        ],
        "left": _left_to_add(left)
        if kept
        else _("Up to {MAX_FILES}").format(MAX_FILES=settings.MAX_FILES),
        "max_bytes": settings.MAX_FILE_BYTES,
        "max_files": left,
        "accept": ACCEPT,
        "upload_href": f"{address('uploads')}?{urlencode({'for': _name_of(form)})}",
    }


def _left_to_add(left: int) -> str:
    return _("{left} of {MAX_FILES} left").format(left=left, MAX_FILES=settings.MAX_FILES)


def _name_of(form: WithFiles) -> str:
    """What the ids of a form's fields begin with."""
    return str(form.auto_id).removesuffix("_%s")


def _texts(fields: Mapping[str, Any]) -> list[str]:
    """The words of a draft, without its choices and files."""
    return [text for name, text in fields.items() if name in drafts.WORDS]
