"""What the database itself refuses: a changed timeline, and a case for a payment that allows none."""

from typing import ClassVar

from django.db import migrations

TIMELINE = """
CREATE FUNCTION resolution_timeline_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the timeline is append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER resolution_event_append_only BEFORE UPDATE OR DELETE ON resolution_event
    FOR EACH ROW EXECUTE FUNCTION resolution_timeline_append_only();
CREATE TRIGGER resolution_event_no_truncate BEFORE TRUNCATE ON resolution_event
    FOR EACH STATEMENT EXECUTE FUNCTION resolution_timeline_append_only();
"""

TIMELINE_BACK = """
DROP TRIGGER resolution_event_no_truncate ON resolution_event;
DROP TRIGGER resolution_event_append_only ON resolution_event;
DROP FUNCTION resolution_timeline_append_only();
"""

ELIGIBLE = """
CREATE FUNCTION resolution_case_eligible() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM payments_payment p
      WHERE p.id = NEW.payment_id
        AND p.buyer_id = NEW.buyer_id AND p.company_id = NEW.company_id
        AND p.product_id = NEW.product_id AND p.currency = NEW.currency
        AND p.processor IN ('stripe', 'paypal') AND p.chargeback NOT IN ('open', 'lost')
        AND NEW.asked_minor
            <= p.amount_minor - p.refunded_minor - p.reserved_minor - p.credited_minor;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no case can be opened for this payment'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER resolution_case_eligible BEFORE INSERT ON resolution_case
    FOR EACH ROW EXECUTE FUNCTION resolution_case_eligible();

CREATE FUNCTION resolution_case_origin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a case is never removed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.state = 'closed' AND NEW.state <> 'closed' THEN
        RAISE EXCEPTION 'a closed case never reopens'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.payment_id, NEW.buyer_id, NEW.company_id, NEW.asked_minor, NEW.currency, NEW.public_id)
       IS DISTINCT FROM
       (OLD.payment_id, OLD.buyer_id, OLD.company_id, OLD.asked_minor, OLD.currency, OLD.public_id)
    THEN
        RAISE EXCEPTION 'what a case is about never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER resolution_case_origin BEFORE UPDATE OR DELETE ON resolution_case
    FOR EACH ROW EXECUTE FUNCTION resolution_case_origin();
"""

ELIGIBLE_BACK = """
DROP TRIGGER resolution_case_origin ON resolution_case;
DROP FUNCTION resolution_case_origin();
DROP TRIGGER resolution_case_eligible ON resolution_case;
DROP FUNCTION resolution_case_eligible();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("resolution", "0001_initial"), ("payments", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL(TIMELINE, TIMELINE_BACK),
        migrations.RunSQL(ELIGIBLE, ELIGIBLE_BACK),
    ]
