"""Loads the demo's people, payments and cases. Does nothing when there are people already."""

import logging
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from config import demo_tokens
from config.demo_history import History
from config.demo_story import PASSWORD

HERE = ("localhost", "127.0.0.1", "::1")


class Command(BaseCommand):
    help = "Loads the demo's data. The sandbox of the payment providers must be running."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Made-up data is for the demo only: DEMO=1 is not set.")
        if get_user_model().objects.exists():
            demo_tokens.give_everybody_one()
            self.stdout.write("There are people already, so nothing was loaded.")
            return
        if not settings.CLOCK_FILE:
            raise CommandError("The story needs a clock that can be moved: set CLOCK_FILE.")
        if urlsplit(settings.STRIPE_API_BASE).hostname not in HERE:
            raise CommandError(
                "STRIPE_API_BASE and PAYPAL_API_BASE must point to the sandbox on this machine: "
                "python -m payments.sandbox --port 8001"
            )
        logging.getLogger("payments.gateways").setLevel(logging.WARNING)
        try:
            History().tell()
        except requests.RequestException as error:
            raise CommandError(f"The sandbox of the payment providers: {error}") from error
        demo_tokens.give_everybody_one()
        self.stdout.write(f"The demo’s data is there. Everyone’s password is {PASSWORD}")
