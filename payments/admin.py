"""Payments, refunds and credits, to be looked at: whatever moves money is done in a case."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketplace.admin import Looked, ReadOnlyAdmin, link_to
from payments.models import CreditEntry, CreditTransfer, Payment, Refund
from payments.money import format_money


class RefundsOfPayment(Looked):
    """The refunds of one payment."""

    model = Refund
    fields = ("public_id", "sum", "state", "provider_id", "created_at", "settled_at")

    @admin.display(description="amount")
    def sum(self, refund: Refund) -> str:
        return format_money(refund.amount_minor, refund.currency)


class CreditsOfPayment(Looked):
    """The credits given instead of one payment's money."""

    model = CreditTransfer
    fields = ("public_id", "note", "created_at")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """What buyers paid, and what has become of it since."""

    found_by: ClassVar[Mapping[str, str]] = {
        "user_": "buyer__public_id", "biz_": "company__public_id", "prod_": "product__public_id",
        "pay_": "public_id", "@": "buyer__email", "": "charge_id",
    }  # fmt: skip
    search_help_text = (
        "A pay_, user_, biz_ or prod_ id, the buyer’s e-mail address, or the provider’s charge."
    )
    list_display = ("public_id", "paid_by", "paid", "what", "processor", "paid_at")
    list_select_related = ("buyer", "product")
    inlines = (RefundsOfPayment, CreditsOfPayment)
    fieldsets = (
        (None, {"fields": ("public_id", "case", "paid_by", "what", "sold_by", "of_membership")}),
        ("Money", {"fields": ("paid", "refunded", "on_its_way", "credited", "left", "chargeback")}),
        (
            "At the provider",
            {"fields": ("processor", "method", "charge_id", "order_id", "account", "paid_at")},
        ),
    )

    @admin.display(description="case")
    def case(self, payment: Payment) -> SafeString:
        queue = reverse("admin:resolution_case_changelist")
        return format_html('<a href="{}?q={}">See its case, if any</a>', queue, payment.public_id)

    @admin.display(description="buyer")
    def paid_by(self, payment: Payment) -> SafeString | str:
        return link_to(payment.buyer)

    @admin.display(description="product")
    def what(self, payment: Payment) -> SafeString | str:
        return link_to(payment.product)

    @admin.display(description="company")
    def sold_by(self, payment: Payment) -> SafeString | str:
        return link_to(payment.company)

    @admin.display(description="membership")
    def of_membership(self, payment: Payment) -> SafeString | str:
        return link_to(
            payment.membership, payment.membership.public_id if payment.membership else ""
        )

    @admin.display(description="paid")
    def paid(self, payment: Payment) -> str:
        return format_money(payment.amount_minor, payment.currency)

    @admin.display(description="refunded")
    def refunded(self, payment: Payment) -> str:
        return format_money(payment.refunded_minor, payment.currency)

    @admin.display(description="promised or on its way")
    def on_its_way(self, payment: Payment) -> str:
        return format_money(payment.reserved_minor, payment.currency)

    @admin.display(description="given as credits")
    def credited(self, payment: Payment) -> str:
        return format_money(payment.credited_minor, payment.currency)

    @admin.display(description="can still be given back")
    def left(self, payment: Payment) -> str:
        return format_money(payment.refundable_minor, payment.currency)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Every intent to give money back, and how far it has come."""

    found_by: ClassVar[Mapping[str, str]] = {
        "rfnd_": "public_id", "pay_": "payment__public_id", "user_": "payment__buyer__public_id",
        "@": "payment__buyer__email", "": "provider_id",
    }  # fmt: skip
    search_help_text = (
        "A rfnd_, pay_ or user_ id, the buyer’s e-mail address, or the provider’s refund."
    )
    list_display = ("public_id", "sum", "state", "of", "provider_id", "attempts", "created_at")
    list_select_related = ("payment",)
    list_filter = ("state",)
    fields = (
        "public_id", "of", "sum", "state", "cause", "key", "generation", "provider_id",
        "failure_code", "failure_message", "attempts", "next_attempt_at", "first_sent_at",
        "in_doubt_since", "created_at", "settled_at",
    )  # fmt: skip

    @admin.display(description="amount")
    def sum(self, refund: Refund) -> str:
        return format_money(refund.amount_minor, refund.currency)

    @admin.display(description="payment")
    def of(self, refund: Refund) -> SafeString | str:
        return link_to(refund.payment)


class Entries(Looked):
    """The two sides of one booking."""

    model = CreditEntry
    fields = ("account", "sum")
    show_change_link = False

    @admin.display(description="amount")
    def sum(self, entry: CreditEntry) -> str:
        return format_money(entry.amount_minor, entry.account.currency)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CreditEntry]":
        return super().get_queryset(request).select_related("account")


@admin.register(CreditTransfer)
class CreditTransferAdmin(ReadOnlyAdmin):
    """Bookings of the credits ledger."""

    found_by: ClassVar[Mapping[str, str]] = {
        "cred_": "public_id", "pay_": "payment__public_id", "user_": "payment__buyer__public_id",
        "@": "payment__buyer__email", "": "cause",
    }  # fmt: skip
    search_help_text = "A cred_, pay_ or user_ id, the buyer’s e-mail address, or the event’s id."
    list_display = ("public_id", "note", "instead_of", "created_at")
    list_select_related = ("payment",)
    fields = ("public_id", "note", "instead_of", "cause", "key", "created_at")
    inlines = (Entries,)

    @admin.display(description="payment")
    def instead_of(self, transfer: CreditTransfer) -> SafeString | str:
        return link_to(transfer.payment)
