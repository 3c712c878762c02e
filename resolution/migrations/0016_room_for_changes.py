"""Room on each page of the cases, so that a change that touches no index stays on its page.

Counts for pages that are written from now on; `VACUUM FULL` or pg_repack would bring it to the others.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("resolution", "0015_one_index_a_column")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE resolution_case SET (fillfactor = 90)",
            "ALTER TABLE resolution_case RESET (fillfactor)",
        )
    ]
