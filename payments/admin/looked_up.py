"""A refund in doubt that is in no list: finance say what the provider's dashboard shows.

What is there is fetched by its id and taken in like any other news; that it is not there is taken
at a person's word (`payments.refunds.not_made`), so it is written to the refund's history.
"""

from http import HTTPStatus
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.doorbell import ring
from marketplace.models import User
from payments import reconciliation, refunds
from payments.admin.credits import Line, is_finance
from payments.gateways import GatewayError
from payments.models import Refund
from payments.money import format_money


class LookUpForm(forms.Form):
    """Whether the refund is there, and as what."""

    seen = forms.ChoiceField(
        label=_lazy("What PayPal shows"),
        choices=[("made", _lazy("It is there")), ("none", _lazy("It is not there"))],
        widget=forms.RadioSelect,
        error_messages={"required": _lazy("Say whether it is there.")},
    )
    provider_id = Line(
        label=_lazy("Its transaction id at PayPal"),
        help_text=_lazy("17 letters and digits, on the refund’s own page there."),
        max_length=80,
        required=False,
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="look-up-%s")
        self.fields["provider_id"].needed = True  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """One that is there has an id."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("seen") == "made" and cleaned.get("provider_id") == "":
            self.add_error("provider_id", _("Enter its id, so that it can be fetched."))
        return cleaned


def page(rows: "admin.ModelAdmin[Any]", request: HttpRequest, refund: Refund) -> HttpResponse:
    """The form, and what comes of it."""
    if not rows.has_view_permission(request, refund):
        raise PermissionDenied
    back = redirect("admin:payments_refund_change", refund.pk)
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if request.method == "POST" and not (is_finance(request) and _may_say(request, refund)):
        raise PermissionDenied(_("Only finance say what became of a refund, and not of their own."))
    if not refund.wants_looking_up:
        messages.info(request, _("There is nothing to look up any more: it is settled or tried."))
        return back
    form = LookUpForm(request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return _show(rows, request, refund, form)
    if form.is_valid() and (said := _take(refund, form)):
        assert request.user.pk, "whoever may say it is logged in"
        LogEntry.objects.log_actions(request.user.pk, [refund], CHANGE, said, single_object=True)
        ring(settings.PAYMENT_NEWS_TASK, refund.payment_id)
        messages.success(request, said)
        return back
    return _show(rows, request, refund, form, HTTPStatus.UNPROCESSABLE_ENTITY)


def _may_say(request: HttpRequest, refund: Refund) -> bool:
    """A party to a payment does not act on it as staff."""
    user, payment = request.user, refund.payment
    assert isinstance(user, User)
    of_the_team = user.team_places.filter(company=payment.company_id).exists()
    return payment.buyer_id != user.pk and not of_the_team


def _take(refund: Refund, form: LookUpForm) -> str:
    """Take in what was seen, and say what came of it; nothing where the form says what is wrong."""
    if form.cleaned_data["seen"] == "none":
        if refunds.not_made(refund.pk):
            return _("Recorded as not made.")
        form.add_error(None, _("It is being tried at this moment. Look again in a few minutes."))
        return ""
    name = form.cleaned_data["provider_id"]
    try:
        reconciliation.look(refund.payment_id, [name])
    except GatewayError:
        form.add_error(
            None, _("PayPal gives no clear answer now. Nothing was changed; try again later.")
        )
        return ""
    refund.refresh_from_db(fields=["provider_id", "state"])
    if refund.provider_id == name:
        return _("Found, and recorded as PayPal has it.")
    form.add_error(
        "provider_id",
        _(
            "That is not this refund. It is of this payment, over {amount}, and bears {refund} as "
            "its invoice or custom id."
        ).format(
            amount=format_money(refund.amount_minor, refund.currency), refund=refund.public_id
        ),
    )
    return ""


def _show(
    rows: "admin.ModelAdmin[Any]",
    request: HttpRequest,
    refund: Refund,
    form: LookUpForm,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    request.current_app = rows.admin_site.name
    return TemplateResponse(
        request,
        "admin/payments/look_up.html",
        {
            **rows.admin_site.each_context(request),
            "opts": rows.opts,
            "title": _("What became of this refund?"),
            "crumbs": [
                (_("Refunds"), reverse("admin:payments_refund_changelist")),
                (refund.public_id, reverse("admin:payments_refund_change", args=[refund.pk])),
                (_("Look it up"), ""),
            ],
            "refund": refund,
            "form": form if is_finance(request) else None,
            "refused": form.is_bound,
        },
        status=status,
    )
