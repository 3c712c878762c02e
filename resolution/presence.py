"""Who of the staff has a case open now, for as long as their page says so.

It tells a colleague that somebody else is on a case, and stops nobody: who decides first is decided
by the door. Who has read what is kept by `readings`, for good.
"""

from collections.abc import Iterable
from datetime import timedelta

from marketplace import clock
from marketplace.models import User
from resolution.models import Case, Presence

SECONDS = 15
"""How often an open page says that somebody is there."""

THERE = timedelta(seconds=3 * SECONDS)
"""Who has not been heard of for so long is gone."""


def here(user: User, case: Case) -> None:
    """This person has the case open now. One query."""
    Presence.objects.bulk_create(
        [Presence(case=case, user=user, last_at=clock.now())],
        update_conflicts=True, unique_fields=["case", "user"], update_fields=["last_at"],
    )  # fmt: skip


def on(cases: Iterable[Case], but: User) -> dict[int, list[str]]:
    """By case, the names of those who have it open now, without this person. One query."""
    there = (
        Presence.objects.filter(case__in=list(cases), last_at__gt=clock.now() - THERE)
        .exclude(user=but)
        .order_by("user__name", "user_id")
        .values_list("case_id", "user__name")
    )
    found: dict[int, list[str]] = {}
    for case_id, name in there:
        found.setdefault(case_id, []).append(name)
    return found


def forget() -> int:
    """Remove those who are long gone; how many."""
    gone, _ = Presence.objects.filter(last_at__lt=clock.now() - timedelta(days=1)).delete()
    return gone
