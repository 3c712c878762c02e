"""Cases by the hundred thousand, written by COPY: what a table looks like after years."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

COMPANIES = 1000
BUYERS = 5000


Standing = tuple[str, str, datetime | None, datetime | None, datetime | None]
"""Of a case: its state, whom it waits for, until when, since when, and when it was closed."""


def overdue_first(overdue: int) -> Callable[[int, datetime], Standing]:
    """The first so many cases are overdue, the others closed."""

    def standing(n: int, now: datetime) -> Standing:
        if n > overdue:
            return "closed", "nobody", None, None, now
        late = now - timedelta(hours=1, seconds=n)
        return "awaiting_creator", "creator", late, now - timedelta(days=8), None

    return standing


def as_after_years(n: int, now: datetime) -> Standing:
    """One case in fifty waits for its creator; a thousand, however many there are, for staff."""
    ago = now - timedelta(minutes=n)
    if n % 50 == 1:
        return "awaiting_creator", "creator", now + timedelta(days=3, seconds=n), ago, None
    if n % 10 == 2 and n <= 10_000:
        return "escalated", "staff", now + timedelta(days=1, seconds=n), ago, None
    return "closed", "nobody", None, None, ago


def load_cases(cases: int, standing: Callable[[int, datetime], Standing], *, big: bool) -> None:
    """So many cases at a thousand companies, or, `big`, half of them at the first company."""
    from django.db import connection

    from marketplace.models import Company, Product, TeamMember, User
    from marketplace.rows import copy_in
    from payments.models import Payment
    from resolution.models import Case

    now = datetime.now().astimezone()
    shops = range(1, COMPANIES + 1)
    people = range(1, COMPANIES + BUYERS + 1)
    copy_in(
        User,
        ["id", "password", "email", "name"],
        ((n, "", f"person.{n}@example.com", f"Person {n}") for n in people),
    )
    copy_in(Company, ["id", "name"], ((n, f"Company {n}") for n in shops))
    copy_in(TeamMember, ["company_id", "user_id", "role"], ((n, n, "owner") for n in shops))
    copy_in(
        Product,
        ["id", "company_id", "name", "description", "price_minor", "currency"],
        ((n, n, f"Product {n}", "", 6400, "USD") for n in shops),
    )
    copy_in(
        Payment,
        ["id", "buyer_id", "company_id", "product_id", "processor", "currency", "amount_minor",
         "charge_id", "order_id", "account", "method", "paid_at"],
        (
            (n, _buyer(n), _shop(n, big), _shop(n, big), "stripe", "USD", 6400, f"ch_{n}", "", "",
             "Visa", now)
            for n in range(1, cases + 1)
        ),
    )  # fmt: skip
    copy_in(Case, CASE, _cases(cases, standing, big=big, now=now))
    with connection.cursor() as cursor:
        for model in (User, Company, TeamMember, Product, Payment, Case):
            table = model._meta.db_table
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
            )
        cursor.execute("ANALYZE")


CASE = (
    "id", "payment_id", "buyer_id", "company_id", "product_id", "reason", "asked_minor", "currency",
    "version", "last_seq", "last_hash", "state", "waiting_on", "due_at", "clock_started_at",
    "closed_at", "opened_at",
)  # fmt: skip


def _cases(
    cases: int, standing: Callable[[int, datetime], Standing], *, big: bool, now: datetime
) -> Iterator[tuple[Any, ...]]:
    for n in range(1, cases + 1):
        state, waits_on, due_at, since, closed_at = standing(n, now)
        opened_at = now - timedelta(days=9, minutes=n)
        shop = _shop(n, big)
        yield (
            n, n, _buyer(n), shop, shop, "not_as_described", 6400, "USD", 2, 2, "a" * 64,
            state, waits_on, due_at, since, closed_at, opened_at,
        )  # fmt: skip


def load_timeline(case_id: int, events: int) -> None:
    """A timeline of so many comments for a case, in turns of its buyer and of its creator."""
    from django.db import connection

    from marketplace.rows import copy_in
    from resolution.models import Case, Event

    case = Case.objects.get(pk=case_id)
    said = "The presets do not look like the pictures on the page. " * 4
    start = datetime.now().astimezone() - timedelta(days=8)
    sides = (("buyer", case.buyer_id), ("creator", case.company_id))
    copy_in(
        Event,
        ["case_id", "seq", "step", "party", "actor_id", "state_before", "state_after", "message",
         "data", "created_at", "previous_hash", "hash"],
        (
            (case_id, n, "comment" if n > 1 else "open_case", *sides[(n - 1) % 2],
             "awaiting_creator" if n > 1 else "", "awaiting_creator" if n > 1 else "open",
             f"{said}{n}", {"waiting_on": "creator"}, start + timedelta(minutes=n), "a" * 64,
             "a" * 64)
            for n in range(1, events + 1)
        ),
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("UPDATE resolution_case SET last_seq = %s WHERE id = %s", [events, case_id])


def _buyer(number: int) -> int:
    return COMPANIES + 1 + number % BUYERS


def _shop(number: int, big: bool) -> int:
    return 1 if big and number % 2 else 1 + number % COMPANIES
