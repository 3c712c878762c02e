"""Five hundred webhooks, doubled, shuffled and late, end like a calm day."""

import pytest

from tests.webhook_storm import forget, in_a_storm, in_order, listening_sandbox


@pytest.mark.django_db(transaction=True)
def test_a_storm_of_webhooks_ends_in_the_same_state_as_each_once_in_order() -> None:
    with listening_sandbox() as sandbox:
        calm = in_order(sandbox, 300, seed=1)
    forget()

    with listening_sandbox() as sandbox:
        storm = in_a_storm(sandbox, 300, seed=1)

    assert (calm.wrong, storm.wrong) == ([], [])
    assert storm.state == calm.state
    assert (storm.rows, storm.events) == (calm.rows, calm.events)
    assert storm.webhooks >= max(300, 2 * storm.events)
