"""Runs the whole product on this machine: what `make demo` starts."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import demo


class Command(BaseCommand):
    help = "Runs the whole product here with made-up data, until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="0 takes any free one.")
        parser.add_argument("--host", default="127.0.0.1", help="Everyone knows the passwords.")

    def handle(self, *, port: int, host: str, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("The demo needs DEMO=1: its passwords are known to everyone.")
        try:
            call_command("migrate", interactive=False, verbosity=0)
            call_command("collectstatic", interactive=False, verbosity=0)
            connections.close_all()
            demo.run(settings.VAR_DIR, host, port, self._tell)
        except demo.DemoFailed as error:
            raise CommandError(str(error)) from None

    def _tell(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()
