"""Restores a backup into a database of its own, and looks whether everything is there and right."""

import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config import backup


class Command(BaseCommand):
    help = (
        "Restores a backup (by default one made now) into a second database on the same server, "
        "compares it with what was backed up, recomputes every timeline, looks for the files, and "
        "drops the database. Exits with 1 on a flaw. The account must be allowed to make databases."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, nargs="?", help="The backup.")
        parser.add_argument(
            "--files", type=int, default=1000, help="So many of the newest files are looked for."
        )

    def handle(self, *args: Any, folder: Path | None, files: int, **options: Any) -> None:
        try:
            if folder is not None:
                self._rehearse(folder, files)
                return
            with tempfile.TemporaryDirectory() as temporary:
                made = Path(temporary) / "backup"
                call_command("backup", made, stdout=self.stdout)
                self._rehearse(made, files)
        except (backup.BackupFailed, OSError) as reason:
            raise CommandError(str(reason)) from reason

    def _rehearse(self, folder: Path, files: int) -> None:
        with backup.brought_back(folder) as manifest:
            self.stdout.write(f"The backup of {manifest['at']} is restored.")
            flaws = list(backup.differences(manifest, most_files=files))
            for flaw in flaws:
                self.stdout.write(flaw)
            call_command("verify_timeline", stdout=self.stdout)
            call_command("migrate", check_unapplied=True, verbosity=0)
        if flaws:
            raise CommandError(f"{len(flaws)} differences from what was backed up.")
        rows, tables = sum(manifest["rows"].values()), len(manifest["rows"])
        looked = min(files, len(manifest["files"]))
        self.stdout.write(
            f"All {rows} rows of {tables} tables are back, "
            f"and {looked} of {len(manifest['files'])} files were found in the storage."
        )
