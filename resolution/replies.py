"""Saved replies: the texts that a company's team sends often, and what one reads like in a case.

A text is filled in by plain substitution, with the variables of auto-respond rules. It is put into
the form of an answer, for a person to look over and send; nothing here sends anything.
"""

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.models import Company, TeamMember
from resolution import rules
from resolution.models import Case, SavedReply
from resolution.terms import Actor

MOST = 100
"""How many a company keeps: more would be a list that nobody finds anything in."""

VARIABLES: Mapping[str, str | Promise] = {
    **rules.VARIABLES,
    "amount": _lazy("what the buyer asks for"),
}


class ReplyChanged(Exception):
    """Somebody else changed or removed the reply since the page was made."""


class TitleTaken(Exception):
    """Another reply of the company's has this title."""


class TooMany(Exception):
    """The company keeps as many as it can."""


def may_use(actor: Actor) -> bool:
    """Those who answer cases: owner, admin and support; a viewer sends nothing."""
    return actor.role in (TeamMember.Role.OWNER, TeamMember.Role.ADMIN, TeamMember.Role.SUPPORT)


def add(company: Company, *, title: str, text: str) -> SavedReply:
    """A new reply of the company's. Raises TitleTaken, and TooMany at the hundredth."""
    with transaction.atomic():
        Company.objects.select_for_update(no_key=True).get(pk=company.pk)
        if company.saved_replies.count() >= MOST:
            raise TooMany
        return _saved(SavedReply(company=company, title=title, text=text))


def change(reply: SavedReply, seen_version: int, *, title: str, text: str) -> SavedReply:
    """Give the reply a new title and text.

    Raises TitleTaken, and ReplyChanged unless `seen_version` is the version it has now.
    """
    with transaction.atomic():
        fresh = _fresh(reply, seen_version)
        fresh.title, fresh.text = title, text
        fresh.version, fresh.updated_at = fresh.version + 1, clock.now()
        return _saved(fresh)


def remove(reply: SavedReply, seen_version: int) -> None:
    """Take the reply away. Raises ReplyChanged as `change` does."""
    with transaction.atomic():
        _fresh(reply, seen_version).delete()


def _fresh(reply: SavedReply, seen_version: int) -> SavedReply:
    fresh = SavedReply.objects.select_for_update().filter(pk=reply.pk).first()
    if fresh is None or fresh.version != seen_version:
        raise ReplyChanged
    return fresh


def _saved(reply: SavedReply) -> SavedReply:
    try:
        with transaction.atomic():
            reply.save()
    except IntegrityError as error:
        if "reply_title_once" not in str(error):
            raise
        raise TitleTaken from error
    return reply


def filled_in(case: Case, actor: Actor, reply_id: str) -> str:
    """What this reply of the company's says in the case; nothing when it is not there to use."""
    if not may_use(actor) or not reply_id.isascii() or not reply_id.isdecimal():
        return ""
    found = SavedReply.objects.filter(company=case.company_id, pk=min(int(reply_id), 2**63 - 1))
    reply = found.first()
    if reply is None:
        return ""
    asked = min(case.asked_minor, case.payment.refundable_minor)
    return rules.fill_in(reply.text, rules.values_for(case, asked))


def example_values(company: Company) -> dict[str, str]:
    """What the variables could stand for, to show what a reply reads like."""
    product = company.products.order_by("name", "pk").first()
    return rules.example_values(company, product, {})
