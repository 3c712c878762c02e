"""The state machine at work: a short run that is the same each time, or a long one.

`HYPOTHESIS_PROFILE=long python -m pytest tests/stateful -n0` plays some hundreds of histories that
differ from run to run; `HYPOTHESIS_EXAMPLES` and `HYPOTHESIS_STEPS` say how many and how long. What
fails is made as short as can be and printed as the steps to replay.
"""

import os

from hypothesis import HealthCheck, Phase
from hypothesis import settings as settings_for
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Marketplace
from tests.stateful.world import World

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "300" if LONG else "5"))
STEPS = int(os.environ.get("HYPOTHESIS_STEPS", "60" if LONG else "20"))


def test_every_promise_holds_whatever_happens(world: World) -> None:
    Marketplace.world = world

    run_state_machine_as_test(
        Marketplace,
        settings=settings_for(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not LONG,
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
