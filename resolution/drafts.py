"""What people have typed and not sent: kept while they type, shown again, gone once it is sent.

A form carries a mark of who it was made for, so that a text which arrives after their session has
ended is kept for them, and for nobody else, until they have logged in again.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.http import QueryDict

from marketplace import clock
from marketplace.models import User
from payments.models import Payment
from resolution.evidence import PUBLIC_ID
from resolution.models import Case, Draft

OPEN = "open"
FIELDS = {
    OPEN: ("reason", "ask", "amount", "description"),
    "respond": (
        "action", "accept_message", "ends_membership", "request_info_message", "deny_message",
    ),
}  # fmt: skip
"""What is kept of the form of an act; of those that are not named here it is the message."""

ACTS = {*FIELDS, "reply", "comment", "appeal"}
WORDS = {"amount", "description", "message"}
WORDS |= {name for name in FIELDS["respond"] if name.endswith("_message")}
MAX_CHARACTERS = 20_000
SALT = "resolution.drafts"
SESSION_KEY = "typed"
BATCH = 5000


def typed_in(act: str, data: Any) -> dict[str, Any]:
    """What a form of this act holds: words or files, and what goes with them; or nothing at all.

    `data` is the form's, as it was sent: a QueryDict.
    """
    found: dict[str, Any] = {
        name: storable(text)
        for name in FIELDS.get(act, ("message",))
        if (text := data.get(name, "")) and text.strip()
    }
    uploads = [i for i in dict.fromkeys(data.getlist("uploads")) if PUBLIC_ID.fullmatch(i)]
    if uploads:
        found["uploads"] = uploads[: settings.MAX_FILES]
    return found if uploads or WORDS & found.keys() else {}


def key_of(data: QueryDict) -> UUID | None:
    """The key of the form that a draft was typed into."""
    try:
        return UUID(data.get("form_key", ""))
    except ValueError:
        return None


def storable(text: str) -> str:
    """A text without what PostgreSQL cannot keep: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def keep(user: User, about: str, act: str, fields: Mapping[str, Any]) -> bool:
    """Keep this in place of what was kept before; answers whether anything is.

    A text that no form would take by far is not kept, and what was kept before stays.
    """
    if any(len(value) > MAX_CHARACTERS for value in fields.values()):
        return False
    if not fields:
        forget(user, about, act)
        return False
    Draft.objects.bulk_create(
        [Draft(user=user, about=about, act=act, fields=dict(fields), updated_at=clock.now())],
        update_conflicts=True,
        unique_fields=["user", "about", "act"],
        update_fields=["fields", "updated_at"],
    )
    return True


def forget(user: User, about: str, act: str) -> None:
    """It was sent, or is not wanted any more."""
    Draft.objects.filter(user=user, about=about, act=act).delete()


def remove_old() -> int:
    """Remove the drafts that nobody has touched for DRAFT_DAYS; answers how many."""
    old = Draft.objects.filter(updated_at__lte=clock.now() - timedelta(days=settings.DRAFT_DAYS))
    return Draft.objects.filter(pk__in=old.values("pk")[:BATCH]).delete()[0]


# ── Through a login ───────────────────────────────────────────────────────────────────────────────


def mark_of(user: User) -> str:
    """What a form carries to say who it was made for."""
    return signing.dumps(user.public_id, salt=SALT)


def marked(data: QueryDict) -> str:
    """The public id of the person that a form was made for; empty when it does not say."""
    try:
        who: str = signing.loads(
            data.get("writer", ""), salt=SALT, max_age=timedelta(days=settings.DRAFT_DAYS)
        )
    except signing.BadSignature:
        return ""
    return who


def carry(session: Any, about: str, act: str, data: QueryDict) -> None:
    """Put what was typed into the session of somebody who has to log in first."""
    fields, by = typed_in(act, data), marked(data)
    if by and fields and all(len(value) <= MAX_CHARACTERS for value in fields.values()):
        session[SESSION_KEY] = {"by": by, "about": about, "act": act, "fields": fields}


def bring(session: Any, user: User) -> bool:
    """Make a draft of what was typed before the login, if it was this person who typed it."""
    carried = session.get(SESSION_KEY)
    if not carried or carried["by"] != user.public_id:
        return False
    del session[SESSION_KEY]
    return rescue(user, carried["about"], carried["act"], carried["fields"])


def rescue(user: User, about: str, act: str, fields: Mapping[str, Any]) -> bool:
    """Keep what no page of theirs has asked to keep, if it is about something of theirs."""
    if act not in ACTS:
        return False
    of_theirs = Q(buyer=user) | Q(company__members__user=user)
    there = (
        Payment.objects.filter(buyer=user, public_id=about)
        if act == OPEN
        else Case.objects.filter(of_theirs, public_id=about)
    )
    return there.exists() and keep(user, about, act, fields)
