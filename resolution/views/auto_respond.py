"""The creator's auto-respond rules: in their order, one to write or change, and what it says."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import clock
from marketplace.models import Product
from payments.money import currency_symbol, format_money
from resolution import rules as auto_respond
from resolution import words
from resolution.forms.rules import RuleActForm, RuleForm
from resolution.models import Rule
from resolution.rules import RuleChanged
from resolution.templatetags.rc import and_list, or_list_html
from resolution.terms import Reason
from resolution.views.desk import Office, no_company, signed_in

STATISTICS_DAYS = 90
DEFAULT_MESSAGE = _lazy(
    "Hi {{ first_name }}, sorry about this. I’ve sent {{ amount }} back to "
    "your {{ method }}. No need to reply."
)


class Rulebook(Office):
    """One company's rules, and whether this person may change them."""

    @property
    def may_change(self) -> bool:
        return auto_respond.may_change(self.desk.actor(self.company.pk))

    @property
    def role(self) -> str:
        return self.place.get_role_display().lower()

    def check_change(self) -> None:
        """Raise PermissionDenied for who may only read them."""
        if not self.may_change:
            raise PermissionDenied(self.refusal)

    @property
    def refusal(self) -> str:
        return _(
            "Only owners and admins of {company} can change its rules. Your role is {role}."
        ).format(company=self.company.name, role=self.role)

    def products(self) -> list[Product]:
        return list(self.company.products.order_by("name", "pk"))


def _rulebook(request: HttpRequest) -> Rulebook:
    book = Rulebook.asked(request)
    if book is None:
        raise Http404("On no team.")
    return book


def _rulebook_with(request: HttpRequest, pk: int) -> tuple[Rulebook, Rule]:
    """The rule with its book, for those on its company's team; for others there is none."""
    rule = (
        Rule.objects.select_related("company", "product")
        .filter(pk=pk, company__members__user=signed_in(request))
        .first()
    )
    if rule is None:
        raise Http404("No such rule.")
    book = Rulebook.of(signed_in(request), rule.company.public_id)
    assert book, "whoever sees a rule is on the company's team"
    return book, rule


@login_required
@require_safe
@never_cache
def rules(request: HttpRequest) -> HttpResponse:
    """A company's rules in their order, with what each has refunded lately."""
    book = Rulebook.asked(request)
    if book is None:
        return no_company(request)
    return _show_rules(request, book)


def _show_rules(
    request: HttpRequest, book: Rulebook, *, late: str = "", status: int = 200
) -> HttpResponse:
    since = clock.now() - timedelta(days=STATISTICS_DAYS)
    refunds = auto_respond.refunds_since(book.company, since)
    found = list(book.company.rules.select_related("product").order_by("position", "id"))
    context = {
        "nav": book.desk.nav("rules"),
        "book": book,
        "late": late,
        "rules": [
            {
                "id": rule.pk,
                "name": rule.name,
                "number": number,
                "version": rule.version,
                "enabled": rule.enabled,
                "says": _in_words(rule),
                "refunds": _refunds_in_words(refunds.get(rule.pk, [])),
                "is_first": number == 1,
                "is_last": number == len(found),
                "edit_href": reverse("dash-rule", args=[rule.pk]),
            }
            for number, rule in enumerate(found, 1)
        ],
        "new_href": book.href("dash-rule-new"),
        "days": STATISTICS_DAYS,
    }
    return render(request, "dash/rules.html", context, status=status)


def _in_words(rule: Rule) -> SafeString:
    """When a rule applies, as a sentence with what was chosen marked in it."""
    if set(rule.reasons) >= set(Reason.values):
        reasons = format_html("<mark>{}</mark>", _("any of them"))
    else:
        short = [words.SHORT_REASONS[Reason(name)] for name in rule.reasons]
        reasons = or_list_html([format_html("<mark>{}</mark>", name) for name in short])
    if rule.maximum_minor is not None:
        up_to = _("up to {amount}").format(amount=format_money(rule.maximum_minor, rule.currency))
    else:
        up_to = _("any amount")
    if rule.product:
        return format_html(
            _(
                "When the reason is {reasons} and the buyer asks for <mark>{up_to}</mark> for "
                "<mark><bdi>{product}</bdi></mark>, refund it and send your message."
            ),
            reasons=reasons,
            up_to=up_to,
            product=rule.product,
        )
    return format_html(
        _(
            "When the reason is {reasons} and the buyer asks for <mark>{up_to}</mark>, refund it "
            "and send your message."
        ),
        reasons=reasons,
        up_to=up_to,
    )


def _refunds_in_words(rows: Sequence[tuple[str, int, int]]) -> str:
    """`9 refunds, $148.00 and €20.00`"""
    if not rows:
        return _("no refunds")
    many = sum(row[1] for row in rows)
    sums = and_list([format_money(total, currency) for currency, _many, total in rows])
    return ngettext("{refunds} refund, {sums}", "{refunds} refunds, {sums}", many).format(
        refunds=many, sums=sums
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rule_new(request: HttpRequest) -> HttpResponse:
    """Write a rule."""
    book = _rulebook(request)
    book.check_change()
    products = book.products()
    if request.method != "POST":
        form = RuleForm(
            company=book.company, products=products, initial={"message": DEFAULT_MESSAGE}
        )
        return _show_form(request, book, form)
    form = RuleForm(request.POST, company=book.company, products=products)
    if not form.is_valid():
        return _show_form(request, book, form, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form)
    rule = auto_respond.add(book.company, **form.columns())
    return _saved(request, book, rule)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a rule. When somebody else was faster nothing is saved, and nothing typed is lost."""
    try:
        book, rule = _rulebook_with(request, pk)
    except Http404:
        return _show_deleted(request)
    book.check_change()
    products, initial = book.products(), RuleForm.initial_of(rule)
    if request.method != "POST":
        form = RuleForm(company=book.company, products=products, initial=initial)
        return _show_form(request, book, form, rule)
    form = RuleForm(request.POST, company=book.company, products=products, initial=initial)
    if not form.is_valid():
        return _show_form(request, book, form, rule, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form, rule)
    try:
        rule = auto_respond.change(rule, form.cleaned_data["version"] or 0, **form.columns())
    except RuleChanged:
        return _show_late(request, book, form, pk)
    return _saved(request, book, rule)


def _saved(request: HttpRequest, book: Rulebook, rule: Rule) -> HttpResponse:
    messages.success(request, _("“{rule}” is saved.").format(rule=rule.name))
    return redirect(f"{book.href('dash-rules')}#rule-{rule.pk}")


def _show_late(request: HttpRequest, book: Rulebook, form: RuleForm, pk: int) -> HttpResponse:
    """What was typed, beside the rule as it is now; without it, to be saved as a new one."""
    fresh = Rule.objects.select_related("product").filter(pk=pk).first()
    form.renew(fresh.version if fresh else 0)
    return _show_form(request, book, form, fresh, late=True, status=409)


def _show_deleted(request: HttpRequest) -> HttpResponse:
    """What was typed for a rule that is gone, to be saved as a new one of the form's company."""
    company_id = request.POST.get("company", "")
    book = Rulebook.of(signed_in(request), company_id) if company_id else None
    if book is None:
        raise Http404("No such rule.")
    book.check_change()
    form = RuleForm(request.POST, company=book.company, products=book.products())
    return _show_form(request, book, form, late=True, status=409)


def _show_form(
    request: HttpRequest,
    book: Rulebook,
    form: RuleForm,
    rule: Rule | None = None,
    *,
    late: bool = False,
    status: int = 200,
) -> HttpResponse:
    single = form.currencies[0] if len(form.currencies) == 1 else ""
    context = {
        "nav": book.desk.nav("rules"),
        "book": book,
        "form": form,
        "rule": rule,
        "title": _("Edit “{rule}”").format(rule=rule.name) if rule else _("New rule"),
        "action": reverse("dash-rule", args=[rule.pk]) if rule else book.href("dash-rule-new"),
        "back_href": book.href("dash-rules"),
        "sign": currency_symbol(single) if single else "",
        "preview": form.preview(),
        "late": late,
        "now_says": _in_words(rule) if late and rule else "",
    }
    return render(request, "dash/rule_form.html", context, status=status)


@login_required
@require_POST
@never_cache
def rule_act(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """Switch a rule on or off, move it up or down, or delete it."""
    book, rule = _rulebook_with(request, pk)
    book.check_change()
    if act not in RULE_ACTS:
        raise Http404("No such act.")
    form = RuleActForm(request.POST)
    if not form.is_valid():
        raise BadRequest("The form of a rule names its version.")
    try:
        said = RULE_ACTS[act](rule, form.cleaned_data["version"])
    except RuleChanged:
        sentence = _(
            "“{rule}” has changed meanwhile. Nothing was done. Here is how it is now."
        ).format(rule=rule.name)
        return _show_rules(request, book, late=sentence, status=409)
    if said:
        messages.success(request, said)
    anchor = "" if act == "delete" else f"#rule-{rule.pk}"
    return redirect(book.href("dash-rules") + anchor)


def _switch(rule: Rule, version: int, *, on: bool) -> str:
    auto_respond.change(rule, version, enabled=on)
    if on:
        return _("“{rule}” is on. It refunds matching cases from now on.").format(rule=rule.name)
    return _("“{rule}” is off. New cases wait for you instead.").format(rule=rule.name)


def _move(rule: Rule, *, up: bool) -> str:
    auto_respond.move(rule, up=up)
    return ""


def _delete(rule: Rule, version: int) -> str:
    auto_respond.remove(rule, version)
    return _("“{rule}” is deleted. New cases wait for you instead.").format(rule=rule.name)


RULE_ACTS: Mapping[str, Callable[[Rule, int], str]] = {
    "on": lambda rule, version: _switch(rule, version, on=True),
    "off": lambda rule, version: _switch(rule, version, on=False),
    "up": lambda rule, version: _move(rule, up=True),
    "down": lambda rule, version: _move(rule, up=False),
    "delete": _delete,
}
