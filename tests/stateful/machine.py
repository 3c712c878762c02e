"""What can happen in a marketplace, as rules that Hypothesis takes in any order.

Buyers, the creator's team, staff, the bank, the providers and time all act; workers run twice, out
of order, and die. After each step every promise of `tests/invariants.py` holds. At the end the
providers behave again, all comes to rest, and the books agree with the providers' own.
"""

from typing import Any, ClassVar
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments import refunds
from payments.models import Payment, Refund
from payments.tasks import handle_events
from resolution import tasks
from resolution.lifecycle import Lifecycle
from resolution.models import Case
from resolution.terms import Party, Remedy, Verdict
from tests.stateful.world import Killed, World, interrupted

PAID = [
    ("stripe", "USD", 6400, 2500),
    ("paypal", "USD", 6400, 2500),
    ("stripe", "JPY", 6400, 2500),
    ("paypal", "JPY", 6400, 2501),
    ("stripe", "KWD", 6400, 2500),
    ("stripe", "USD", 240_000, 120_000),
    ("stripe", "USD", 6400, 6400),
    ("paypal", "EUR", 6400, 6400),
]
"""Processor, currency, what was paid and what is asked for: mostly a part, so that the provider's
own limit hides nothing. One is more than one person of the staff may move."""

TROUBLE = [
    ("refund.create", "500_before", {}),
    ("refund.create", "500_after_effect", {}),
    ("refund.create", "drop", {}),
    ("refund.create", "drop", {"effect": False}),
    ("refund.create", "half_body", {}),
    ("refund.create", "429", {"retry_after": 30}),
    ("refund.create", "401", {}),
    ("refund.create", "decline", {}),
    ("refund.create", "wait", {"code": "requires_action"}),
    ("refund.create", "wait", {"code": "insufficient_funds"}),
    ("refund.find", "500_before", {}),
    ("refund.find", "429", {"retry_after": 30}),
    ("refund.fetch", "500_before", {}),
    ("dispute.find", "500_before", {}),
]

STEPS = sorted(name for name, row in vars(Lifecycle).items() if hasattr(row, "_django_fsm"))
OF_PEOPLE = [step for step in STEPS if step != "open_case"]
EVERYBODY = ["bea", *World.TEAM, *World.STAFF]
REMEDIES = ["refund", "refund", "credit", "none"]
AFTER_FAILURE = ["retry_refund", "credit_instead", "mark_paid"]

number = st.integers(0, 1000)
places = st.integers(0, 1)

ACTS = st.tuples(number, st.integers(0, 3), st.integers(1, 10), st.sampled_from(REMEDIES),
                 st.sampled_from([Party.BUYER, Party.CREATOR]), st.booleans())  # fmt: skip
"""Which of the open steps, by whom of those who may, what share in which remedy, who is asked, and
whether the form is sent twice."""

WAYS = {
    "new": [],
    "accepted": ["accept"],
    "under way": ["accept", "wait", "work"],
    "arrived": ["accept", "work", "work"],
    "refused by the provider": ["accept", "decline", "work"],
    "asked": ["request_info"],
    "escalated": ["days"],
    "denied": ["deny"],
    "decided": ["deny", "appeal", "decide:refund"],
    "decided for credits": ["deny", "appeal", "decide:credit"],
    "appealed": ["deny", "appeal", "decide:refund", "appeal"],
    "final": ["deny", "appeal", "decide:refund", "days"],
}
"""Where a history begins, by the way there."""


class Marketplace(RuleBasedStateMachine):
    """One or two cases of one company, from their opening to their end."""

    world: ClassVar[World]

    @initialize(first=st.sampled_from(PAID), second=st.none() | st.sampled_from(PAID),
                way=st.sampled_from(sorted(WAYS)))  # fmt: skip
    def cases_are_opened(self, first: Any, second: Any, way: str) -> None:
        self.world.begin_anew()
        for paid in (second, first):
            if paid:
                self.world.open(self.world.pay(*paid[:3]), paid[3], triaged=paid is first)
        for step in WAYS[way]:
            self._go(first[0], step)

    def _go(self, processor: str, step: str) -> None:
        """One step of the way to where the history begins, as far as it is open."""
        if step in ("decline", "wait"):
            self.world.sandbox.fault(processor, "refund.create", step)
        elif step == "work":
            self.world.sweep()
        elif step == "days":
            self.world.days_pass(8)
            self.world.sweep()
        else:
            name, _, remedy = step.partition(":")
            who = {"accept": "cleo", "deny": "cleo", "request_info": "ann", "appeal": "bea"}
            verdict = self.world.award(5, remedy or "refund")
            self.world.act(who.get(name, "sam"), name, verdict=verdict)

    def at(self, place: int) -> int:
        """Which case is meant; the latest is the one that the way was gone with."""
        return place % len(self.world.cases) - 1

    # ── People ────────────────────────────────────────────────────────────────────────────────────

    @rule(place=places, acts=st.lists(ACTS, min_size=1, max_size=4))
    def people_act(self, place: int, acts: list[Any]) -> None:
        for act in acts:
            self._somebody_acts(self.at(place), *act)

    def _somebody_acts(
        self, at: int, choice: int, who: int, share: int, remedy: str, asks: Party, twice: bool
    ) -> None:
        case = self.world.case(at)
        steps = self.world.steps(case)
        if not steps:
            return
        names = sorted(steps)
        step = names[choice % len(names)]
        name = steps[step][who % len(steps[step])]
        key, more = uuid4(), self._with(case, step, at, share, remedy, choice)
        events = case.last_seq
        taken = self.world.act(name, step, at=at, asks=asks, form_key=key, **more)
        if twice:
            again = self.world.act(name, step, at=at, asks=asks, form_key=key, **more)
            assert again == taken, "15 the same form was answered in two ways"
        assert self.world.case(at).last_seq == events + taken

    def _with(
        self, case: Case, step: str, at: int, share: int, remedy: str, choice: int
    ) -> dict[str, Any]:
        """What comes with a decision or a proposal; what is proposed is often what is decided."""
        if step in ("decide", "decide_final", "decide_final_alone") and case.proposed_step:
            return {"verdict": Verdict(Remedy(case.proposed_remedy), case.proposed_minor)}
        if step in ("decide", "decide_final", "decide_final_alone"):
            return {"verdict": self.world.award(share, remedy, at)}
        if step == "propose" and case.money == "failed":
            return {"proposes": AFTER_FAILURE[choice % 3]}
        if step == "propose":
            return {"verdict": self.world.award(share, remedy, at)}
        return {}

    @rule(place=places, name=st.sampled_from(EVERYBODY), step=st.sampled_from(OF_PEOPLE),
          stale=st.booleans())  # fmt: skip
    def somebody_tries_whatever(self, place: int, name: str, step: str, stale: bool) -> None:
        at = self.at(place)
        version = self.world.case(at).version
        self.world.act(
            name, step, at=at, verdict=self.world.award(5, "refund", at), proposes="retry_refund",
            seen_version=version - stale,
        )  # fmt: skip

    # ── Workers ───────────────────────────────────────────────────────────────────────────────────

    @rule(backwards=st.booleans(), times=st.integers(1, 2))
    def refunds_are_sent(self, backwards: bool, times: int) -> None:
        due = sorted(refunds.due(), reverse=backwards)
        self.world.send(due * times)

    @precondition(lambda self: bool(refunds.due()))
    @rule(choice=number, end=st.sampled_from(["before", "after"]), what=st.sampled_from(
        ["killed", "overtaken", "bank", "told", "withdrawn"]))  # fmt: skip
    def a_refund_is_sent_while_something_happens(self, choice: int, end: str, what: str) -> None:
        due = refunds.due()
        refund = Refund.objects.select_related("payment").get(pk=due[choice % len(due)])

        def happens() -> None:
            if what == "killed":
                raise Killed
            if what == "overtaken":
                self.world.a_while_passes(400)
                self.world.send([refund.pk])
            elif what == "bank":
                self._open_chargeback(refund.payment)
                self.world.hear_all()
            elif what == "told":
                self.world.hear_all()
            else:
                tasks.sweep_cases()

        try:
            with interrupted(**{end: happens}):
                refunds.send(refund.pk)
        except Killed:
            pass

    @rule(times=st.integers(1, 2))
    def cases_are_swept(self, times: int) -> None:
        for _ in range(times):
            tasks.sweep_cases()
        tasks.advance(self.world.cases * times)
        tasks.deliver()

    @rule()
    def all_workers_run(self) -> None:
        self.world.sweep()

    @rule()
    def books_are_compared(self) -> None:
        self.world.reconcile()

    # ── Letters of the providers ──────────────────────────────────────────────────────────────────

    @precondition(lambda self: bool(self.world.collect()))
    @rule(choices=st.lists(st.tuples(number, st.integers(0, 2)), min_size=1, max_size=4))
    def letters_come(self, choices: list[tuple[int, int]]) -> None:
        """In any order, twice, or never."""
        for choice, times in choices:
            if self.world.letters:
                letter = self.world.letters.pop(choice % len(self.world.letters))
                self.world.hear(letter, times)

    @rule()
    def events_are_handled(self) -> None:
        handle_events()

    # ── The providers and the bank ────────────────────────────────────────────────────────────────

    @rule(provider=st.sampled_from(["stripe", "paypal"]), trouble=st.sampled_from(TROUBLE),
          times=st.integers(1, 2))  # fmt: skip
    def a_provider_gets_into_trouble(self, provider: str, trouble: Any, times: int) -> None:
        operation, kind, more = trouble
        self.world.sandbox.fault(provider, operation, kind, times=times, **more)

    @rule()
    def the_providers_behave(self) -> None:
        self.world.sandbox.behave()

    @rule(choice=number, fails=st.booleans())
    def a_refund_moves_on_at_the_provider(self, choice: int, fails: bool) -> None:
        charges = self.world.sandbox.ledger().values()
        made = [r for charge in charges for r in charge["refunds"] if r["state"] != "failed"]
        if not made:
            return
        refund = made[choice % len(made)]
        if fails:
            self.world.sandbox.fail(refund["id"])
        elif refund["state"] != "succeeded":
            self.world.sandbox.arrive(refund["id"])

    @rule(place=places, part=st.sampled_from([10, 10, 1000, 1000, None]))
    def somebody_refunds_at_the_provider(self, place: int, part: int | None) -> None:
        payment = self.world.case(self.at(place)).payment
        charge = self.world.sandbox.ledger()[payment.charge_id]
        left = charge["amount_minor"] - charge["refunded_minor"]
        if left and not charge["disputed"]:
            self.world.sandbox.refund_elsewhere(payment.charge_id, min(part or left, left))

    @rule(place=places, outcome=st.sampled_from(["won", "lost"]))
    def the_bank_acts(self, place: int, outcome: str) -> None:
        payment = self.world.case(self.at(place)).payment
        if self.world.sandbox.ledger()[payment.charge_id]["disputed"]:
            if self._is_open(payment):
                self.world.sandbox.rule(payment.charge_id, outcome)
        else:
            self._open_chargeback(payment)

    def _is_open(self, payment: Payment) -> bool:
        return "open" in self.world.sandbox.ledger()[payment.charge_id]["disputes"]

    def _open_chargeback(self, payment: Payment) -> None:
        """Over all that has not gone back: no bank takes the same money twice."""
        charge = self.world.sandbox.ledger()[payment.charge_id]
        left = charge["amount_minor"] - charge["refunded_minor"]
        if left and not charge["disputed"]:
            self.world.sandbox.dispute(payment.charge_id, amount_minor=left)

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────

    @rule(days=st.sampled_from([0.5, 0.5, 3, 8]))
    def days_pass(self, days: float) -> None:
        self.world.days_pass(days)

    @rule(seconds=st.sampled_from([10, 90, 400, 4000]))
    def a_while_passes(self, seconds: float) -> None:
        self.world.a_while_passes(seconds)

    @rule()
    def a_day_passes_and_stripe_forgets_its_keys(self) -> None:
        self.world.a_while_passes(25 * 3600)
        self.world.sandbox.forget_keys("stripe")

    # ── What holds ────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def every_promise_holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """All heals and comes to rest; then the days go by that nobody used, and it does again."""
        if not self.world.cases:
            return
        self.world.heal()
        self.world.come_to_rest()
        self.world.days_pass(8)
        self.world.come_to_rest()
