"""What staff read before they decide: both claims, our records, similar cases, who may decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from marketplace import clock
from marketplace.admin import link_to
from marketplace.models import TeamMember, User
from payments.models import CreditTransfer, Payment, Refund
from payments.money import exponent, format_money, limit_in
from resolution.lifecycle import within_agent_limit
from resolution.models import Case, Event
from resolution.templatetags.rc import when_text
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
    "reply": "Answer",
    "appeal": "Appeal",
    "comment": "Added",
    "request_info": "Question",
    "accept": "Accepted",
    "withdraw": "Withdrew",
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
        Claim("buyer", buyer.name, f"{buyer.first_name} says",
              f"Buyer since {when_text(buyer.created_at, 'date')} · {_cases_of_buyer(case)}",
              f"{buyer.first_name} has not written anything."),
        Claim("creator", company.name, f"{company.name} says",
              f"Creator · {_cases_of_company(case)}",
              f"{company.name} has not answered the request."),
    ]  # fmt: skip
    for side in sides:
        for event in events:
            if event.party == side.party and event.message:
                is_claim = event.step in ("open_case", "deny")
                side.said.append((LABELS.get(event.step, ""), event.message, is_claim))
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
        return "no other cases"
    won = sum(outcome == Outcome.BUYER_WON for outcome in others)
    return f"{_number(len(others), 'other case')}, {won} of them won"


def _cases_of_company(case: Case) -> str:
    since = clock.now() - RECENT
    others = list(
        Case.objects.filter(company=case.company_id, opened_at__gte=since)
        .exclude(pk=case.pk)
        .order_by("-opened_at", "-pk")
        .values_list("outcome", flat=True)[:1000]
    )
    if not others:
        return "no other cases in 90 days"
    lost = sum(outcome == Outcome.BUYER_WON for outcome in others)
    return f"{_number(len(others), 'other case')} in 90 days, {lost} won by the buyer"


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'' if count == 1 else 's'}"


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
        Fact("Asked for", f"{asked}, {'all' if whole else 'a part'} of the payment. "
             f"Reason: {case.get_reason_display()}."),
        Fact("Payment", format_html(
            "{} on {}, {}. {}", format_money(payment.amount_minor, money),
            when_text(payment.paid_at, "day"), _way(payment), link_to(payment)), "The payment"),
        Fact("Given back so far", _given_back(payment), "Refunds and credits so far"),
        Fact("Chargeback", payment.get_chargeback_display()),
        Fact("Product", format_html(
            "{}, {} {}. {}", link_to(product, product.name), price,
            product.get_interval_display(), product.description), "The product’s page"),
        Fact("Membership", _membership(case), "The membership") if membership
        else Fact("Membership", "None goes with this payment."),
        Fact("Buyer", format_html("{}, {}", link_to(case.buyer), case.buyer.email)),
        Fact("Creator", format_html(
            "{}. <a href=\"{}?q={}\">Their cases</a>", link_to(case.company),
            reverse("admin:resolution_case_changelist"), case.company.public_id)),
    ]  # fmt: skip
    refunds = list(payment.refunds.order_by("pk"))
    transfers = list(payment.credits.order_by("pk").prefetch_related("entries"))
    if refunds or transfers:
        rows.append(Fact("Refunds and credits", _money_rows(refunds, transfers, money)))
    decided = [event for event in events if event.step in DECISIONS]
    if decided:
        rows.append(Fact("Decided so far", format_html_join("", "<div>{}</div>", (
            (_decision(case, event),) for event in decided)), "The decisions so far"))  # fmt: skip
    return rows


def looked_at(case: Case, events: Sequence[Event], known: Sequence[Fact]) -> list[str]:
    """What a decision may be said to rest on, in the words that both sides read."""
    written = ["What both sides wrote"]
    if any(event.attachments.all() for event in events):
        written.append("Files from both sides")
    return written + [fact.looked_at for fact in known if fact.looked_at]


def _way(payment: Payment) -> str:
    processor = payment.get_processor_display()
    return f"{payment.way_back}, by {processor}" if payment.method else processor


def _given_back(payment: Payment) -> str:
    def sum_of(minor: int, what: str) -> list[str]:
        return [f"{format_money(minor, payment.currency)} {what}"] if minor else []

    given = [
        *sum_of(payment.refunded_minor, "refunded"),
        *sum_of(payment.credited_minor, "in credits"),
        *sum_of(payment.reserved_minor, "promised or on its way"),
    ]
    left = format_money(payment.refundable_minor, payment.currency)
    return f"{', '.join(given) or 'Nothing'}. {left} can still be given back."


def _membership(case: Case) -> SafeString | str:
    membership = case.payment.membership
    if membership is None:
        return ""
    words = f"{membership.get_status_display()} since {when_text(membership.started_at, 'day')}"
    if membership.ends_at:
        words += f", ends {when_text(membership.ends_at, 'day')}"
    elif membership.renews_at:
        words += f", renews {when_text(membership.renews_at, 'day')}"
    return format_html("{}. {}", words, link_to(membership, membership.public_id))


def _money_rows(
    refunds: Sequence[Refund], transfers: Sequence[CreditTransfer], currency: str
) -> SafeString:
    rows = [
        (
            format_money(refund.amount_minor, refund.currency),
            f"refund, {refund.get_state_display().lower()}"
            + (f" ({refund.failure_message or refund.failure_code})"
               if refund.state == Refund.State.FAILED else ""),
            link_to(refund),
        )
        for refund in refunds
    ]  # fmt: skip
    for transfer in transfers:
        amount = sum(entry.amount_minor for entry in transfer.entries.all()
                     if entry.amount_minor > 0)  # fmt: skip
        rows.append((format_money(amount, currency), "in credits", link_to(transfer)))
    return format_html_join("", "<div>{} {} {}</div>", rows)


def _decision(case: Case, event: Event) -> str:
    on = when_text(event.created_at, "date")
    if event.step == "deny":
        by = f"{event.actor.name} of {case.company.name}" if event.actor else case.company.name
        return f"Denied by {by}, {on}."
    remedy, minor = event.data.get("remedy"), event.data.get("amount_minor", 0)
    gave = {
        Remedy.REFUND.value: f"{format_money(minor, case.currency)} refund",
        Remedy.CREDIT.value: f"{format_money(minor, case.currency)} in credits",
    }.get(str(remedy), "No refund")
    return f"{gave}, by {event.actor.name if event.actor else 'the system'}, {on}."


# ── How similar cases ended ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Similar:
    """How closed cases like this one ended: (label, count, share in percent), and the closest."""

    like: str
    bars: Sequence[tuple[str, int, int]]
    closest: Sequence[tuple[str, str, Case]]


def similar(case: Case) -> Similar:
    """Closed cases of the same reason, kind of product, currency and size of sum. Two queries."""
    kind = "one-time purchases" if case.product.interval == "once" else "subscriptions"
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
    ends = {"Refunded in full": 0, "Part refunded": 0, f"{platform()} Credits": 0, "No refund": 0}
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
        return "No refund"
    if case.remedy == Remedy.CREDIT:
        return f"{platform()} Credits"
    return "Refunded in full" if case.awarded_everything else "Part refunded"


def _band(case: Case) -> tuple[int, int | None, str]:
    """The size of the sum: minor units from, minor units to, and in words."""
    scale = 10 ** exponent(case.currency)

    def words(units: int) -> str:
        return format_money(units * scale, case.currency).removesuffix(".00").removesuffix(".000")

    if case.asked_minor < 50 * scale:
        return 0, 50 * scale - 1, f"under {words(50)}"
    if case.asked_minor <= 250 * scale:
        return 50 * scale, 250 * scale, f"{words(50)} to {words(250)}"
    return 250 * scale + 1, None, f"over {words(250)}"


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


CONFLICTED = (
    "You are a party to this case, so you can’t act on it as staff. "
    "A colleague sees to it, without you."
)


def why_not(case: Case, actor: Actor, others: Sequence[User]) -> str:
    """Why this person does not decide this case now, and who can."""
    if actor.conflicted:
        return CONFLICTED
    if not actor.role:
        return (
            "You can look at cases and no more: your account is neither an agent’s nor finance’s."
        )
    if case.frozen_at:
        return (
            "The buyer’s bank is looking into this payment. Nothing is decided until it has ruled."
        )
    if case.state not in (State.ESCALATED, State.APPEALED):
        return ""
    names = [person.name for person in others[:4]]
    able = (
        f" {any_of(names)} can."
        if names
        else " Nobody else can at the moment: ask an administrator."
    )
    if case.state == State.APPEALED and actor.user_id == case.first_decider_id:
        return f"You decided this case first, so somebody else does the final review.{able}"
    if not within_agent_limit(case, actor):
        limit = limit_in(case.currency, settings.AGENT_DECIDE_LIMIT)
        if not limit:
            return f"Agents don’t decide cases in {case.currency}.{able}"
        most, asked = (format_money(minor, case.currency) for minor in (limit, case.asked_minor))
        return f"You decide cases of up to {most}, and this one asks for {asked}.{able}"
    return ""


def any_of(names: Sequence[str]) -> str:
    """A, B or C."""
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
