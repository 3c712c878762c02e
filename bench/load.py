"""Cases by the hundred thousand, written by COPY: what a table looks like after years."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

COMPANIES = 1000
BUYERS = 5000


def load_cases(cases: int, overdue: int) -> None:
    """So many cases at a thousand companies; the first `overdue` are, the others are closed."""
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
            (n, _buyer(n), _shop(n), _shop(n), "stripe", "USD", 6400, f"ch_{n}", "", "", "Visa",
             now)
            for n in range(1, cases + 1)
        ),
    )  # fmt: skip
    copy_in(Case, CASE, _cases(cases, overdue, now))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


CASE = (
    "id", "payment_id", "buyer_id", "company_id", "product_id", "reason", "asked_minor", "currency",
    "version", "last_seq", "last_hash", "state", "waiting_on", "due_at", "clock_started_at",
    "closed_at",
)  # fmt: skip


def _cases(cases: int, overdue: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    for n in range(1, cases + 1):
        late = n <= overdue
        yield (
            n, n, _buyer(n), _shop(n), _shop(n), "not_as_described", 6400, "USD", 2, 2, "a" * 64,
            "awaiting_creator" if late else "closed",
            "creator" if late else "nobody",
            now - timedelta(hours=1, seconds=n) if late else None,
            now - timedelta(days=8) if late else None,
            None if late else now,
        )  # fmt: skip


def _buyer(number: int) -> int:
    return COMPANIES + 1 + number % BUYERS


def _shop(number: int) -> int:
    return 1 + number % COMPANIES
