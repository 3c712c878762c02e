"""A storm of webhooks: doubled, shuffled and late they end in the same state as one by one.

`COUNT=100000 SEED=1 python -m tests.webhook_storm` plays one history of some thousand refunds and
chargebacks twice. First each event comes once, in order. Then everything comes at least twice, in
any order, much of it stages later, on WORKERS (2) processes at a time. The events are those of the
sandbox providers, signed anew for each attempt; they go through the real view into PostgreSQL, and
the tasks that handle them ask the providers over HTTP.

Prints one line of JSON, and exits with 1 unless the two final states are the same, agree with the
providers' own books, and the inbox holds each event once.
"""

import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

if __name__ in ("__main__", "__mp_main__"):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.test import RequestFactory
from django.test.utils import override_settings
from django.urls import resolve
from django.utils import timezone

from marketplace import clock
from marketplace.models import Company, Product
from payments import gateways, refunds, webhooks
from payments.models import Discrepancy, Payment, ProviderEvent, Refund
from payments.sandbox import ledger as books
from payments.sandbox.server import Sandbox
from payments.tasks import handle_events
from tests.invariants import differences, violations
from tests.people import make_user

STAGES = 6
EVENTS_OF_A_PAYMENT = 50
"""About so many, over all stages; the payments are as many as that takes."""

SIGNED_AT_ONCE = 1000
PAID = 640_000
CURRENCIES = ("USD", "EUR", "JPY", "KWD")

Letter = tuple[str, str, dict[str, str]]
"""An event of a provider's: its body, and the headers that it was first signed with."""


@dataclass
class Outcome:
    """How a history ended: the state to compare, and what it took."""

    state: list[Any]
    events: int = 0
    webhooks: int = 0
    late: int = 0
    refunds: int = 0
    rows: int = 0
    looks: int = 0
    wrong: list[str] = field(default_factory=list)


# ── What happens at the providers ─────────────────────────────────────────────────────────────────


class History:
    """Refunds and chargebacks of some payments at the providers, the same for the same seed."""

    def __init__(self, sandbox: Sandbox, count: int, seed: int) -> None:
        self.sandbox = sandbox
        self.chance = random.Random(seed)
        self.payments: list[Payment] = []
        self._begin(max(4, count // 2 // EVENTS_OF_A_PAYMENT))

    def _begin(self, number: int) -> None:
        """Payments here and at their providers, and refunds of ours that are under way."""
        company = Company.objects.create(name="Loop & Lens")
        product = Product.objects.create(
            company=company, name="Golden Hour presets", price_minor=PAID, currency="USD"
        )
        buyer = make_user("Bea Lind")
        for at in range(number):
            processor = ("stripe", "paypal")[at % 2]
            stripe = processor == "stripe"
            self.payments.append(
                Payment(
                    buyer=buyer,
                    company=company,
                    product=product,
                    processor=processor,
                    currency=CURRENCIES[at // 2 % (4 if stripe else 3)],
                    amount_minor=PAID,
                    charge_id=f"{'ch_' if stripe else 'CAPTURE'}{at:06}",
                    order_id="" if stripe else f"ORDER{at:06}",
                    paid_at=clock.now() - timedelta(days=3),
                )
            )
        Payment.objects.bulk_create(self.payments)
        for payment in self.payments:
            self.sandbox.ledger.register(
                books.Charge(
                    payment.processor, payment.charge_id, PAID, payment.currency, payment.order_id
                )
            )
        for turn in range(5):
            self._send(turn)

    def _send(self, turn: int) -> None:
        """A refund of ours for each payment; of two in three the answer never came back."""
        intents = [
            refunds.Intent(p.pk, 1000 + 10 * turn, p.currency, f"{at}:{turn}", f"revt_{at}_{turn}")
            for at, p in enumerate(self.payments)
        ]
        with transaction.atomic():
            made = refunds.request_refunds(intents)
        now = timezone.now()
        for at, payment in enumerate(self.payments):
            row = made[f"{at}:{turn}"]
            there = self._refund(payment, row.amount_minor, row.public_id)
            row.state, row.first_sent_at, row.attempts = Refund.State.SUBMITTING, now, 1
            row.next_attempt_at = now + timedelta(days=1)
            if self.chance.random() < 1 / 3:
                row.provider_id = there.id
            else:
                row.in_doubt_since = now
        columns = ["state", "first_sent_at", "attempts", "next_attempt_at", "provider_id"]
        Refund.objects.bulk_update(made.values(), [*columns, "in_doubt_since"], batch_size=500)

    def _refund(self, payment: Payment, amount: int, our_id: str = "") -> books.Refund:
        charge = self.sandbox.ledger.charges[payment.charge_id]
        known = {"refund_id": our_id} if our_id else {}
        ledger = self.sandbox.ledger
        return ledger.refund(charge, amount, our_id, waits="processing", metadata=known)

    def go_on(self, stage: int) -> list[Letter]:
        """What happens in one stage at all charges, and the events that tell of it, in order."""
        for payment in self.payments:
            self._happens(payment, last=stage == STAGES - 1)
        kept = self.sandbox.webhooks.take_kept()
        return [(one["provider"], one["body"], one["headers"]) for one in kept]

    def _happens(self, payment: Payment, *, last: bool) -> None:
        ledger, chance = self.sandbox.ledger, self.chance
        charge = ledger.charges[payment.charge_id]
        for _ in range(chance.randrange(5)):
            self._refund(payment, 10 * chance.randrange(1, 100))
        for refund in ledger.refunds_of(charge):
            fate = chance.random()
            if refund.state == "pending" and fate < 0.5:
                self.sandbox.arrive(refund.id)
            elif refund.state != "failed" and fate > 0.95:
                ledger.fail(refund.id, "declined")
        if "open" in [one.state for one in ledger.disputes_of(payment.charge_id)]:
            if chance.random() < 0.5:
                ledger.rule(payment.charge_id, "lost" if last else "won")
        elif chance.random() < 0.1:
            ledger.dispute(payment.charge_id, 1000)


# ── Delivering and handling ───────────────────────────────────────────────────────────────────────


class Post:
    """Brings letters to the product, and has them handled: here, or on several processes."""

    def __init__(self, sandbox: Sandbox, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self.sandbox, self.pool, self.workers = sandbox, pool, workers if pool else 1

    def deliver(self, letters: Sequence[Letter]) -> None:
        """Hand over letters in this order; several processes take a part each.

        They are signed right before, since a signature of Stripe's is only good for five minutes.
        """
        for start in range(0, len(letters), SIGNED_AT_ONCE):
            signed = [self._signed(*one) for one in letters[start : start + SIGNED_AT_ONCE]]
            self._all(_deliver, [signed[part :: self.workers] for part in range(self.workers)])

    def handle(self) -> None:
        """Have the tasks see to all that waits."""
        self._all(_handle, [None] * self.workers)

    def _signed(self, provider: str, body: str, headers: dict[str, str]) -> Letter:
        """Stripe signs each attempt anew, PayPal once."""
        if provider == "stripe":
            headers = self.sandbox.webhooks.sign(provider, body)
        return provider, body, headers

    def _all(self, act: Any, parts: Sequence[Any]) -> None:
        for _ in self.pool.map(act, parts) if self.pool else map(act, parts):
            pass


def _deliver(letters: Iterable[Letter]) -> None:
    requests = RequestFactory()
    views = {provider: resolve(f"/webhooks/{provider}/") for provider in ("stripe", "paypal")}
    for provider, body, headers in letters:
        view = views[provider]
        request = requests.post(
            f"/webhooks/{provider}/", body, content_type="application/json", headers=headers
        )
        answer = view.func(request, **view.kwargs)
        assert answer.status_code == 200, (provider, answer.status_code)


def _handle(_: None = None) -> None:
    while webhooks.due(1):
        handle_events()


# ── The two histories ─────────────────────────────────────────────────────────────────────────────


def in_order(sandbox: Sandbox, count: int, seed: int) -> Outcome:
    """Each event comes once, as it happens, and is handled before the next stage."""
    history, post, told = History(sandbox, count, seed), Post(sandbox, None, 1), 0
    for stage in range(STAGES):
        letters = history.go_on(stage)
        post.deliver(letters)
        post.handle()
        told += len(letters)
    return _outcome(history, events=told, webhooks=told)


def in_a_storm(
    sandbox: Sandbox,
    count: int,
    seed: int,
    *,
    pool: ProcessPoolExecutor | None = None,
    workers: int = 1,
) -> Outcome:
    """Each event comes twice or more, in any order, now or stages later."""
    history, post = History(sandbox, count, seed), Post(sandbox, pool, workers)
    chance = random.Random(-seed)
    to_come: list[list[Letter]] = [[] for _ in range(STAGES)]
    told = sent = late = 0
    for stage in range(STAGES):
        letters = history.go_on(stage)
        told += len(letters)
        copies = letters * 2
        if stage == STAGES - 1:
            short = max(0, count - 2 * told)
            copies += chance.choices(letters, k=short)
        for letter in copies:
            arrives = chance.randrange(stage, STAGES)
            late += arrives > stage
            to_come[arrives].append(letter)
        chance.shuffle(to_come[stage])
        post.deliver(to_come[stage])
        post.handle()
        sent += len(to_come[stage])
    return _outcome(history, events=told, webhooks=sent, late=late)


def _outcome(history: History, **facts: int) -> Outcome:
    """The final state by what it is about, without times and without the providers' ids."""
    ledger = history.sandbox.ledger
    rows = {row.provider_id: row for row in Refund.objects.exclude(provider_id="")}
    unknown = Refund.objects.filter(provider_id="").count()
    differing: dict[int, list[str]] = {}
    for pk, kind in Discrepancy.objects.filter(gone_at=None).values_list("payment", "kind"):
        differing.setdefault(pk, []).append(kind)
    state: list[Any] = [unknown]
    for payment in Payment.objects.order_by("charge_id"):
        made = ledger.refunds_of(ledger.charges[payment.charge_id])
        state.append(
            (
                payment.charge_id,
                *(payment.refunded_minor, payment.reserved_minor, payment.chargeback),
                sorted(differing.get(payment.pk, [])),
                [_told_of(rows.pop(there.id, None)) for there in made],
            )
        )
    state.append(sorted(rows))
    witness = {charge["id"]: charge for charge in ledger.as_witness()}
    waiting = ProviderEvent.objects.filter(processed_at=None).count()
    return Outcome(
        state=state,
        refunds=len(ledger.refunds),
        rows=ProviderEvent.objects.count(),
        looks=history.sandbox.answered["refund.find"],
        wrong=[*violations(), *differences(witness)] + ["events wait"] * bool(waiting),
        **facts,
    )


def _told_of(row: Refund | None) -> Any:
    if row is None:
        return None
    key = "elsewhere" if row.elsewhere else row.key
    return (key, row.state, row.amount_minor, row.currency, row.failure_code, row.generation)


# ── By itself ─────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def listening_sandbox() -> Iterator[Sandbox]:
    """The sandbox providers on a socket, with the settings pointing to them."""
    sandbox = Sandbox(
        settle_seconds=0,
        stripe_secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        paypal_webhook_id=settings.PAYPAL_WEBHOOK_ID,
    )
    sandbox.webhooks.keeps = True
    server = sandbox.serve("127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}).start()
    with tempfile.TemporaryDirectory() as folder:
        authority = Path(folder, "authority.pem")
        authority.write_text(sandbox.webhooks.signer.authority_pem)
        try:
            with override_settings(**_reached_at(server.url, str(authority))):
                gateways.forget_gateways()
                yield sandbox
        finally:
            server.shutdown()
            server.server_close()
            sandbox.webhooks.close()
            gateways.forget_gateways()


def _reached_at(url: str, authority: str) -> dict[str, str]:
    return {
        "STRIPE_API_KEY": "sk_test_sandbox",
        "STRIPE_API_BASE": url,
        "PAYPAL_CLIENT_ID": "sandbox-client",
        "PAYPAL_CLIENT_SECRET": "sandbox-secret",
        "PAYPAL_API_BASE": url,
        "PAYPAL_WEBHOOK_CA": authority,
    }


def forget() -> None:
    """Empty the tables that a history fills."""
    tables = ("discrepancy", "providerevent", "refund", "payment")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            cursor.execute(f"DELETE FROM payments_{table}")


def _join(database: str, reached_at: dict[str, str]) -> None:
    """Make a new process one of this run's: its database, its providers."""
    settings.DATABASES["default"]["NAME"] = database
    connection.settings_dict["NAME"] = database
    for name, value in reached_at.items():
        setattr(settings, name, value)
    _answer_the_door()


def _answer_the_door() -> None:
    """Let nudges end in this process: nobody else runs the tasks of this run."""
    current_app.conf.update(broker_url="memory://")


def main() -> int:
    """Play the history both ways in a database of its own, and print what came of it."""
    count, seed = int(os.environ.get("COUNT", "100000")), int(os.environ.get("SEED", "1"))
    workers = int(os.environ.get("WORKERS", "2"))
    _answer_the_door()
    usual = connection.settings_dict["NAME"]
    database = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    began = time.monotonic()
    try:
        with listening_sandbox() as sandbox:
            calm = in_order(sandbox, count, seed)
        forget()
        with listening_sandbox() as sandbox:
            names = _reached_at("", "")
            reached_at = {name: str(getattr(settings, name)) for name in names}
            with ProcessPoolExecutor(
                workers, get_context("spawn"), _join, (database, reached_at)
            ) as pool:
                stormy_began = time.monotonic()
                storm = in_a_storm(sandbox, count, seed, pool=pool, workers=workers)
                seconds = time.monotonic() - stormy_began
    finally:
        connection.creation.destroy_test_db(usual, verbosity=0)
    same = storm.state == calm.state
    line = {
        "webhooks": storm.webhooks,
        "events": storm.events,
        "late": storm.late,
        "payments": len(storm.state) - 2,
        "refunds": storm.refunds,
        "seed": seed,
        "inbox": storm.rows,
        "looks": storm.looks,
        "looks_in_order": calm.looks,
        "same": same,
        "wrong": len(storm.wrong) + len(calm.wrong),
        "storm_seconds": round(seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(line))  # noqa: T201
    for each in (calm.wrong + storm.wrong)[:20]:
        print(each, file=sys.stderr)  # noqa: T201
    fine = same and not storm.wrong and not calm.wrong and storm.rows == storm.events
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
