"""What the marketplace has told us: above all what waits, or could not be applied."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from api import ingest
from api.models import FedRecord
from marketplace.admin import ReadOnlyAdmin


class Standing(admin.SimpleListFilter):
    """Whether a record is applied, waits for another one, or contradicts what is known."""

    title = gettext_lazy("standing")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("open", _("Not applied")),
            ("waiting", _("Waits for another")),
            ("refused", _("Refused")),
        ]

    def queryset(self, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        chosen = {
            "open": Q(applied_at=None),
            "waiting": Q(applied_at=None) & ~Q(needs=[]),
            "refused": Q(applied_at=None) & ~Q(refusal=""),
        }.get(self.value() or "")
        return rows.filter(chosen) if chosen else rows


@admin.register(FedRecord)
class FedRecordAdmin(ReadOnlyAdmin):
    """The latest that we were told of one thing. What is not applied can be tried once more."""

    search_help_text = gettext_lazy("A user_, biz_, prod_, mem_ or pay_ id of the marketplace’s.")
    list_display = ("record_id", "kind", "how", "received_at", "applied_at")
    list_filter = (Standing, "kind")
    fields = (
        "record_id", "kind", "how", "updated_at", "received_at", "applied_at", "told",
    )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """By the id, whatever kind it is of."""
        term = search_term.strip()
        kinds = list(ingest.KINDS)
        return (queryset.filter(kind__in=kinds, record_id=term) if term else queryset), False

    @admin.display(description=gettext_lazy("how it stands"))
    def how(self, record: FedRecord) -> str:
        if record.needs:
            return _("Waits for %(ids)s") % {"ids": ", ".join(record.needs)}
        return record.refusal or (_("Applied") if record.applied_at else _("Not applied"))

    @admin.display(description=gettext_lazy("what we were told"))
    def told(self, record: FedRecord) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(record.payload, indent=2, sort_keys=True))

    def get_urls(self) -> list[Any]:
        again = self.admin_site.admin_view(self.try_again)
        return [
            path("<int:pk>/try-again/", again, name="api_fedrecord_try_again"),
            *super().get_urls(),
        ]

    def try_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Apply a record that could not be applied, now that its cause may be mended."""
        record = get_object_or_404(FedRecord, pk=pk)
        if request.method == "POST" and self.has_view_permission(request, record):
            result = ingest.try_again(record.pk)
            if result is None:
                messages.info(request, _("It is applied already, so nothing was done."))
            elif result.status == "applied":
                messages.success(request, _("It is applied."))
            else:
                messages.error(request, result.message or _("It still waits for another record."))
        return redirect("admin:api_fedrecord_change", pk)
