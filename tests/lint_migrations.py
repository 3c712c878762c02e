"""Whether migrations can run while the release before still serves: part of `make lint`.

Those of the baseline are of a time when nobody ran the product; every later one has to pass.
`python -m tests.lint_migrations --all` lints the baseline as well.
"""

import sys
from pathlib import Path

import django
from django.conf import settings

BASELINE = Path(__file__).with_name("migrations_baseline.txt")
APPS = {"api", "config", "marketplace", "notifications", "payments", "resolution"}


def main(*, everything: bool) -> int:
    """Lint the migrations of our own apps; answer how many have errors."""
    django.setup()
    from django_migration_linter import MigrationLinter  # looks at the apps when it is imported

    settings.EMBEDDED.start(postgres=settings.EMBEDDED_POSTGRES, valkey=False)
    known = set() if everything else set(BASELINE.read_text().split())
    linter = MigrationLinter(str(BASELINE.parent.parent), no_cache=True, quiet=["ok", "warning"])
    for (app, name), migration in sorted(linter.migration_loader.disk_migrations.items()):
        if app in APPS and f"{app}.{name}" not in known:
            linter.lint_migration(migration)
    if linter.has_errors:
        linter.print_summary()
    return int(linter.nb_erroneous)


if __name__ == "__main__":
    sys.exit(main(everything="--all" in sys.argv))
