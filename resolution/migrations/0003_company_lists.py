"""A company's open cases by date, and its closed ones by age, each with an index of its own."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("resolution", "0002_guards")]
    operations: ClassVar = [
        migrations.RemoveIndex(model_name="case", name="case_of_company_by_due"),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                fields=["company", "due_at", "id"],
                condition=~models.Q(state="closed"),
                name="case_of_company_open",
            ),
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                fields=["company", "-closed_at", "-id"],
                condition=models.Q(state="closed"),
                name="case_of_company_closed",
            ),
        ),
    ]
