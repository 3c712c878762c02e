"""Payments, refunds, and the credits ledger. What moves them is in refunds.py and credits.py."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from marketplace import clock
from marketplace.models import Company, Membership, Product
from marketplace.public_ids import PublicIdField


class Payment(models.Model):
    """Money a buyer paid to a company, and what has become of it since.

    Amounts are whole numbers of the currency's smallest unit. What was given back, what is on its
    way back and what was credited never add up to more than was paid: a check constraint says so.
    """

    class Processor(models.TextChoices):
        STRIPE = "stripe", "Stripe"
        PAYPAL = "paypal", "PayPal"
        CRYPTO = "crypto", "Crypto"
        COINBASE = "coinbase", "Coinbase Commerce"

    class Chargeback(models.TextChoices):
        NONE = "", "None"
        OPEN = "open", "Open at the bank"
        WON = "won", "Ruled for the creator"
        LOST = "lost", "Ruled for the buyer"

    REVERSIBLE: ClassVar = (Processor.STRIPE, Processor.PAYPAL)

    public_id = PublicIdField("pay_")
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payments"
    )
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="payments")
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
    charge_id = models.CharField(
        max_length=80, blank=True, help_text="The provider's charge, intent or capture."
    )
    order_id = models.CharField(max_length=80, blank=True, help_text="PayPal's order, if any.")
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
        indexes = (models.Index(fields=["buyer", "-paid_at"], name="payment_by_buyer"),)

    def __str__(self) -> str:
        return self.public_id

    @property
    def refundable_minor(self) -> int:
        """What can still be given back, in minor units."""
        return self.amount_minor - self.refunded_minor - self.reserved_minor - self.credited_minor

    @property
    def way_back(self) -> str:
        """Where a refund arrives, for a sentence: `Visa ending 4242`, `PayPal account`."""
        return self.method or self.get_processor_display()


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
    """

    class State(models.TextChoices):
        HELD = "held", "Held until the decision is final"
        PENDING = "pending", "Requested"
        SUBMITTING = "submitting", "Sent"
        REQUIRES_ACTION = "requires_action", "Waiting for the buyer"
        SUCCEEDED = "succeeded", "Arrived"
        FAILED = "failed", "Failed"
        CANCELED = "canceled", "Canceled"

    IN_FLIGHT: ClassVar = (State.PENDING, State.SUBMITTING, State.REQUIRES_ACTION)
    RESERVING: ClassVar = (State.HELD, *IN_FLIGHT)

    public_id = PublicIdField("rfnd_")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    key = models.CharField(max_length=120, help_text="The same key is the same refund.")
    cause = models.CharField(max_length=60, help_text="Public id of what called for it.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
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
    created_at = models.DateTimeField(default=clock.now, editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["key"], name="refund_key_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_gives_something"),
            models.UniqueConstraint(
                fields=["provider_id"], condition=~Q(provider_id=""), name="refund_provider_id_once"
            ),
        )
        indexes = (
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=["pending", "submitting", "requires_action"]),
                name="refund_in_flight",
            ),
        )

    def __str__(self) -> str:
        return self.public_id

    @property
    def idempotency_key(self) -> str:
        """What the provider knows this attempt by; a new generation is a new attempt."""
        return f"{self.public_id}:{self.generation}"


class CreditAccount(models.Model):
    """One side of the credits ledger: a buyer's credits, or the platform's goodwill budget."""

    class Kind(models.TextChoices):
        BUYER = "buyer", "A buyer's credits"
        GOODWILL = "goodwill", "The platform's goodwill budget"

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
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key"], name="credit_transfer_key_once"),)

    def __str__(self) -> str:
        return self.public_id


class CreditEntry(models.Model):
    """What one booking puts on (positive) or takes from (negative) one account, in minor units."""

    transfer = models.ForeignKey(CreditTransfer, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="entries")
    amount_minor = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "credit entries"
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
