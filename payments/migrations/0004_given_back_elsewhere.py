"""Refunds that were made without us, and when the provider was last looked at."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0003_inbox"),
    ]
    operations: ClassVar = [
        migrations.AddField(
            model_name="payment",
            name="looked_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When the last look at the provider began, by the database's clock.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="elsewhere",
            field=models.BooleanField(
                default=False, help_text="Made at the provider without us, in its dashboard."
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["paid_at"], name="payment_by_date"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("chargeback", ""), _negated=True),
                fields=["chargeback"],
                name="payment_charged_back",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("elsewhere", True)),
                fields=["payment"],
                name="refund_made_elsewhere",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("elsewhere", False),
                    models.Q(("provider_id", ""), _negated=True),
                    _connector="OR",
                ),
                name="refund_elsewhere_is_known",
            ),
        ),
    ]
