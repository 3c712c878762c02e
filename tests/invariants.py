"""What must hold at every moment, whatever happens, as SQL; and what must hold once all is quiet.

`violations` looks at the rows alone, between any two transactions of anybody. `unsettled` names
what still waits for a worker. `differences` compares with the providers' own books. All three
answer with sentences, and with none when all is well. The numbers are those of the promises that
the product makes: 1 to 9 money, 10 to 15 cases, 16 to 18 messages and files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from marketplace import clock
from payments.models import Discrepancy, Payment, Refund
from resolution.cases import NOT_A_CHANGE
from resolution.lifecycle import Lifecycle, told_when_final
from resolution.terms import BOTH, Effects


@dataclass(frozen=True)
class Invariant:
    """A promise by its number and name, and the query for the rows that break it, each as text."""

    number: int
    name: str
    query: str


IN_EFFECT = "('held', 'pending', 'submitting', 'requires_action', 'succeeded')"
IN_FLIGHT = "('pending', 'submitting', 'requires_action')"
BADLY_ENDED = "('failed', 'canceled')"

MONEY = (
    Invariant(
        1,
        "the sums of a payment are those of its refunds and credits",
        """
        SELECT concat_ws(' ', p.public_id, p.amount_minor, 'says', p.refunded_minor,
                         p.reserved_minor, p.credited_minor, 'has', r.back, r.reserved, c.credited)
          FROM payments_payment p
         CROSS JOIN LATERAL (
               SELECT coalesce(sum(amount_minor) FILTER (WHERE state = 'succeeded'), 0) AS back,
                      coalesce(sum(amount_minor) FILTER (WHERE state IN
                        ('held', 'pending', 'submitting', 'requires_action')), 0) AS reserved
                 FROM payments_refund WHERE payment_id = p.id) r
         CROSS JOIN LATERAL (
               SELECT coalesce(sum(e.amount_minor), 0) AS credited
                 FROM payments_credittransfer t
                 JOIN payments_creditentry e ON e.transfer_id = t.id
                 JOIN payments_creditaccount a ON a.id = e.account_id AND a.kind = 'buyer'
                WHERE t.payment_id = p.id) c
         WHERE p.id > %(since)s
           AND ((p.refunded_minor, p.reserved_minor, p.credited_minor)
                IS DISTINCT FROM (r.back, r.reserved, c.credited)
                OR r.back + r.reserved + c.credited > p.amount_minor)""",
    ),
    Invariant(
        1,
        "a refund is in the currency of its payment, and so is the case",
        """
        SELECT concat_ws(' ', p.public_id, p.currency, r.currency, c.currency)
          FROM payments_payment p
          LEFT JOIN payments_refund r ON r.payment_id = p.id
          LEFT JOIN resolution_case c ON c.payment_id = p.id
         WHERE p.id > %(since)s AND (r.currency <> p.currency OR c.currency <> p.currency)""",
    ),
    Invariant(
        2,
        "a decision has one refund at most",
        """
        SELECT concat_ws(' ', r.cause, count(*), 'refunds')
          FROM payments_refund r
         WHERE r.payment_id > %(since)s AND NOT r.elsewhere
         GROUP BY r.payment_id, r.cause HAVING count(*) > 1""",
    ),
    Invariant(
        2,
        "a case has one refund in effect at most",
        f"""
        SELECT concat_ws(' ', c.public_id, count(*), 'in effect')
          FROM resolution_case c
          JOIN payments_refund r ON r.payment_id = c.payment_id AND NOT r.elsewhere
          JOIN resolution_event e ON e.public_id = r.cause AND e.case_id = c.id
         WHERE c.payment_id > %(since)s AND r.state IN {IN_EFFECT}
         GROUP BY c.id HAVING count(*) > 1""",
    ),
    Invariant(
        3,
        "a final decision to refund has its refund, and a step of the money",
        """
        SELECT concat_ws(' ', c.public_id, 'money', c.money, 'refund', c.refund_id)
          FROM resolution_case c
         WHERE c.payment_id > %(since)s AND c.final AND c.remedy = 'refund'
           AND (c.refund_id IS NULL
                OR c.money NOT IN ('requested', 'sent', 'arrived', 'failed', 'by_hand'))""",
    ),
    Invariant(
        3,
        "a refund that failed is with staff",
        """
        SELECT concat_ws(' ', c.public_id, 'waits on', c.waiting_on)
          FROM resolution_case c
         WHERE c.payment_id > %(since)s AND c.money = 'failed' AND c.waiting_on <> 'staff'""",
    ),
    Invariant(
        3,
        "a promise keeps its money until it is final or lifted",
        """
        SELECT concat_ws(' ', c.public_id, 'money', c.money, 'refund', r.state)
          FROM resolution_case c LEFT JOIN payments_refund r ON r.id = c.refund_id
         WHERE c.payment_id > %(since)s AND c.state = 'decided' AND NOT c.final
           AND c.remedy = 'refund'
           AND (c.money <> 'promised' OR r.state IS NULL OR r.state NOT IN ('held', 'canceled'))""",
    ),
    Invariant(
        4,
        "a refund has the terms of the decision that caused it",
        """
        SELECT concat_ws(' ', r.public_id, r.amount_minor, r.currency, 'decided', e.data)
          FROM payments_refund r
          JOIN resolution_event e ON e.public_id = r.cause
          JOIN resolution_case c ON c.id = e.case_id
         WHERE r.payment_id > %(since)s
           AND (c.payment_id <> r.payment_id OR r.amount_minor <= 0
                OR e.data ->> 'amount_minor' IS DISTINCT FROM r.amount_minor::text
                OR e.data ->> 'currency' IS DISTINCT FROM r.currency)""",
    ),
    Invariant(
        4,
        "a refund that is not made elsewhere is caused by a step",
        """
        SELECT concat_ws(' ', r.public_id, r.cause)
          FROM payments_refund r
          JOIN resolution_case c ON c.payment_id = r.payment_id
          LEFT JOIN resolution_event e ON e.public_id = r.cause
         WHERE r.payment_id > %(since)s AND NOT r.elsewhere AND e.id IS NULL""",
    ),
    Invariant(
        5,
        "arrived is what the provider has said",
        """
        SELECT concat_ws(' ', r.public_id, r.state, 'case', c.public_id, c.money)
          FROM payments_refund r
          LEFT JOIN resolution_case c ON c.refund_id = r.id AND c.remedy = 'refund'
         WHERE r.payment_id > %(since)s
           AND ((r.state = 'succeeded' AND r.provider_id = '')
                OR (c.money = 'arrived' AND r.state NOT IN ('succeeded', 'failed', 'canceled')))""",
    ),
    Invariant(
        5,
        "the timeline tells of an arrival only what has arrived",
        """
        SELECT concat_ws(' ', e.public_id, r.public_id, r.state)
          FROM resolution_event e
          JOIN resolution_case c ON c.id = e.case_id
          LEFT JOIN payments_refund r ON r.public_id = e.data ->> 'refund'
         WHERE c.payment_id > %(since)s AND e.step = 'refund_arrived'
           AND (r.id IS NULL OR r.state NOT IN ('succeeded', 'failed', 'canceled'))""",
    ),
    Invariant(
        5,
        "a case closes when its money has arrived, or gave none",
        """
        SELECT concat_ws(' ', e.public_id, e.data ->> 'money')
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s AND e.step = 'close'
           AND coalesce(e.data ->> 'money', '-') NOT IN ('', 'arrived', 'by_hand')""",
    ),
    Invariant(
        6,
        "a refund that has ended holds nothing and is due no more",
        f"""
        SELECT concat_ws(' ', r.public_id, r.state, r.settled_at, r.next_attempt_at, r.lease_token)
          FROM payments_refund r
         WHERE r.payment_id > %(since)s
           AND CASE WHEN r.state IN {IN_FLIGHT}
                    THEN r.settled_at IS NOT NULL OR r.next_attempt_at IS NULL
                    WHEN r.state = 'held'
                    THEN r.settled_at IS NOT NULL OR r.lease_token IS NOT NULL
                    ELSE r.settled_at IS NULL OR r.next_attempt_at IS NOT NULL
                         OR r.lease_token IS NOT NULL END""",
    ),
    Invariant(
        7,
        "a decision is credited once, in full, to the buyer",
        """
        SELECT concat_ws(' ', c.public_id, count(t.id), 'bookings')
          FROM resolution_case c
          LEFT JOIN payments_credittransfer t ON t.payment_id = c.payment_id
          LEFT JOIN LATERAL (
               SELECT sum(e.amount_minor) AS amount, min(a.user_id) AS user_id
                 FROM payments_creditentry e JOIN payments_creditaccount a ON a.id = e.account_id
                WHERE e.transfer_id = t.id AND a.kind = 'buyer') b ON true
         WHERE c.payment_id > %(since)s
         GROUP BY c.id
        HAVING count(t.id) <> (c.final AND c.remedy = 'credit')::int
            OR (count(t.id) = 1
                AND (min(b.amount), min(b.user_id))
                    IS DISTINCT FROM (c.remedy_minor::numeric, c.buyer_id))""",
    ),
    Invariant(
        7,
        "the credits ledger balances, and no buyer owes",
        """
        SELECT concat_ws(' ', t.public_id, sum(e.amount_minor), count(*))
          FROM payments_credittransfer t
          LEFT JOIN payments_creditentry e ON e.transfer_id = t.id
         GROUP BY t.id HAVING coalesce(sum(e.amount_minor), -1) <> 0 OR count(*) < 2
        UNION ALL
        SELECT concat_ws(' ', 'account', a.id, a.kind, sum(e.amount_minor))
          FROM payments_creditaccount a JOIN payments_creditentry e ON e.account_id = a.id
         GROUP BY a.id
        HAVING a.kind = 'buyer' AND sum(e.amount_minor) < 0
            OR a.kind NOT IN ('buyer', 'goodwill')""",
    ),
    Invariant(
        8,
        "nothing is sent or promised while the bank looks into it",
        """
        SELECT concat_ws(' ', r.public_id, r.first_sent_at, r.in_doubt_since, 'frozen', n.frozen_at)
          FROM resolution_case c
          JOIN payments_payment p ON p.id = c.payment_id AND p.chargeback = 'open'
          JOIN LATERAL (
               SELECT max(e.created_at) AS at, max(n.created_at) AS frozen_at
                 FROM resolution_event e JOIN notifications_notification n ON n.about = e.public_id
                WHERE e.case_id = c.id AND e.step = 'freeze') n ON n.frozen_at IS NOT NULL
          JOIN payments_refund r ON r.payment_id = p.id AND NOT r.elsewhere
         WHERE p.id > %(since)s AND c.frozen_at IS NOT NULL
           AND (greatest(r.first_sent_at, r.in_doubt_since) > n.frozen_at
                OR r.created_at > n.at)""",
    ),
    Invariant(
        9,
        "no difference of our own making has been found",
        """
        SELECT concat_ws(' ', p.public_id, d.kind, d.reference, d.detail)
          FROM payments_discrepancy d JOIN payments_payment p ON p.id = d.payment_id
         WHERE p.id > %(since)s AND d.settled_at IS NULL AND d.gone_at IS NULL
           AND d.kind IN ('twice', 'terms', 'sums', 'ended_here')""",
    ),
)

CASES = (
    Invariant(
        10,
        "a payment has one case at most",
        """
        SELECT concat_ws(' ', 'payment', payment_id, count(*)) FROM resolution_case
         WHERE payment_id > %(since)s GROUP BY payment_id HAVING count(*) > 1""",
    ),
    Invariant(
        11,
        "only the table's edges occur, taken by whose they are",
        """
        SELECT concat_ws(' ', e.public_id, e.step, 'from', e.state_before, 'to', e.state_after,
                         'by', e.party)
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s AND NOT EXISTS (
               SELECT 1 FROM unnest(%(edge_steps)s::text[], %(edge_from)s::text[],
                                    %(edge_to)s::text[], %(edge_by)s::text[])
                             AS edge(step, source, target, party)
                WHERE (edge.step, edge.source, edge.target, edge.party)
                    = (e.step, e.state_before, e.state_after, e.party))""",
    ),
    Invariant(
        11,
        "closed is closed",
        """
        SELECT concat_ws(' ', c.public_id, c.state, c.outcome, c.closed_at)
          FROM resolution_case c
         WHERE c.payment_id > %(since)s
           AND ((c.state = 'closed') <> (c.closed_at IS NOT NULL)
                OR (c.state = 'closed' AND c.outcome = '')
                OR (c.state = 'closed') <> EXISTS (
                    SELECT 1 FROM resolution_event e
                     WHERE e.case_id = c.id AND e.state_after = 'closed'))""",
    ),
    Invariant(
        11,
        "a case that gives nothing keeps no money back",
        f"""
        SELECT concat_ws(' ', c.public_id, c.state, c.outcome, r.public_id, r.state)
          FROM resolution_case c
          JOIN payments_payment p ON p.id = c.payment_id
          JOIN payments_refund r ON r.id = c.refund_id
         WHERE c.payment_id > %(since)s AND c.remedy = 'none' AND p.chargeback <> 'lost'
           AND r.state IN {IN_EFFECT}""",
    ),
    Invariant(
        11,
        "whoever acts is one who may",
        """
        SELECT concat_ws(' ', e.public_id, e.step, e.party, e.actor_id)
          FROM resolution_event e
          JOIN resolution_case c ON c.id = e.case_id
          LEFT JOIN marketplace_user u ON u.id = e.actor_id
          LEFT JOIN marketplace_teammember m ON m.user_id = u.id AND m.company_id = c.company_id
         WHERE c.payment_id > %(since)s
           AND NOT CASE e.party
               WHEN 'system' THEN e.actor_id IS NULL
               WHEN 'buyer' THEN e.actor_id = c.buyer_id
               WHEN 'creator' THEN coalesce(m.role, 'viewer') <> 'viewer'
               WHEN 'staff' THEN u.is_staff AND m.id IS NULL AND u.id <> c.buyer_id
               ELSE false END""",
    ),
    Invariant(
        11,
        "a final review is somebody else's",
        """
        SELECT concat_ws(' ', e.public_id, e.actor_id)
          FROM resolution_event e
          JOIN resolution_case c ON c.id = e.case_id
          JOIN resolution_event first ON first.case_id = c.id AND first.step = 'decide'
         WHERE c.payment_id > %(since)s AND e.step = 'decide_final'
           AND e.actor_id = first.actor_id""",
    ),
    Invariant(
        12,
        "each change has one event, and replaying them gives the case",
        """
        SELECT concat_ws(' ', c.public_id, c.state, c.version, c.last_seq, 'events say',
                         e.state, e.changes, e.seq)
          FROM resolution_case c
          LEFT JOIN LATERAL (
               SELECT count(*) AS seq,
                      count(*) FILTER (WHERE step <> ALL (%(not_a_change)s)) AS changes,
                      (array_agg(state_after ORDER BY seq DESC))[1] AS state,
                      (array_agg(hash ORDER BY seq DESC))[1] AS hash,
                      (array_agg(data ->> 'waiting_on' ORDER BY seq DESC))[1] AS waiting_on,
                      (array_agg(data ->> 'due_at' ORDER BY seq DESC)
                         FILTER (WHERE data ? 'due_at'))[1] AS due_at
                 FROM resolution_event WHERE case_id = c.id) e ON true
         WHERE c.payment_id > %(since)s
           AND ((c.state, c.version, c.last_seq, c.last_hash, c.waiting_on)
                IS DISTINCT FROM (e.state, e.changes, e.seq, e.hash, e.waiting_on)
                OR c.due_at IS DISTINCT FROM e.due_at::timestamptz)""",
    ),
    Invariant(
        12,
        "each event begins where the one before it ended",
        """
        SELECT concat_ws(' ', e.public_id, e.seq, e.step, 'from', e.state_before)
          FROM (SELECT e.*, lag(e.state_after, 1, '') OVER one AS left_at,
                       lag(e.hash, 1, '') OVER one AS hash_before,
                       lag(e.created_at) OVER one AS earlier
                  FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
                 WHERE c.payment_id > %(since)s
                WINDOW one AS (PARTITION BY e.case_id ORDER BY e.seq)) e
         WHERE e.state_before <> e.left_at OR e.previous_hash <> e.hash_before
            OR e.created_at < e.earlier""",
    ),
    Invariant(
        13,
        "the events of a case are counted without gaps",
        """
        SELECT concat_ws(' ', 'case', e.case_id, min(e.seq), max(e.seq), count(*))
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s
         GROUP BY e.case_id HAVING min(e.seq) <> 1 OR max(e.seq) <> count(*)""",
    ),
    Invariant(
        13,
        "what never changes is guarded by the database",
        """
        SELECT wanted.name
          FROM unnest(ARRAY['payments_refund_terms', 'payments_entry_append_only',
                            'payments_transfer_append_only', 'payments_transfer_balances',
                            'resolution_event_append_only', 'resolution_event_no_truncate',
                            'resolution_case_origin', 'resolution_case_eligible']) AS wanted(name)
          LEFT JOIN pg_trigger t ON t.tgname = wanted.name
         WHERE t.tgenabled IS NULL OR t.tgenabled = 'D'""",
    ),
    Invariant(
        14,
        "what happens once in a life happens once",
        """
        SELECT concat_ws(' ', c.public_id, e.step, count(*))
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s
           AND e.step IN ('open_case', 'notify_creator', 'auto_refund', 'escalate', 'accept',
                          'decide', 'decide_final', 'decide_final_alone', 'decide_unanswered',
                          'finalize', 'close', 'void', 'withdraw')
         GROUP BY c.id, e.step HAVING count(*) > 1""",
    ),
    Invariant(
        14,
        "a refund is sent, arrives and fails once each",
        """
        SELECT concat_ws(' ', c.public_id, e.step, e.data ->> 'refund', count(*))
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s
           AND e.step IN ('refund_sent', 'refund_arrived', 'refund_failed')
         GROUP BY c.id, e.step, e.data ->> 'refund' HAVING count(*) > 1""",
    ),
    Invariant(
        14,
        "the time is over before the system says so",
        """
        SELECT concat_ws(' ', e.public_id, e.step, e.created_at, 'was due', due.at)
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         CROSS JOIN LATERAL (
               SELECT (before.data ->> 'due_at')::timestamptz AS at FROM resolution_event before
                WHERE before.case_id = e.case_id AND before.seq < e.seq AND before.data ? 'due_at'
                ORDER BY before.seq DESC LIMIT 1) due
         WHERE c.payment_id > %(since)s
           AND e.step IN ('escalate', 'finalize', 'decide_unanswered', 'resume_review')
           AND (due.at IS NULL OR e.created_at < due.at)""",
    ),
    Invariant(
        15,
        "a form counts once",
        """
        SELECT concat_ws(' ', 'case', e.case_id, e.form_key, count(*))
          FROM resolution_event e JOIN resolution_case c ON c.id = e.case_id
         WHERE c.payment_id > %(since)s AND e.form_key IS NOT NULL
         GROUP BY e.case_id, e.form_key HAVING count(*) > 1""",
    ),
)

TOLD = """
    SELECT e.public_id AS about, person.id AS recipient_id
      FROM resolution_event e
      JOIN resolution_case c ON c.id = e.case_id AND c.payment_id > %(since)s
      JOIN unnest(%(tell_steps)s::text[], %(tell_parties)s::text[], %(tell_when_final)s::bool[],
                  %(tell_confirms)s::bool[]) AS told(step, party, when_final, confirms)
        ON told.step = e.step AND (NOT told.when_final
           OR e.data ->> 'final' = 'true' AND coalesce(e.data ->> 'money', '') <> '')
      JOIN LATERAL (
           SELECT c.buyer_id AS id WHERE told.party = 'buyer'
            UNION ALL
           SELECT m.user_id
             FROM marketplace_teammember m JOIN marketplace_user u ON u.id = m.user_id
            WHERE told.party = 'creator' AND m.company_id = c.company_id AND m.role <> 'viewer'
              AND u.is_active) person
        ON person.id IS DISTINCT FROM e.actor_id OR told.confirms"""

WRITTEN = """
    SELECT n.about, n.recipient_id
      FROM notifications_notification n
      JOIN resolution_event e ON e.public_id = n.about AND n.kind = e.step
      JOIN resolution_case c ON c.id = e.case_id AND c.payment_id > %(since)s
     WHERE n.channel = 'email'"""

MESSAGES = (
    Invariant(
        16,
        "whoever is to be told has a message",
        f"""
        SELECT concat_ws(' ', about, 'to', recipient_id) FROM ({TOLD} EXCEPT {WRITTEN}) missing""",
    ),
    Invariant(
        16,
        "nobody else has one",
        f"""
        SELECT concat_ws(' ', about, 'to', recipient_id) FROM ({WRITTEN} EXCEPT {TOLD}) extra""",
    ),
    Invariant(
        16,
        "an event has one message for each recipient and channel",
        """
        SELECT concat_ws(' ', n.about, n.kind, n.channel, 'to', n.recipient_id, count(*))
          FROM notifications_notification n
          JOIN resolution_event e ON e.public_id = n.about AND n.kind = e.step
          JOIN resolution_case c ON c.id = e.case_id AND c.payment_id > %(since)s
         GROUP BY n.about, n.kind, n.channel, n.recipient_id HAVING count(*) > 1""",
    ),
    Invariant(
        16,
        "a message that is sent says when, and one that waits is held by nobody",
        """
        SELECT concat_ws(' ', n.public_id, n.state, n.sent_at, n.lease_token)
          FROM notifications_notification n
         WHERE (n.state = 'sent') <> (n.sent_at IS NOT NULL)
            OR (n.state = 'sending') <> (n.lease_token IS NOT NULL)""",
    ),
    Invariant(
        17,
        "an event of the provider's is kept once",
        """
        SELECT concat_ws(' ', provider, event_id, count(*)) FROM payments_providerevent
         GROUP BY provider, event_id HAVING count(*) > 1""",
    ),
    Invariant(
        18,
        "a message has three files at most, each of them sent once and whole",
        """
        SELECT concat_ws(' ', e.public_id, count(*), 'files')
          FROM resolution_attachment a JOIN resolution_event e ON e.id = a.event_id
         GROUP BY e.id HAVING count(*) > 3 OR min(a.size) <= 0 OR min(length(a.sha256)) <> 64""",
    ),
)

ALL = (*MONEY, *CASES, *MESSAGES)


def violations(since: int = 0) -> list[str]:
    """A sentence for each row that breaks a promise; payments up to the id `since` are left out.

    One statement, so that all of it is seen at one moment.
    """
    return _ask(ALL, since=since)


def _ask(invariants: tuple[Invariant, ...], **params: Any) -> list[str]:
    parts = [
        f"SELECT {place} AS place, found.* FROM ({one.query}) AS found(detail)"
        for place, one in enumerate(invariants)
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts) + " ORDER BY 1, 2", _table() | params)
        rows = cursor.fetchall()
    return [f"{invariants[at].number} {invariants[at].name}: {detail}" for at, detail in rows]


def _table() -> dict[str, Any]:
    """The lifecycle as arrays: its edges, and whom each step tells."""
    edges: list[tuple[str, str, str, str]] = []
    tells: list[tuple[str, str, bool, bool]] = []
    for name, step in vars(Lifecycle).items():
        if not hasattr(step, "_django_fsm"):
            continue
        rows = step._django_fsm.transitions
        for source, row in rows.items():
            targets = getattr(row.target, "allowed_states", [row.target or source])
            edges += [(name, source, to, by) for to in targets for by in row.permission.parties]
        effects: Effects = next(iter(rows.values())).custom["effects"]
        by_the_case = effects.tells is told_when_final
        told = BOTH if callable(effects.tells) else effects.tells
        assert by_the_case or not callable(effects.tells), "tell this rule here as well"
        tells += [(name, party, by_the_case, effects.confirms) for party in told]
    steps, sources, targets, parties = zip(*edges, strict=True)
    tell_steps, tell_parties, when_final, confirms = zip(*tells, strict=True)
    return {
        "edge_steps": list(steps),
        "edge_from": [str(source) for source in sources],
        "edge_to": [str(target) for target in targets],
        "edge_by": [str(party) for party in parties],
        "tell_steps": list(tell_steps),
        "tell_parties": [str(party) for party in tell_parties],
        "tell_when_final": list(when_final),
        "tell_confirms": list(confirms),
        "not_a_change": list(NOT_A_CHANGE),
    }


# ── Once all is quiet ─────────────────────────────────────────────────────────────────────────────

WAITING = (
    Invariant(
        3,
        "a refund is still under way",
        """
        SELECT concat_ws(' ', r.public_id, r.state, r.provider_id, r.failure_code)
          FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
         WHERE p.id > %(since)s AND r.state IN ('pending', 'submitting')
           AND (p.chargeback <> 'open' OR r.provider_id <> '')""",
    ),
    Invariant(
        3,
        "a refund is held although nobody can appeal any more",
        """
        SELECT concat_ws(' ', r.public_id, c.public_id, c.state)
          FROM payments_refund r LEFT JOIN resolution_case c ON c.refund_id = r.id
         WHERE r.payment_id > %(since)s AND r.state = 'held'
           AND (c.id IS NULL OR c.final OR c.state = 'closed')""",
    ),
    Invariant(
        3,
        "a case does not know what has become of its refund",
        """
        SELECT concat_ws(' ', c.public_id, c.money, r.public_id, r.state)
          FROM resolution_case c JOIN payments_refund r ON r.id = c.refund_id
         WHERE r.payment_id > %(since)s AND c.final AND c.remedy = 'refund'
           AND c.money NOT IN ('by_hand', CASE r.state
               WHEN 'succeeded' THEN 'arrived'
               WHEN 'failed' THEN 'failed'
               WHEN 'canceled' THEN 'failed'
               WHEN 'requires_action' THEN 'sent'
               ELSE CASE WHEN r.provider_id = '' THEN 'requested' ELSE 'sent' END END)""",
    ),
    Invariant(
        8,
        "a case does not know of its chargeback",
        """
        SELECT concat_ws(' ', c.public_id, c.state, c.frozen_at, p.chargeback)
          FROM resolution_case c JOIN payments_payment p ON p.id = c.payment_id
         WHERE p.id > %(since)s AND c.state <> 'closed'
           AND (p.chargeback = 'open') <> (c.frozen_at IS NOT NULL)
           AND p.chargeback <> 'lost'""",
    ),
    Invariant(
        12,
        "a case waits for a step of the system",
        """
        SELECT concat_ws(' ', c.public_id, c.state, c.due_at, c.money)
          FROM resolution_case c
         WHERE c.payment_id > %(since)s AND c.frozen_at IS NULL
           AND (c.state = 'open' OR c.state = 'decided' AND c.final
                AND (c.remedy = 'none' OR c.money IN ('arrived', 'by_hand')))""",
    ),
    Invariant(
        14,
        "a case is overdue by five minutes",
        """
        SELECT concat_ws(' ', c.public_id, c.state, c.waiting_on, c.due_at)
          FROM resolution_case c
         WHERE c.payment_id > %(since)s AND c.frozen_at IS NULL AND c.state <> 'closed'
           AND c.due_at <= %(now)s - interval '5 minutes'
           AND (c.waiting_on IN ('buyer', 'creator', 'system')
                OR c.state = 'decided' AND NOT c.final)""",
    ),
    Invariant(
        16,
        "a message waits to leave",
        """
        SELECT concat_ws(' ', n.public_id, n.key, n.state, n.error)
          FROM notifications_notification n WHERE n.state IN ('pending', 'sending')""",
    ),
    Invariant(
        17,
        "an event of the provider's is not seen to",
        """
        SELECT concat_ws(' ', provider, event_id, type, error) FROM payments_providerevent
         WHERE processed_at IS NULL""",
    ),
)


def unsettled(since: int = 0, *, now: datetime | None = None) -> list[str]:
    """A sentence for all that still waits for a worker; nothing once the sweeps have nothing to do.

    What waits for a person, or for the bank, is settled. `now` is the business's.
    """
    return _ask(WAITING, since=since, now=now or clock.now())


# ── Against the providers' own books ──────────────────────────────────────────────────────────────

SAME = {"pending": ("submitting", "requires_action"), "succeeded": ("succeeded",)}


def differences(ledger: Mapping[str, Mapping[str, Any]], since: int = 0) -> list[str]:
    """A sentence for each difference to what the providers themselves have given back.

    `ledger` is theirs, by charge. A difference of which staff have been told is none, save for one
    decision that was paid twice.
    """
    payments = Payment.objects.filter(pk__gt=since, charge_id__in=list(ledger)).order_by("pk")
    told = set(
        Discrepancy.objects.filter(gone_at=None, payment__in=payments).values_list("payment")
    )
    found: list[str] = []
    for payment in payments.prefetch_related("refunds"):
        charge = ledger[payment.charge_id]
        found += _paid_twice(charge)
        if (payment.pk,) not in told:
            found += [f"9 {payment.public_id}: {each}" for each in _differences(payment, charge)]
    return found


def _paid_twice(charge: Mapping[str, Any]) -> Iterator[str]:
    given: dict[str, int] = {}
    for there in charge["refunds"]:
        if there["refund_id"] and there["state"] != "failed":
            given[there["refund_id"]] = given.get(there["refund_id"], 0) + 1
    for name, times in given.items():
        if times > 1:
            yield f"2 {name} was given back {times} times."


def _differences(payment: Payment, charge: Mapping[str, Any]) -> Iterator[str]:
    here = {row.provider_id: row for row in payment.refunds.all() if row.provider_id}
    for there in charge["refunds"]:
        row = here.pop(there["id"], None)
        if row is None:
            if there["state"] != "failed":
                yield f"{there['id']} over {there['amount_minor']} is not known here."
            continue
        if (row.amount_minor, row.currency) != (there["amount_minor"], there["currency"]):
            yield f"{row.public_id} has other terms there."
        states = SAME.get(there["state"], (Refund.State.FAILED, Refund.State.CANCELED))
        if row.state not in states:
            yield f"{row.public_id} is {row.state} here, {there['state']} there."
    for name, row in here.items():
        yield f"{row.public_id} is {name} here, and nothing there."
    bank = payment.chargeback in (Payment.Chargeback.OPEN, Payment.Chargeback.LOST)
    if bank != charge["disputed"]:
        yield f"the bank: {payment.chargeback or 'nothing'} here, {charge['disputed']} there."
