"""Carries over what rules were, did and gave: their single conditions, their uses, their history."""

from typing import ClassVar

from django.db import migrations

CONDITIONS = """
UPDATE resolution_rule SET
    product_ids = CASE WHEN product_id IS NULL THEN '{}' ELSE ARRAY[product_id] END,
    maximums = CASE WHEN maximum_minor IS NULL THEN '{}'
                    ELSE jsonb_build_object(currency, maximum_minor) END,
    switched_at = updated_at
"""

USES = """
INSERT INTO resolution_ruleuse
    (case_id, rule_id, version, amount_minor, turned_away, taken_at, refunded_at)
SELECT e.case_id, r.id, (e.data -> 'rule' ->> 'version')::int,
       (e.data ->> 'amount_minor')::bigint, '', e.created_at, e.created_at
  FROM resolution_event e
  LEFT JOIN resolution_rule r ON r.id = (e.data -> 'rule' ->> 'id')::bigint
 WHERE e.step = 'auto_refund' AND e.data ? 'rule'
"""

HISTORY = """
INSERT INTO resolution_rulechange (company_id, rule_id, rule_number, version, act, columns, at)
SELECT r.company_id, r.id, r.id, r.version, 'added',
       jsonb_build_object(
           'name', r.name, 'enabled', r.enabled, 'off_because', '', 'reasons', r.reasons,
           'product_ids', r.product_ids, 'processor', '', 'membership', '',
           'maximums', r.maximums, 'day_limits', '{}'::jsonb, 'month_limits', '{}'::jsonb,
           'buyer_limit', NULL, 'delay_hours', 0, 'message', r.message,
           'place', row_number() OVER (PARTITION BY r.company_id ORDER BY r.position, r.id)),
       r.updated_at
  FROM resolution_rule r
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("resolution", "0012_rule_conditions")]
    operations: ClassVar = [
        migrations.RunSQL(statement, migrations.RunSQL.noop)
        for statement in (CONDITIONS, USES, HISTORY)
    ]
