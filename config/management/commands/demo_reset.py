"""Forgets all that the demo holds: what `make demo-reset` runs."""

import shutil
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import demo


class Command(BaseCommand):
    help = "Deletes the demo's database, files and mail. The next demo starts anew."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        state = settings.VAR_DIR
        try:
            with demo.only_one(state):
                settings.EMBEDDED.remove()
                for entry in state.iterdir() if state.exists() else ():
                    if entry.name.startswith("test-"):
                        continue  # the tests' own servers
                    if entry.is_dir():
                        shutil.rmtree(entry)
                    else:
                        entry.unlink()
        except demo.DemoFailed as error:
            raise CommandError(str(error)) from None
        self.stdout.write("The demo is as new.")
