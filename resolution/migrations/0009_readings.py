"""Who of the staff has looked at which case: rows that are only ever added."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import marketplace.clock

KEPT = """
CREATE FUNCTION resolution_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER resolution_reading_append_only BEFORE UPDATE OR DELETE ON resolution_reading
    FOR EACH ROW EXECUTE FUNCTION resolution_append_only();
CREATE TRIGGER resolution_reading_no_truncate BEFORE TRUNCATE ON resolution_reading
    FOR EACH STATEMENT EXECUTE FUNCTION resolution_append_only();
"""

KEPT_BACK = """
DROP TRIGGER resolution_reading_no_truncate ON resolution_reading;
DROP TRIGGER resolution_reading_append_only ON resolution_reading;
DROP FUNCTION resolution_append_only();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("resolution", "0008_quarantine"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            "Reading",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[("page", "The case"), ("file", "A file"), ("export", "An export")],
                        max_length=6,
                    ),
                ),
                (
                    "detail",
                    models.CharField(
                        blank=True,
                        help_text="The file, or whom the export was for.",
                        max_length=40,
                    ),
                ),
                ("at", models.DateTimeField(default=marketplace.clock.now)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="readings",
                        to="resolution.case",
                    ),
                ),
                (
                    "reader",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="readings",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["case", "-id"], name="reading_of_case")],
            },
        ),
        migrations.RunSQL(KEPT, KEPT_BACK),
    ]
