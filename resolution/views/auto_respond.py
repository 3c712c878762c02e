"""The creator's auto-respond rules: in their order, one to write or change, and what it says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import clock
from marketplace.models import Product, User
from payments.money import format_money
from resolution import dry_run, rule_words, words
from resolution import rules as auto_respond
from resolution.forms.rules import RuleActForm, RuleForm
from resolution.models import Rule, RuleChange
from resolution.rules import RuleChanged
from resolution.templatetags.rc import when_text
from resolution.terms import Outcome, Party, Remedy
from resolution.views.desk import Office, href, no_company, signed_in

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
        Rule.objects.select_related("company")
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
    since = clock.now() - dry_run.PERIOD
    refunds = auto_respond.refunds_since(book.company, since)
    found = list(book.company.rules.order_by("position", "id"))
    names = _names(book.products()) if any(rule.product_ids for rule in found) else {}
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
                "off_because": "" if rule.enabled else rule_words.off_because(rule),
                "off_since": "" if rule.enabled else when_text(rule.switched_at, "date"),
                "says": rule_words.applies(rule, names),
                "limits": rule_words.limits(rule),
                "refunds": rule_words.refunds(*_sums(refunds.get(rule.pk, []))),
                "is_first": number == 1,
                "is_last": number == len(found),
                "edit_href": reverse("dash-rule", args=[rule.pk]),
            }
            for number, rule in enumerate(found, 1)
        ],
        "new_href": book.href("dash-rule-new"),
        "history_href": book.href("dash-rule-history"),
        "days": dry_run.PERIOD.days,
    }
    return render(request, "dash/rules.html", context, status=status)


def _names(products: Iterable[Product]) -> dict[int, str]:
    return {product.pk: product.name for product in products}


def _sums(rows: Sequence[tuple[str, int, int]]) -> tuple[int, dict[str, int]]:
    """How many refunds, and how much by currency."""
    return sum(row[1] for row in rows), {row[0]: row[2] for row in rows}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rule_new(request: HttpRequest) -> HttpResponse:
    """Write a rule."""
    book = _rulebook(request)
    book.check_change()
    products = book.products()
    if request.method != "POST":
        initial = {"message": DEFAULT_MESSAGE, "reasons": []}
        form = RuleForm(company=book.company, products=products, initial=initial)
        return _show_form(request, book, form)
    form = RuleForm(request.POST, company=book.company, products=products)
    if request.POST.get("do") == "preview" and request.headers.get("HX-Request"):
        return _show_try(request, book, form, None)
    if not form.is_valid():
        return _show_form(request, book, form, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form)
    rule = auto_respond.add(book.company, by=book.desk.user, **form.columns())
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
    products = book.products()
    initial = RuleForm.initial_of(rule, products)
    if request.method != "POST":
        form = RuleForm(company=book.company, products=products, initial=initial)
        return _show_form(request, book, form, rule)
    form = RuleForm(request.POST, company=book.company, products=products, initial=initial)
    if request.POST.get("do") == "preview" and request.headers.get("HX-Request"):
        return _show_try(request, book, form, rule)
    if not form.is_valid():
        return _show_form(request, book, form, rule, status=422)
    if request.POST.get("do") == "preview":
        return _show_form(request, book, form, rule)
    seen = form.cleaned_data["version"] or 0
    try:
        rule = auto_respond.change(rule, seen, by=book.desk.user, **form.columns())
    except RuleChanged:
        return _show_late(request, book, form, pk)
    return _saved(request, book, rule)


def _saved(request: HttpRequest, book: Rulebook, rule: Rule) -> HttpResponse:
    messages.success(request, _("“{rule}” is saved.").format(rule=rule.name))
    return redirect(f"{book.href('dash-rules')}#rule-{rule.pk}")


def _show_late(request: HttpRequest, book: Rulebook, form: RuleForm, pk: int) -> HttpResponse:
    """What was typed, beside the rule as it is now; without it, to be saved as a new one."""
    fresh = Rule.objects.filter(pk=pk).first()
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
    context = _tried(book, form, rule) | {
        "nav": book.desk.nav("rules"),
        "book": book,
        "form": form,
        "rule": rule,
        "title": _("Edit “{rule}”").format(rule=rule.name) if rule else _("New rule"),
        "action": reverse("dash-rule", args=[rule.pk]) if rule else book.href("dash-rule-new"),
        "back_href": book.href("dash-rules"),
        "history_href": f"{book.href('dash-rule-history')}" if rule else "",
        "late": late,
        "now_says": rule_words.applies(rule, _names(form.by_id.values())) if late and rule else "",
    }
    return render(request, "dash/rule_form.html", context, status=status)


def _show_try(
    request: HttpRequest, book: Rulebook, form: RuleForm, rule: Rule | None
) -> HttpResponse:
    """Beside the form, while it is written: what the rule would have done, and what it says."""
    return render(request, "dash/_rule_try.html", _tried(book, form, rule) | {"book": book})


SHOWN_CASES = 10


def _tried(book: Rulebook, form: RuleForm, rule: Rule | None) -> dict[str, Any]:
    """What `dash/_rule_try.html` takes; without a dry run while the form is not finished."""
    tried: dict[str, Any] = {"preview": form.preview(), "dry": None, "days": dry_run.PERIOD.days}
    if form.is_bound and form.is_valid():
        columns = form.columns() | {"enabled": True}
        candidate = Rule(company=book.company, **columns)
    elif rule and not form.is_bound:
        candidate = copy(rule)
        candidate.enabled = True
    else:
        return tried
    others = list(book.company.rules.filter(enabled=True).order_by("position", "id"))
    before = [o for o in others if rule is None or (o.position, o.pk) < (rule.position, rule.pk)]
    before = [other for other in before if rule is None or other.pk != rule.pk]
    cases = dry_run.cases_since(book.company, clock.now() - dry_run.PERIOD)
    would = dry_run.outcome(cases, candidate, before)
    does = dry_run.outcome(cases, rule, before) if rule and rule.enabled else None
    known = {case.pk for case in does.refunds} if does else set()
    news = [case for case in would.refunds if case.pk not in known][::-1]
    tried["dry"] = {
        "many": len(would.refunds),
        "of": len(cases),
        "is_cut": len(cases) == dry_run.MOST,
        "sums": rule_words.sums(would.sums()),
        "than_now": _difference(would, does) if does else "",
        "denied": sum(case.was_denied for case in news),
        "upheld": sum(case.denial_was_upheld for case in news),
        "turned_away": len(would.turned_away),
        "delayed": candidate.delay_hours > 0,
        "compares": bool(does),
        "cases": [
            {
                "href": reverse("dash-case", args=[case.public_id]),
                "buyer": case.buyer,
                "amount": format_money(case.asked_minor, case.currency),
                "ended": _ended(case),
                "tone": "bad" if case.was_denied else "",
            }
            for case in news[:SHOWN_CASES]
        ],
        "more": max(0, len(news) - SHOWN_CASES),
    }
    return tried


def _difference(would: dry_run.Outcome, does: dry_run.Outcome) -> str:
    """How much more or less the rule would refund than the one that there is now."""
    cases = len(would.refunds) - len(does.refunds)
    now, then = does.sums(), would.sums()
    more = {c: then.get(c, 0) - now.get(c, 0) for c in sorted(now.keys() | then.keys())}
    changed = {currency: abs(minor) for currency, minor in more.items() if minor}
    if not cases and not changed:
        return _("The same as the rule you have now.")
    many = ngettext("%(many)s case", "%(many)s cases", abs(cases)) % {"many": abs(cases)}
    told = {"cases": many, "sums": rule_words.sums(changed)}
    if cases >= 0 and all(minor >= 0 for minor in more.values()):
        return _("That’s %(cases)s and %(sums)s more than the rule you have now.") % told
    if cases <= 0 and all(minor <= 0 for minor in more.values()):
        return _("That’s %(cases)s and %(sums)s less than the rule you have now.") % told
    told["sums"] = rule_words.sums(now)
    told["many"] = str(len(does.refunds))
    return _("The rule you have now: %(many)s cases, %(sums)s.") % told


def _ended(case: dry_run.Past) -> str:
    """How a case of the dry run ended, for the creator, in a word or two."""
    them = {"platform": words.platform()}
    if case.denial_was_upheld:
        return _("Denied; %(platform)s agreed") % them
    if case.was_denied:
        refunded = case.decided_by == Party.STAFF
        return _("Denied; %(platform)s refunded") % them if refunded else _("Denied")
    if case.outcome == Outcome.WITHDRAWN:
        return _("Withdrawn")
    if case.is_open:
        return _("Still open")
    if case.remedy == Remedy.NONE:
        return _("No refund")
    if case.decided_by == Party.SYSTEM:
        return _("Auto-refunded")
    if case.decided_by == Party.STAFF:
        return _("%(platform)s refunded") % them
    return _("Refunded")


@login_required
@require_safe
@never_cache
def rule_history(request: HttpRequest) -> HttpResponse:
    """Who changed what in a company's rules, newest first; also of rules that are gone."""
    book = _rulebook(request)
    changes = RuleChange.objects.filter(company=book.company).select_related("actor")
    after = request.GET.get("after", "")
    if after:
        if not after.isdecimal() or len(after) > 18:
            raise Http404("No such page.")
        changes = changes.filter(pk__lt=int(after))
    found = list(changes.order_by("-pk")[: HISTORY_PAGE + COMPARED])
    shown, names = found[:HISTORY_PAGE], _names(book.products())
    older = len(found) > HISTORY_PAGE
    query = book.desk.query(book.company) | {"after": str(shown[-1].pk)} if older else {}
    context = {
        "nav": book.desk.nav("rules"),
        "book": book,
        "entries": rule_words.history(found, names)[:HISTORY_PAGE],
        "back_href": book.href("dash-rules"),
        "pager": {
            "newer_href": book.href("dash-rule-history") if after else None,
            "older_href": href("dash-rule-history", query) if older else None,
        },
    }
    return render(request, "dash/rule_history.html", context)


HISTORY_PAGE, COMPARED = 25, 200
"""Changes on a page; and how many of those before are looked at for what a change made of what."""


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
        said = RULE_ACTS[act](rule, form.cleaned_data["version"], book.desk.user)
    except RuleChanged:
        sentence = _(
            "“{rule}” has changed meanwhile. Nothing was done. Here is how it is now."
        ).format(rule=rule.name)
        return _show_rules(request, book, late=sentence, status=409)
    if said:
        messages.success(request, said)
    anchor = "" if act == "delete" else f"#rule-{rule.pk}"
    return redirect(book.href("dash-rules") + anchor)


def _switch(rule: Rule, version: int, by: User, *, on: bool) -> str:
    auto_respond.change(rule, version, by=by, enabled=on)
    if on:
        said = _("“{rule}” is on. It refunds matching cases from now on.")
    else:
        said = _("“{rule}” is off. Cases wait for you instead, those with a planned refund too.")
    return said.format(rule=rule.name)


def _move(rule: Rule, by: User, *, up: bool) -> str:
    auto_respond.move(rule, up=up, by=by)
    return ""


def _delete(rule: Rule, version: int, by: User) -> str:
    auto_respond.remove(rule, version, by=by)
    said = _("“{rule}” is deleted. Cases wait for you instead, those with a planned refund too.")
    return said.format(rule=rule.name)


RULE_ACTS: Mapping[str, Callable[[Rule, int, User], str]] = {
    "on": lambda rule, version, by: _switch(rule, version, by, on=True),
    "off": lambda rule, version, by: _switch(rule, version, by, on=False),
    "up": lambda rule, version, by: _move(rule, by, up=True),
    "down": lambda rule, version, by: _move(rule, by, up=False),
    "delete": _delete,
}
