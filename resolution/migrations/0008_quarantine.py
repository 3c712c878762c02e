"""Files wait for the virus scanner, and their rows outlive their bytes."""

from typing import ClassVar

from django.db import migrations, models

import resolution.models

STATES = [
    ("checking", "Being checked for viruses"),
    ("ready", "Ready"),
    ("infected", "Refused by the virus scanner"),
    ("removed", "Removed"),
]


class Migration(migrations.Migration):
    dependencies: ClassVar = [("resolution", "0007_saved_replies")]
    operations: ClassVar = [
        migrations.AddField(
            "attachment",
            "state",
            models.CharField(choices=STATES, db_default="ready", default="ready", max_length=8),
        ),
        migrations.AddField(
            "attachment",
            "scan_at",
            models.DateTimeField(
                help_text="When the virus scanner is asked next, while it is being checked.",
                null=True,
            ),
        ),
        migrations.AddField(
            "attachment",
            "salt",
            models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.AddField(
            "attachment",
            "seal",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AlterField(
            "attachment",
            "file",
            models.FileField(
                blank=True,
                help_text="Empty once the bytes are gone.",
                max_length=200,
                upload_to=resolution.models.storage_name,
            ),
        ),
        migrations.AddIndex(
            "attachment",
            models.Index(
                condition=models.Q(state="checking"), fields=["scan_at"], name="attachment_to_scan"
            ),
        ),
        migrations.AddIndex(
            "attachment",
            models.Index(
                condition=models.Q(state__in=("infected", "removed")) & ~models.Q(file=""),
                fields=["id"],
                name="attachment_to_remove",
            ),
        ),
        migrations.AddConstraint(
            "attachment",
            models.CheckConstraint(
                condition=models.Q(state__in=("checking", "ready", "infected", "removed")),
                name="attachment_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            "attachment",
            models.CheckConstraint(
                condition=~models.Q(state="checking") | models.Q(scan_at__isnull=False),
                name="attachment_checked_some_day",
            ),
        ),
    ]
