"""The charge that an event is about, so that one look answers all events of it."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0007_credit_adjustments"),
    ]
    operations: ClassVar = [
        migrations.AddField(
            model_name="providerevent",
            name="charge",
            field=models.CharField(
                blank=True,
                help_text="The provider's, where the event is about a single one.",
                max_length=80,
            ),
        ),
        migrations.AddIndex(
            model_name="providerevent",
            index=models.Index(
                condition=models.Q(
                    ("processed_at__isnull", True), models.Q(("charge", ""), _negated=True)
                ),
                fields=["charge"],
                name="provider_event_of_charge",
            ),
        ),
    ]
