"""Cases, their timeline, files and drafts of messages; the creators' rules and saved replies."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.models import Company, Product, User
from marketplace.public_ids import PublicIdField
from payments.models import Payment, Refund
from resolution.lifecycle import IN_REVIEW, Lifecycle
from resolution.terms import Actor, Party, Reason, State

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class CaseQuerySet(models.QuerySet["Case"]):
    """Cases as somebody may see them."""

    def visible_to(self, actor: Actor) -> "CaseQuerySet":
        """The cases of this actor in this capacity, and no others."""
        if actor.party == Party.BUYER:
            return self.filter(buyer=actor.user)
        if actor.party == Party.CREATOR:
            return self.filter(company__members__user=actor.user)
        if actor.party == Party.STAFF:
            return self.all()
        return self.none()

    def needs_creator(self) -> "CaseQuerySet":
        """Whose next move is the creator's: an answer is due from them."""
        return self.filter(waiting_on=Party.CREATOR, state__in=[State.AWAITING_CREATOR, *IN_REVIEW])

    def needs_buyer(self) -> "CaseQuerySet":
        """Whose next move is the buyer's: an answer is due, or a denial can be appealed."""
        return self.filter(waiting_on=Party.BUYER).filter(
            Q(state__in=[State.MORE_INFO, *IN_REVIEW])
            | Q(state=State.DECIDED, decided_by=Party.CREATOR)
        )

    def needs_staff(self) -> "CaseQuerySet":
        """In front of staff: to be decided, reviewed for good, or with a refund that failed."""
        return self.filter(waiting_on=Party.STAFF)


class Case(Lifecycle):
    """A buyer's request to have a payment given back, and where it stands.

    Changes only through `cases.take_step`. At most one per payment, ever.
    """

    public_id = PublicIdField("reso_")
    # What an index further down begins with needs none of its own: each step would write to both.
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="cases", db_index=False
    )
    buyer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="cases", db_index=False)
    company = models.ForeignKey(
        Company, on_delete=models.PROTECT, related_name="cases", db_index=False
    )
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="cases")
    reason = models.CharField(max_length=24, choices=Reason.choices)
    asked_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="cases")
    assigned_to = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="cases_assigned"
    )
    version = models.PositiveIntegerField(
        default=0, help_text="Counts the steps, comments aside: a form made before is stale."
    )
    last_seq = models.PositiveIntegerField(default=0)
    last_hash = models.CharField(max_length=64, default="")
    opened_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    heard = False
    """Whether an endpoint of the company's listens; the door asks together with the lock."""

    objects = CaseQuerySet.as_manager()

    if TYPE_CHECKING:
        events: "RelatedManager[Event]"
        payment_id: int
        buyer_id: int
        company_id: int

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["payment"], name="case_once_per_payment"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="case_state_is_known"),
            models.CheckConstraint(
                condition=Q(waiting_on__in=Party.values), name="case_waits_on_a_party"
            ),
            models.CheckConstraint(
                condition=Q(asked_minor__gt=0, remedy_minor__gte=0), name="case_asks_for_something"
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | Q(closed_at__isnull=False),
                name="case_closed_has_a_date",
            ),
        )
        indexes = (
            models.Index(
                fields=["due_at", "id"],
                condition=~Q(state="closed") & Q(due_at__isnull=False),
                name="case_by_due",
            ),
            models.Index(
                fields=["company", "due_at", "id"],
                condition=~Q(state="closed"),
                name="case_of_company_open",
            ),
            models.Index(
                fields=["company", "-closed_at", "-id"],
                condition=Q(state="closed"),
                name="case_of_company_closed",
            ),
            models.Index(fields=["company", "-opened_at", "-id"], name="case_of_company_by_age"),
            models.Index(fields=["buyer", "-opened_at"], name="case_of_buyer"),
            models.Index(
                fields=["waiting_on", "due_at", "id"],
                condition=Q(waiting_on="staff"),
                name="case_for_staff",
            ),
            models.Index(
                fields=["id"],
                condition=Q(state="decided", final=True),
                name="case_to_close",
            ),
        )

    def __str__(self) -> str:
        return self.public_id

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row again; the protected state is taken out first, or it refuses to be set."""
        self.__dict__.pop("state", None)
        super().refresh_from_db(*args, **kwargs)

    @property
    def awarded_everything(self) -> bool:
        """The decision gives back all that was asked for."""
        return self.remedy_minor >= self.asked_minor


class Event(models.Model):
    """One entry of a case's timeline: a step, who took it, and what they said. Never changed.

    `seq` counts from 1 without gaps; `hash` covers the row and the one before it, so a changed or a
    missing row shows (`manage.py verify_timeline`). Triggers refuse update, delete and truncate.
    Of the message the hash covers `words_digest` only, which takes the `salt` too: when a person is
    erased, message and salt can go, and all else can still be checked.
    """

    public_id = PublicIdField("revt_")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    step = models.CharField(max_length=24)
    party = models.CharField(max_length=8, choices=Party.choices)
    actor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    state_before = models.CharField(max_length=16, blank=True)
    state_after = models.CharField(max_length=16)
    message = models.TextField(blank=True)
    salt = models.CharField(max_length=32, blank=True, db_default="", default="")
    words_digest = models.CharField(max_length=64, blank=True, db_default="", default="")
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    staff_only = models.BooleanField(default=False)
    form_key = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    if TYPE_CHECKING:
        attachments: "RelatedManager[Attachment]"
        case_id: int
        actor_id: int | None

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints = (
            models.UniqueConstraint(fields=["case", "seq"], name="event_seq_once"),
            models.UniqueConstraint(
                fields=["case", "form_key"],
                condition=Q(form_key__isnull=False),
                name="event_form_once",
            ),
        )

    def __str__(self) -> str:
        return self.public_id

    def seal_words(self) -> None:
        """Make the digest that stands for the message in the hash. Nothing said needs none."""
        if self.message:
            self.salt = secrets.token_hex(16)
            self.words_digest = salted(self.salt, self.message)

    @property
    def was_blanked(self) -> bool:
        """It said something once, and its words were erased."""
        return bool(self.words_digest) and not self.message and not self.salt

    @property
    def keeps_its_words(self) -> bool:
        """The message is the one that was written, or was erased."""
        if not self.words_digest or self.was_blanked:
            return True
        return salted(self.salt, self.message) == self.words_digest

    def digest(self, case_public_id: str, files: Iterable["Attachment"] = ()) -> str:
        """sha256 over the hash before and this row's canonical form; words and files by digests.

        Rows from before there were digests of words hold the message itself. Spelled by hand: three
        times as fast as by an encoder, and a sweep makes thousands.
        """
        said, sealed = "", ""
        if self.words_digest:
            sealed = f',"words":"{self.words_digest}"'
        else:
            said = f'"message":{quoted(self.message)},'
        named = [f.sealed_as for f in files]
        row = (
            f'{{"actor":{self.actor_id or "null"},"after":{quoted(self.state_after)},'
            f'"at":"{self.created_at.isoformat(timespec="microseconds")}",'
            f'"before":{quoted(self.state_before)},"case":{quoted(case_public_id)},'
            f'"data":{canonical(self.data)},"files":{canonical(named) if named else "[]"},'
            f'"id":{quoted(self.public_id)},{said}"party":{quoted(self.party)},"seq":{self.seq},'
            f'"staff_only":{"true" if self.staff_only else "false"},'
            f'"step":{quoted(self.step)}{sealed}}}'
        )
        return hashlib.sha256((self.previous_hash + row).encode()).hexdigest()


canonical = DjangoJSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""One spelling of a value: keys in order, no spaces. A row is spelled so by hand, being faster."""


def salted(salt: str, text: str) -> str:
    """sha256 of a text that cannot be guessed from it once the salt is gone."""
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()


def storage_name(attachment: "Attachment", filename: str) -> str:
    """A key that says nothing of the file's own name and cannot be guessed."""
    return f"evidence/{clock.now():%Y/%m}/{attachment.public_id}"


class Attachment(models.Model):
    """A file that somebody adds to a message; without an event it is uploaded but not sent yet.

    `state` says whether its bytes can be had. `seal` stands for name and content in the timeline's
    hash, with a `salt`, so that both can be erased like words. See `resolution/custody.py`.
    """

    class State(models.TextChoices):
        """Where the bytes are: with the virus scanner, to be had, or gone and why."""

        CHECKING = "checking", _lazy("Being checked for viruses")
        READY = "ready", _lazy("Ready")
        INFECTED = "infected", _lazy("Refused by the virus scanner")
        REMOVED = "removed", _lazy("Removed")

    class Kind(models.TextChoices):
        IMAGE = "image", _lazy("Image")
        VIDEO = "video", _lazy("Video")
        PDF = "pdf", "PDF"

    public_id = PublicIdField("att_")
    uploader = models.ForeignKey(User, on_delete=models.PROTECT, related_name="attachments")
    event = models.ForeignKey(
        Event, on_delete=models.PROTECT, null=True, related_name="attachments", db_index=False
    )
    position = models.PositiveSmallIntegerField(null=True)
    file = models.FileField(
        upload_to=storage_name,
        max_length=200,
        blank=True,
        help_text="Empty once the bytes are gone.",
    )
    state = models.CharField(
        max_length=8, choices=State.choices, default=State.READY, db_default=State.READY
    )
    scan_at = models.DateTimeField(
        null=True, help_text="When the virus scanner is asked next, while it is being checked."
    )
    filename = models.CharField(max_length=120, help_text="As the uploader named it, made safe.")
    content_type = models.CharField(max_length=40)
    kind = models.CharField(max_length=5, choices=Kind.choices)
    size = models.PositiveIntegerField(help_text="Bytes as stored.")
    sha256 = models.CharField(max_length=64)
    salt = models.CharField(max_length=32, blank=True, db_default="", default="")
    seal = models.CharField(max_length=64, blank=True, db_default="", default="")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["event", "position"], name="attachment_place_once"),
            models.CheckConstraint(
                condition=Q(event__isnull=True, position__isnull=True)
                | Q(event__isnull=False, position__gte=0, position__lte=2),
                name="attachment_at_most_three",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("checking", "ready", "infected", "removed")),
                name="attachment_state_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="checking") | Q(scan_at__isnull=False),
                name="attachment_checked_some_day",
            ),
        )
        indexes = (
            models.Index(
                fields=["created_at"], condition=Q(event__isnull=True), name="attachment_unsent"
            ),
            models.Index(
                fields=["scan_at"], condition=Q(state="checking"), name="attachment_to_scan"
            ),
            models.Index(
                fields=["id"],
                condition=Q(state__in=("infected", "removed")) & ~Q(file=""),
                name="attachment_to_remove",
            ),
        )

    def __str__(self) -> str:
        return self.filename

    def make_seal(self) -> None:
        """Make what stands for this file in the timeline's hash."""
        self.salt = secrets.token_hex(16)
        self.seal = salted(self.salt, canonical([self.filename, self.sha256]))

    @property
    def sealed_as(self) -> tuple[str, ...]:
        """What the timeline's hash holds of this file."""
        if self.seal:
            return (self.public_id, self.seal)
        return (self.public_id, self.filename, self.sha256)  # from before there were seals

    @property
    def was_blanked(self) -> bool:
        """Its name and what its content was were erased."""
        return bool(self.seal) and not self.salt

    @property
    def keeps_its_seal(self) -> bool:
        """Name and digest of the content are those that were sent, or were erased."""
        if not self.seal or self.was_blanked:
            return True
        return salted(self.salt, canonical([self.filename, self.sha256])) == self.seal


class Reading(models.Model):
    """One of the staff has looked at a case, or at a file of it. Never changed, never removed."""

    class What(models.TextChoices):
        PAGE = "page", _lazy("The case")
        FILE = "file", _lazy("A file")
        EXPORT = "export", _lazy("An export")

    reader = models.ForeignKey(User, on_delete=models.PROTECT, related_name="readings")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="readings")
    what = models.CharField(max_length=6, choices=What.choices)
    detail = models.CharField(
        max_length=40, blank=True, help_text="The file, or whom the export was for."
    )
    at = models.DateTimeField(default=clock.now)

    if TYPE_CHECKING:
        case_id: int

    class Meta:
        indexes = (models.Index(fields=["case", "-id"], name="reading_of_case"),)

    def __str__(self) -> str:
        return f"{self.reader} read {self.case}"


class Erasure(models.Model):
    """A person was erased: who they were is gone, what happened stays. Never changed or removed."""

    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="erasures")
    by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: a command."
    )
    reason = models.TextField()
    words_too = models.BooleanField(help_text="What they wrote was blanked as well.")
    events = models.PositiveIntegerField(default=0, help_text="Messages that were blanked.")
    files = models.PositiveIntegerField(default=0, help_text="Files that were removed.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["person"], name="erasure_once"),)

    def __str__(self) -> str:
        return f"Erasure of {self.person.public_id}"


class Draft(models.Model):
    """What a person has typed for one act and not sent yet. Nobody else reads it.

    `about` is the public id of the case, or of the payment that a case is to be opened for.
    `fields` holds what was in the form, by the names of its fields, and the ids of its uploads.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="drafts")
    about = models.CharField(max_length=40)
    act = models.CharField(max_length=24)
    fields = models.JSONField(default=dict)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "about", "act"], name="draft_once_an_act"),
        )
        indexes = (models.Index(fields=["updated_at"], name="draft_by_age"),)

    def __str__(self) -> str:
        return f"{self.act} of {self.about}"


class Rule(models.Model):
    """A creator's auto-respond rule: refund this class of case by itself, with this message.

    Rules of a company are tried by `position`; the first that matches wins. `version` goes up with
    each change, and an automatic refund records the version and the message as sent. Amounts are
    minor units by currency. Once there are `maximums`, a currency without one is not covered; a
    currency without a limit has none. Limits are of any 24 hours and of any 30 days.
    """

    class Membership(models.TextChoices):
        ANY = "", _lazy("Any membership, or none")
        ENDED = "ended", _lazy("A membership that has ended")
        RUNNING = "running", _lazy("A membership that goes on")

    class OffBecause(models.TextChoices):
        SOMEBODY = "", _lazy("Somebody turned it off")
        LIMITS = "limits", _lazy("It kept reaching its limits")
        REFUNDS = "refunds", _lazy("Its refunds kept failing")

    company = models.ForeignKey(Company, on_delete=models.CASCADE, related_name="rules")
    name = models.CharField(max_length=80)
    position = models.PositiveIntegerField()
    enabled = models.BooleanField(default=True)
    off_because = models.CharField(max_length=8, choices=OffBecause.choices, blank=True)
    switched_at = models.DateTimeField(default=clock.now, editable=False)
    reasons: "ArrayField[Sequence[str], list[str]]" = ArrayField(
        models.CharField(max_length=24, choices=Reason.choices)
    )
    product_ids: "ArrayField[Sequence[int], list[int]]" = ArrayField(
        models.BigIntegerField(), default=list, blank=True, help_text="None stands for all."
    )
    processor = models.CharField(
        max_length=10,
        choices=[("", "Any"), ("stripe", "Stripe"), ("paypal", "PayPal")],
        blank=True,
    )
    membership = models.CharField(max_length=8, choices=Membership.choices, blank=True)
    maximums = models.JSONField(default=dict, blank=True)
    day_limits = models.JSONField(default=dict, blank=True)
    month_limits = models.JSONField(default=dict, blank=True)
    buyer_limit = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Refunds to one buyer in any 30 days."
    )
    delay_hours = models.PositiveSmallIntegerField(default=0)
    message = models.TextField()
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints = (
            models.UniqueConstraint(
                fields=["company", "position"],
                name="rule_place_once",
                deferrable=models.Deferrable.DEFERRED,
            ),
        )

    def __str__(self) -> str:
        return self.name


class RuleUse(models.Model):
    """What a rule did about a case that it covers: refunds it, plans to, or leaves it to a person.

    Written by the door together with the step. Limits are counted from these rows, while the rule
    is held.
    """

    class TurnedAway(models.TextChoices):
        NOT = "", "Not turned away"
        DAY = "day", "Over the limit of 24 hours"
        MONTH = "month", "Over the limit of 30 days"
        BUYER = "buyer", "Over the limit of one buyer"

    case = models.OneToOneField(Case, on_delete=models.PROTECT, related_name="rule_use")
    rule = models.ForeignKey(
        Rule, on_delete=models.SET_NULL, null=True, related_name="uses", db_index=False
    )
    version = models.PositiveIntegerField()
    amount_minor = models.BigIntegerField()
    turned_away = models.CharField(max_length=5, choices=TurnedAway.choices, blank=True)
    taken_at = models.DateTimeField()
    refunded_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["rule", "refunded_at"], condition=Q(turned_away=""), name="rule_use_counted"
            ),
            models.Index(
                fields=["rule", "taken_at"], condition=~Q(turned_away=""), name="rule_use_turned"
            ),
        )

    def __str__(self) -> str:
        return f"{self.rule} on {self.case}"


class RuleChange(models.Model):
    """One entry of the history of a company's rules: who changed what, when. Never changed.

    `columns` is the rule as it was afterwards; `actor` is nobody where it happened by itself.
    """

    class Act(models.TextChoices):
        ADDED = "added", "Added"
        CHANGED = "changed", "Changed"
        ON = "on", "Turned on"
        OFF = "off", "Turned off"
        MOVED = "moved", "Moved"
        DELETED = "deleted", "Deleted"

    company = models.ForeignKey(
        Company, on_delete=models.CASCADE, related_name="rule_changes", db_index=False
    )
    rule = models.ForeignKey(Rule, on_delete=models.SET_NULL, null=True, related_name="changes")
    rule_number = models.BigIntegerField(help_text="The rule's id, also when it is gone.")
    version = models.PositiveIntegerField()
    act = models.CharField(max_length=8, choices=Act.choices)
    actor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    columns = models.JSONField(default=dict)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes = (models.Index(fields=["company", "-id"], name="rule_change_of_company"),)

    def __str__(self) -> str:
        return f"{self.columns.get('name', '')}: {self.act}"


class SavedReply(models.Model):
    """A text that a company's team sends often, to be filled into an answer and sent by a person.

    The text may hold the variables of auto-respond rules; `version` goes up with each change.
    """

    company = models.ForeignKey(Company, on_delete=models.CASCADE, related_name="saved_replies")
    title = models.CharField(max_length=80)
    text = models.TextField()
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering: ClassVar = ["title", "id"]
        constraints = (
            models.UniqueConstraint(fields=["company", "title"], name="reply_title_once"),
        )
        verbose_name_plural = _lazy("saved replies")

    def __str__(self) -> str:
        return self.title


class ReminderMark(models.Model):
    """How far the deadlines that lie so many days ahead have been looked through for reminders.

    The place is a deadline and, among cases that share it, the last case. Whoever reminds holds the
    row, so each deadline is come past once, and no case carries a date for it.
    """

    days = models.PositiveSmallIntegerField(primary_key=True)
    due_at = models.DateTimeField()
    case_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.days} days before"


class Presence(models.Model):
    """One of the staff has a case open: when their page said so last."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="present")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    last_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["case", "user"], name="presence_of_one_on_one"),
        )

    def __str__(self) -> str:
        return f"{self.user} on {self.case}"


class Assignment(models.Model):
    """Somebody of the staff took a case, or let it go. Rows are only added."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="assignments")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    to = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.case} to {self.to}"
