"""Letters to those who run a company: in the reader's language, and only while they run it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from django.conf import settings
from django.utils.translation import gettext as _

from marketplace.language import speaking_to
from marketplace.models import Company, TeamMember
from notifications.models import Notification
from notifications.outbox import Composed, one_line


class OfACompany(Protocol):
    """Anything that a company has."""

    company_id: int


Thing = TypeVar("Thing", bound=OfACompany)


def compose(
    told: Sequence[Notification],
    about: Mapping[str, Thing],
    letter: Callable[[Thing], Composed],
) -> dict[int, Composed | None]:
    """The words of each message, by primary key, by what it is `about`.

    None when that is no longer so, or the reader no longer runs the company.
    """
    runs_it = set(
        TeamMember.objects.filter(
            company__in={thing.company_id for thing in about.values()},
            user__in={message.recipient_id for message in told},
            role__in=[TeamMember.Role.OWNER, TeamMember.Role.ADMIN],
        ).values_list("company_id", "user_id")
    )
    words: dict[int, Composed | None] = {}
    for message in told:
        thing = about.get(message.about)
        words[message.pk] = None
        if thing and (thing.company_id, message.recipient_id) in runs_it:
            with speaking_to(message.recipient):
                words[message.pk] = letter(thing)
    return words


def why(company: Company) -> str:
    """The line at the end that says why somebody gets it."""
    return _("You get this because you run {company} on {platform}.").format(
        company=one_line(company.name), platform=settings.PLATFORM_NAME
    )
