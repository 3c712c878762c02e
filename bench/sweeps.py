"""The escalation sweep through the door, beside raw SQL that writes the very same rows.

Ours and the floor take turns, a batch of a thousand overdue cases each.
"""

import time
from multiprocessing import get_context
from typing import Any

from bench.measure import SMALL, by_turns, prepare, say

SIZES = {"small": [(10_000, 10_000)], "full": [(10_000, 10_000), (1_000_000, 40_000)]}
"""Cases in the table, and how many of them are overdue, by the environment's SIZE."""

GOAL = 0.7
BATCH = 1000

RAW = """
WITH due AS MATERIALIZED (
    SELECT c.id, c.public_id, c.last_seq, c.last_hash, c.buyer_id, c.company_id, c.state, c.version,
           clock_timestamp() AS at, 'revt_' || substr(md5(random()::text), 1, 14) AS event
      FROM resolution_case AS c
     WHERE c.id = ANY (%(ids)s) AND c.state IN ('awaiting_creator', 'more_info')
       AND c.due_at <= clock_timestamp() AND c.frozen_at IS NULL
     ORDER BY c.id
       FOR NO KEY UPDATE SKIP LOCKED
), told AS MATERIALIZED (
    SELECT d.*, encode(sha256(convert_to(d.last_hash || jsonb_build_object(
             'actor', NULL, 'after', 'escalated', 'at', d.at, 'before', d.state,
             'case', d.public_id, 'data', jsonb_build_object('due_at', d.at, 'waiting_on', 'staff'),
             'files', '[]'::jsonb, 'id', d.event, 'message', '', 'party', 'system',
             'seq', d.last_seq + 1, 'staff_only', false, 'step', 'escalate')::text,
             'UTF8')), 'hex') AS hash
      FROM due AS d
), moved AS (
    UPDATE resolution_case AS c
       SET state = 'escalated', waiting_on = 'staff', due_at = t.at + interval '2 days',
           clock_started_at = t.at, review_reason = 'creator_silent', version = t.version + 1,
           last_seq = t.last_seq + 1, last_hash = t.hash, updated_at = t.at
      FROM told AS t WHERE c.id = t.id
), events AS (
    INSERT INTO resolution_event (public_id, case_id, seq, step, party, state_before, state_after,
           message, data, staff_only, created_at, previous_hash, hash)
    SELECT event, id, last_seq + 1, 'escalate', 'system', state, 'escalated', '',
           jsonb_build_object('due_at', at, 'waiting_on', 'staff'), false, at, last_hash, hash
      FROM told
), people AS (
    SELECT t.*, t.buyer_id AS person FROM told AS t
     UNION ALL
    SELECT t.*, m.user_id FROM told AS t
      JOIN marketplace_teammember AS m ON m.company_id = t.company_id AND m.role <> 'viewer'
      JOIN marketplace_user AS u ON u.id = m.user_id AND u.is_active
)
INSERT INTO notifications_notification (public_id, key, recipient_id, kind, about, thread{names})
SELECT 'msg_' || substr(md5(random()::text), 1, 14), event || ':' || person || ':email', person,
       'escalate', event, public_id{values} FROM people
"""


def floor() -> tuple[str, dict[str, Any]]:
    """The raw statement; columns that it does not name get the values that the model would give."""
    from django.db import connection

    from notifications.models import Notification

    named = {"id", "public_id", "key", "recipient_id", "kind", "about", "thread"}
    rest: list[Any] = [f for f in Notification._meta.concrete_fields if f.attname not in named]
    names = "".join(f", {f.column}" for f in rest)
    values = "".join(f", %({f.column})s" for f in rest)
    given = {f.column: f.get_db_prep_save(f.get_default(), connection) for f in rest}
    return RAW.replace("{names}", names).replace("{values}", values), given


def run(cases: int, overdue: int) -> None:
    """Escalate by turns, a batch of each side, and say what a case costs."""
    from django.db import connection

    from bench.load import load_cases, overdue_first
    from resolution import cases as door

    load_cases(cases, overdue_first(overdue), big=False)
    raw, given = floor()
    batches = iter(range(1, overdue + 1, BATCH))

    def next_batch() -> list[int]:
        first = next(batches)
        return list(range(first, first + BATCH))

    def by_raw_sql() -> None:
        with connection.cursor() as cursor:
            cursor.execute(raw, given | {"ids": next_batch()})

    def by_the_door() -> None:
        done = door.take_step_on_all(next_batch(), "escalate")
        assert len(done) == BATCH, f"{len(done)} of {BATCH} escalated"

    ours, least = by_turns(by_the_door, by_raw_sql, turns=overdue // BATCH // 2 - 1)
    ratio = least.cpu / ours.cpu
    say(
        job=f"escalate, of {cases:,} cases",
        unit="cases/s",
        ours=round(BATCH / ours.middle),
        floor=round(BATCH / least.middle),
        ratio=round(ratio, 2),
        goal=f">= {GOAL}",
        met=ratio >= GOAL,
        cpu_us=round(ours.cpu / BATCH * 1e6),
        postgres_us=round(ours.postgres / BATCH * 1e6),
        floor_cpu_us=round(least.cpu / BATCH * 1e6),
    )


def sweep_all(database: str, began: Any) -> None:
    """What one worker does: sweep until nothing is found."""
    prepare()
    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = database
    from config.memory import settle
    from resolution import sweeps

    settle()
    connection.ensure_connection()
    began.wait()
    while sweeps.sweep():
        pass


def together(overdue: int) -> None:
    """Two workers sweep the same backlog at once: each case once, and how many a second."""
    from django.db import connection
    from django.db.models import Count

    from bench.load import load_cases, overdue_first
    from resolution.models import Case, Event

    load_cases(overdue, overdue_first(overdue), big=False)
    workers = get_context("spawn")
    began = workers.Barrier(3)
    database = connection.settings_dict["NAME"]
    both = [workers.Process(target=sweep_all, args=(database, began)) for _ in range(2)]
    for worker in both:
        worker.start()
    began.wait()
    started = time.perf_counter()
    for worker in both:
        worker.join()
    took = time.perf_counter() - started
    twice = Event.objects.values("case").annotate(many=Count("pk")).filter(many__gt=1).count()
    escalated = Case.objects.filter(state="escalated").count()
    events = Event.objects.filter(step="escalate").count()
    assert (escalated, events, twice) == (overdue, overdue, 0), (escalated, events, twice)
    least = DAY_OF_BACKLOG / FIVE_MINUTES
    say(
        job=f"two workers, a backlog of {overdue:,}",
        unit="cases/s",
        ours=round(overdue / took),
        floor=round(least),
        ratio=round(overdue / took / least, 2),
        goal=">= 1",
        met=overdue / took >= least,
        twice=twice,
        a_days_backlog_s=round(DAY_OF_BACKLOG / (overdue / took)),
    )


DAY_OF_BACKLOG = 91_000
"""Cases that come due in a day on a platform that holds a hundred million of three years."""

FIVE_MINUTES = 300


def main() -> None:
    prepare()
    from bench.world import a_fresh_database
    from config.memory import settle

    for size in SIZES["small" if SMALL else "full"]:
        with a_fresh_database():
            settle()
            run(*size)
    with a_fresh_database():
        together(SIZES["small" if SMALL else "full"][-1][1])


if __name__ == "__main__":
    main()
