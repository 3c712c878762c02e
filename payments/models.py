"""Payments, refunds, and the credits ledger. What moves them is in refunds.py and credits.py."""

import re
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.models import Company, Membership, Product
from marketplace.public_ids import PublicIdField
from payments.gateways.units import smallest_step

CARD = re.compile(r"(.{1,40}) ending (\w{4})")


class Payment(models.Model):
    """Money a buyer paid to a company, and what has become of it since.

    Amounts are whole numbers of the currency's smallest unit. What was given back, what is on its
    way back and what was credited never add up to more than was paid: a check constraint says so.
    """

    class Processor(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        PAYPAL = "paypal", "PayPal"
        CRYPTO = "crypto", _lazy("Crypto")
        COINBASE = "coinbase", "Coinbase Commerce"

    class Chargeback(models.TextChoices):
        NONE = "", _lazy("None")
        OPEN = "open", _lazy("Open at the bank")
        WON = "won", _lazy("Ruled for the creator")
        LOST = "lost", _lazy("Ruled for the buyer")

    REVERSIBLE: ClassVar = (Processor.STRIPE, Processor.PAYPAL)

    public_id = PublicIdField("pay_")
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payments", db_index=False
    )
    company = models.ForeignKey(
        Company, on_delete=models.PROTECT, related_name="payments", db_index=False
    )
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="payments")
    membership = models.ForeignKey(
        Membership, on_delete=models.PROTECT, related_name="payments", null=True, blank=True
    )
    processor = models.CharField(max_length=10, choices=Processor.choices)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    refunded_minor = models.BigIntegerField(
        default=0, help_text="Arrived back at the buyer, whoever gave it back."
    )
    reserved_minor = models.BigIntegerField(
        default=0, help_text="Promised or on its way back, not yet arrived."
    )
    credited_minor = models.BigIntegerField(default=0, help_text="Given as credits instead.")
    chargeback = models.CharField(
        max_length=4, choices=Chargeback.choices, default=Chargeback.NONE, blank=True
    )
    looked_at = models.DateTimeField(
        null=True, blank=True, editable=False,
        help_text="When the last look at the provider began, by the database's clock.",
    )  # fmt: skip
    charge_id = models.CharField(
        max_length=80, blank=True, help_text="The provider's charge, intent, capture or sale."
    )
    order_id = models.CharField(
        max_length=80, blank=True, help_text="PayPal's order, or the PAY- payment of an old sale."
    )
    account = models.CharField(max_length=80, blank=True, help_text="Stripe Connect account.")
    method = models.CharField(
        max_length=60, blank=True, help_text="As people know it: Visa ending 4242."
    )
    paid_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0)
                & Q(refunded_minor__gte=0)
                & Q(reserved_minor__gte=0)
                & Q(credited_minor__gte=0)
                & Q(
                    amount_minor__gte=F("refunded_minor")
                    + F("reserved_minor")
                    + F("credited_minor")
                ),
                name="payment_never_gives_back_more",
            ),
            models.UniqueConstraint(
                fields=["processor", "charge_id"],
                condition=~Q(charge_id=""),
                name="payment_charge_once",
            ),
        )
        indexes = (
            models.Index(fields=["buyer", "-paid_at"], name="payment_by_buyer"),
            models.Index(fields=["company", "-paid_at", "-id"], name="payment_by_company"),
            models.Index(fields=["paid_at"], name="payment_by_date"),
            models.Index(
                fields=["chargeback"], condition=~Q(chargeback=""), name="payment_charged_back"
            ),
        )

    def __str__(self) -> str:
        return self.public_id

    @property
    def refundable_minor(self) -> int:
        """What can still be given back, in minor units."""
        return self.amount_minor - self.refunded_minor - self.reserved_minor - self.credited_minor

    @property
    def smallest_step(self) -> int:
        """By how much two sums differ at least that its provider can give back, in minor units."""
        return smallest_step(self.processor, self.currency)

    @property
    def way_back(self) -> str:
        """Where a refund arrives, for a sentence: `Visa ending 4242`, `PayPal account`."""
        method = self.method or self.get_processor_display()
        if card := CARD.fullmatch(method):
            return _("{card} ending {digits}").format(card=card[1], digits=card[2])
        return _("PayPal account") if method == "PayPal account" else method


def in_readers_words(kept: str) -> str:
    """What was kept in English, in the reader's language; what we never said stays as it came."""
    return _(kept) if kept else ""


class Refund(models.Model):
    """One intent to give money back through the provider, and how far it has come.

    =================  ======================================================================
    state              meaning
    =================  ======================================================================
    held               promised by a decision that is not final yet; reserved, never sent
    pending            to be sent; nothing has happened at the provider
    submitting         handed over, or perhaps so: with `provider_id` the provider has it
    requires_action    the provider waits for the buyer
    succeeded          the provider says that it arrived
    failed, canceled   the provider says that it will not arrive, or a hold was lifted
    =================  ======================================================================

    The terms (payment, amount, currency, cause) never change after insert; a trigger says so.

    What was given back without us, in the provider's dashboard, is a row too: `elsewhere`. It was
    never asked for here, so it is never sent, only followed.
    """

    class State(models.TextChoices):
        HELD = "held", _lazy("Held until the decision is final")
        PENDING = "pending", _lazy("Requested")
        SUBMITTING = "submitting", _lazy("Sent")
        REQUIRES_ACTION = "requires_action", _lazy("Waiting for the buyer")
        SUCCEEDED = "succeeded", _lazy("Arrived")
        FAILED = "failed", _lazy("Failed")
        CANCELED = "canceled", _lazy("Canceled")

    IN_FLIGHT: ClassVar = (State.PENDING, State.SUBMITTING, State.REQUIRES_ACTION)
    RESERVING: ClassVar = (State.HELD, *IN_FLIGHT)

    public_id = PublicIdField("rfnd_")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    key = models.CharField(max_length=120, help_text="The same key is the same refund.")
    cause = models.CharField(max_length=60, help_text="Public id of what called for it.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    elsewhere = models.BooleanField(
        default=False, help_text="Made at the provider without us, in its dashboard."
    )
    generation = models.PositiveSmallIntegerField(default=1)
    provider_id = models.CharField(max_length=80, blank=True)
    failure_code = models.CharField(max_length=80, blank=True)
    failure_message = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    in_doubt_since = models.DateTimeField(
        null=True, blank=True, help_text="Handed over without a clear answer at this moment."
    )
    trouble = models.TextField(blank=True, help_text="Why it waits, since the last attempt.")
    alert = models.BooleanField(
        default=False, help_text="Waiting alone mends nothing: somebody has to see to it."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["key"], name="refund_key_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_gives_something"),
            models.UniqueConstraint(
                fields=["provider_id"], condition=~Q(provider_id=""), name="refund_provider_id_once"
            ),
            models.CheckConstraint(
                condition=Q(elsewhere=False) | ~Q(provider_id=""), name="refund_elsewhere_is_known"
            ),
        )
        indexes = (
            models.Index(
                fields=["payment"], condition=Q(elsewhere=True), name="refund_made_elsewhere"
            ),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=["pending", "submitting", "requires_action"]),
                name="refund_in_flight",
            ),
            models.Index(fields=["id"], condition=Q(alert=True), name="refund_wants_somebody"),
        )

    def __str__(self) -> str:
        return self.public_id

    @property
    def wants_looking_up(self) -> bool:
        """Whether a person may say what became of it: in doubt, and in no list of the provider's.

        A payment that came from PayPal without its order may belong to none, and only orders list
        refunds (ADR 6).
        """
        listed = self.payment.processor != Payment.Processor.PAYPAL or self.payment.order_id
        in_doubt = self.state in self.IN_FLIGHT and self.in_doubt_since and not self.provider_id
        return bool(in_doubt and self.alert and not listed)

    @property
    def idempotency_key(self) -> str:
        """What the provider knows this attempt by; a new generation is a new attempt."""
        return f"{self.public_id}:{self.generation}"

    @property
    def why_not(self) -> str:
        """Why it failed: our own words in the reader's language, the provider's as they came."""
        return in_readers_words(self.failure_message or self.failure_code)

    @property
    def why_it_waits(self) -> str:
        """Why it waits since the last attempt, told in the same way."""
        return in_readers_words(self.trouble)


class ProviderEvent(models.Model):
    """The inbox: what a provider has told us, as it came, and whether we have seen to it.

    An event is only a hint. Handling one means to look at the provider again.
    """

    provider = models.CharField(
        max_length=10, choices=[(one.value, one.label) for one in Payment.REVERSIBLE]
    )
    event_id = models.CharField(max_length=255, help_text="The provider's.")
    type = models.CharField(max_length=100)
    payload = models.TextField(help_text="JSON, as it was signed.")
    charge = models.CharField(
        max_length=80,
        blank=True,
        help_text="The provider's, where the event is about a single one.",
    )
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    processed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    error = models.TextField(blank=True, help_text="Why it waits, since the last attempt.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["provider", "event_id"], name="provider_event_once"),
        )
        indexes = (
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(processed_at__isnull=True),
                name="provider_event_to_do",
            ),
            models.Index(
                fields=["charge"],
                condition=Q(processed_at__isnull=True) & ~Q(charge=""),
                name="provider_event_of_charge",
            ),
        )

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Discrepancy(models.Model):
    """A difference between our books and the provider's, for finance to look into.

    Found again it stays one row. It ends when it is gone at the next look, or when somebody in
    finance has seen to it and says how.
    """

    class Kind(models.TextChoices):
        NO_ROOM = "no_room", _lazy("Given back elsewhere, more than was left here")
        ENDED_HERE = (
            "ended_here",
            _lazy("Given back at the provider, but ended without success here"),
        )
        TWICE = "twice", _lazy("One refund of ours, twice at the provider")
        TERMS = "terms", _lazy("Other terms at the provider")
        MISSING = "missing", _lazy("Not known to the provider")
        SUMS = "sums", _lazy("The payment’s sums do not add up")
        PAID_TWICE = "paid_twice", _lazy("Charged back and given back as well")
        OVERTAKEN = "overtaken", _lazy("Decided here, but the bank gave it back first")

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="discrepancies")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    reference = models.CharField(
        max_length=80, blank=True, help_text="The refund it is about, as the provider names it."
    )
    detail = models.CharField(max_length=300)
    found_at = models.DateTimeField(default=clock.now, editable=False)
    gone_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.TextField(blank=True, help_text="What was found, and what was done about it.")

    class Meta:
        verbose_name_plural = "discrepancies"
        constraints = (
            models.UniqueConstraint(
                fields=["payment", "kind", "reference", "detail"], name="discrepancy_once"
            ),
            models.CheckConstraint(
                condition=Q(settled_at__isnull=True, settled_by__isnull=True)
                | Q(settled_at__isnull=False, settled_by__isnull=False) & ~Q(note=""),
                name="discrepancy_settled_by_somebody",
            ),
        )
        indexes = (
            models.Index(
                fields=["payment"],
                condition=Q(gone_at__isnull=True, settled_at__isnull=True),
                name="discrepancy_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reference or self.payment}"

    @property
    def is_open(self) -> bool:
        return self.gone_at is None and self.settled_at is None


class CreditAccount(models.Model):
    """One side of the credits ledger: a buyer's credits, or the platform's goodwill budget."""

    class Kind(models.TextChoices):
        BUYER = "buyer", _lazy("A buyer's credits")
        GOODWILL = "goodwill", _lazy("The platform's goodwill budget")

    kind = models.CharField(max_length=10, choices=Kind.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="credit_accounts",
        null=True,
        blank=True,
    )
    currency = models.CharField(max_length=3)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["kind", "user", "currency"],
                nulls_distinct=False,
                name="credit_account_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="buyer", user__isnull=False)
                | Q(kind="goodwill", user__isnull=True),
                name="credit_account_has_its_owner",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.currency}"


class CreditTransfer(models.Model):
    """One booking of the credits ledger: its entries add up to nothing. Never changed."""

    public_id = PublicIdField("cred_")
    key = models.CharField(max_length=120, help_text="The same key is the same booking.")
    cause = models.CharField(max_length=60, help_text="Public id of what called for it.")
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="credits", null=True, blank=True
    )
    note = models.CharField(max_length=200)
    about = models.CharField(
        max_length=40,
        blank=True,
        db_default="",
        help_text="Public id of the case, if it is for one.",
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key"], name="credit_transfer_key_once"),)

    def __str__(self) -> str:
        return self.public_id

    @property
    def told(self) -> str:
        """What it is for, in the reader's language where nobody typed it."""
        if not self.about or self.payment is None:
            return self.note
        return _("Case {case}, {product}").format(
            case=self.about, product=self.payment.product.name
        )


class CreditAdjustment(models.Model):
    """A change of a buyer's credits by hand: who asked for it, why, and what came of it.

    Over the limit for one person it waits until somebody else of finance approves or declines it.
    The terms never change after insert; a trigger says so.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _lazy("Needs a second person")
        BOOKED = "booked", _lazy("Booked")
        DECLINED = "declined", _lazy("Declined")

    public_id = PublicIdField("cadj_")
    form_key = models.UUIDField(help_text="The same form is the same adjustment.")
    account = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="adjustments")
    amount_minor = models.BigIntegerField(help_text="Given when positive, taken when negative.")
    reason = models.CharField(max_length=200, help_text="The buyer reads it.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    asked_at = models.DateTimeField(default=clock.now, editable=False)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, help_text="Why it was declined.")
    transfer = models.OneToOneField(
        CreditTransfer, on_delete=models.PROTECT, null=True, blank=True, related_name="adjustment"
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["form_key"], name="credit_adjustment_form_once"),
            models.CheckConstraint(
                condition=~Q(amount_minor=0) & ~Q(reason=""), name="credit_adjustment_says_why"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", settled_by__isnull=True, transfer__isnull=True)
                | Q(state="booked", settled_at__isnull=False, transfer__isnull=False)
                | Q(state="declined", settled_by__isnull=False, transfer__isnull=True)
                & ~Q(note=""),
                name="credit_adjustment_ends_in_a_booking",
            ),
            models.CheckConstraint(
                condition=~Q(state="booked")
                | Q(settled_by__isnull=True)
                | ~Q(settled_by=F("asked_by")),
                name="credit_adjustment_by_two_people",
            ),
        )
        indexes = (
            models.Index(
                fields=["id"], condition=Q(state="waiting"), name="credit_adjustment_waiting"
            ),
        )

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_waiting(self) -> bool:
        return self.state == self.State.WAITING


class CreditEntry(models.Model):
    """What one booking puts on (positive) or takes from (negative) one account, in minor units."""

    transfer = models.ForeignKey(CreditTransfer, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="entries")
    amount_minor = models.BigIntegerField()

    class Meta:
        verbose_name_plural = _lazy("credit entries")
        constraints = (
            models.UniqueConstraint(
                fields=["transfer", "account"], name="credit_entry_once_per_account"
            ),
            models.CheckConstraint(
                condition=~Q(amount_minor=0), name="credit_entry_moves_something"
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount_minor} {self.account}"
