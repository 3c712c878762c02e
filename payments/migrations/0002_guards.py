"""What the database itself refuses: changed refund terms, changed or lopsided bookings of credits."""

from typing import ClassVar

from django.db import migrations

REFUND_TERMS = """
CREATE FUNCTION payments_refund_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a refund is never removed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.payment_id, NEW.amount_minor, NEW.currency, NEW.cause, NEW.key, NEW.public_id)
       IS DISTINCT FROM
       (OLD.payment_id, OLD.amount_minor, OLD.currency, OLD.cause, OLD.key, OLD.public_id) THEN
        RAISE EXCEPTION 'the terms of a refund never change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payments_refund_terms BEFORE UPDATE OR DELETE ON payments_refund
    FOR EACH ROW EXECUTE FUNCTION payments_refund_terms();
"""

REFUND_TERMS_BACK = """
DROP TRIGGER payments_refund_terms ON payments_refund;
DROP FUNCTION payments_refund_terms();
"""

LEDGER = """
CREATE FUNCTION payments_ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the credits ledger is append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER payments_entry_append_only BEFORE UPDATE OR DELETE ON payments_creditentry
    FOR EACH ROW EXECUTE FUNCTION payments_ledger_append_only();
CREATE TRIGGER payments_entry_no_truncate BEFORE TRUNCATE ON payments_creditentry
    FOR EACH STATEMENT EXECUTE FUNCTION payments_ledger_append_only();
CREATE TRIGGER payments_transfer_append_only BEFORE UPDATE OR DELETE ON payments_credittransfer
    FOR EACH ROW EXECUTE FUNCTION payments_ledger_append_only();

CREATE FUNCTION payments_transfer_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM payments_creditentry
         WHERE transfer_id = NEW.transfer_id) <> 0 THEN
        RAISE EXCEPTION 'the entries of a booking add up to nothing'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (SELECT a.kind = 'buyer' AND sum(e.amount_minor) < 0
          FROM payments_creditaccount a JOIN payments_creditentry e ON e.account_id = a.id
         WHERE a.id = NEW.account_id GROUP BY a.kind) THEN
        RAISE EXCEPTION 'a buyer never has less than no credits'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payments_transfer_balances AFTER INSERT ON payments_creditentry
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payments_transfer_balances();
"""

LEDGER_BACK = """
DROP TRIGGER payments_transfer_balances ON payments_creditentry;
DROP FUNCTION payments_transfer_balances();
DROP TRIGGER payments_transfer_append_only ON payments_credittransfer;
DROP TRIGGER payments_entry_no_truncate ON payments_creditentry;
DROP TRIGGER payments_entry_append_only ON payments_creditentry;
DROP FUNCTION payments_ledger_append_only();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payments", "0001_initial")]
    operations: ClassVar = [
        migrations.RunSQL(REFUND_TERMS, REFUND_TERMS_BACK),
        migrations.RunSQL(LEDGER, LEDGER_BACK),
    ]
