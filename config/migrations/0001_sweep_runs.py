from django.db import migrations, models


class Migration(migrations.Migration):
    """When each task of the schedule last ended."""

    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="SweepRun",
            fields=[
                ("task", models.CharField(max_length=120, primary_key=True, serialize=False)),
                ("ended_at", models.DateTimeField(help_text="By the machine's clock.")),
                ("seconds", models.FloatField()),
                ("failed", models.BooleanField(default=False)),
            ],
        ),
    ]
