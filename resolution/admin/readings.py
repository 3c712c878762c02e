"""Who of the staff has looked at which case, and who was erased: both to be looked at only."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from marketplace.admin import ReadOnlyAdmin, link_to, works_here
from marketplace.models import User
from resolution import erasure
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


class EraseForm(forms.ModelForm):
    """Who is to be erased, and why; refused while something stands in the way."""

    whom = forms.CharField(
        label=_("Who"),
        max_length=40,
        help_text=_("Their user_ id. What is erased can’t be brought back."),
    )

    class Meta:
        model = Erasure
        fields = ("whom", "reason")

    def clean_whom(self) -> User:
        """The person, unless something still needs who they are."""
        person = User.objects.filter(public_id=self.cleaned_data["whom"]).first()
        if person is None:
            raise forms.ValidationError(_("There is nobody with this id."))
        if hold := erasure.why_not(person):
            raise forms.ValidationError(hold)
        return person


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """The people who were erased: when, by whom and why. To add one is to erase somebody."""

    found_by: ClassVar[Mapping[str, str]] = {"": "person__public_id"}
    search_fields = ("person__public_id",)
    search_help_text = _("The user_ id of who was erased.")
    list_display = ("at", "who", "by", "reason", "events", "files")
    list_select_related = ("person", "by")
    fields = ("at", "who", "by", "reason", "words_too", "events", "files")

    @admin.display(description=_("who"))
    def who(self, row: Erasure) -> SafeString | str:
        return link_to(row.person, row.person.public_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return works_here(request.user)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return EraseForm if obj is None else super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("whom", "reason") if obj is None else self.fields

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Erasure:
        """Erase the person; the row is made with it."""
        assert isinstance(request.user, User), "works_here has looked"
        whom, reason = form.cleaned_data["whom"], form.cleaned_data["reason"]
        return erasure.erase(whom, by=request.user, reason=reason)

    def save_model(self, request: HttpRequest, obj: Erasure, form: Any, change: bool) -> None:
        """Nothing is left to save."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing belongs to it."""
