"""Seals all secrets in the database with the first of SEALING_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace import sealed


class Command(BaseCommand):
    help = (
        "Seals every secret in the database with the first key of SEALING_KEY. After that the "
        "other keys can be taken out of it."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = 0
        try:
            while now := sealed.reseal():
                done += now
        except sealed.CannotOpen as reason:
            raise CommandError(f"{reason} {done} were sealed before that.") from reason
        self.stdout.write(f"{done} sealed; all secrets are under the first key now.")
