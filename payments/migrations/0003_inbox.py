"""What the providers tell us, stored before it is answered."""

from typing import ClassVar

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0002_guards"),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="ProviderEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "provider",
                    models.CharField(
                        choices=[("stripe", "Stripe"), ("paypal", "PayPal")], max_length=10
                    ),
                ),
                ("event_id", models.CharField(help_text="The provider's.", max_length=255)),
                ("type", models.CharField(max_length=100)),
                ("payload", models.TextField(help_text="JSON, as it was signed.")),
                (
                    "received_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("processed_at", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why it waits, since the last attempt."),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="providerevent",
            index=models.Index(
                condition=models.Q(("processed_at__isnull", True)),
                fields=["next_attempt_at"],
                name="provider_event_to_do",
            ),
        ),
        migrations.AddConstraint(
            model_name="providerevent",
            constraint=models.UniqueConstraint(
                fields=("provider", "event_id"), name="provider_event_once"
            ),
        ),
    ]
