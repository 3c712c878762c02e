"""Who of the staff has looked at which case, and who was erased: both to be looked at only."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from marketplace.admin import ReadOnlyAdmin, link_to
from resolution.models import Erasure, Reading


@admin.register(Reading)
class ReadingAdmin(ReadOnlyAdmin):
    """The audit of who has read what, the latest first."""

    found_by: ClassVar[Mapping[str, str]] = {
        "reso_": "case__public_id",
        "att_": "detail",
        "user_": "reader__public_id",
        "@": "reader__email",
        "": "reader__name__istartswith",
    }
    search_fields = ("case__public_id",)
    search_help_text = _(
        "A case (reso_…), a file (att_…), or who has read: an e-mail address, a user_ id, "
        "or the beginning of a name."
    )
    list_display = ("at", "by", "of", "what", "detail")
    list_filter = ("what",)
    list_select_related = ("reader", "case")
    fields = ("at", "by", "of", "what", "detail")

    @admin.display(description=_("who"))
    def by(self, reading: Reading) -> SafeString | str:
        return link_to(reading.reader)

    @admin.display(description=_("case"))
    def of(self, reading: Reading) -> SafeString | str:
        number = reading.case.public_id
        address = reverse("admin:resolution_case_change", args=[number])
        return format_html('<a href="{}">{}</a>', address, number)


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """The people who were erased: when, by whom and why."""

    found_by: ClassVar[Mapping[str, str]] = {"": "person__public_id"}
    search_fields = ("person__public_id",)
    search_help_text = _("The user_ id of who was erased.")
    list_display = ("at", "who", "by", "reason", "events", "files")
    list_select_related = ("person", "by")
    fields = ("at", "who", "by", "reason", "words_too", "events", "files")

    @admin.display(description=_("who"))
    def who(self, erasure: Erasure) -> SafeString | str:
        return link_to(erasure.person, erasure.person.public_id)
