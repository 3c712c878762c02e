"""Writes a backup of the database, and a list of the files that belong to it."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import backup


class Command(BaseCommand):
    help = "Writes a backup of the database, and a list of the files that belong to it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, nargs="?", help="A new one.")

    def handle(self, *args: Any, folder: Path | None, **options: Any) -> None:
        now = datetime.now(UTC)
        folder = folder or settings.VAR_DIR / "backups" / f"{now:%Y-%m-%dT%H%M%SZ}"
        try:
            manifest = backup.back_up(folder)
        except (backup.BackupFailed, OSError) as reason:
            raise CommandError(str(reason)) from reason
        size = (folder / backup.DUMP).stat().st_size
        self.stdout.write(
            f"{folder}: {sum(manifest['rows'].values())} rows of {len(manifest['rows'])} tables in "
            f"{size} bytes, which know {len(manifest['files'])} files."
        )
