"""The creators' auto-respond rules, to be looked at: why a case was refunded by itself."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _lazy

from marketplace.admin import ReadOnlyAdmin, link_to
from marketplace.models import Product
from resolution import rule_words
from resolution.models import Rule
from resolution.templatetags.rc import when_text

SHOWN_CHANGES = 50


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
        "name", "of", "position", "enabled", "off_because", "switched_at", "reasons", "products",
        "processor", "membership", "maximums", "day_limits", "month_limits", "buyer_limit",
        "delay_hours", "message", "version", "created_at", "updated_at", "history",
    )  # fmt: skip

    @admin.display(description=_lazy("company"))
    def of(self, rule: Rule) -> SafeString | str:
        return link_to(rule.company)

    @admin.display(description=_lazy("products"))
    def products(self, rule: Rule) -> str:
        found = Product.objects.filter(pk__in=rule.product_ids).order_by("name")
        return ", ".join(found.values_list("name", flat=True)) or str(_lazy("all"))

    @admin.display(description=_lazy("history"))
    def history(self, rule: Rule) -> SafeString:
        """Who changed what when, newest first."""
        changes = list(rule.changes.select_related("actor")[:SHOWN_CHANGES])
        names = dict(Product.objects.filter(company=rule.company_id).values_list("pk", "name"))
        return format_html_join(
            mark_safe("<br>"),
            "{}: {} {} {}",
            (
                (
                    when_text(entry.at),
                    entry.who,
                    entry.did,
                    "; ".join(f"{what}: {was} → {now}" for what, was, now in entry.changes if was),
                )
                for entry in rule_words.history(changes, names)
            ),
        )
