"""Checks that an export of a case is what this platform has signed."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from resolution import export, sealing


class Command(BaseCommand):
    requires_system_checks = ()
    help = "Checks signature, files and timeline of an export; exits with 1 when any was changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path)
        parser.add_argument("--key", help="The public key to check with, instead of our own.")
        parser.add_argument("--show-key", action="store_true", help="Print our public key.")

    def handle(self, *, file: Path | None, key: str | None, show_key: bool, **options: Any) -> None:
        if show_key:
            self.stdout.write(sealing.public_key())
            return
        if file is None:
            raise CommandError("Name the file to check.")
        keys = [key] if key else [sealing.public_key(), *settings.EXPORT_FORMER_KEYS]
        try:
            with file.open("rb") as source:
                manifest, box = sealing.opened(source, keys)
                told = json.loads(box.read("case.json"))
        except OSError as reason:
            raise CommandError(str(reason)) from reason
        except sealing.BrokenSeal as reason:
            raise CommandError(str(reason)) from reason
        if manifest["audience"] == export.Audience.STAFF:
            self._check_chain(told)
        self.stdout.write(
            f"Case {manifest['case']} for {manifest['audience']}, made at {manifest['made_at']}: "
            f"{len(manifest['files'])} files, all as they were signed."
        )

    def _check_chain(self, told: dict[str, Any]) -> None:
        """The hashes of the timeline, which an export for staff holds in full."""
        before = ""
        for row in told["events"]:
            event, files = export.event_of_proof(row)
            flawed = event.previous_hash != before or not event.keeps_its_words
            if flawed or event.digest(told["case"]["id"], files) != event.hash:
                raise CommandError(f"Event {event.public_id} is not what the timeline’s hash says.")
            before = event.hash
