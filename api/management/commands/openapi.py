"""Writes the OpenAPI document into docs/, so that a change of the API shows in review."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from api.document import openapi
from api.urls import api

PAGE = Path("docs") / "openapi.json"


class Command(BaseCommand):
    help = f"Writes {PAGE} out of the API."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail when the file is not current."
        )

    def handle(self, *, check: bool, **options: Any) -> None:
        path = settings.BASE_DIR / PAGE
        text = json.dumps(openapi(api), indent=1, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text)
            self.stdout.write(f"{PAGE} is written.")
        elif not path.exists() or path.read_text() != text:
            raise CommandError(f"{PAGE} is not what the API is. Run: python manage.py openapi")
