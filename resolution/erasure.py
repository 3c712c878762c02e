"""Erases a person: who they were is gone, what happened in cases stays.

The name, the address, places on teams, drafts and access go; money and decisions are records that
the law wants kept. What they wrote goes as well where `ERASE_WORDS` says so: messages are blanked
and files removed, in the one way that the timeline allows (see docs/adr/0012).
"""

from collections.abc import Iterable

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts import sessions
from accounts.models import AccountEvent
from marketplace.models import TeamMember, User
from notifications.models import Preferences
from payments.models import Payment
from resolution import custody
from resolution.models import Attachment, Case, Draft, Erasure, Event
from resolution.terms import State


class ErasureRefused(Exception):
    """The person can't be erased now; the sentence says what stands in the way."""


def erase(person: User, *, by: User | None, reason: str, words_too: bool | None = None) -> Erasure:
    """Erase a person, once and for all; `words_too` is `ERASE_WORDS` unless it is said.

    Raises ErasureRefused while a case, a chargeback or a duty of theirs needs who they are.
    """
    with_words = settings.ERASE_WORDS if words_too is None else words_too
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if hold := why_not(person):
            raise ErasureRefused(hold)
        said, files = _said_by(person), Attachment.objects.filter(uploader=person)
        done = Erasure.objects.create(
            person=person,
            by=by,
            reason=reason,
            words_too=with_words,
            events=said.count() if with_words else 0,
            files=files.count() if with_words else 0,
        )
        if with_words:
            _remove_files(files)
            said.update(message="", salt="")
        Draft.objects.filter(user=person).delete()
        TeamMember.objects.filter(user=person).delete()
        Preferences.objects.filter(user=person).delete()
        _take_the_keys(person)
        _make_nobody(person)
    return done


def why_not(person: User) -> str:
    """What stands in the way of erasing somebody, in a sentence; empty when nothing does."""
    if Erasure.objects.filter(person=person).exists():
        return _("This person was erased before.")
    if person.is_staff:
        return _("This person works here. Take away their access to the administration first.")
    running = Case.objects.filter(buyer=person).exclude(state=State.CLOSED).first()
    if running:
        return _("Case %(id)s of theirs is still open.") % {"id": running.public_id}
    bank = Payment.Chargeback.OPEN
    held = Payment.objects.filter(chargeback=bank).filter(
        Q(buyer=person) | Q(cases__events__actor=person)
    )
    if payment := held.first():
        return _("A chargeback is open on payment %(id)s.") % {"id": payment.public_id}
    for place in TeamMember.objects.filter(user=person, role=TeamMember.Role.OWNER):
        owners = TeamMember.objects.filter(company=place.company, role=TeamMember.Role.OWNER)
        if owners.count() == 1:
            return _("They are the only owner of %(name)s.") % {"name": place.company.name}
    return ""


def _said_by(person: User) -> "QuerySet[Event]":
    """What somebody wrote, and what was sent to them automatically with their name in it."""
    sent_to_them = Q(actor=None, case__buyer=person)
    return Event.objects.filter(Q(actor=person) | sent_to_them).exclude(words_digest="")


def _remove_files(files: "QuerySet[Attachment]") -> None:
    """Give up the bytes of all, and what the sealed ones were called."""
    cases = Case.objects.filter(events__attachments__in=files).distinct()
    for case in cases.order_by("pk"):
        custody.remove_files(case, _sent_in(case, files), why="erased")
    files.exclude(state=Attachment.State.INFECTED).update(
        state=Attachment.State.REMOVED, scan_at=None
    )
    files.exclude(seal="").update(filename="", sha256="", salt="")


def _sent_in(case: Case, files: "QuerySet[Attachment]") -> "QuerySet[Attachment]":
    return files.filter(event__case=case, event__staff_only=False)


def _take_the_keys(person: User) -> None:
    """End every session, with where it was and on what, and forget all that opens the account."""
    sessions.end(person)
    EmailAddress.objects.filter(user=person).delete()
    Authenticator.objects.filter(user=person).delete()
    SocialAccount.objects.filter(user=person).delete()
    AccountEvent.objects.filter(user=person).update(ip=None, agent="")


def _make_nobody(person: User) -> None:
    person.email = f"{person.public_id}@erased.invalid".lower()
    person.name, person.time_zone, person.is_active = _("Deleted person"), "UTC", False
    person.set_unusable_password()
    person.save()


def erased(people: Iterable[int]) -> set[int]:
    """Who of these people, by primary key, was erased."""
    return set(Erasure.objects.filter(person__in=people).values_list("person", flat=True))
