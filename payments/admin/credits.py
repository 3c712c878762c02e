"""A buyer's credits in the administration: the statement, and changes by hand.

Finance give credits or take them back for a reason that the buyer reads. Over the limit for one
person, somebody else of finance approves or declines; `payments.credits` says what is allowed.
"""

import unicodedata
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.admin import ReadOnlyAdmin, link_to
from marketplace.models import User
from payments import credits
from payments.models import CreditAccount, CreditAdjustment, CreditEntry
from payments.money import exponent, format_money, limit_in, parse_signed

LARGEST = 1_000_000
"""Whole units that one adjustment may give; more is a slip of the finger."""

SHOWN = 100


class Line(forms.CharField):
    """One line of words for other people: something to read, and no control characters."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 200)
        kwargs.setdefault("widget", forms.TextInput({"class": "input", "autocomplete": "off"}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> str:
        text = " ".join(str(value or "").split())
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            raise forms.ValidationError(_("Remove the unsupported character and try again."))
        return text if any(character.isalnum() for character in text) else ""


class AdjustForm(forms.Form):
    """Give credits, or take them back with a minus."""

    form_key = forms.UUIDField(widget=forms.HiddenInput)
    currency = forms.ChoiceField(
        label=_lazy("Currency"),
        widget=forms.Select({"class": "select"}),
        error_messages={"required": _lazy("Choose a currency.")},
    )
    amount = forms.CharField(
        max_length=32,
        label=_lazy("Amount"),
        help_text=_lazy("With a minus it is taken back: −5.00."),
        widget=forms.TextInput({"class": "input", "inputmode": "text", "autocomplete": "off"}),
        error_messages={"required": _lazy("Enter an amount.")},
    )
    reason = Line(
        label=_lazy("Reason"),
        help_text=_lazy("The buyer reads it on their statement, word for word."),
        error_messages={"required": _lazy("Say why. The buyer reads it.")},
    )

    def __init__(self, balances: Mapping[str, int], data: Any = None) -> None:
        super().__init__(data, initial={"form_key": uuid.uuid4()}, auto_id="adjust-%s")
        self.balances = balances
        currency: Any = self.fields["currency"]
        currency.choices = [(code, code) for code in balances]

    def clean(self) -> dict[str, Any]:
        """The amount in minor units, as `minor`."""
        cleaned: dict[str, Any] = super().clean() or {}
        currency = cleaned.get("currency")
        if currency and "amount" in cleaned:
            try:
                cleaned["minor"] = parse_signed(
                    cleaned["amount"],
                    currency,
                    most_minor=LARGEST * 10 ** exponent(currency),
                    least_minor=self.balances[currency],
                )
            except ValueError as problem:
                self.add_error("amount", str(problem))
        return cleaned


class DeclineForm(forms.Form):
    """Why an adjustment is not made; staff read it."""

    note = Line(
        label=_lazy("Why not"),
        help_text=_lazy("Only staff read it."),
        error_messages={"required": _lazy("Say why it is declined.")},
    )


def is_finance(request: HttpRequest) -> bool:
    """Whether somebody of finance asks: a superuser alone changes no money."""
    user = request.user
    return isinstance(user, User) and user.staff_role == User.StaffRole.FINANCE


def credits_of(user: User, text: str = "") -> SafeString:
    """A link to the page of a buyer's credits."""
    where = reverse("admin:payments_creditaccount_of", args=[user.public_id])
    return format_html(
        '<a href="{}">{}</a>', where, text or _("Credits of {user}").format(user=user.name)
    )


@admin.register(CreditAccount)
class CreditAccountAdmin(ReadOnlyAdmin):
    """Both kinds of account. A buyer's leads to a page of all their credits."""

    found_by: ClassVar[Mapping[str, str]] = {
        "user_": "user__public_id", "@": "user__email", "": "currency",
    }  # fmt: skip
    search_help_text = _lazy("A user_ id, the buyer’s e-mail address, or a currency.")
    list_display = ("__str__", "owner", "currency", "balance")
    list_select_related = ("user",)
    list_filter = ("kind", "currency")
    fields = ("kind", "owner", "currency", "balance")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CreditAccount]":
        entries = CreditEntry.objects.filter(account=OuterRef("pk")).order_by().values("account")
        total = Subquery(entries.annotate(total=Sum("amount_minor")).values("total"))
        return super().get_queryset(request).annotate(total=total)

    @admin.display(description=_lazy("buyer"))
    def owner(self, account: CreditAccount) -> SafeString | str:
        return credits_of(account.user) if account.user else "–"

    @admin.display(description=_lazy("balance"))
    def balance(self, account: Any) -> str:
        return format_money(account.total or 0, account.currency)

    def get_urls(self) -> list[Any]:
        def at(route: str, view: Callable[..., HttpResponse], name: str) -> Any:
            return path(
                route, self.admin_site.admin_view(view), name=f"payments_creditaccount_{name}"
            )

        return [
            at("of/<str:public_id>/", self.of, "of"),
            at("adjustments/<int:pk>/<slug:act>/", self.settle, "settle"),
            *super().get_urls(),
        ]

    def of(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """A buyer's credits in all currencies; posted to, they are changed."""
        self._check(request)
        buyer = get_object_or_404(User, public_id=public_id)
        if request.method in ("GET", "HEAD"):
            return self._page(request, buyer, AdjustForm(_balances(buyer)))
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        staff = self._finance(request)
        form = AdjustForm(_balances(buyer), request.POST)
        if not form.is_valid():
            return self._page(request, buyer, form, HTTPStatus.UNPROCESSABLE_ENTITY)
        said = form.cleaned_data
        try:
            adjustment = credits.adjust(
                buyer, said["currency"], said["minor"],
                reason=said["reason"], by=staff, form_key=said["form_key"],
            )  # fmt: skip
        except credits.AdjustmentRefused as refusal:
            form.add_error(None, str(refusal))
            return self._page(request, buyer, form, HTTPStatus.UNPROCESSABLE_ENTITY)
        if adjustment.is_waiting:
            messages.warning(
                request, "Nothing is booked yet: somebody else of finance approves it."
            )
        else:
            messages.success(request, _("Booked. The buyer sees it on their statement."))
        return redirect("admin:payments_creditaccount_of", public_id)

    def settle(self, request: HttpRequest, pk: int, act: str) -> HttpResponse:
        """Approve or decline an adjustment that waits for a second person."""
        self._check(request)
        adjustment = get_object_or_404(CreditAdjustment, pk=pk)
        buyer = adjustment.account.user
        assert buyer, "only buyers' credits are adjusted"
        back = redirect("admin:payments_creditaccount_of", buyer.public_id)
        if request.method != "POST" or act not in ("approve", "decline"):
            return back
        staff = self._finance(request)
        try:
            if act == "approve":
                credits.approve(pk, staff)
                messages.success(request, _("Approved and booked. The buyer sees it now."))
                return back
            form = DeclineForm(request.POST, auto_id=f"decline-{pk}-%s")
            if not form.is_valid():
                return self._page(
                    request, buyer, AdjustForm(_balances(buyer)),
                    HTTPStatus.UNPROCESSABLE_ENTITY, declining=(pk, form),
                )  # fmt: skip
            credits.decline(pk, staff, form.cleaned_data["note"])
            messages.success(request, _("Declined. Nothing was booked."))
        except credits.AdjustmentRefused as refusal:
            messages.error(request, _("{refusal} Nothing was changed.").format(refusal=refusal))
        return back

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _finance(self, request: HttpRequest) -> User:
        if not is_finance(request) or not isinstance(request.user, User):
            raise PermissionDenied(_("Only finance change credits."))
        return request.user

    def _page(
        self,
        request: HttpRequest,
        buyer: User,
        form: AdjustForm,
        status: int = HTTPStatus.OK,
        declining: tuple[int, DeclineForm] | None = None,
    ) -> HttpResponse:
        adjustments = (
            CreditAdjustment.objects.filter(account__user=buyer)
            .select_related("account", "asked_by", "settled_by")
            .order_by("-pk")
        )
        waiting = [
            {
                "row": row,
                "mine": row.asked_by_id == request.user.pk,
                "form": declining[1]
                if declining and declining[0] == row.pk
                else DeclineForm(auto_id=f"decline-{row.pk}-%s"),
            }
            for row in adjustments.filter(state=CreditAdjustment.State.WAITING)
        ]
        problem = declining[1] if declining else form
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "admin/payments/credits.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Credits of {buyer}").format(buyer=buyer.name),
                "crumbs": [
                    (_("Credit accounts"), reverse("admin:payments_creditaccount_changelist")),
                    (buyer.name, ""),
                ],
                "buyer": buyer,
                "person": link_to(buyer, buyer.public_id),
                "balances": [format_money(minor, code) for code, minor in credits.balances(buyer)],
                "entries": [_Entry(entry) for entry in credits.statement(buyer)[:SHOWN]],
                "waiting": waiting,
                "ended": adjustments.filter(state=CreditAdjustment.State.DECLINED)[:10],
                "form": form if is_finance(request) and form.balances else None,
                "is_finance": is_finance(request),
                "alone": [
                    format_money(limit_in(code, settings.SECOND_APPROVAL_LIMIT), code)
                    for code in form.balances
                ],
                "refused": problem if problem.errors else None,
            },
            status=status,
        )


class _Entry:
    """A booking on a buyer's statement as staff read it: what for, by whom."""

    def __init__(self, entry: Any) -> None:
        self.entry, self.transfer = entry, entry.transfer
        self.currency = entry.account.currency
        self.link = link_to(entry.transfer)


def _balances(buyer: User) -> dict[str, int]:
    """What the buyer has, by each currency that they were credited or have paid in."""
    paid = buyer.payments.order_by("currency").values_list("currency", flat=True).distinct()
    return dict.fromkeys(paid, 0) | dict(credits.balances(buyer))


@admin.register(CreditAdjustment)
class CreditAdjustmentAdmin(ReadOnlyAdmin):
    """Changes of credits by hand: who asked for them, why, and what came of it."""

    found_by: ClassVar[Mapping[str, str]] = {
        "cadj_": "public_id", "user_": "account__user__public_id", "@": "account__user__email",
        "": "reason__istartswith",
    }  # fmt: skip
    search_help_text = _lazy(
        "A cadj_ or user_ id, the buyer’s e-mail address, or the reason’s first words."
    )
    list_display = ("public_id", "sum", "of", "reason", "state", "asked_by", "asked_at")
    list_select_related = ("account__user", "asked_by")
    list_filter = ("state",)
    fields = (
        "public_id", "of", "sum", "reason", "state", "asked_by", "asked_at", "settled_by",
        "settled_at", "note", "transfer",
    )  # fmt: skip

    @admin.display(description=_lazy("amount"))
    def sum(self, adjustment: CreditAdjustment) -> str:
        return format_money(adjustment.amount_minor, adjustment.account.currency)

    @admin.display(description=_lazy("buyer"))
    def of(self, adjustment: CreditAdjustment) -> SafeString | str:
        return credits_of(adjustment.account.user) if adjustment.account.user else "–"
