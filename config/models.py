"""What the installation knows of itself."""

from django.db import models


class SweepRun(models.Model):
    """When a task of the schedule last ended, and how long it took.

    It is in the database rather than with the counts in Valkey, so that sweeps which stand still
    because Valkey is gone are seen to stand still.
    """

    task = models.CharField(max_length=120, primary_key=True)
    ended_at = models.DateTimeField(help_text="By the machine's clock.")
    seconds = models.FloatField()
    failed = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.task
