"""A small marketplace with everybody in it, at work against the sandbox providers.

Everything goes through what the product itself uses: the door, the tasks, the view that takes in
webhooks, the real gateways over real sockets. Only time is ours: `days_pass` moves the clock of the
business, `a_while_passes` makes leases, pauses and keys that much older.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F
from django.test import Client

from marketplace import clock
from marketplace.models import Company, Product, TeamMember, User
from notifications.models import Notification
from payments import reconciliation, refunds
from payments.gateways import Gateway, RefundAnswer, RefundRequest, gateway_for
from payments.models import Payment, ProviderEvent, Refund
from payments.tasks import handle_events
from resolution import cases, tasks
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.management.commands.verify_timeline import flaws
from resolution.models import Case
from resolution.terms import Actor, Party, Remedy, Verdict
from tests.invariants import differences, unsettled, violations
from tests.people import make_user
from tests.sandbox_fixture import SandboxClient

numbers = count(1)

FORGOTTEN = (
    *("notifications_notification", "resolution_attachment", "resolution_event"),
    *("resolution_case", "payments_creditentry", "payments_credittransfer"),
    *("payments_creditaccount", "payments_discrepancy", "payments_providerevent"),
    *("payments_refund", "payments_payment"),
)

SAID = "This is what happened."


def nothing(found: Iterable[str]) -> None:
    """Raise AssertionError with what was found, unless it is nothing."""
    told = "\n".join(found)
    assert not told, told


class Killed(BaseException):
    """The worker is gone, in the middle of what it did."""


@dataclass
class Interrupted:
    """A real gateway, and what happens right before and right after its next refund call."""

    gateway: Gateway
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)

    def refund(self, request: RefundRequest) -> RefundAnswer:
        before, after, self.before, self.after = self.before, self.after, None, None
        if before:
            before()
        try:
            return self.gateway.refund(request)
        finally:
            if after:
                after()


@contextmanager
def interrupted(
    *, before: Callable[[], object] | None = None, after: Callable[[], object] | None = None
) -> Iterator[None]:
    """Let something happen around the next call for a refund, whichever worker makes it."""
    ours: dict[str, Interrupted] = {}

    def with_interruption(processor: str) -> Gateway:
        if processor not in ours:
            ours[processor] = Interrupted(gateway_for(processor), before, after)
        return ours[processor]

    usual = refunds.gateway_for
    refunds.gateway_for = with_interruption
    try:
        yield
    finally:
        refunds.gateway_for = usual


@dataclass
class World:
    """Everybody of one company's cases, and the letters of the providers that are still to come."""

    STAFF: ClassVar = ("priya", "sam", "ada")
    TEAM: ClassVar = ("cleo", "ann", "sue", "vic")

    sandbox: SandboxClient
    people: dict[str, User] = field(default_factory=dict)
    letters: list[dict[str, Any]] = field(default_factory=list)
    cases: list[int] = field(default_factory=list)
    product: Product | None = None

    def settle_in(self) -> None:
        """Make the people: bea buys, cleo and her team sell, priya, sam and ada are staff."""
        self.people["bea"] = make_user("Bea Lind")
        company = Company.objects.create(name="Loop & Lens")
        team = [("cleo", "owner"), ("ann", "admin"), ("sue", "support"), ("vic", "viewer")]
        for name, role in team:
            self.people[name] = make_user(name.title())
            TeamMember.objects.create(company=company, user=self.people[name], role=role)
        for name, role in (("priya", "agent"), ("sam", "finance"), ("ada", "finance")):
            self.people[name] = make_user(name.title(), is_staff=True, staff_role=role)
        self.product = Product.objects.create(
            company=company, name="Golden Hour presets", price_minor=6400, currency="USD"
        )

    def begin_anew(self) -> None:
        """Forget all cases and payments, here and at the providers."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for table in FORGOTTEN:
                cursor.execute(f"DELETE FROM {table}")
        self.letters, self.cases = [], []
        self.sandbox.reset()
        self.sandbox.keep_events()

    # ── Who acts ──────────────────────────────────────────────────────────────────────────────────

    def actor(self, name: str, case: Case) -> Actor:
        """Somebody in the capacity in which they stand before a case."""
        user = self.people[name]
        if name == "bea":
            return as_buyer(user)
        if name in self.TEAM:
            return as_creator(user, case.company)
        return as_staff(user, case)

    def pay(
        self, processor: str = "stripe", currency: str = "USD", amount: int = 6400, **fields: Any
    ) -> Payment:
        """A payment that bea made yesterday; its provider knows of it too."""
        assert self.product
        number = f"{next(numbers):06}"
        charge = {"stripe": "ch_w", "paypal": "CAPTURE"}[processor] + number
        order = "" if processor == "stripe" else fields.pop("order_id", "ORDER" + number)
        payment = Payment.objects.create(
            **{
                "buyer": self.people["bea"],
                "company": self.product.company,
                "product": self.product,
                "processor": processor,
                "currency": currency,
                "amount_minor": amount,
                "charge_id": charge,
                "order_id": order,
                "method": "Visa ending 4242",
                "paid_at": clock.now() - timedelta(days=1),
                **fields,
            }
        )
        self.sandbox.register(processor, payment.charge_id, amount, currency, order_id=order)
        return payment

    def open(self, payment: Payment, asked: int, *, triaged: bool = True) -> Case:
        """A case of bea's over a part of a payment, in front of cleo unless told otherwise."""
        opened = cases.open_case(
            payment, self.people["bea"], reason="not_as_described", message=SAID, asked_minor=asked
        )
        self.cases.append(opened.pk)
        if triaged:
            tasks.advance([opened.pk])
        return self.case()

    def case(self, at: int = -1) -> Case:
        """One of the cases as it stands now, the latest unless told otherwise."""
        row: Case = Case.objects.select_related("payment", "refund", "company").get(
            pk=self.cases[at]
        )
        return row

    def refund(self, at: int = -1) -> Refund:
        """The refund of a case."""
        found = self.case(at).refund
        assert found
        return found

    def steps(self, case: Case) -> dict[str, list[str]]:
        """The steps that are open on a case now, mere words aside, and who may take them."""
        found: dict[str, list[str]] = {}
        for name in ("bea", *self.TEAM, *self.STAFF):
            for step in cases.steps_for(case, self.actor(name, case)):
                if step not in ("comment", "note"):
                    found.setdefault(step, []).append(name)
        return found

    def act(
        self,
        name: str,
        step: str,
        *,
        at: int = -1,
        verdict: Verdict | None = None,
        asks: Party = Party.BUYER,
        proposes: str = "",
        form_key: UUID | None = None,
        seen_version: int | None = None,
    ) -> bool:
        """Let somebody take a step; False when it is refused. The form may be one sent before."""
        case = self.case(at)
        try:
            cases.take_step(
                case,
                step,
                self.actor(name, case),
                message=SAID,
                verdict=verdict,
                asks=asks if step == "ask_party" else None,
                proposes=proposes,
                reference="WIRE-17" if step == "mark_paid" else "",
                form_key=form_key or uuid4(),
                seen_version=seen_version,
            )
        except cases.StepRefused:
            return False
        return True

    def award(self, share: int, remedy: str, at: int = -1) -> Verdict:
        """A verdict over so many tenths of what was asked for, in what the currency allows."""
        if remedy == "none":
            return Verdict(Remedy.NONE)
        asked = self.case(at).asked_minor
        return Verdict(Remedy(remedy), max(10, asked * share // 100 * 10))

    # ── Workers ───────────────────────────────────────────────────────────────────────────────────

    def send(self, refund_ids: Sequence[int] | None = None) -> None:
        """Let workers bring refunds a step further: those that are due, unless told which.

        A chargeback that we know of before is never followed by a call for money.
        """
        for refund_id in refunds.due() if refund_ids is None else refund_ids:
            payment = Payment.objects.get(refunds=refund_id)
            before = self._calls(payment)
            tasks.carry_out(refund_id)
            if payment.chargeback == Payment.Chargeback.OPEN:
                assert self._calls(payment) == before, "8 sent while the bank looks into it"

    def _calls(self, payment: Payment) -> int:
        if payment.chargeback != Payment.Chargeback.OPEN:
            return 0
        calls: int = self.sandbox.ledger()[payment.charge_id]["create_calls"]
        return calls

    def sweep(self) -> None:
        """What beat has done every half a minute, mail included."""
        self.send()
        handle_events()
        tasks.sweep_cases()
        tasks.deliver()

    def reconcile(self) -> None:
        """What beat has done every hour and every day."""
        reconciliation.look_at_all(list(Payment.objects.values_list("pk", flat=True)))
        tasks.sweep_cases()

    # ── Letters of the providers ──────────────────────────────────────────────────────────────────

    def collect(self) -> list[dict[str, Any]]:
        """The letters that have been written and not delivered."""
        self.letters += self.sandbox.events()
        return self.letters

    def hear(self, letter: dict[str, Any], times: int = 1) -> None:
        """Deliver one letter to the product's own address; it is stored before it is answered."""
        for _ in range(times):
            answer = Client().post(
                f"/webhooks/{letter['provider']}/",
                letter["body"],
                content_type="application/json",
                headers=letter["headers"],
            )
            assert answer.status_code == 200, "17 a real event is refused"
            assert ProviderEvent.objects.filter(payload=letter["body"]).count() == 1

    def hear_all(self) -> None:
        """Deliver every letter, in the order in which they were written, and see to them."""
        for letter in self.collect():
            self.hear(letter)
        self.letters.clear()
        handle_events()

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────

    def days_pass(self, days: float) -> None:
        """Move the clock of the business."""
        clock.advance(timedelta(days=days))

    def a_while_passes(self, seconds: float) -> None:
        """Make every lease, pause, doubt and key so much older."""
        by = timedelta(seconds=seconds)
        columns = ("next_attempt_at", "lease_until", "first_sent_at", "in_doubt_since")
        Refund.objects.update(**{name: F(name) - by for name in columns})
        Payment.objects.update(looked_at=F("looked_at") - by)
        ProviderEvent.objects.update(next_attempt_at=F("next_attempt_at") - by)
        of_mail = ("next_attempt_at", "lease_until", "created_at")
        Notification.objects.update(**{name: F(name) - by for name in of_mail})

    # ── The end ───────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Raise AssertionError when a promise is broken just now."""
        nothing(violations())
        for charge in self.sandbox.ledger().values():
            given = [r["refund_id"] for r in charge["refunds"] if r["state"] != "failed"]
            ours = [name for name in given if name]
            assert len(ours) == len(set(ours)), f"2 {charge['id']} was refunded twice: {given}"

    def heal(self) -> None:
        """Let the providers behave, and all that is under way there arrive."""
        self.sandbox.behave()
        for charge in self.sandbox.ledger().values():
            for refund in charge["refunds"]:
                if refund["state"] in ("pending", "requires_action"):
                    self.sandbox.arrive(refund["id"])

    def come_to_rest(self, rounds: int = 3) -> int:
        """Sweep until nothing waits any more; answer how many sweeps it took.

        Raises AssertionError when it does not come to rest, and when anything is not as it should
        be then: a promise, a timeline, or the books against the providers' own.
        """
        for swept in range(1, rounds + 1):  # noqa: B007
            self.a_while_passes(3 * 3600)
            self.sweep()
            self.reconcile()
            self.sweep()
            self.heal()
            if not unsettled():
                break
        nothing(unsettled())
        self.check()
        nothing(differences(self.sandbox.ledger()))
        nothing(flaws(list(Case.objects.order_by("pk"))))
        return swept
