"""Payments, refunds and credits, to be looked at: whatever moves money is done in a case.

The one act here is to settle a discrepancy, which moves none.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace import clock
from marketplace.admin import Looked, ReadOnlyAdmin, handles_money, link_to
from marketplace.doorbell import ring
from payments.admin import looked_up
from payments.models import (
    CreditEntry,
    CreditTransfer,
    Discrepancy,
    Payment,
    ProviderEvent,
    Refund,
)
from payments.money import format_money


def case_of(payment: Payment) -> SafeString:
    """A link to where the case of a payment is found: payments know no cases."""
    queue = reverse("admin:resolution_case_changelist")
    return format_html(
        '<a href="{}?q={}">{}</a>', queue, payment.public_id, _("See its case, if any")
    )


class RefundsOfPayment(Looked):
    """The refunds of one payment."""

    model = Refund
    fields = ("sum", "state", "elsewhere", "provider_id", "created_at", "settled_at")

    @admin.display(description=_lazy("amount"))
    def sum(self, refund: Refund) -> str:
        return format_money(refund.amount_minor, refund.currency)


class CreditsOfPayment(Looked):
    """The credits given instead of one payment's money."""

    model = CreditTransfer
    fields = ("note", "created_at")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """What buyers paid, and what has become of it since."""

    found_by: ClassVar[Mapping[str, str]] = {
        "user_": "buyer__public_id", "biz_": "company__public_id", "prod_": "product__public_id",
        "pay_": "public_id", "@": "buyer__email", "": "charge_id",
    }  # fmt: skip
    search_help_text = _lazy(
        "A pay_, user_, biz_ or prod_ id, the buyer’s e-mail address, or the provider’s charge."
    )
    list_display = ("public_id", "paid_by", "paid", "what", "processor", "paid_at")
    list_select_related = ("buyer", "product")
    inlines = (RefundsOfPayment, CreditsOfPayment)
    fieldsets = (
        (None, {"fields": ("public_id", "case", "paid_by", "what", "sold_by", "of_membership")}),
        (
            _lazy("Money"),
            {"fields": ("paid", "refunded", "on_its_way", "credited", "left", "chargeback")},
        ),
        (
            _lazy("At the provider"),
            {"fields": ("processor", "method", "charge_id", "order_id", "account", "paid_at")},
        ),
    )

    @admin.display(description=_lazy("case"))
    def case(self, payment: Payment) -> SafeString:
        return case_of(payment)

    @admin.display(description=_lazy("buyer"))
    def paid_by(self, payment: Payment) -> SafeString | str:
        return link_to(payment.buyer)

    @admin.display(description=_lazy("product"))
    def what(self, payment: Payment) -> SafeString | str:
        return link_to(payment.product)

    @admin.display(description=_lazy("company"))
    def sold_by(self, payment: Payment) -> SafeString | str:
        return link_to(payment.company)

    @admin.display(description=_lazy("membership"))
    def of_membership(self, payment: Payment) -> SafeString | str:
        return link_to(
            payment.membership, payment.membership.public_id if payment.membership else ""
        )

    @admin.display(description=_lazy("paid"))
    def paid(self, payment: Payment) -> str:
        return format_money(payment.amount_minor, payment.currency)

    @admin.display(description=_lazy("refunded"))
    def refunded(self, payment: Payment) -> str:
        return format_money(payment.refunded_minor, payment.currency)

    @admin.display(description=_lazy("promised or on its way"))
    def on_its_way(self, payment: Payment) -> str:
        return format_money(payment.reserved_minor, payment.currency)

    @admin.display(description=_lazy("given as credits"))
    def credited(self, payment: Payment) -> str:
        return format_money(payment.credited_minor, payment.currency)

    @admin.display(description=_lazy("can still be given back"))
    def left(self, payment: Payment) -> str:
        return format_money(payment.refundable_minor, payment.currency)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Every intent to give money back, and how far it has come."""

    found_by: ClassVar[Mapping[str, str]] = {
        "rfnd_": "public_id", "pay_": "payment__public_id", "user_": "payment__buyer__public_id",
        "@": "payment__buyer__email", "": "provider_id",
    }  # fmt: skip
    search_help_text = _lazy(
        "A rfnd_, pay_ or user_ id, the buyer’s e-mail address, or the provider’s refund."
    )
    list_display = ("public_id", "sum", "state", "of", "provider_id", "attempts", "created_at")
    list_select_related = ("payment",)
    list_filter = ("state", "elsewhere", "alert")
    fields = (
        "public_id", "of", "sum", "state", "elsewhere", "cause", "key", "generation", "provider_id",
        "failure_code", "failure_message", "trouble", "alert", "attempts", "next_attempt_at",
        "first_sent_at", "in_doubt_since", "created_at", "settled_at",
    )  # fmt: skip

    def get_urls(self) -> list[Any]:
        look_up = self.admin_site.admin_view(self.look_up)
        return [
            path("<int:pk>/look-up/", look_up, name="payments_refund_look_up"),
            *super().get_urls(),
        ]

    def look_up(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what the provider's dashboard shows of a refund that nothing else can tell of."""
        return looked_up.page(self, request, get_object_or_404(Refund, pk=pk))

    @admin.display(description=_lazy("amount"))
    def sum(self, refund: Refund) -> str:
        return format_money(refund.amount_minor, refund.currency)

    @admin.display(description=_lazy("payment"))
    def of(self, refund: Refund) -> SafeString | str:
        return link_to(refund.payment)


class Standing(admin.SimpleListFilter):
    """Which discrepancies are shown: those still to be looked into, unless asked otherwise."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("open", _("Open")),
            ("settled", _("Settled")),
            ("gone", _("Gone by itself")),
            ("all", _("All")),
        ]

    def value(self) -> str:
        return str(super().value() or "open")

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, label in self.lookup_choices:
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": label,
            }

    def queryset(
        self, request: HttpRequest, queryset: "QuerySet[Discrepancy]"
    ) -> "QuerySet[Discrepancy]":
        if self.value() == "open":
            return queryset.filter(settled_at=None, gone_at=None)
        if self.value() == "settled":
            return queryset.exclude(settled_at=None)
        if self.value() == "gone":
            return queryset.filter(settled_at=None).exclude(gone_at=None)
        return queryset


Kind = Discrepancy.Kind
ADVICE: Mapping[str, str | Promise] = {
    Kind.NO_ROOM: _lazy(
        "The buyer may have been paid twice: here, and by whoever refunded at the "
        "provider. Talk to them, recover the money or write it off, and note what "
        "was done."
    ),
    Kind.ENDED_HERE: _lazy(
        "The money moved after all. Do not pay again: mark the case’s refund as "
        "paid by hand with the provider’s id as the reference, and note it."
    ),
    Kind.TWICE: _lazy(
        "Both are counted, and the buyer has too much. Recover it or write it off, "
        "and tell the developers: this should not be possible."
    ),
    Kind.TERMS: _lazy(
        "Compare the two by hand in the provider’s dashboard, and note which is right."
    ),
    Kind.MISSING: _lazy(
        "Look the refund up in the provider’s dashboard. If it is not there "
        "either, ask the provider before anybody pays again."
    ),
    Kind.SUMS: _lazy("Rows were changed by hand. Find out by whom; the refunds are what counts."),
    Kind.PAID_TWICE: _lazy(
        "The bank took what was given back already. Dispute the chargeback in the "
        "provider’s dashboard, with the refund as evidence."
    ),
    Kind.OVERTAKEN: _lazy(
        "The buyer has the money from the bank, and the refund was never sent: "
        "nothing is to be paid. See that the case tells it right, and note that "
        "you have seen it."
    ),
}
"""What finance do about each kind."""


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyAdmin):
    """Where our books and a provider's differ. Finance settles one by saying what was done."""

    found_by: ClassVar[Mapping[str, str]] = {
        "pay_": "payment__public_id", "user_": "payment__buyer__public_id",
        "@": "payment__buyer__email", "": "reference",
    }  # fmt: skip
    search_help_text = _lazy(
        "A pay_ or user_ id, the buyer’s e-mail address, or the provider’s refund."
    )
    list_display = ("what", "detail", "of", "found_at", "standing")
    list_select_related = ("payment",)
    list_filter = (Standing, "kind")
    fields = (
        "kind", "detail", "advice", "of", "case", "reference", "found_at", "gone_at", "note",
        "settled_by", "settled_at",
    )  # fmt: skip

    def get_urls(self) -> list[Any]:
        again = self.admin_site.admin_view(self.look_again)
        return [
            path("<int:pk>/look-again/", again, name="payments_discrepancy_look_again"),
            *super().get_urls(),
        ]

    def look_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Have the payment compared with its provider once more, now."""
        row = get_object_or_404(Discrepancy, pk=pk)
        if request.method == "POST" and self.has_view_permission(request, row):
            ring("payments.tasks.look_at_payments", [row.payment_id])
            messages.success(request, _("It is being compared. Reload this page in a few seconds."))
        return redirect("admin:payments_discrepancy_change", pk)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return handles_money(request.user) and (obj is None or obj.is_open)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name != "note")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The note is what settles it, so there is none without one."""
        form = super().get_form(request, obj, change, **kwargs)
        if "note" in form.base_fields:
            form.base_fields["note"].required = True
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Settle it, unless somebody else was faster."""
        Discrepancy.objects.filter(pk=obj.pk, settled_at=None).update(
            note=obj.note, settled_by=request.user, settled_at=clock.now()
        )

    @admin.display(description=_lazy("what to do"))
    def advice(self, row: Discrepancy) -> str:
        return str(ADVICE[row.kind])

    @admin.display(description=_lazy("case"))
    def case(self, row: Discrepancy) -> SafeString:
        return case_of(row.payment)

    @admin.display(description=_lazy("difference"))
    def what(self, row: Discrepancy) -> str:
        return row.get_kind_display()

    @admin.display(description=_lazy("payment"))
    def of(self, row: Discrepancy) -> SafeString | str:
        return link_to(row.payment)

    @admin.display(description=_lazy("standing"))
    def standing(self, row: Discrepancy) -> str:
        return _("Settled") if row.settled_at else _("Gone by itself") if row.gone_at else _("Open")


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnlyAdmin):
    """What the providers have told us, as it came."""

    found_by: ClassVar[Mapping[str, str]] = {"": "event_id"}
    search_help_text = _lazy("The provider’s id of the event: evt_… or WH-…")
    list_display = ("event_id", "type", "provider", "received_at", "processed_at", "attempts")
    list_filter: ClassVar = ("provider", ("processed_at", admin.EmptyFieldListFilter))
    fields = (
        "provider", "event_id", "type", "received_at", "processed_at", "attempts",
        "next_attempt_at", "error", "payload",
    )  # fmt: skip


class Entries(Looked):
    """The two sides of one booking."""

    model = CreditEntry
    fields = ("account", "sum")
    show_change_link = False

    @admin.display(description=_lazy("amount"))
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
    search_help_text = _lazy(
        "A cred_, pay_ or user_ id, the buyer’s e-mail address, or the event’s id."
    )
    list_display = ("public_id", "note", "instead_of", "created_at")
    list_select_related = ("payment",)
    fields = ("public_id", "note", "instead_of", "cause", "key", "created_at")
    inlines = (Entries,)

    @admin.display(description=_lazy("payment"))
    def instead_of(self, transfer: CreditTransfer) -> SafeString | str:
        return link_to(transfer.payment)
