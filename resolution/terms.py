"""The words that the lifecycle is written in: who acts, with what, and what a step brings about."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from marketplace.models import User


class Party(models.TextChoices):
    """A side of a case; `waiting_on` is one of them, and so is whoever takes a step."""

    BUYER = "buyer", _("Buyer")
    CREATOR = "creator", _("Creator")
    STAFF = "staff", _("Staff")
    SYSTEM = "system", _("System")
    NOBODY = "nobody", _("Nobody")


BOTH = (Party.BUYER, Party.CREATOR)


class State(models.TextChoices):
    """Where a case stands."""

    OPEN = "open", _("Open")
    AWAITING_CREATOR = "awaiting_creator", _("Awaiting creator")
    MORE_INFO = "more_info", _("More info")
    ESCALATED = "escalated", _("Escalated")
    DECIDED = "decided", _("Decided")
    APPEALED = "appealed", _("Appealed")
    CLOSED = "closed", _("Closed")


class Reason(models.TextChoices):
    """Why a buyer is unhappy."""

    NOT_RECEIVED = "product_not_received", _("Product not received")
    NOT_AS_DESCRIBED = "not_as_described", _("Product not as described")
    UNACCEPTABLE = "product_unacceptable", _("Product unacceptable")
    CANCELED = "subscription_canceled", _("Canceled before payment")
    FRAUDULENT = "fraudulent", _("I don’t recognize this charge")


class Remedy(models.TextChoices):
    """What a decision gives the buyer."""

    REFUND = "refund", _("Refund")
    CREDIT = "credit", _("Credits")
    NONE = "none", _("No refund")


class Outcome(models.TextChoices):
    """How a case ended."""

    OPEN = "", _("Not ended")
    BUYER_WON = "buyer_won", _("For the buyer")
    CREATOR_WON = "creator_won", _("For the creator")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    VOID = "void", _("Settled elsewhere")


class Money(models.TextChoices):
    """How far the money of a decision has come."""

    NONE = "", _("No money moves")
    PROMISED = "promised", _("Promised, the decision is not final")
    REQUESTED = "requested", _("Requested")
    SENT = "sent", _("Sent")
    ARRIVED = "arrived", _("Arrived")
    FAILED = "failed", _("Failed, with staff")
    BY_HAND = "by_hand", _("Paid by hand")


class ReviewReason(models.TextChoices):
    """Why a case is in front of staff."""

    NONE = "", _("Not in review")
    CREATOR_SILENT = "creator_silent", _("Creator didn’t reply")
    BUYER_SILENT = "buyer_silent", _("Buyer didn’t reply")
    DENIAL_APPEALED = "denial_appealed", _("Buyer appealed a denial")
    DECISION_APPEALED = "decision_appealed", _("Final review")


class Clock(models.TextChoices):
    """What a step does to the clock. The lengths are settings."""

    KEEP = "keep", "unchanged"
    STOP = "stop", "stops"
    RESPONSE = "response", _("7 days to answer")
    APPEAL = "appeal", _("7 days to appeal")
    STAFF = "staff", _("staff target, 2 business days")
    NOW = "now", "now"
    DELAY = "delay", "as long as the rule says"
    REST = "rest", "what is left of 7 days from opening"


class Words(models.TextChoices):
    """Whether a step carries a message."""

    REQUIRED = "required", "required"
    OPTIONAL = "optional", "optional"
    NONE = "none", "none"


@dataclass(frozen=True)
class Actor:
    """Who takes a step, in which capacity.

    `role` is the place in the company's team or among the staff; `conflicted` marks a member of the
    staff who is a party to the very case.
    """

    party: Party
    user: User | None = None
    role: str = ""
    conflicted: bool = False

    @property
    def user_id(self) -> int | None:
        return self.user.pk if self.user else None


SYSTEM = Actor(Party.SYSTEM)


@dataclass(frozen=True)
class Verdict:
    """What a decision gives: `amount_minor` of the payment's currency, 0 for no refund."""

    remedy: Remedy
    amount_minor: int = 0
    looked_at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Act:
    """Everything that comes with one step besides the case.

    `proposes` names the step that a proposal is for; `ends_membership` goes with an acceptance;
    `wait` is how long a planned refund is put off.
    """

    actor: Actor
    message: str = ""
    verdict: Verdict | None = None
    asks: Party | None = None
    reference: str = ""
    proposes: str = ""
    ends_membership: bool = False
    wait: timedelta = timedelta()
    facts: Mapping[str, Any] = field(default_factory=dict)


Case = Any
"""A case; its class is built on the lifecycle, which is written in these words."""

Parties = Iterable[Party] | Callable[[Case], Iterable[Party]]


@dataclass(frozen=True)
class Effects:
    """What a step brings about besides the new state; the door carries it out.

    `tells` are the sides that get an e-mail; the person who acted is left out unless `confirms`.
    `moves_money` lets the door bring the refund or the credits in line with the decision.
    """

    label: str | Promise
    clock: Clock | Callable[[Case], Clock] = Clock.KEEP
    waits_on: Party | Callable[[Case], Party] | None = None
    words: Words = Words.NONE
    tells: Parties = ()
    confirms: bool = False
    moves_money: bool = False
    staff_only: bool = False


def by(*parties: Party, when: Iterable[Callable[[Case, Actor], bool]] = ()) -> Callable[..., bool]:
    """A permission: the actor is of one of these parties, and every fact about them holds."""
    facts = tuple(when)

    def permission(case: Case, actor: Actor) -> bool:
        return actor.party in parties and all(fact(case, actor) for fact in facts)

    permission.parties = parties  # type: ignore[attr-defined]
    permission.facts = facts  # type: ignore[attr-defined]
    return permission


def effects(label: str | Promise, **kwargs: Any) -> dict[str, Effects]:
    """What `transition(custom=…)` keeps beside a step."""
    return {"effects": Effects(label, **kwargs)}
