from django.db import migrations

import marketplace.sealed
import notifications.endpoints


class Migration(migrations.Migration):
    """Room for sealed secrets. Those that are there are sealed afterwards, by `marketplace.sealed`."""

    dependencies = [
        ("notifications", "0006_given_up"),
    ]

    operations = [
        migrations.AlterField(
            model_name="webhookendpoint",
            name="secret",
            field=marketplace.sealed.SealedField(
                default=notifications.endpoints.new_secret, editable=False
            ),
        ),
    ]
