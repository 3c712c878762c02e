"""A dry run: what a rule would have done about the cases of the last 90 days. It changes nothing.

It asks the very functions that decide about real cases, in the order in which the cases were
opened: the rules before this one, then this one with its limits. Memberships are taken as they are
today, and a rule that waits as if nobody had answered meanwhile.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from marketplace.models import Company
from resolution.models import Case, Rule
from resolution.rules import DAY, MONTH, Used, covers, over_limit
from resolution.terms import Party, Remedy, State

PERIOD = timedelta(days=90)
MOST = 5_000
"""How many cases are looked at, the newest first."""

COLUMNS = (
    *("pk", "public_id", "company_id", "buyer_id", "buyer__name", "product_id", "reason"),
    *("currency", "asked_minor", "opened_at", "state", "decided_by", "remedy", "outcome"),
    *("denial_appealed", "payment__processor", "payment__membership__status"),
)


@dataclass(frozen=True)
class Past:
    """A case as it was opened, and how it ended."""

    pk: int
    public_id: str
    company_id: int
    buyer_id: int
    buyer: str
    product_id: int
    reason: str
    currency: str
    asked_minor: int
    opened_at: datetime
    state: str
    decided_by: str
    remedy: str
    outcome: str
    denial_appealed: bool
    processor: str
    membership: str | None

    @property
    def was_denied(self) -> bool:
        """The creator gave nothing back."""
        decided = self.decided_by == Party.CREATOR and self.remedy == Remedy.NONE
        return self.denial_appealed or decided

    @property
    def denial_was_upheld(self) -> bool:
        """Staff looked at the creator's denial and gave nothing back either."""
        by_staff = self.decided_by == Party.STAFF and self.remedy == Remedy.NONE
        return self.denial_appealed and by_staff

    @property
    def is_open(self) -> bool:
        return self.state not in (State.DECIDED, State.CLOSED)


@dataclass
class Outcome:
    """What one rule would have done: the cases that it refunds, and those its limits turn away."""

    refunds: list[Past] = field(default_factory=list)
    turned_away: list[Past] = field(default_factory=list)

    def sums(self) -> dict[str, int]:
        """Minor units by currency."""
        sums: dict[str, int] = {}
        for case in self.refunds:
            sums[case.currency] = sums.get(case.currency, 0) + case.asked_minor
        return dict(sorted(sums.items()))


def cases_since(company: Company, since: datetime) -> list[Past]:
    """The cases of a company that were opened since, oldest first: MOST of them, in one query."""
    rows = (
        Case.objects.filter(company=company, opened_at__gte=since)
        .order_by("-opened_at", "-pk")
        .values_list(*COLUMNS)[:MOST]
    )
    return [Past(*row) for row in rows][::-1]


def outcome(cases: Iterable[Past], rule: Rule, before: Sequence[Rule]) -> Outcome:
    """What `rule` does about these cases, which come in order, after the rules `before` it."""
    found, spent = Outcome(), _Spent()
    for case in cases:
        first = next(
            (
                other
                for other in (*before, rule)
                if covers(other, case, case.processor, case.membership or "")
            ),
            None,
        )
        if first is not rule:
            continue
        if over_limit(rule, case.currency, case.asked_minor, spent.used(case)):
            found.turned_away.append(case)
        else:
            spent.add(case)
            found.refunds.append(case)
    return found


class _Spent:
    """What a rule has given by the time that a case is opened; sums that need no going back."""

    def __init__(self) -> None:
        self.times: dict[str, list[datetime]] = {}
        self.totals: dict[str, list[int]] = {}
        self.buyers: dict[int, list[datetime]] = {}

    def used(self, case: Past) -> Used:
        of_buyer = self.buyers.get(case.buyer_id, [])
        return Used(
            self._since(case, DAY),
            self._since(case, MONTH),
            sum(at > case.opened_at - MONTH for at in of_buyer),
        )

    def _since(self, case: Past, span: timedelta) -> int:
        times, totals = self.times.get(case.currency, []), self.totals.get(case.currency, [0])
        return totals[-1] - totals[bisect_left(times, case.opened_at - span)]

    def add(self, case: Past) -> None:
        self.times.setdefault(case.currency, []).append(case.opened_at)
        totals = self.totals.setdefault(case.currency, [0])
        totals.append(totals[-1] + case.asked_minor)
        self.buyers.setdefault(case.buyer_id, []).append(case.opened_at)
