"""What every test may ask for."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from pytest_django import Settings
from xdist.scheduler import LoadScopeScheduling

from marketplace import clock

pytest_plugins = ["tests.people"]

Later = Callable[[timedelta], timedelta]


@pytest.fixture(scope="session", autouse=True)
def _what_never_changes_can_be_cleared() -> Iterator[None]:
    """Let the flush after a transactional test empty the tables whose triggers refuse it.

    Only that flush: during the test itself the triggers stand. It takes a superuser of PostgreSQL.
    """
    execute = DatabaseOperations.execute_sql_flush

    def execute_without_triggers(operations: DatabaseOperations, statements: list[str]) -> Any:
        return execute(operations, ["SET LOCAL session_replication_role = replica", *statements])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", execute_without_triggers)
        yield


@pytest.fixture
def later(settings: Settings, tmp_path: Path) -> Later:
    """Let time pass for every clock of the business: `later(timedelta(days=8))`."""
    settings.CLOCK_FILE = str(tmp_path / "clock")
    return clock.advance


class OneWorkerForTheBrowser(LoadScopeScheduling):
    """Shares tests out one by one, but those of tests/e2e together: they start the product once.

    pytest-xdist 3.8 has `--dist loadgroup` for that, but writes the groups into the ids of tests,
    and pytest 9.2 no longer lets it.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerForTheBrowser:
    return OneWorkerForTheBrowser(config, log)
