"""The words of a person who is erased may be blanked: in no other way does a timeline change."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import marketplace.clock

# Message and salt may become empty, nothing else may change, and only after the erasure of whoever
# wrote it (or, of a message that was sent automatically, of whom it was sent to) is on record.
BLANKING = """
CREATE OR REPLACE FUNCTION resolution_timeline_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.words_digest <> '' AND NEW.message = '' AND NEW.salt = ''
           AND to_jsonb(NEW) - 'message' - 'salt' = to_jsonb(OLD) - 'message' - 'salt'
           AND EXISTS (
               SELECT 1 FROM resolution_erasure e WHERE e.words_too AND e.person_id = COALESCE(
                   OLD.actor_id, (SELECT c.buyer_id FROM resolution_case c WHERE c.id = OLD.case_id)
               )
           )
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the timeline is append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER resolution_erasure_append_only BEFORE UPDATE OR DELETE ON resolution_erasure
    FOR EACH ROW EXECUTE FUNCTION resolution_append_only();
CREATE TRIGGER resolution_erasure_no_truncate BEFORE TRUNCATE ON resolution_erasure
    FOR EACH STATEMENT EXECUTE FUNCTION resolution_append_only();
"""

BLANKING_BACK = """
DROP TRIGGER resolution_erasure_no_truncate ON resolution_erasure;
DROP TRIGGER resolution_erasure_append_only ON resolution_erasure;
CREATE OR REPLACE FUNCTION resolution_timeline_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the timeline is append-only'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("resolution", "0009_readings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.AddField(
            "event",
            "salt",
            models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.AddField(
            "event",
            "words_digest",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.CreateModel(
            "Erasure",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "words_too",
                    models.BooleanField(help_text="What they wrote was blanked as well."),
                ),
                (
                    "events",
                    models.PositiveIntegerField(
                        default=0, help_text="Messages that were blanked."
                    ),
                ),
                (
                    "files",
                    models.PositiveIntegerField(default=0, help_text="Files that were removed."),
                ),
                ("at", models.DateTimeField(default=marketplace.clock.now)),
                (
                    "by",
                    models.ForeignKey(
                        help_text="Empty: a command.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="erasures",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("person",), name="erasure_once"),
                ],
            },
        ),
        migrations.RunSQL(BLANKING, BLANKING_BACK),
    ]
