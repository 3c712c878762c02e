"""Differences between our books and the provider's."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import marketplace.clock


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0004_given_back_elsewhere"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="Discrepancy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("no_room", "Given back elsewhere, more than was left here"),
                            (
                                "ended_here",
                                "Given back at the provider, but ended without success here",
                            ),
                            ("twice", "One refund of ours, twice at the provider"),
                            ("terms", "Other terms at the provider"),
                            ("missing", "Not known to the provider"),
                            ("sums", "The payment’s sums do not add up"),
                            ("paid_twice", "Charged back and given back as well"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        blank=True,
                        help_text="The refund it is about, as the provider names it.",
                        max_length=80,
                    ),
                ),
                ("detail", models.CharField(max_length=300)),
                ("found_at", models.DateTimeField(default=marketplace.clock.now, editable=False)),
                ("gone_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "note",
                    models.TextField(
                        blank=True, help_text="What was found, and what was done about it."
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "discrepancies",
            },
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="payments.payment",
            ),
        ),
        migrations.AddField(
            model_name="discrepancy",
            name="settled_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="discrepancy",
            index=models.Index(
                condition=models.Q(("gone_at__isnull", True), ("settled_at__isnull", True)),
                fields=["payment"],
                name="discrepancy_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.UniqueConstraint(
                fields=("payment", "kind", "reference", "detail"), name="discrepancy_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="discrepancy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("settled_at__isnull", True), ("settled_by__isnull", True)),
                    models.Q(
                        ("settled_at__isnull", False),
                        ("settled_by__isnull", False),
                        models.Q(("note", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="discrepancy_settled_by_somebody",
            ),
        ),
    ]
