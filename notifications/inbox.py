"""The notices in the app: how many somebody has not read, and reading them. Knows no cases.

A notice is the same row as its e-mail. Pages count what is unread inside a query that they make
anyway, up to MOST.
"""

from collections.abc import Sequence

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from marketplace import clock
from marketplace.models import User
from notifications.models import Notification

MOST = 100


def unread_of(person: str) -> ArraySubquery:
    """The conversations of a person's unread notices, one entry each; `person` names the column."""
    rows = Notification.objects.filter(recipient=OuterRef(person), read_at=None)
    return ArraySubquery(rows.values("thread")[:MOST])


def count_of(unread: Sequence[str]) -> str:
    """How many that is, as short as a menu has room for; "" for none."""
    return f"{MOST - 1}+" if len(unread) >= MOST else str(len(unread) or "")


def opened(person: User, thread: str, unread: Sequence[str]) -> list[str]:
    """Mark what was told of a conversation as read, now that it is; answer what is left unread."""
    if thread in unread or len(unread) >= MOST:
        Notification.objects.filter(recipient=person, thread=thread, read_at=None).update(
            read_at=clock.now()
        )
    return [other for other in unread if other != thread]


def read_up_to(person: User, newest: Notification) -> int:
    """Mark as read what was told until then; what has come since is still new."""
    return Notification.objects.filter(recipient=person, pk__lte=newest.pk, read_at=None).update(
        read_at=clock.now()
    )
