"""Tokens that programs sign in with, answers kept for requests that are sent twice, and uploads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils import timezone

from marketplace.models import Company, User
from marketplace.public_ids import PublicIdField
from resolution.models import Attachment


class ApiToken(models.Model):
    """A key to the API. Only its sha256 is kept, so nobody can read it out of here.

    A personal token sees what its person sees; a company token sees that company's side alone and
    acts in the name of whoever made it, with the role that they have at that moment.
    """

    public_id = PublicIdField("tok_")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    company = models.ForeignKey(
        Company, on_delete=models.CASCADE, related_name="api_tokens", null=True, blank=True
    )
    name = models.CharField(max_length=80, help_text="What uses it, in the words of its owner.")
    digest = models.CharField(max_length=64, help_text="sha256 of the token.")
    ends_in = models.CharField(max_length=4, help_text="So that people can tell theirs apart.")
    scopes: "ArrayField[Sequence[str], list[str]]" = ArrayField(models.CharField(max_length=60))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        user_id: int
        company_id: int | None

    class Meta:
        verbose_name = "API token"
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints = (models.UniqueConstraint(fields=["digest"], name="api_token_once"),)

    def __str__(self) -> str:
        return f"{self.name} (…{self.ends_in})"

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired."""
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class KeptAnswer(models.Model):
    """What a request with an `Idempotency-Key` was answered, so that a repeat gets the same.

    Written in the transaction of the act itself: there is an answer exactly when there was an act.
    """

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="sha256 of address and body.")
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["token", "key"], name="kept_answer_once"),)
        indexes = (models.Index(fields=["created_at"], name="kept_answer_by_age"),)

    def __str__(self) -> str:
        return self.key


class FileUpload(models.Model):
    """A file that was announced, and whether its bytes have come.

    Once they have and are good it is the `attachment`, which any act can send. An attachment that
    nobody sends is removed after a day, and this row with it.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting for the bytes"
        PROCESSING = "processing", "Being looked at"
        READY = "ready", "Ready"
        FAILED = "failed", "Not taken"

    public_id = PublicIdField("file_")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    filename = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attachment = models.OneToOneField(
        Attachment, on_delete=models.CASCADE, related_name="upload", null=True
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state="ready", attachment__isnull=False)
                | ~models.Q(state="ready") & models.Q(attachment__isnull=True),
                name="upload_ready_has_its_file",
            ),
        )
        indexes = (models.Index(fields=["created_at"], name="upload_by_age"),)

    def __str__(self) -> str:
        return self.filename


class FedRecord(models.Model):
    """The latest that the marketplace has told us of one thing of its, and whether it is applied.

    One that names something we have not been told of yet waits for it, in `needs`. What is older
    than what we hold is left alone, so records may come in any order and any number of times.
    """

    kind = models.CharField(max_length=12)
    record_id = models.CharField(max_length=40)
    updated_at = models.DateTimeField(help_text="By the marketplace’s own clock.")
    payload = models.JSONField()
    needs: "ArrayField[Sequence[str], list[str]]" = ArrayField(
        models.CharField(max_length=40), default=list
    )
    refusal = models.CharField(max_length=300, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["kind", "record_id"], name="fed_record_once"),
        )
        indexes = (
            GinIndex(fields=["needs"], condition=~models.Q(needs=[]), name="fed_record_waiting"),
            models.Index(
                fields=["-id"], condition=models.Q(applied_at=None), name="fed_record_to_see"
            ),
        )

    def __str__(self) -> str:
        return self.record_id
