"""How much memory a process that serves pages holds after many, and held after a quarter of them.

Memory that grew with each page would show. It is all in one process, with the bench itself in it.
"""

import os
from pathlib import Path

from bench.measure import SMALL, prepare, say

LOADS = 1_000 if SMALL else 100_000
LIMIT = 120
GROWTH = 1.05


def megabytes() -> float:
    """What this process holds in memory of its own and of shared libraries."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tell(job: str, first: float, last: float, limit: int) -> None:
    say(
        job=job,
        unit="MB",
        ours=round(last),
        floor=round(first),
        ratio=round(last / first, 2),
        goal=f"< {limit}",
        met=last < limit and last / first <= GROWTH,
    )


def main() -> None:
    prepare()
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
    settings.ROOT_URLCONF = "bench.twins"
    from bench.load import as_after_years, load_cases, load_timeline
    from bench.pages import browser_of
    from bench.world import a_fresh_database
    from config.memory import settle
    from resolution.models import Case

    settle()
    with a_fresh_database():
        load_cases(10_000, as_after_years, big=True)
        load_timeline(51, 30)
        case = Case.objects.select_related("buyer").get(pk=51)
        buyer, creator = browser_of(case.buyer.email), browser_of("person.1@example.com")
        first = 0.0
        for number in range(LOADS):
            if number % 2:
                buyer.get(f"/hub/cases/{case.public_id}/")
            else:
                creator.get("/dash/resolution-center/")
            if number == LOADS // 4:
                first = megabytes()
        tell(f"memory, {LOADS:,} pages", first, megabytes(), LIMIT)


if __name__ == "__main__":
    main()
