"""The e-mail to a company's owners and admins when a rule of theirs was switched off by itself."""

from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import gettext as _

from marketplace.models import TeamMember
from notifications import mail
from notifications.models import Notification
from notifications.outbox import Composed, one_line
from resolution.models import Rule, RuleChange
from resolution.rules import SWITCHED_OFF

HREF = "/dash/resolution-center/auto-respond/"


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message of this kind, by primary key.

    None when the rule is on again or gone, or the reader no longer runs the company.
    """
    told = [message for message in notifications if message.kind == SWITCHED_OFF]
    if not told:
        return {}
    changes = {
        f"change_{change.pk}": change
        for change in RuleChange.objects.filter(
            pk__in={int(message.about.removeprefix("change_")) for message in told},
            rule__enabled=False,
        ).select_related("company")
    }
    runs_it = set(
        TeamMember.objects.filter(
            company__in={change.company_id for change in changes.values()},
            user__in={message.recipient_id for message in told},
            role__in=[TeamMember.Role.OWNER, TeamMember.Role.ADMIN],
        ).values_list("company_id", "user_id")
    )
    words: dict[int, Composed | None] = {}
    for message in told:
        change = changes.get(message.about)
        runs = change and (change.company_id, message.recipient_id) in runs_it
        words[message.pk] = _letter(change) if change and runs else None
    return words


def _letter(change: RuleChange) -> Composed:
    company = change.company
    context = {
        "company": one_line(company.name),
        "rule": one_line(change.columns["name"]),
        "at_limits": change.columns["off_because"] == Rule.OffBecause.LIMITS,
        "platform": settings.PLATFORM_NAME,
    }
    return mail.render(
        f"{mail.FOLDER}/{SWITCHED_OFF}.txt",
        context,
        mail.Around(
            button_href=f"{settings.SITE_URL.rstrip('/')}{HREF}?company={company.public_id}",
            why=_("You get this because you run %(company)s on %(platform)s.") % context,
        ),
    )
