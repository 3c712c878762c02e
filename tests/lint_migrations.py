"""Whether migrations can run while the release before still serves: part of `make lint`.

Those of the baseline are of a time when nobody ran the product; every later one has to pass.
`python -m tests.lint_migrations --all` lints the baseline as well, `--record` writes it anew: at a
release that nobody upgrades to, since there was none before.
"""

import sys
from pathlib import Path

import django
from django.conf import settings

BASELINE = Path(__file__).with_name("migrations_baseline.txt")
APPS = {"accounts", "api", "config", "marketplace", "notifications", "payments", "resolution"}


def main(*, everything: bool, record: bool) -> int:
    """Lint the migrations of our own apps; answer how many have errors."""
    django.setup()
    from django_migration_linter import MigrationLinter  # looks at the apps when it is imported

    settings.EMBEDDED.start(postgres=settings.EMBEDDED_POSTGRES, valkey=False)
    known = set() if everything else set(BASELINE.read_text().split())
    linter = MigrationLinter(str(BASELINE.parent.parent), no_cache=True, quiet=["ok", "warning"])
    ours = {
        f"{app}.{name}": migration
        for (app, name), migration in sorted(linter.migration_loader.disk_migrations.items())
        if app in APPS
    }
    if record:
        BASELINE.write_text("".join(f"{name}\n" for name in ours))
        return 0
    for name, migration in ours.items():
        if name not in known:
            linter.lint_migration(migration)
    if linter.has_errors:
        linter.print_summary()
    return int(linter.nb_erroneous)


if __name__ == "__main__":
    sys.exit(main(everything="--all" in sys.argv, record="--record" in sys.argv))
