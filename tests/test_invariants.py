"""Each promise is broken behind the database's back, and the query for it tells."""

import pytest
from django.db import connection, transaction

from resolution import cases
from resolution.models import Case
from resolution.terms import Actor
from tests.invariants import ALL, violations

BROKEN = [
    ("the sums of a payment are those of its refunds and credits",
     "UPDATE payments_payment SET reserved_minor = 0"),
    ("a refund is in the currency of its payment, and so is the case",
     "UPDATE resolution_case SET currency = 'EUR'"),
    ("a decision has one refund at most", """
     INSERT INTO payments_refund SELECT (again.row).* FROM (
         SELECT jsonb_populate_record(r, '{"id": 0, "key": "k", "public_id": "rfnd_k"}') AS row
           FROM payments_refund r) again"""),
    ("a final decision to refund has its refund, and a step of the money",
     "UPDATE resolution_case SET money = 'promised'"),
    ("a refund that failed is with staff", "UPDATE resolution_case SET money = 'failed'"),
    ("a promise keeps its money until it is final or lifted",
     "UPDATE resolution_case SET final = false"),
    ("a refund has the terms of the decision that caused it",
     "UPDATE payments_refund SET amount_minor = 1"),
    ("a refund that is not made elsewhere is caused by a step",
     "UPDATE payments_refund SET cause = 'revt_nowhere'"),
    ("arrived is what the provider has said", "UPDATE resolution_case SET money = 'arrived'"),
    ("the timeline tells of an arrival only what has arrived",
     "UPDATE resolution_event SET step = 'refund_arrived' WHERE step = 'accept'"),
    ("a case closes when its money has arrived, or gave none",
     "UPDATE resolution_event SET step = 'close' WHERE step = 'accept'"),
    ("a refund that has ended holds nothing and is due no more",
     "UPDATE payments_refund SET state = 'succeeded'"),
    ("a decision is credited once, in full, to the buyer",
     "UPDATE resolution_case SET remedy = 'credit'"),
    ("only the table's edges occur, taken by whose they are",
     "UPDATE resolution_event SET party = 'staff' WHERE step = 'accept'"),
    ("closed is closed", "UPDATE resolution_case SET state = 'closed', closed_at = now()"),
    ("a case that gives nothing keeps no money back",
     "UPDATE resolution_case SET remedy = 'none'"),
    ("whoever acts is one who may",
     "UPDATE resolution_event SET actor_id = NULL WHERE step = 'accept'"),
    ("each change has one event, and replaying them gives the case",
     "UPDATE resolution_case SET version = version + 1"),
    ("each event begins where the one before it ended",
     "UPDATE resolution_event SET state_before = 'more_info' WHERE step = 'accept'"),
    ("the events of a case are counted without gaps",
     "DELETE FROM resolution_event WHERE step = 'notify_creator'"),
    ("what never changes is guarded by the database",
     "DROP TRIGGER resolution_event_append_only ON resolution_event"),
    ("what happens once in a life happens once",
     "UPDATE resolution_event SET step = 'accept'"),
    ("whoever is to be told has a message", "DELETE FROM notifications_notification"),
    ("nobody else has one", """
     UPDATE resolution_event SET step = 'note'; UPDATE notifications_notification SET kind = 'note'
     """),
    ("a message that is sent says when, and one that waits is held by nobody",
     "UPDATE notifications_notification SET state = 'sent'"),
]  # fmt: skip


@pytest.fixture
def accepted(waiting_case: Case, creator: Actor) -> Case:
    """A case whose refund has not left yet."""
    cases.take_step(waiting_case, "accept", creator)
    return Case.objects.get(pk=waiting_case.pk)


def told_after(harm: str) -> set[str]:
    """The names of the promises that are broken after an act behind the database's back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(harm)
        said = violations()
        transaction.set_rollback(True)
    return {one.name for one in ALL for each in said if f"{one.number} {one.name}:" in each}


def test_each_broken_promise_is_told(accepted: Case) -> None:
    whole = violations()

    untold = [name for name, harm in BROKEN if name not in told_after(harm)]

    assert (whole, untold, violations()) == ([], [], [])
