"""The escalation sweep through the door, beside raw SQL that writes the very same rows.

`.venv/bin/python -m bench.sweeps` prints one JSON object a line. Ours and the floor take turns, a
batch of a thousand overdue cases each, so that a busy machine slows both.
"""

import json
import os
import time
from statistics import median
from typing import Any

SIZES = {"small": (10_000, 6_000), "full": (1_000_000, 40_000)}
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


def run(cases: int, overdue: int) -> list[dict[str, Any]]:
    """Escalate by turns; answer cases a second and the CPU time of a case for both sides."""
    from django.db import connection

    from bench.load import load_cases
    from resolution import cases as door

    load_cases(cases, overdue)
    raw, given = floor()
    ids = list(range(1, overdue + 1))
    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    for start in range(0, overdue - BATCH, 2 * BATCH):
        batch = ids[start : start + BATCH]
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(raw, given | {"ids": batch})
        rates["floor"].append(BATCH / (time.perf_counter() - began))
        batch = ids[start + BATCH : start + 2 * BATCH]
        began = time.perf_counter()
        done = door.take_step_on_all(batch, "escalate")
        rates["ours"].append(len(done) / (time.perf_counter() - began))
        assert len(done) == BATCH, f"{len(done)} of {BATCH} escalated"
    return [_line(f"escalate, {cases:,} cases", rates)]


def _line(job: str, rates: dict[str, list[float]]) -> dict[str, Any]:
    ours, least = median(rates["ours"]), median(rates["floor"])
    ratio = median(o / f for o, f in zip(rates["ours"], rates["floor"], strict=True))
    return {
        "job": job, "unit": "cases/s", "ours": round(ours), "floor": round(least),
        "ratio": round(ratio, 2), "goal": f">= {GOAL}", "met": ratio >= GOAL,
    }  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DEMO", "1")
    os.environ.setdefault("VAR_DIR", "var/bench")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    from bench.world import a_fresh_database

    with a_fresh_database():
        for line in run(*SIZES[os.environ.get("SIZE", "small")]):
            print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
