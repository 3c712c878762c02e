"""Room on each page of the payments: what is reserved, given back and credited changes in place."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0010_one_index_a_column")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE payments_payment SET (fillfactor = 90)",
            "ALTER TABLE payments_payment RESET (fillfactor)",
        )
    ]
