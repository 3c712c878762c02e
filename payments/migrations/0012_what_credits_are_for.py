"""Bookings of credits name the case that they are for, so that each reader is told in their words."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0011_room_for_changes")]
    operations = [
        migrations.AddField(
            model_name="credittransfer",
            name="about",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="Public id of the case, if it is for one.",
                max_length=40,
            ),
        )
    ]
