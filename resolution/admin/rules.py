"""The creators' auto-respond rules, to be looked at: why a case was refunded by itself."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _lazy

from marketplace.admin import ReadOnlyAdmin, link_to
from resolution.models import Rule


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    """A rule as it stands now; what was sent by it stands on the timeline of each case."""

    found_by: ClassVar[Mapping[str, str]] = {
        "biz_": "company__public_id", "": "company__name__istartswith",
    }  # fmt: skip
    search_fields = ("company__name",)
    search_help_text = _lazy("The beginning of a company’s name, or its biz_ id.")
    list_display = ("name", "of", "position", "enabled", "version", "updated_at")
    list_select_related = ("company",)
    fields = (
        "name", "of", "position", "enabled", "reasons", "product", "maximum_minor", "currency",
        "message", "version", "created_at", "updated_at",
    )  # fmt: skip

    @admin.display(description=_lazy("company"))
    def of(self, rule: Rule) -> SafeString | str:
        return link_to(rule.company)
