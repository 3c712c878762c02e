"""Erases a person, as the administration does."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.models import User
from resolution import erasure


class Command(BaseCommand):
    help = "Erases a person for good: their name, address and access, and what they wrote."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("person", metavar="user_…")
        parser.add_argument("--reason", required=True, help="Why; it is kept.")
        parser.add_argument(
            "--keep-words", action="store_true", help="Keep messages and files, whatever the rule."
        )

    def handle(self, *, person: str, reason: str, keep_words: bool, **options: Any) -> None:
        found = User.objects.filter(public_id=person).first()
        if found is None:
            raise CommandError(f"There is no {person}.")
        try:
            done = erasure.erase(
                found, by=None, reason=reason, words_too=False if keep_words else None
            )
        except erasure.ErasureRefused as reason_not:
            raise CommandError(str(reason_not)) from reason_not
        self.stdout.write(
            f"{person} is erased: {done.events} messages blanked, {done.files} files removed."
        )
