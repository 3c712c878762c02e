"""The e-mail to a company's owners and admins when a rule of theirs was switched off by itself."""

from collections.abc import Sequence

from django.conf import settings

from notifications import company_letters, mail
from notifications.models import Notification
from notifications.outbox import Composed, one_line
from resolution.models import Rule, RuleChange
from resolution.rules import SWITCHED_OFF

HREF = "/dash/resolution-center/auto-respond/"


def compose(notifications: Sequence[Notification]) -> dict[int, Composed | None]:
    """The words of each message of this kind; None where the rule is on again or gone."""
    told = [message for message in notifications if message.kind == SWITCHED_OFF]
    if not told:
        return {}
    changes = RuleChange.objects.filter(
        pk__in={int(message.about.removeprefix("change_")) for message in told},
        rule__enabled=False,
    ).select_related("company")
    return company_letters.compose(
        told, {f"change_{change.pk}": change for change in changes}, _letter
    )


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
            why=company_letters.why(company),
        ),
    )
