"""Changes of credits by hand, over a sum by two people."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import marketplace.clock
import marketplace.public_ids

TERMS = """
CREATE FUNCTION payments_adjustment_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an adjustment of credits is never removed'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.state <> 'waiting' THEN
        RAISE EXCEPTION 'an adjustment of credits that has ended stays as it is'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.public_id, NEW.form_key, NEW.account_id, NEW.amount_minor, NEW.reason, NEW.asked_by_id)
       IS DISTINCT FROM
       (OLD.public_id, OLD.form_key, OLD.account_id, OLD.amount_minor, OLD.reason, OLD.asked_by_id)
    THEN
        RAISE EXCEPTION 'the terms of an adjustment never change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payments_adjustment_terms BEFORE UPDATE OR DELETE ON payments_creditadjustment
    FOR EACH ROW EXECUTE FUNCTION payments_adjustment_terms();
"""

TERMS_BACK = """
DROP TRIGGER payments_adjustment_terms ON payments_creditadjustment;
DROP FUNCTION payments_adjustment_terms();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0006_why_a_refund_waits"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name='CreditAdjustment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', marketplace.public_ids.PublicIdField(prefix='cadj_')),
                ('form_key', models.UUIDField(help_text='The same form is the same adjustment.')),
                ('amount_minor', models.BigIntegerField(help_text='Given when positive, taken when negative.')),
                ('reason', models.CharField(help_text='The buyer reads it.', max_length=200)),
                ('state', models.CharField(choices=[('waiting', 'Needs a second person'), ('booked', 'Booked'), ('declined', 'Declined')], default='waiting', max_length=8)),
                ('asked_at', models.DateTimeField(default=marketplace.clock.now, editable=False)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.TextField(blank=True, help_text='Why it was declined.')),
            ],
        ),
        migrations.AddField(
            model_name='creditadjustment',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='adjustments', to='payments.creditaccount'),
        ),
        migrations.AddField(
            model_name='creditadjustment',
            name='asked_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='creditadjustment',
            name='settled_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='creditadjustment',
            name='transfer',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='adjustment', to='payments.credittransfer'),
        ),
        migrations.AddIndex(
            model_name='creditadjustment',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['id'], name='credit_adjustment_waiting'),
        ),
        migrations.AddConstraint(
            model_name='creditadjustment',
            constraint=models.UniqueConstraint(fields=('form_key',), name='credit_adjustment_form_once'),
        ),
        migrations.AddConstraint(
            model_name='creditadjustment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount_minor', 0), _negated=True), models.Q(('reason', ''), _negated=True)), name='credit_adjustment_says_why'),
        ),
        migrations.AddConstraint(
            model_name='creditadjustment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('settled_by__isnull', True), ('state', 'waiting'), ('transfer__isnull', True)), models.Q(('settled_at__isnull', False), ('state', 'booked'), ('transfer__isnull', False)), models.Q(('settled_by__isnull', False), ('state', 'declined'), ('transfer__isnull', True), models.Q(('note', ''), _negated=True)), _connector='OR'), name='credit_adjustment_ends_in_a_booking'),
        ),
        migrations.AddConstraint(
            model_name='creditadjustment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'booked'), _negated=True), ('settled_by__isnull', True), models.Q(('settled_by', models.F('asked_by')), _negated=True), _connector='OR'), name='credit_adjustment_by_two_people'),
        ),
        migrations.RunSQL(TERMS, TERMS_BACK),
    ]
