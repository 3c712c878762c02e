"""Makes a token for the API and prints it, once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from api import tokens
from marketplace.models import Company, User


class Command(BaseCommand):
    help = "Makes an API token for a person, or for a company in a person’s name, and prints it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="Whose token it is.")
        parser.add_argument("--company", default="", help="For this company alone (biz_…).")
        parser.add_argument("--name", default="Made on the command line")
        parser.add_argument(
            "--scope",
            action="append",
            choices=list(tokens.SCOPES),
            help="What it may do; repeat it for several. All of it unless said.",
        )
        parser.add_argument("--days", type=int, help="How long it lives. For good unless said.")

    def handle(
        self,
        *,
        email: str,
        company: str,
        name: str,
        scope: list[str] | None,
        days: int | None,
        **options: Any,
    ) -> None:
        user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
        if user is None:
            raise CommandError(f"Nobody here has the address {email}.")
        owner = Company.objects.filter(public_id=company).first() if company else None
        if company and owner is None:
            raise CommandError(f"There is no company {company}.")
        if days is not None and not 0 < days <= 3650:
            raise CommandError("--days must be from 1 to 3650.")
        expires_at = timezone.now() + timedelta(days=days) if days else None
        try:
            _, secret = tokens.make(
                user, name[:80], scope or list(tokens.SCOPES), company=owner, expires_at=expires_at
            )
        except tokens.TokenRefused as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(secret)
