"""Why a refund waits, and whether that takes a person."""

from typing import ClassVar

from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0005_discrepancies"),
    ]
    operations: ClassVar = [
        migrations.AddField(
            model_name='refund',
            name='alert',
            field=models.BooleanField(default=False, help_text='Waiting alone mends nothing: somebody has to see to it.'),
        ),
        migrations.AddField(
            model_name='refund',
            name='trouble',
            field=models.TextField(blank=True, help_text='Why it waits, since the last attempt.'),
        ),
        migrations.AlterField(
            model_name='discrepancy',
            name='kind',
            field=models.CharField(choices=[('no_room', 'Given back elsewhere, more than was left here'), ('ended_here', 'Given back at the provider, but ended without success here'), ('twice', 'One refund of ours, twice at the provider'), ('terms', 'Other terms at the provider'), ('missing', 'Not known to the provider'), ('sums', 'The payment’s sums do not add up'), ('paid_twice', 'Charged back and given back as well'), ('overtaken', 'Decided here, but the bank gave it back first')], max_length=12),
        ),
        migrations.AlterField(
            model_name='payment',
            name='charge_id',
            field=models.CharField(blank=True, help_text="The provider's charge, intent, capture or sale.", max_length=80),
        ),
        migrations.AlterField(
            model_name='payment',
            name='order_id',
            field=models.CharField(blank=True, help_text="PayPal's order, or the PAY- payment of an old sale.", max_length=80),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('alert', True)), fields=['id'], name='refund_wants_somebody'),
        ),
    ]
