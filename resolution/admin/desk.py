"""One case in front of one of the staff: what they may do with it, by which forms, and doing it."""

import uuid
from functools import cached_property
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from marketplace.models import User
from resolution import cases, timeline, words
from resolution.actors import as_staff
from resolution.admin import record
from resolution.forms.decisions import (
    DECIDING,
    ApproveForm,
    AskForm,
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
from resolution.lifecycle import IN_REVIEW, may_award
from resolution.models import Case, Event
from resolution.terms import Money, Party

STAFF = Party.STAFF
ACTS: dict[str, type[CaseForm]] = {
    form.name: form
    for form in (
        DecideForm, ProposeForm, AskForm, CommentForm, NoteForm, RetryForm, CreditsForm, PaidForm,
        ProposeRetryForm, ProposeCreditsForm, ProposePaidForm, ApproveForm, DeclineForm,
    )
}  # fmt: skip


class Desk:
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
            note = "\n\n".join(
                filter(None, [alone and _("Decided alone: {why}").format(why=alone), note])
            )
            if note:
                note_key = uuid.uuid5(key, "note")
                cases.take_step(self.case, "note", self.actor, message=note, form_key=note_key)

    def latest(self) -> str:
        """Who did what last, in a sentence."""
        told = [event for event in self.events if not event.staff_only]
        if not told:
            return _("This case has changed.")
        last = told[-1]
        on, label = words.when_text(last.created_at), label_of(last.step)
        if last.actor == self.user:
            return _("You took a step in the meantime: “{label}”, {on}.").format(label=label, on=on)
        if last.actor is None:
            return _("The system took a step in the meantime: “{label}”, {on}.").format(
                label=label, on=on
            )
        return _("{actor} took a step in the meantime: “{label}”, {on}.").format(
            actor=last.actor.name, label=label, on=on
        )


def label_of(step: str) -> str:
    """What a step is called."""
    rows = getattr(Case, step)._django_fsm.transitions.values()
    return str(next(iter(rows)).custom["effects"].label)
