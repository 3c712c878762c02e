#!/usr/bin/env python
"""Runs a command of the project, in the project's own virtual environment."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDS_NO_SERVERS = {
    *("check", "collectstatic", "demo_reset", "help", "lifecycle", "makemessages", "openapi"),
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in {"demo", "demo_reset"}:
        os.environ.setdefault("DEMO", "1")
    if command == "migrate":
        # Who waits for a lock makes everybody behind wait too: rather fail, and be tried again.
        os.environ.setdefault("PGOPTIONS", "-c lock_timeout=10s")
    own_python = HERE / ".venv" / "bin" / "python"
    if find_spec("django") is None and own_python.exists():
        os.execv(own_python, [str(own_python), *sys.argv])  # noqa: S606 (the same program)

    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        embedded = settings.EMBEDDED
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    if command not in NEEDS_NO_SERVERS and "--help" not in sys.argv:
        embedded.start(postgres=settings.EMBEDDED_POSTGRES, valkey=settings.EMBEDDED_VALKEY)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
