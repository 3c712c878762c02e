"""The queue as it is drawn: a row of finished strings a case, and the links that narrow it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from marketplace.models import User
from resolution import presence, words
from resolution.admin import queue
from resolution.models import Case
from resolution.terms import Party, Reason, State

STAFF = Party.STAFF


@dataclass(frozen=True)
class Row:
    """A case in the queue, in finished strings."""

    case: Case
    user: User
    others: Sequence[str] = ()
    """Who else has the case open now."""

    @property
    def href(self) -> str:
        return reverse("admin:resolution_case_change", args=[self.case.public_id])

    @property
    def reason(self) -> str:
        return str(words.SHORT_REASONS[Reason(self.case.reason)])

    @property
    def asked(self) -> str:
        return words.asked(self.case)

    @cached_property
    def pill(self) -> words.Pill:
        return pill_of(self.case)

    @cached_property
    def ticking(self) -> words.Ticking | None:
        return words.ticking(self.case)

    @property
    def assigned(self) -> str:
        case = self.case
        if case.state == State.APPEALED and case.first_decider_id == self.user.pk:
            return _("You can’t: you decided it")
        left = case.state == State.APPEALED and case.assigned_to_id == case.first_decider_id
        if case.assigned_to is None or left:
            return _("Unassigned") if case.waiting_on == STAFF else ""
        return _("You") if self.is_mine else case.assigned_to.name

    @property
    def is_mine(self) -> bool:
        return self.case.assigned_to == self.user


def rows(cases: Sequence[Case], user: User) -> list[Row]:
    """The rows of a page. One query, for who is on them now."""
    others = presence.on(cases, but=user) if cases else {}
    return [Row(case, user, others.get(case.pk, ())) for case in cases]


def pill_of(case: Case) -> words.Pill:
    """Where a case stands, for staff: what they have to do comes before all else."""
    if case.proposed_by_id and not case.frozen_at:
        return words.Pill("whop", _("Needs a second person"), "users")
    if case.waiting_on == STAFF and not case.frozen_at:
        return words.review_pill(case)
    return words.pill(case, STAFF)


def filters(looking: queue.Looking, counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Groups of links: what the list can be narrowed to, with how many wait of each."""
    found = bool(looking.text)

    def link(label: Any, count: int | None, current: bool, **changes: str) -> dict[str, Any]:
        href = looking.address(q="", **changes)
        return {"label": label, "href": href, "count": count, "current": current and not found}

    views = [
        link(label, counts[name] if name in queue.COUNTED_VIEWS else None, looking.view == name,
             view=name, why="", amount="")
        for name, label in queue.VIEWS.items()
    ]  # fmt: skip
    if looking.view == "decided" and not found:
        return [{"title": _("View"), "links": views}]
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
        {"title": _("View"), "links": views},
        {"title": _("Why it’s here"), "links": reasons},
        {"title": _("Amount, in the case’s currency"), "links": bands},
    ]
