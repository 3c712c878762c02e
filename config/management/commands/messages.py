"""Keeps the catalogs of translated texts in step with what the code and the templates say."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import translations


class Command(BaseCommand):
    help = "Finds the texts to translate, and says what a language lacks."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--update", action="store_true", help="Write new texts into the catalogs.")
        how.add_argument("--check", action="store_true", help="Fail if a catalog is not complete.")

    def handle(self, *, update: bool, check: bool, **options: Any) -> None:
        texts = translations.extracted(settings.BASE_DIR)
        found = 0
        for path in translations.catalog_paths():
            if update:
                translations.update(path, texts)
            for fault in translations.faults(translations.read(path), texts):
                found += 1
                self.stdout.write(f"{path.parts[-3]}: {fault}")
        translations.compile_what_is_newer()
        if check and found:
            raise CommandError(
                f"{found} texts to put right: `manage.py messages --update`, then edit a catalog."
            )
