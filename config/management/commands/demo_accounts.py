"""Lists who can log in to the demo, and which payments are good for what."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from config.demo_story import BUYERS, PASSWORD, STAFF, TEAM, Person
from config.demo_tokens import secret_of
from marketplace import clock
from marketplace.models import TeamMember, User
from payments.models import Payment
from resolution import eligibility
from resolution.models import Case

LISTED = (TeamMember.Role.OWNER, TeamMember.Role.SUPPORT, TeamMember.Role.VIEWER)
KINDS = ("eligible", "refunded", "partly_refunded", "expired", "crypto", "coinbase", "has_case")


class Command(BaseCommand):
    help = "Lists the demo's logins and payments: a table, or JSON for scripts."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("The demo’s logins are for the demo only: DEMO=1 is not set.")
        if as_json:
            self.stdout.write(json.dumps({"users": users(), "payments": payments()}, indent=1))
        else:
            self._show()

    def _show(self) -> None:
        for buyer in _people(BUYERS):
            self._line("buyer", buyer)
        for place in _places():
            self._line(place.role, place.user, place.company.name)
        for member in _people(STAFF):
            self._line("everything" if member.is_superuser else member.staff_role, member)
        self.stdout.write(f"\nEveryone’s password is {PASSWORD}\n\n")
        for kind, rows in payments().items():
            self.stdout.write(f"{len(rows):>4}  {kind.replace('_', ' ')}")

    def _line(self, role: str, user: User, company: str = "") -> None:
        self.stdout.write(f"{role:<12}{user.name:<18}{user.email:<34}{company}".rstrip())


def users() -> list[dict[str, str]]:
    """Who can log in, by role: buyers, the owner, support and viewer of each company, staff.

    Whoever is on two teams at once, and the administrator, would mislead a script: they are only
    in the table for people.
    """
    staff = _people(STAFF).filter(is_superuser=False)
    return [
        *(_login("buyer", buyer) for buyer in _people(BUYERS)),
        *(
            _login(place.role, place.user) | {"company_id": place.company.public_id}
            for place in _places().filter(role__in=LISTED)
        ),
        *(_login(member.staff_role, member) for member in staff),
    ]


def payments() -> dict[str, list[dict[str, str]]]:
    """Payments by what can be done with them now, latest first.

    `eligible` ones are so for all that was paid, `partly_refunded` ones for the rest.
    """
    found: dict[str, list[dict[str, str]]] = {kind: [] for kind in KINDS}
    now = clock.now()
    with_case = set(Case.objects.values_list("payment_id", flat=True))
    for payment in Payment.objects.select_related("buyer").order_by("-paid_at", "pk"):
        kind = _kind(payment, now=now, has_case=payment.pk in with_case)
        if kind in found:
            found[kind].append(
                {
                    "id": payment.public_id,
                    "buyer": payment.buyer.email,
                    "processor": payment.processor,
                }
            )
    return found


def _kind(payment: Payment, *, now: datetime, has_case: bool) -> str:
    reason = eligibility.why_not(payment, payment.buyer, now=now, has_case=has_case)
    if reason:
        return reason.code
    return "eligible" if payment.refundable_minor == payment.amount_minor else "partly_refunded"


def _people(of: Mapping[str, Person]) -> QuerySet[User]:
    """These people of the story, in its order, which is that in which they were made."""
    return User.objects.filter(email__in=[person.email for person in of.values()]).order_by("pk")


def _places() -> QuerySet[TeamMember]:
    """Every place of the story's people in a team, company by company."""
    places = TeamMember.objects.filter(user__in=_people(TEAM))
    return places.select_related("user", "company").order_by("company", "pk")


def _login(role: str, user: User) -> dict[str, str]:
    return {
        "role": role,
        "email": user.email,
        "password": PASSWORD,
        "user_id": user.public_id,
        "token": secret_of(user),
    }
