"""Tells the demo's story: lets time go by from two months ago until now, through the real doors.

Cases, timelines, refunds and messages are made as they would have been on those days, by the code
that makes them every day. What is told is in demo_story.py.
"""

import heapq
import secrets
import string
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import F, Min, OuterRef, Subquery
from django.utils import timezone

from config import demo_files
from config.demo_story import (
    ARTICLES,
    BUYERS,
    LAST,
    PASSWORD,
    PAYMENTS,
    PAYPAL,
    PAYPAL_SALE,
    RULES,
    SHOPS,
    STAFF,
    STORIES,
    STRIPE,
    TEAM,
    Act,
    Changed,
    Paid,
    Person,
    Story,
)
from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications.models import Notification
from payments import refunds
from payments.models import Payment, Refund
from resolution import cases, evidence, rules, sweeps
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.models import Attachment, Case, Event, Rule
from resolution.terms import SYSTEM, Actor, State, Verdict

BEGINS = timedelta(days=62)
FRESH_MAIL = timedelta(days=3)
"""E-mails of these last days are left for the outbox to deliver; older ones count as sent."""

SETTLES_AT_ONCE, SETTLES_AS_EVER = 0.05, 5.0
"""Seconds that the sandbox takes for a refund: while the story is told, and afterwards."""

TRAVELS = {STRIPE: timedelta(hours=3.2), PAYPAL: timedelta(hours=1.6)}
"""How long money is on its way in the story."""

QUIET_WITHIN = 10.0
CARDS = ("Visa ending 4242", "Mastercard ending 4444", "Visa ending 0077", "Amex ending 0005")


class History:
    """The story's teller: acts in the order of their moments, and what the system does between."""

    def __init__(self) -> None:
        self.now = clock.now()
        self.past = self.now - BEGINS
        self.queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self.numbers = count()
        self.users: dict[str, User] = {}
        self.companies: dict[str, Company] = {}
        self.products: dict[str, Product] = {}
        self.memberships: dict[tuple[str, str], Membership] = {}
        self.swept = self.past

    def tell(self) -> None:
        """Make everything, and leave the clock as it was found."""
        before = clock.offset()
        sandbox("settings", {"settle_seconds": SETTLES_AT_ONCE})
        try:
            clock.advance(self.past - clock.now())
            self._people()
            self._shops()
            payments = [(paid, self._pay(paid)) for paid in PAYMENTS]
            told = [(story, self._pay(_paid_in(story))) for story in (*STORIES, LAST)]
            register_payments_with_sandbox(settings.STRIPE_API_BASE)
            for paid, payment in payments:
                if paid.given_back:
                    back = payment.paid_at + (self.now - payment.paid_at) / 2
                    self._at(back, self._give_back, payment, paid.given_back)
            for story, payment in told[:-1]:
                opened = self.now - timedelta(days=story.opened)
                self._at(opened, self._open, story, payment)
            self._live_until_now()
            self._become_quiet()
            self._open_last(*told[-1])
        finally:
            clock.advance(before - clock.offset())
            sandbox("settings", {"settle_seconds": SETTLES_AS_EVER})
        self._post_old_mail()

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────

    def _go_to(self, moment: datetime) -> None:
        """Let time pass until that moment; it never goes back."""
        by = moment - clock.now()
        if by > timedelta():
            clock.advance(by)

    def _at(self, moment: datetime, act: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self.queue, (moment, next(self.numbers), lambda: act(*args)))

    def _soon(self, **by: float) -> None:
        self._go_to(clock.now() + timedelta(**by))

    def _live_until_now(self) -> None:
        while self.queue and self.queue[0][0] <= self.now:
            moment, _, act = heapq.heappop(self.queue)
            self._let_deadlines_pass(moment)
            self._go_to(moment)
            act()
        self._let_deadlines_pass(self.now)
        self._go_to(self.now)

    def _let_deadlines_pass(self, until: datetime) -> None:
        """Stop at every date that a case waits for, and let the sweep see to it."""
        while True:
            waiting = Case.objects.exclude(state=State.CLOSED).filter(frozen_at=None)
            due = waiting.filter(due_at__gt=self.swept, due_at__lte=until).aggregate(
                first=Min("due_at")
            )["first"]
            if due is None:
                return
            self.swept = due
            self._go_to(due + timedelta(seconds=14))
            sweeps.sweep()
            self._send_refunds()

    # ── Who, what, and for how much ───────────────────────────────────────────────────────────────

    def _people(self) -> None:
        password = make_password(PASSWORD)  # hashed once: it takes its time, as it should
        for key, person in (BUYERS | TEAM | STAFF).items():
            self.users[key] = _user(person, password)

    def _shops(self) -> None:
        for key, shop in SHOPS.items():
            company = self.companies[key] = Company.objects.create(name=shop.name)
            TeamMember.objects.bulk_create(
                TeamMember(company=company, user=self.users[member], role=role)
                for member, role in shop.team.items()
            )
        for key, article in ARTICLES.items():
            self.products[key] = Product.objects.create(
                company=self.companies[article.shop],
                name=article.name,
                description=article.description,
                price_minor=article.price,
                currency=article.currency,
                interval=article.interval,
            )
        for rule in RULES:
            written = rules.add(
                self.companies[rule.shop],
                by=self.users[rule.by],
                name=rule.name,
                reasons=list(rule.reasons),
                product_ids=[self.products[article].pk for article in rule.articles],
                processor=rule.processor,
                membership=rule.membership,
                maximums=dict(rule.maximums),
                day_limits=dict(rule.day),
                month_limits=dict(rule.month),
                buyer_limit=rule.buyer,
                delay_hours=rule.delay_hours,
                message=rule.message,
            )
            for later in rule.changes:
                moment = self.now - timedelta(days=later.days_ago)
                self._at(moment, self._change_rule, written, later)

    def _change_rule(self, rule: Rule, later: Changed) -> None:
        now = Rule.objects.get(pk=rule.pk)
        rules.change(now, now.version, by=self.users[later.by], **later.columns)

    def _pay(self, paid: Paid) -> Payment:
        buyer, product = self.users[paid.buyer], self.products[paid.article]
        paid_at = self.now - timedelta(days=paid.days_ago)
        number = next(self.numbers)
        ids: dict[str, str] = {}
        processor = PAYPAL if paid.by == PAYPAL_SALE else paid.by
        if processor == STRIPE:
            card = CARDS[buyer.pk % len(CARDS)]
            ids = {"charge_id": f"ch_3{_letters(23)}", "method": card}
        elif processor == PAYPAL:
            sale = paid.by == PAYPAL_SALE
            ids = {
                "charge_id": _letters(17).upper(),
                "order_id": f"PAY-{_letters(24).upper()}" if sale else _letters(17).upper(),
                "method": "PayPal account",
            }
        else:
            ids = {
                "charge_id": f"{paid.by}_{number}_{_letters(12)}",
                "method": "USDC wallet" if paid.by == "crypto" else "Coinbase Commerce",
            }
        return Payment.objects.create(
            buyer=buyer,
            company=product.company,
            product=product,
            membership=self._membership(paid, buyer, product, paid_at),
            processor=processor,
            currency=product.currency,
            amount_minor=product.price_minor,
            paid_at=paid_at,
            **ids,
        )

    def _membership(
        self, paid: Paid, buyer: User, product: Product, paid_at: datetime
    ) -> Membership:
        """The buyer's one hold on the product, from its first payment on."""
        month = timedelta(days=30) if product.interval == Product.Interval.MONTH else None
        held = self.memberships.get((paid.buyer, paid.article))
        if held is None:
            held = Membership(user=buyer, product=product, started_at=paid_at)
        held.started_at = min(held.started_at, paid_at)
        if month:
            ends = max(held.renews_at or held.ends_at or paid_at, paid_at + month)
            ended = ends <= self.now
            held.renews_at, held.ends_at = (None, ends) if ended else (ends, None)
            held.status = Membership.Status.ENDED if ended else Membership.Status.ACTIVE
        held.save()
        self.memberships[paid.buyer, paid.article] = held
        return held

    # ── Cases ─────────────────────────────────────────────────────────────────────────────────────

    def _open(self, story: Story, payment: Payment) -> None:
        case = self._open_case(story, payment)
        self._soon(seconds=4)
        sweeps.advance([case.pk])
        self._send_refunds(fails=story.refund_fails)
        self._go_on(case, story, 0)

    def _open_case(self, story: Story, payment: Payment) -> Case:
        buyer = self.users[story.buyer]
        return cases.open_case(
            payment,
            buyer,
            reason=story.reason,
            message=story.words,
            asked_minor=story.asked or payment.amount_minor,
            files=_files(buyer, story.files),
        )

    def _open_last(self, story: Story, payment: Payment) -> None:
        """The case that the workers find when they start."""
        self._open_case(story, payment)

    def _go_on(self, case: Case, story: Story, number: int) -> None:
        if number < len(story.acts):
            moment = clock.now() + timedelta(hours=story.acts[number].hours)
            self._at(moment, self._act, case, story, number)

    def _act(self, case: Case, story: Story, number: int) -> None:
        act = story.acts[number]
        fresh = Case.objects.select_related("company").get(pk=case.pk)
        actor = self._actor(fresh, story, act)
        if act.who == "system":
            self._bank_says(fresh, act.step)
        cases.take_step(
            fresh,
            act.step,
            actor,
            message=act.words,
            verdict=Verdict(*act.gives) if act.gives else None,
            asks=act.asks,
            files=_files(actor.user, act.files),
        )
        self._soon(seconds=5)
        self._send_refunds(fails=story.refund_fails)
        sweeps.advance([case.pk])
        self._go_on(case, story, number + 1)

    def _actor(self, case: Case, story: Story, act: Act) -> Actor:
        if act.who == "system":
            return SYSTEM
        if act.who == "buyer":
            return as_buyer(self.users[story.buyer])
        if act.who in STAFF:
            return as_staff(self.users[act.who], case)
        return as_creator(self.users[act.who], case.company)

    def _bank_says(self, case: Case, step: str) -> None:
        """A chargeback at the bank, as the provider knows it and as we do."""
        bank = Payment.Chargeback.OPEN if step == "freeze" else Payment.Chargeback.LOST
        Payment.objects.filter(pk=case.payment_id).update(chargeback=bank)
        ruling = {} if step == "freeze" else {"outcome": "lost"}
        sandbox(f"charges/{case.payment.charge_id}/dispute", ruling)

    # ── Money ─────────────────────────────────────────────────────────────────────────────────────

    def _give_back(self, payment: Payment, amount_minor: int) -> None:
        """The shop refunds by itself, without a case."""
        refunds.request_refunds(
            [
                refunds.Intent(
                    payment.pk,
                    amount_minor,
                    payment.currency,
                    key=f"{payment.public_id}:by-the-shop",
                    cause=payment.company.public_id,
                )
            ]
        )
        self._send_refunds()

    def _send_refunds(self, *, fails: bool = False) -> None:
        """Hand over what is to be sent, as the worker does, and see to its arrival later."""
        fresh = Refund.objects.filter(state=Refund.State.PENDING).order_by("pk")
        for refund in fresh.select_related("payment"):
            self._soon(seconds=9)
            sent = refunds.send(refund.pk)
            self._notice(refund.pk)
            if fails and sent and sent.provider_id:
                sandbox(f"refunds/{sent.provider_id}/fail", {"reason": "expired_or_canceled_card"})
            travels = TRAVELS[refund.payment.processor]
            self._at(clock.now() + travels, self._arrive, refund.pk)

    def _arrive(self, refund_id: int) -> None:
        """Wait until the provider is done with a refund: a moment of ours, hours in the story."""
        patience = time.monotonic() + QUIET_WITHIN
        while time.monotonic() < patience:
            # The worker would look in some seconds of the machine's; here hours have gone by.
            Refund.objects.filter(pk=refund_id).update(next_attempt_at=timezone.now())
            refund = refunds.send(refund_id)
            if refund is None or refund.state not in Refund.IN_FLIGHT:
                break
            time.sleep(SETTLES_AT_ONCE)
        self._notice(refund_id)

    def _notice(self, refund_id: int) -> None:
        for case_id in Case.objects.filter(refund=refund_id).values_list("pk", flat=True):
            sweeps.notice_refund(case_id)
            self._soon(seconds=2)
            sweeps.advance([case_id])

    def _become_quiet(self) -> None:
        """Let arrive what is still on its way, and the sweeps find nothing more to do."""
        while self.queue:
            act = heapq.heappop(self.queue)[2]
            act()
        for _ in range(10):
            self._send_refunds()
            while self.queue:
                heapq.heappop(self.queue)[2]()
            if not sweeps.sweep():
                return

    # ── Messages ──────────────────────────────────────────────────────────────────────────────────

    def _post_old_mail(self) -> None:
        """Date each message like its event; those from before the last days have long been sent."""
        happened = Event.objects.filter(public_id=OuterRef("about")).values("created_at")[:1]
        Notification.objects.update(created_at=Subquery(happened))
        old = Notification.objects.filter(created_at__lt=self.now - FRESH_MAIL)
        old.update(
            state=Notification.State.SENT,
            attempts=1,
            sent_at=F("created_at"),
            read_at=F("created_at"),
        )


def register_payments_with_sandbox(url: str) -> None:
    """Tell the sandbox at `url` of every payment that was made through Stripe or PayPal."""
    rows = Payment.objects.filter(processor__in=Payment.REVERSIBLE).order_by("pk")
    body = [
        {
            "processor": payment.processor,
            "id": payment.charge_id,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
            "order_id": payment.order_id,
            "account": payment.account,
            "sale": payment.order_id.startswith("PAY-"),
        }
        for payment in rows
    ]
    requests.post(f"{url}/_sandbox/charges", json=body, timeout=10).raise_for_status()


def sandbox(path: str, body: dict[str, Any]) -> None:
    """One call of the sandbox's control API; raises requests.RequestException when it is not up."""
    url = f"{settings.STRIPE_API_BASE}/_sandbox/{path}"
    requests.post(url, json=body, timeout=10).raise_for_status()


def _paid_in(story: Story) -> Paid:
    return Paid(story.buyer, story.article, story.by, story.opened + story.paid_before)


def _user(person: Person, password: str) -> User:
    return User.objects.create(
        email=person.email,
        name=person.name,
        time_zone=person.time_zone,
        password=password,
        is_staff=bool(person.staff_role),
        is_superuser=person.superuser,
        staff_role=person.staff_role,
    )


def _files(uploader: User | None, names: tuple[str, ...]) -> list[Attachment]:
    if uploader is None:
        return []
    return [
        evidence.accept(SimpleUploadedFile(name, demo_files.make(name)), uploader) for name in names
    ]


def _letters(length: int) -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))
