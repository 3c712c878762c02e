"""What people have typed and not sent yet."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import marketplace.clock


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("resolution", "0004_proposals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="Draft",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("about", models.CharField(max_length=40)),
                ("act", models.CharField(max_length=24)),
                ("fields", models.JSONField(default=dict)),
                ("updated_at", models.DateTimeField(default=marketplace.clock.now)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="drafts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["updated_at"], name="draft_by_age")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "about", "act"), name="draft_once_an_act"
                    )
                ],
            },
        ),
    ]
