"""Lets time pass in the demo, for every clock of the business; the running sweeps then act."""

from argparse import ArgumentParser
from datetime import timedelta
from math import isfinite
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketplace import clock


class Command(BaseCommand):
    help = "Lets N days pass in the demo. Time only goes forward."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=float, required=True, help="For example 7, or 0.5.")

    def handle(self, *, days: float, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Only the demo’s clock can be moved: DEMO=1 is not set.")
        if not isfinite(days) or not 0 < days <= 3650:
            raise CommandError("--days must be more than 0 and at most 3650.")
        try:
            clock.advance(timedelta(days=days))
        except RuntimeError as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(f"It is now {clock.now():%A, %-d %B %Y, %H:%M} UTC in the demo.")
