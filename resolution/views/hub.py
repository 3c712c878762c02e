"""The buyer's hub: memberships, payments and whether a case can be opened, cases, credits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Exists, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import clock
from marketplace.addresses import address
from marketplace.models import Membership, Product, TeamMember, User
from marketplace.statements import Statement
from notifications import inbox
from payments import credits as ledger
from payments.models import CreditEntry, Payment
from payments.money import format_money
from resolution import cases, drafts, eligibility, words
from resolution.actors import as_buyer
from resolution.eligibility import NotEligible
from resolution.forms.opening import OpenCaseForm
from resolution.models import Case
from resolution.templatetags.rc import when_text
from resolution.terms import Party, State
from resolution.views import case_page
from resolution.views.case_page import Surface
from resolution.views.login import needs_login
from resolution.views.onward import onward

PAGE = 25
CASE_COLUMNS = ("payment", "buyer", "company", "product", "refund")


def menu(request: HttpRequest, tab: str, *, reading: str = "") -> dict[str, Any]:
    """What the bar on top shows: the page's place, what waits for the buyer, other ways to go.

    `reading` is the public id of the case that is being looked at: what was told of it is read.
    """
    user = _user(request)
    found = _IN_THE_MENU.first(user.pk)
    assert found, "a person who is logged in is there"
    many, shows_credits, sells, unread = found
    if reading:
        unread = inbox.opened(user, reading, unread)
    return {
        "tab": tab,
        "cases_turn_count": many or 0,
        "shows_credits": shows_credits,
        "dash_href": address("dash-cases") if sells else "",
        "notices_href": address("hub-notices"),
        "unread": inbox.count_of(unread),
    }


def _in_the_menu(person: int) -> QuerySet[User, tuple[int | None, bool, bool, list[str]]]:
    waiting = Case.objects.visible_to(as_buyer(User(pk=person))).needs_buyer()
    return User.objects.filter(pk=person).values_list(
        Subquery(waiting.order_by().values("buyer").annotate(many=Count("pk")).values("many")),
        Exists(CreditEntry.objects.filter(account__user=person)),
        Exists(TeamMember.objects.filter(user=person)),
        inbox.unread_of("pk"),
    )


_IN_THE_MENU: Statement[tuple[int | None, bool, bool, list[str]]] = Statement(_in_the_menu, int)


def _case_menu(request: HttpRequest, case: Case | None) -> Mapping[str, Any]:
    return menu(request, "cases", reading=case.public_id if case else "")


HUB = Surface(
    Party.BUYER, "hub/case.html", "hub/confirm.html", "hub-case", "hub-act", "hub-draft",
    "hub-live", "hub-export", _case_menu,
)  # fmt: skip


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User), "a login is needed first"
    return user


# ── Memberships and payments ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class PaymentRow:
    """A payment, and in words whether a case can be opened for it."""

    payment: Payment
    case: Case | None
    sentence: str
    can_open: bool
    icon: str
    pill: words.Pill | None = None


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Cases on top, then the memberships."""
    user = _user(request)
    mine = _cases_of(user)
    open_cases = [case for case in mine if case.state != State.CLOSED]
    urgent = [case for case in open_cases if words.pill(case, Party.BUYER).tone == "turn"]
    others = [case for case in mine if case not in urgent][:5]
    memberships = (
        Membership.objects.filter(user=user)
        .select_related("product__company")
        .order_by("status", "-started_at")
    )
    context = {
        "turns": [_turn_in_list(case) for case in urgent],
        "cases": [_case_row(case) for case in others],
        "has_more": len(mine) > len(urgent) + len(others),
        "memberships": [(held, _price(held.product)) for held in memberships],
        "credits": [format_money(minor, code) for code, minor in ledger.balances(user)],
        "nav": menu(request, "memberships"),
    }
    return render(request, "hub/home.html", context)


def _cases_of(user: User) -> Sequence[Case]:
    """The newest cases of a buyer, as many as a page shows."""
    return list(
        Case.objects.visible_to(as_buyer(user))
        .select_related(*CASE_COLUMNS)
        .order_by("-opened_at", "-id")[:100]
    )


def _turn_in_list(case: Case) -> words.Turn:
    href = HUB.href(case)
    full = words.turn(case, Party.BUYER)
    return words.Turn(
        tone=full.tone,
        label=full.label,
        icon=full.icon,
        title=full.title,
        title_href=href,
        body=_("You asked for {asked} back for {product}.").format(
            asked=words.asked(case), product=case.product.name
        ),
        clock_left=full.clock_left,
        clock_right=full.clock_right,
        day=full.day,
        days=full.days,
        cta_label=full.cta_label,
        cta_href=href + full.cta_href if full.cta_href else "",
    )


def _case_row(case: Case) -> dict[str, Any]:
    note = words.turn(case, Party.BUYER).title
    if case.state == State.CLOSED and case.closed_at:
        note = _("Closed on {date}").format(date=when_text(case.closed_at, "date"))
    return {
        "href": HUB.href(case),
        "product": case.product.name,
        "asked": words.asked(case),
        "company": case.company.name,
        "note": note,
        "pill": words.pill(case, Party.BUYER),
    }


def _price(product: Product) -> str:
    amount = format_money(product.price_minor, product.currency)
    return f"{amount} {product.get_interval_display()}"


@login_required
@require_safe
def membership(request: HttpRequest, public_id: str) -> HttpResponse:
    """One membership with its payments, and for each whether a case can be opened."""
    user = _user(request)
    held = (
        Membership.objects.select_related("product__company")
        .filter(user=user, public_id=public_id)
        .first()
    )
    if held is None:
        raise Http404("No such membership.")
    payments = (
        Payment.objects.filter(buyer=user, membership=held)
        .select_related("company", "product")
        .order_by("-paid_at", "-id")[:100]
    )
    context = {
        "membership": held,
        "price": _price(held.product),
        "rows": _payment_rows(list(payments), user),
        "nav": menu(request, "memberships"),
    }
    return render(request, "hub/membership.html", context)


def _payment_rows(payments: Sequence[Payment], user: User) -> list[PaymentRow]:
    found = Case.objects.filter(payment__in=payments).select_related(*CASE_COLUMNS)
    by_payment = {case.payment_id: case for case in found}
    now = clock.now()
    rows = []
    for payment in payments:
        case = by_payment.get(payment.pk)
        if case:
            pill = words.pill(case, Party.BUYER)
            told = _("Case closed.") if case.state == State.CLOSED else _("Case open.")
            rows.append(PaymentRow(payment, case, told, False, "log", pill))
            continue
        reason = eligibility.why_not(payment, user, now=now, has_case=False)
        if reason:
            icon = {"expired": "clock", "refunded": "refund"}.get(reason.code, "lock")
            rows.append(PaymentRow(payment, None, reason.sentence, False, icon))
            continue
        until = eligibility.filing_ends_at(payment)
        day, left = when_text(until, "weekday"), words.time_left(until - now)
        if payment.refundable_minor < payment.amount_minor:
            rest = format_money(payment.refundable_minor, payment.currency)
            told = _(
                "Partly refunded. You can open a case until {day} ({left}) for the other {rest}."
            ).format(day=day, left=left, rest=rest)
        else:
            told = _("You can open a case until {day} ({left}).").format(day=day, left=left)
        rows.append(PaymentRow(payment, None, told, True, "checkc"))
    return rows


# ── Opening a case ────────────────────────────────────────────────────────────────────────────────


@needs_login
@require_http_methods(["GET", "HEAD", "POST"])
def open_case(request: HttpRequest, public_id: str) -> HttpResponse:
    """The form that opens a case for one payment; a payment without the right to one says why."""
    user = _user(request)
    payment = (
        Payment.objects.select_related("company", "product", "membership")
        .annotate(drafts=case_page.drafts_on("public_id", user))
        .filter(buyer=user, public_id=public_id)
        .first()
    )
    if payment is None:
        raise Http404("No such payment.")
    if request.method == "POST":
        return _open(request, payment, user)
    known = Case.objects.filter(payment=payment).first()
    if known:
        return redirect(HUB.href(known))
    reason = eligibility.why_not(payment, user, now=clock.now(), has_case=False)
    if reason:
        return _not_eligible(request, payment, reason, 200)
    kept: dict[str, Any] = next(iter(payment.drafts), {})
    form = OpenCaseForm(payment=payment, user=user, initial=kept.get("fields", {}))
    return _opening_page(request, payment, form, 200, at=parse_datetime(kept.get("at", "")))


@needs_login
@require_POST
def open_case_draft(request: HttpRequest, public_id: str) -> HttpResponse:
    """What the buyer has typed into the form that opens a case, and not sent."""
    user = _user(request)
    payment = Payment.objects.filter(buyer=user, public_id=public_id).first()
    if payment is None:
        raise Http404("No such payment.")
    opened = Case.objects.filter(payment=payment).exists()
    fields = {} if opened else drafts.typed_in(drafts.OPEN, request.POST)
    kept = drafts.keep(user, public_id, drafts.OPEN, fields)
    page_href = reverse("hub-open-case", args=[public_id])
    return case_page.about_draft(request, kept, fields, page_href)


def _open(request: HttpRequest, payment: Payment, user: User) -> HttpResponse:
    form = OpenCaseForm(request.POST, request.FILES, payment=payment, user=user)
    if not form.is_valid():
        drafts.keep(user, payment.public_id, drafts.OPEN, drafts.typed_in(drafts.OPEN, form.data))
        return _opening_page(request, payment, form, 200 if form.is_asking_for_more else 422)
    try:
        case = cases.open_case(
            payment,
            user,
            reason=form.cleaned_data["reason"],
            message=form.cleaned_data["description"],
            asked_minor=form.cleaned_data["asked_minor"],
            files=form.files_to_send,
            form_key=form.cleaned_data["form_key"],
        )
    except NotEligible as reason:
        return _not_eligible(request, payment, reason, 409, kept=form.cleaned_data["description"])
    except cases.StepRefused as refusal:
        form.add_error(None, str(refusal))
        drafts.keep(user, payment.public_id, drafts.OPEN, drafts.typed_in(drafts.OPEN, form.data))
        return _opening_page(request, payment, form, 422)
    drafts.forget(user, payment.public_id, drafts.OPEN)
    return onward(request, HUB.href(case))


def _opening_page(
    request: HttpRequest,
    payment: Payment,
    form: OpenCaseForm,
    status: int,
    *,
    at: datetime | None = None,
) -> HttpResponse:
    """The form; `at` is when the draft was kept that it shows."""
    until = eligibility.filing_ends_at(payment)
    paid = format_money(payment.amount_minor, payment.currency)
    days = settings.RESPONSE_DAYS
    within = ngettext("Within {days} day", "Within {days} days", days)
    context = {
        "payment": payment,
        "form": form,
        "drop": case_page.about_files(form),
        "draft_href": reverse("hub-open-draft", args=[payment.public_id]),
        "draft_note": _("From {date}. Not sent yet.").format(date=when_text(at)) if at else "",
        "facts": [
            (_("Paid"), paid, _already_back(payment)),
            (_("Date"), when_text(payment.paid_at, "day"), ""),
            (_("Method"), payment.way_back, ""),
            (
                _("Case window"),
                _("Until {date}").format(date=when_text(until, "date")),
                words.time_left(until - clock.now()),
            ),
        ],
        "how": [
            (
                _("Right away"),
                _("{company} gets it by e-mail.").format(company=payment.company.name),
            ),
            (within.format(days=days), _("They refund you, deny it, or ask for details.")),
            (
                _("No reply by then?"),
                _("{platform} takes over. You don’t need to do anything.").format(
                    platform=words.platform()
                ),
            ),
        ],
        "nav": menu(request, "memberships"),
    }
    return render(request, "hub/open_case.html", context, status=status)


def _already_back(payment: Payment) -> str:
    gone = payment.amount_minor - payment.refundable_minor
    return (
        _("{amount} already given back").format(amount=format_money(gone, payment.currency))
        if gone
        else ""
    )


def _not_eligible(
    request: HttpRequest, payment: Payment, reason: NotEligible, status: int, kept: str = ""
) -> HttpResponse:
    """Says why no case can be opened, and keeps what was typed."""
    known = Case.objects.filter(payment=payment).first()
    context = {
        "payment": payment,
        "reason": reason,
        "case_href": HUB.href(known) if known else "",
        "kept": kept,
        "nav": menu(request, "memberships"),
    }
    return render(request, "hub/not_eligible.html", context, status=status)


# ── Cases ─────────────────────────────────────────────────────────────────────────────────────────


@login_required
@require_safe
def case_list(request: HttpRequest) -> HttpResponse:
    """Every case of the buyer, newest first, a page at a time."""
    user = _user(request)
    mine = Case.objects.visible_to(as_buyer(user)).select_related(*CASE_COLUMNS)
    after = request.GET.get("after", "")
    if after:
        last = Case.objects.visible_to(as_buyer(user)).filter(public_id=after).first()
        if last is None:
            raise Http404("No such page.")
        mine = mine.filter(opened_at__lte=last.opened_at).exclude(
            opened_at=last.opened_at, id__gte=last.pk
        )
    page = list(mine.order_by("-opened_at", "-id")[: PAGE + 1])
    older = f"?after={page[PAGE - 1].public_id}" if len(page) > PAGE else None
    context = {
        "cases": [_case_row(case) for case in page[:PAGE]],
        "pager": {"newer_href": reverse("hub-cases") if after else None, "older_href": older},
        "nav": menu(request, "cases"),
    }
    return render(request, "hub/cases.html", context)


@needs_login
@require_safe
def case(request: HttpRequest, public_id: str) -> HttpResponse:
    """One case of the buyer's."""
    actor = as_buyer(_user(request))
    return case_page.show(request, HUB, actor, case_page.find(actor, public_id))


@needs_login
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """An act of the buyer's on their case."""
    actor = as_buyer(_user(request))
    return case_page.act(request, HUB, actor, case_page.find(actor, public_id), act)


@needs_login
@require_POST
def draft(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """What the buyer has typed for an act and not sent."""
    return case_page.draft(request, HUB, as_buyer(_user(request)), public_id, act)


@needs_login
@require_safe
def live(request: HttpRequest, public_id: str) -> HttpResponse:
    """Whether the case has moved on."""
    return case_page.live(request, HUB, as_buyer(_user(request)), public_id)


# ── Credits ───────────────────────────────────────────────────────────────────────────────────────


@login_required
@require_safe
def credits(request: HttpRequest) -> HttpResponse:
    """The buyer's credits, and every booking that makes them up."""
    user = _user(request)
    rows = ledger.statement(user)
    last = request.GET.get("after", "")
    if last.isascii() and last.isdigit():
        rows = rows.filter(pk__lt=int(last[:18]))
    found = list(rows[: PAGE + 1])
    entries = [
        {
            "at": entry.transfer.created_at,
            "note": entry.transfer.told,
            "minor": entry.amount_minor,
            "balance": entry.balance_minor,
            "currency": entry.account.currency,
        }
        for entry in found[:PAGE]
    ]
    here = reverse("hub-credits")
    older = f"{here}?after={found[PAGE - 1].pk}" if len(found) > PAGE else ""
    context = {
        "balances": [format_money(minor, code) for code, minor in ledger.balances(user)],
        "entries": entries,
        "pager": {
            "newer_href": here if last else "",
            "older_href": older,
            "text": "" if older or not last else _("That’s all of them."),
        },
        "nav": menu(request, "credits"),
    }
    return render(request, "hub/credits.html", context)
