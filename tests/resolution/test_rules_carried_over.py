"""The migration that carries rules over, on tables as they were, with rules in them."""

from importlib import import_module

import pytest
from django.db import connection

AS_IT_WAS = """
CREATE TEMP TABLE resolution_rule (LIKE public.resolution_rule INCLUDING DEFAULTS);
ALTER TABLE pg_temp.resolution_rule
    ADD product_id bigint, ADD maximum_minor bigint, ADD currency text NOT NULL DEFAULT '',
    ALTER product_ids DROP NOT NULL, ALTER maximums DROP NOT NULL, ALTER switched_at DROP NOT NULL;
CREATE TEMP TABLE resolution_ruleuse (LIKE public.resolution_ruleuse INCLUDING IDENTITY);
CREATE TEMP TABLE resolution_rulechange (LIKE public.resolution_rulechange INCLUDING IDENTITY);
CREATE TEMP TABLE resolution_event (case_id bigint, step text, data jsonb, created_at timestamptz);
"""
RULES = """
INSERT INTO resolution_rule
    (id, company_id, name, enabled, reasons, product_id, maximum_minor, currency, message, position,
     version, processor, membership, month_limits, day_limits, delay_hours, off_because,
     created_at, updated_at)
VALUES (1, 7, 'Small', true, '{fraudulent}', 5, 2500, 'USD', 'Sorry', 1, 3, '', '', '{}', '{}', 0,
        '', '2026-01-01', '2026-02-01'),
       (2, 7, 'All', false, '{}', NULL, NULL, '', 'Hi', 2, 1, '', '', '{}', '{}', 0, '',
        '2026-01-01', '2026-03-01');
INSERT INTO resolution_event VALUES
    (11, 'auto_refund', '{"amount_minor": 900, "rule": {"id": 1, "version": 2}}', '2026-02-02'),
    (12, 'auto_refund', '{"amount_minor": 800, "rule": {"id": 99, "version": 1}}', '2026-02-03'),
    (13, 'auto_refund', '{"amount_minor": 700}', '2026-02-04'),
    (14, 'accept', '{"amount_minor": 600}', '2026-02-05');
"""


@pytest.mark.django_db
def test_conditions_uses_and_history_of_rules_are_carried_over():
    migration = import_module("resolution.migrations.0013_rule_history")

    with connection.cursor() as cursor:
        cursor.execute(AS_IT_WAS + RULES)
        for statement in (migration.CONDITIONS, migration.USES, migration.HISTORY):
            cursor.execute(statement.replace("%", "%%"))

        cursor.execute(
            "SELECT product_ids, maximums::text, switched_at::date::text"
            " FROM resolution_rule ORDER BY id"
        )
        assert cursor.fetchall() == [
            ([5], '{"USD": 2500}', "2026-02-01"),
            ([], "{}", "2026-03-01"),
        ]
        cursor.execute(
            "SELECT case_id, rule_id, version, amount_minor, taken_at::date::text"
            " FROM resolution_ruleuse ORDER BY case_id"
        )
        # Of a rule that is gone the use stays; what no rule gave is none.
        assert cursor.fetchall() == [
            (11, 1, 2, 900, "2026-02-02"),
            (12, None, 1, 800, "2026-02-03"),
        ]
        cursor.execute(
            "SELECT rule_number, version, act, columns ->> 'place', columns -> 'maximums' ->> 'USD'"
            " FROM resolution_rulechange ORDER BY id"
        )
        assert cursor.fetchall() == [(1, 3, "added", "1", "2500"), (2, 1, "added", "2", None)]
