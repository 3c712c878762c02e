"""Users, companies with their teams, products and memberships, as staff look at them."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from marketplace.models import Company, Membership, Product, TeamMember, User

COUNTED = 2_500
"""As far as lists are counted: 25 pages. What lies further back is found by searching."""

admin.site.site_header = admin.site.site_title = _lazy("Administration")
admin.site.index_title = _lazy("What would you like to look at?")
admin.site.enable_nav_sidebar = False  # the lists want the room
admin.site.unregister(Group)  # a person's staff role says what they may do


def works_here(user: Any) -> bool:
    """An agent, finance, or the superuser who sets them up."""
    return bool(user.is_active and user.is_staff and (user.staff_role or user.is_superuser))


def handles_money(user: Any) -> bool:
    """Somebody in finance, or a superuser: they may also correct people's and companies' data."""
    return works_here(user) and (
        user.staff_role == User.StaffRole.FINANCE or bool(user.is_superuser)
    )


def link_to(row: Model | None, text: str = "") -> SafeString | str:
    """A link to a row's own page in the administration; a dash for none."""
    if row is None:
        return "–"
    where = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(where, args=[row.pk]), text or str(row))


class CountedSoFar(Paginator):
    """Counts no further than the pages that it offers, however large the table is."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[: COUNTED + 1].count())


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows to be looked at: nothing is added, changed or deleted, one by one or in bulk.

    `found_by` says by which column a term is searched, going by what stands in it: the first mark
    that occurs wins, and "" takes whatever is left. Every search is for an exact value unless the
    column's lookup says otherwise.
    """

    found_by: ClassVar[Mapping[str, str]] = {"": "public_id"}
    actions = None
    ordering = ("-pk",)
    paginator = CountedSoFar
    list_per_page = 100
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("public_id",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return works_here(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return works_here(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        term = search_term.strip()
        if not term:
            return queryset, False
        column = next(path for mark, path in self.found_by.items() if mark in term)
        if "email" in column:
            term = term.lower()
        return queryset.filter(**{column: term}), False


class TeamForm(forms.BaseInlineFormSet):
    """The team of one company."""

    def add_fields(self, form: Any, index: int | None) -> None:
        """Say aloud what each field is: the columns' heads are no labels."""
        super().add_fields(form, index)
        for field in form.fields.values():
            field.widget.attrs["aria-label"] = field.label or ""

    def clean(self) -> None:
        """A company keeps an owner: without one nobody could accept a case or appeal."""
        super().clean()
        kept = [
            form.cleaned_data.get("role")
            for form in self.forms
            if getattr(form, "cleaned_data", None) and not form.cleaned_data.get("DELETE")
        ]
        if TeamMember.Role.OWNER not in kept and not any(form.errors for form in self.forms):
            raise ValidationError(
                _("A company needs an owner. Make somebody else the owner first.")
            )


class Looked(admin.TabularInline):
    """Rows that belong to another row, to be looked at there."""

    template = "admin/rows.html"
    extra = 0
    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return works_here(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields


class Places(Looked):
    """The companies on whose team a person is."""

    model = TeamMember
    fields = ("at", "role")
    show_change_link = False
    verbose_name = _lazy("company")
    verbose_name_plural = _lazy("on the team of")

    @admin.display(description=_lazy("company"))
    def at(self, place: TeamMember) -> SafeString | str:
        return link_to(place.company)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[TeamMember]":
        return super().get_queryset(request).select_related("company", "user")


class Team(admin.TabularInline):
    """Who is on a company's team."""

    model = TeamMember
    template = "admin/rows.html"
    formset = TeamForm
    fields = ("user", "role")
    raw_id_fields = ("user",)
    extra = 0
    verbose_name = _lazy("person")
    verbose_name_plural = _lazy("team")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return works_here(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return handles_money(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return handles_money(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return handles_money(request.user)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[TeamMember]":
        return super().get_queryset(request).select_related("user", "company")


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People. Who works here is for superusers to say; finance corrects everybody else's data."""

    found_by: ClassVar[Mapping[str, str]] = {
        "user_": "public_id", "@": "email", "": "name__istartswith",
    }  # fmt: skip
    search_help_text = _lazy("An e-mail address, the beginning of a name, or a user_ id.")
    list_display = ("name", "email", "public_id", "staff_role", "is_active", "created_at")
    list_filter = ("staff_role",)
    inlines = (Places,)
    person = ("name", "email", "time_zone", "is_active")
    work = ("is_staff", "staff_role", "is_superuser")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": (*self.person, *self.work)})]
        return [
            (None, {"fields": (*self.person, "public_id", "created_at", "last_login", "links")}),
            (_("Works here"), {"fields": self.work}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("public_id", "created_at", "last_login", "links")
        return fixed if getattr(request.user, "is_superuser", False) else (*fixed, *self.work)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return works_here(request.user) and bool(getattr(request.user, "is_superuser", False))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Finance never changes a colleague: a changed e-mail address is a changed person."""
        if self.has_add_permission(request):
            return True
        return handles_money(request.user) and (obj is None or not obj.is_staff)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A new person’s password is known to nobody: “Forgot your password?” sets one."""
        if not change:
            obj.set_password(secrets.token_urlsafe(32))
        super().save_model(request, obj, form, change)

    @admin.display(description=_lazy("See also"))
    def links(self, user: User) -> SafeString:
        return format_html(
            '<a href="{}?q={}">Cases</a> · <a href="{}?q={}">Payments</a> · '
            '<a href="{}?q={}">Memberships</a> · <a href="{}">Credits</a>',
            reverse("admin:resolution_case_changelist"), user.public_id,
            reverse("admin:payments_payment_changelist"), user.public_id,
            reverse("admin:marketplace_membership_changelist"), user.public_id,
            reverse("admin:payments_creditaccount_of", args=[user.public_id]),
        )  # fmt: skip


@admin.register(Company)
class CompanyAdmin(ReadOnlyAdmin):
    """Creators' companies, each with its team."""

    found_by: ClassVar[Mapping[str, str]] = {"biz_": "public_id", "": "name__istartswith"}
    search_help_text = _lazy("The beginning of a name, or a biz_ id.")
    list_display = ("name", "public_id", "created_at")
    fields = ("name", "public_id", "created_at", "links")
    readonly_fields = ("public_id", "created_at", "links")
    inlines = (Team,)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return handles_money(request.user)

    @admin.display(description=_lazy("See also"))
    def links(self, company: Company) -> SafeString:
        return format_html(
            '<a href="{}?q={}">Cases</a> · <a href="{}?q={}">Products</a> · '
            '<a href="{}?q={}">Payments</a> · <a href="{}?q={}">Webhooks</a> · '
            '<a href="{}?q={}">What we were told of it</a>',
            reverse("admin:resolution_case_changelist"), company.public_id,
            reverse("admin:marketplace_product_changelist"), company.public_id,
            reverse("admin:payments_payment_changelist"), company.public_id,
            reverse("admin:notifications_webhookendpoint_changelist"), company.public_id,
            reverse("admin:api_fedrecord_changelist"), company.public_id,
        )  # fmt: skip


@admin.register(Product)
class ProductAdmin(ReadOnlyAdmin):
    """What companies sell."""

    found_by: ClassVar[Mapping[str, str]] = {
        "prod_": "public_id", "biz_": "company__public_id", "": "name__istartswith",
    }  # fmt: skip
    search_help_text = _lazy("The beginning of a name, a prod_ id, or a company’s biz_ id.")
    list_display = ("name", "sold_by", "public_id", "price_minor", "currency", "interval")
    list_select_related = ("company",)
    fields = (
        "name", "public_id", "sold_by", "price_minor", "currency", "interval", "description",
    )  # fmt: skip

    @admin.display(description=_lazy("company"))
    def sold_by(self, product: Product) -> SafeString | str:
        return link_to(product.company)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """Buyers' holds on products."""

    found_by: ClassVar[Mapping[str, str]] = {
        "user_": "user__public_id", "prod_": "product__public_id", "@": "user__email",
        "": "public_id",
    }  # fmt: skip
    search_help_text = _lazy("A mem_, user_ or prod_ id, or the buyer’s e-mail address.")
    list_display = ("public_id", "buyer", "what", "status", "started_at")
    list_select_related = ("user", "product")
    list_filter = ("status",)
    fields = ("public_id", "buyer", "what", "status", "started_at", "renews_at", "ends_at")

    @admin.display(description=_lazy("buyer"))
    def buyer(self, membership: Membership) -> SafeString | str:
        return link_to(membership.user)

    @admin.display(description=_lazy("product"))
    def what(self, membership: Membership) -> SafeString | str:
        return link_to(membership.product)
