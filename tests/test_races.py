"""A few rounds of each race; `make races` plays thousands."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests import invariants
from tests.races import Races


@pytest.mark.django_db(transaction=True)
def test_people_who_act_at_the_same_moment_never_see_an_error(
    settings: Settings, tmp_path: Path
) -> None:
    settings.CLOCK_FILE = tmp_path / "clock"
    settings.MAX_UNSENT_FILES = 3
    races = Races("1")

    try:
        for race in races.kinds * 2:
            races.play(race)
    finally:
        races.close()

    assert (races.tally.illegal, races.tally.errors, invariants.violations()) == ([], [], [])
    assert races.tally.rounds == 12
