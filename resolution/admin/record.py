"""What staff read before they decide: both claims, our records, similar cases, who may decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import gettext_noop, ngettext

from marketplace import clock
from marketplace.admin import link_to
from marketplace.models import TeamMember, User
from payments.models import CreditTransfer, Payment, Refund
from payments.money import exponent, format_money, limit_in
from resolution.lifecycle import within_agent_limit
from resolution.models import Case, Event
from resolution.templatetags.rc import or_list, when_text
from resolution.terms import Actor, Effects, Money, Outcome, Party, Remedy, State
from resolution.timeline import FileRow, file_row
from resolution.words import platform

RECENT = timedelta(days=90)
LOOKED_THROUGH = 50_000
"""How many cases before this one are looked through for similar ones."""

SHOWN_SIMILAR = 200
DECISIONS = ("deny", "decide_unanswered", "decide", "decide_final", "decide_final_alone")

# ── Both sides' claims ────────────────────────────────────────────────────────────────────────────

LABELS = {
    "reply": _lazy("Answer"),
    "appeal": _lazy("Appeal"),
    "comment": _lazy("Added"),
    "request_info": _lazy("Question"),
    "accept": _lazy("Accepted"),
    "withdraw": _lazy("Withdrew"),
}


@dataclass
class Claim:
    """What one side says, and its files: (label, text, whether it is the claim itself) in order."""

    party: str
    name: str
    title: str
    about: str
    silent: str
    said: list[tuple[str, str, bool]] = field(default_factory=list)
    files: list[FileRow] = field(default_factory=list)


def claims(case: Case, events: Sequence[Event]) -> list[Claim]:
    """The buyer's claim and the creator's, to stand side by side. Two queries."""
    buyer, company = case.buyer, case.company
    sides = [
        Claim(
            "buyer",
            buyer.name,
            _("{first_name} says").format(first_name=buyer.first_name),
            _("Buyer since {date} · {cases_of_buyer}").format(
                date=when_text(buyer.created_at, "date"), cases_of_buyer=_cases_of_buyer(case)
            ),
            _("{first_name} has not written anything.").format(first_name=buyer.first_name),
        ),
        Claim(
            "creator",
            company.name,
            _("{company} says").format(company=company.name),
            _("Creator · {cases_of_company}").format(cases_of_company=_cases_of_company(case)),
            _("{company} has not answered the request.").format(company=company.name),
        ),
    ]
    for side in sides:
        for event in events:
            if event.party == side.party and event.message:
                is_claim = event.step in ("open_case", "deny")
                side.said.append((str(LABELS.get(event.step, "")), event.message, is_claim))
            if event.party == side.party:
                side.files += [file_row(attachment) for attachment in event.attachments.all()]
    return sides


def _cases_of_buyer(case: Case) -> str:
    others = list(
        Case.objects.filter(buyer=case.buyer_id)
        .exclude(pk=case.pk)
        .order_by("-opened_at")
        .values_list("outcome", flat=True)[:100]
    )
    if not others:
        return _("no other cases")
    won = sum(outcome == Outcome.BUYER_WON for outcome in others)
    return ngettext(
        "{cases} other case, {won} of them won",
        "{cases} other cases, {won} of them won",
        len(others),
    ).format(cases=len(others), won=won)


def _cases_of_company(case: Case) -> str:
    since = clock.now() - RECENT
    others = list(
        Case.objects.filter(company=case.company_id, opened_at__gte=since)
        .exclude(pk=case.pk)
        .order_by("-opened_at", "-pk")
        .values_list("outcome", flat=True)[:1000]
    )
    if not others:
        return _("no other cases in 90 days")
    lost = sum(outcome == Outcome.BUYER_WON for outcome in others)
    return ngettext(
        "{cases} other case in 90 days, {lost} won by the buyer",
        "{cases} other cases in 90 days, {lost} won by the buyer",
        len(others),
    ).format(cases=len(others), lost=lost)


# ── Facts from our records ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Fact:
    """A row of our records. `looked_at` is what both sides read when a decision rests on it."""

    name: str
    record: str | SafeString
    looked_at: str = ""


def facts(case: Case, events: Sequence[Event]) -> list[Fact]:
    """What neither side can edit. Two queries."""
    payment, product, money = case.payment, case.product, case.currency
    membership = payment.membership
    whole = case.asked_minor == payment.amount_minor
    asked = format_money(case.asked_minor, money)
    price = format_money(product.price_minor, product.currency)
    rows = [
        Fact(
            _("Asked for"),
            (
                _("{asked}, all of the payment.") if whole else _("{asked}, a part of the payment.")
            ).format(asked=asked)
            + " "
            + _("Reason: {get_reason_display}.").format(
                get_reason_display=case.get_reason_display()
            ),
        ),
        Fact(
            _("Payment"),
            format_html(
                _("{amount} on {date}, {way}. {link_to}"),
                amount=format_money(payment.amount_minor, money),
                date=when_text(payment.paid_at, "day"),
                way=_way(payment),
                link_to=link_to(payment),
            ),
            gettext_noop("The payment"),
        ),
        Fact(
            _("Given back so far"), _given_back(payment), gettext_noop("Refunds and credits so far")
        ),
        Fact(_("Chargeback"), payment.get_chargeback_display()),
        Fact(
            _("Product"),
            format_html(
                "{}, {} {}. {}",
                link_to(product, product.name),
                price,
                product.get_interval_display(),
                product.description,
            ),
            gettext_noop("The product’s page"),
        ),
        Fact(_("Membership"), _membership(case), gettext_noop("The membership"))
        if membership
        else Fact(_("Membership"), _("None goes with this payment.")),
        Fact(_("Buyer"), format_html("{}, {}", link_to(case.buyer), case.buyer.email)),
        Fact(
            _("Creator"),
            format_html(
                '{}. <a href="{}?q={}">{}</a>',
                link_to(case.company),
                reverse("admin:resolution_case_changelist"),
                case.company.public_id,
                _("Their cases"),
            ),
        ),
    ]
    refunds = list(payment.refunds.order_by("pk"))
    transfers = list(payment.credits.order_by("pk").prefetch_related("entries"))
    if refunds or transfers:
        rows.append(Fact(_("Refunds and credits"), _money_rows(refunds, transfers, money)))
    decided = [event for event in events if event.step in DECISIONS]
    if decided:
        rows.append(
            Fact(
                _("Decided so far"),
                format_html_join(
                    "", "<div>{}</div>", ((_decision(case, event),) for event in decided)
                ),
                gettext_noop("The decisions so far"),
            )
        )
    return rows


def looked_at(case: Case, events: Sequence[Event], known: Sequence[Fact]) -> list[str]:
    """What a decision may be said to rest on, as it is recorded: each side reads it translated."""
    written = [gettext_noop("What both sides wrote")]
    if any(event.attachments.all() for event in events):
        written.append(gettext_noop("Files from both sides"))
    return written + [fact.looked_at for fact in known if fact.looked_at]


def _way(payment: Payment) -> str:
    processor = payment.get_processor_display()
    return (
        _("{way_back}, by {processor}").format(way_back=payment.way_back, processor=processor)
        if payment.method
        else processor
    )


def _given_back(payment: Payment) -> str:
    def sum_of(minor: int, what: str) -> list[str]:
        return [what.format(amount=format_money(minor, payment.currency))] if minor else []

    given = [
        *sum_of(payment.refunded_minor, _("{amount} refunded")),
        *sum_of(payment.credited_minor, _("{amount} in credits")),
        *sum_of(payment.reserved_minor, _("{amount} promised or on its way")),
    ]
    left = _("{amount} can still be given back.").format(
        amount=format_money(payment.refundable_minor, payment.currency)
    )
    return f"{', '.join(given) or _('Nothing')}. {left}"


def _membership(case: Case) -> SafeString | str:
    membership = case.payment.membership
    if membership is None:
        return ""
    ends = membership.ends_at or membership.renews_at
    if membership.ends_at:
        words = _("{status} since {since}, ends {date}")
    elif membership.renews_at:
        words = _("{status} since {since}, renews {date}")
    else:
        words = _("{status} since {since}")
    words = words.format(
        status=membership.get_status_display(),
        since=when_text(membership.started_at, "day"),
        date=when_text(ends, "day") if ends else "",
    )
    return format_html("{}. {}", words, link_to(membership, membership.public_id))


def _money_rows(
    refunds: Sequence[Refund], transfers: Sequence[CreditTransfer], currency: str
) -> SafeString:
    rows = [
        (
            format_money(refund.amount_minor, refund.currency),
            _("refund, {state}").format(state=refund.get_state_display())
            + (f" ({refund.why_not})"
               if refund.state == Refund.State.FAILED else ""),
            link_to(refund),
        )
        for refund in refunds
    ]  # fmt: skip
    for transfer in transfers:
        amount = sum(entry.amount_minor for entry in transfer.entries.all()
                     if entry.amount_minor > 0)  # fmt: skip
        rows.append((format_money(amount, currency), _("in credits"), link_to(transfer)))
    return format_html_join("", "<div>{} {} {}</div>", rows)


def _decision(case: Case, event: Event) -> str:
    on = when_text(event.created_at, "date")
    if event.step == "deny":
        by = (
            _("{actor} of {company}").format(actor=event.actor.name, company=case.company.name)
            if event.actor
            else case.company.name
        )
        return _("Denied by {by}, {on}.").format(by=by, on=on)
    remedy, minor = event.data.get("remedy"), event.data.get("amount_minor", 0)
    gave = {
        Remedy.REFUND.value: _("{amount} refund").format(amount=format_money(minor, case.currency)),
        Remedy.CREDIT.value: _("{amount} in credits").format(
            amount=format_money(minor, case.currency)
        ),
    }.get(str(remedy), "No refund")
    by = event.actor.name if event.actor else _("the system")
    return _("{gave}, by {name}, {date}.").format(gave=gave, name=by, date=on)


# ── How similar cases ended ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Similar:
    """How closed cases like this one ended: (label, count, share in percent), and the closest."""

    like: str
    bars: Sequence[tuple[str, int, int]]
    closest: Sequence[tuple[str, str, Case]]


def similar(case: Case) -> Similar:
    """Closed cases of the same reason, kind of product, currency and size of sum. Two queries."""
    once_only = case.product.interval == "once"
    kind = _("one-time purchases") if once_only else _("subscriptions")
    least, most, band = _band(case)
    rows = (
        Case.objects.filter(
            pk__gt=case.pk - LOOKED_THROUGH,
            state=State.CLOSED,
            outcome__in=[Outcome.BUYER_WON, Outcome.CREATOR_WON],
            reason=case.reason,
            currency=case.currency,
            asked_minor__gte=least,
        )
        .exclude(pk=case.pk)
        .order_by("-pk")
    )
    if most is not None:
        rows = rows.filter(asked_minor__lte=most)
    once = Q(product__interval="once")
    rows = rows.filter(once if case.product.interval == "once" else ~once)
    found = list(rows[:SHOWN_SIMILAR])
    full, part, none = _("Refunded in full"), _("Part refunded"), _("No refund")
    ends = {full: 0, part: 0, _("{platform} Credits").format(platform=platform()): 0, none: 0}
    for other in found:
        ends[_end(other)] += 1
    total = len(found)
    bars = [(end, count, round(100 * count / total)) for end, count in ends.items() if count]
    bars.sort(key=lambda bar: -bar[1])
    by_staff = [other for other in found if other.decided_by == Party.STAFF]
    by_staff.sort(key=lambda other: abs(other.asked_minor - case.asked_minor))
    like = f"{case.get_reason_display()}, {kind}, {band}"
    return Similar(like, bars, _with_reasons(by_staff[:3]))


def _with_reasons(cases: Sequence[Case]) -> list[tuple[str, str, Case]]:
    if not cases:
        return []
    steps = ("decide", "decide_final", "decide_final_alone")
    events = Event.objects.filter(case__in=cases, step__in=steps).order_by("seq")
    why = {event.case_id: event.message for event in events}
    return [
        (
            _end(other) if other.remedy == Remedy.NONE
            else f"{_end(other)}, {format_money(other.remedy_minor, other.currency)}",
            why.get(other.pk, ""),
            other,
        )
        for other in cases
    ]  # fmt: skip


def _end(case: Case) -> str:
    if case.remedy == Remedy.NONE:
        return _("No refund")
    if case.remedy == Remedy.CREDIT:
        return _("{platform} Credits").format(platform=platform())
    return _("Refunded in full") if case.awarded_everything else _("Part refunded")


def _band(case: Case) -> tuple[int, int | None, str]:
    """The size of the sum: minor units from, minor units to, and in words."""
    scale = 10 ** exponent(case.currency)

    def words(units: int) -> str:
        return format_money(units * scale, case.currency).removesuffix(".00").removesuffix(".000")

    if case.asked_minor < 50 * scale:
        return 0, 50 * scale - 1, _("under {words}").format(words=words(50))
    if case.asked_minor <= 250 * scale:
        return (
            50 * scale,
            250 * scale,
            _("{words} to {words_2}").format(words=words(50), words_2=words(250)),
        )
    return 250 * scale + 1, None, _("over {words}").format(words=words(250))


# ── Who may decide ────────────────────────────────────────────────────────────────────────────────


def others_who_could_decide(case: Case, user: User) -> list[User]:
    """Colleagues who could decide this case as it stands, and who have no part in it."""
    roles = [User.StaffRole.FINANCE]
    if case.money != Money.FAILED and within_agent_limit(
        case, Actor(Party.STAFF, role=User.StaffRole.AGENT)
    ):
        roles.append(User.StaffRole.AGENT)
    team = TeamMember.objects.filter(company=case.company_id).values("user")
    people = User.objects.filter(is_active=True, is_staff=True, staff_role__in=roles)
    people = people.exclude(pk__in=[user.pk, case.buyer_id]).exclude(pk__in=team)
    if case.state == State.APPEALED and case.first_decider_id:
        people = people.exclude(pk=case.first_decider_id)
    return list(people.order_by("name", "pk")[:20])


def decision_open(
    case: Case, actor: Actor, steps: dict[str, Effects], others: Sequence[User]
) -> str:
    """The deciding step that is this person's to take now, or "".

    Who decided first reviews it only where nobody else could, whatever their role.
    """
    for step in ("decide", "decide_final"):
        if step in steps:
            return step
    alone = actor.user_id == case.first_decider_id and not others
    return "decide_final_alone" if alone and "decide_final_alone" in steps else ""


CONFLICTED = _lazy(
    "You are a party to this case, so you can’t act on it as staff. A "
    "colleague sees to it, without you."
)


def why_not(case: Case, actor: Actor, others: Sequence[User]) -> str:
    """Why this person does not decide this case now, and who can."""
    if actor.conflicted:
        return str(CONFLICTED)
    if not actor.role:
        return _(
            "You can look at cases and no more: your account is neither an agent’s nor finance’s."
        )
    if case.frozen_at:
        return _(
            "The buyer’s bank is looking into this payment. Nothing is decided until it has ruled."
        )
    if case.state not in (State.ESCALATED, State.APPEALED):
        return ""
    names = [person.name for person in others[:4]]
    able = (
        _("{any_of} can.").format(any_of=any_of(names))
        if names
        else _("Nobody else can at the moment: ask an administrator.")
    )
    if case.state == State.APPEALED and actor.user_id == case.first_decider_id:
        return _(
            "You decided this case first, so somebody else does the final review. {able}"
        ).format(able=able)
    if not within_agent_limit(case, actor):
        limit = limit_in(case.currency, settings.AGENT_DECIDE_LIMIT)
        if not limit:
            return _("Agents don’t decide cases in {currency}. {able}").format(
                currency=case.currency, able=able
            )
        most, asked = (format_money(minor, case.currency) for minor in (limit, case.asked_minor))
        return _("You decide cases of up to {most}, and this one asks for {asked}. {able}").format(
            most=most, asked=asked, able=able
        )
    return ""


def any_of(names: Sequence[str]) -> str:
    """A, B or C."""
    return or_list(names)
