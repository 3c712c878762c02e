from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """An index of the messages that were given up, which are few: to count them, and to list them."""

    atomic = False  # made while others write
    dependencies = [
        ("notifications", "0005_created_by_the_machines_clock"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("state", "dead")), fields=["id"], name="notification_given_up"
            ),
        ),
    ]
