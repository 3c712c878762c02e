"""Lets somebody in again who has lost their phone and their recovery codes."""

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import events, sessions
from accounts.models import AccountEvent
from marketplace.models import User


class Command(BaseCommand):
    help = "Removes the second step of a person’s login and ends their sessions; they are told."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="of whoever has shown you that it is them")

    def handle(self, *, email: str, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(email)
        except User.DoesNotExist:
            raise CommandError(f"There is no account with the address {email}.") from None
        with transaction.atomic():
            Authenticator.objects.filter(user=user).delete()
            sessions.end(user)
            events.note(None, user, AccountEvent.Kind.STEP_REMOVED)
        self.stdout.write(f"{user.email} logs in with the password alone, and is told so.")
