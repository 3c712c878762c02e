"""What people load and send: pages and acts as the number of cases grows, beside their twins.

Each request goes through all of the middleware, in this process; what a server adds is measured by
`bench.server`. Sizes are those that the table has when the page is loaded.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from bench.measure import SMALL, Side, by_turns, costs_at_most, prepare, say

SIZES = (10_000, 100_000) if SMALL else (10_000, 100_000, 1_000_000)
TURNS, EACH = (8, 3) if SMALL else (40, 5)
TIMELINES = {30: 51, 500: 151, 5000: 251}
"""How long a timeline is, and the case that has it."""
OPEN_PAGES, OF_ONE_CORE = 200, 50
"""So many cases, open in so many browsers, are to take no more of one core than so many percent."""


def browser_of(email: str) -> Any:
    from django.test import Client

    from marketplace.models import User

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(email=email))
    return client


def loading(client: Any, address: str, expected: int = 200) -> Callable[[], object]:
    def load() -> None:
        answer = client.get(address)
        assert answer.status_code == expected, f"{address}: {answer.status_code}"

    return load


def queries_of(act: Callable[[], object]) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        act()
    return len(queries)


def same_page(name: str, client: Any, page: str, twin: str) -> None:
    """Let a twin learn the frame of our page, and see that it answers the very same words."""
    from bench import twins

    ours = client.get(page).content.decode()
    twins.alike(name, ours)
    theirs = twins.words_of(client.get(twin).content.decode())
    assert theirs == twins.words_of(ours), f"the twin of {page} is not alike"


def compare(job: str, ours: Callable[[], object], floor: Callable[[], object], goal: float) -> Side:
    """Say what a page costs beside its twin; answer our side."""
    many = queries_of(ours)
    side, least = by_turns(ours, floor, TURNS, EACH)
    costs_at_most(job, side, least, goal, queries=many)
    return side


def against(job: str, side: Side, smaller: Side, goal: float) -> None:
    """Say how a page grows with what it stands for."""
    costs_at_most(job, side, smaller, goal)


def by_size() -> None:
    """A creator's list and the staff's queue, as the table grows."""
    from bench.load import as_after_years, load_cases
    from bench.world import a_fresh_database
    from marketplace.models import User

    lists: list[Side] = []
    queues: list[Side] = []
    for cases in SIZES:
        with a_fresh_database():
            load_cases(cases, as_after_years, big=True)
            sam = User.objects.create_superuser("sam@example.com", name="Sam Wells")
            User.objects.filter(pk=sam.pk).update(staff_role="finance")
            creator, staff = browser_of("person.1@example.com"), browser_of("sam@example.com")
            page, twin = "/dash/resolution-center/", "/bench/cases/"
            same_page("list", creator, page, twin)
            lists.append(
                compare(
                    f"creator's list, of {cases:,}",
                    loading(creator, page),
                    loading(creator, twin),
                    1.4,
                )
            )
            queue = loading(staff, "/admin/resolution/case/")
            # What counts is that it does not grow; twenty times would be a surprise of its own.
            me = loading(staff, "/bench/me/")
            queues.append(compare(f"staff queue, of {cases:,}", queue, me, 20))
            if cases == SIZES[-1]:
                of_one_case()
    largest, least = f"{SIZES[-1]:,}", f"{SIZES[0]:,}"
    against(f"list: {largest} beside {least}", lists[-1], lists[0], 1.1)
    against(f"queue: {largest} beside {least}", queues[-1], queues[0], 1.2)


def of_one_case() -> None:
    """A case's page by the length of its timeline, its live check, and acts on it."""
    from bench.load import load_timeline
    from resolution.models import Case

    pages: list[Side] = []
    for events, pk in TIMELINES.items():
        load_timeline(pk, events)
        case = Case.objects.select_related("buyer").get(pk=pk)
        buyer, shown = browser_of(case.buyer.email), min(events, 50)
        page = f"/hub/cases/{case.public_id}/"
        twin = f"/bench/cases/{case.public_id}/{shown}/"
        same_page("case", buyer, page, twin)
        job = f"case page, {events} events"
        pages.append(compare(job, loading(buyer, page), loading(buyer, twin), 1.4))
    against("case page: 500 events beside 30", pages[1], pages[0], 1.3)
    against("case page: 5,000 events beside 30", pages[2], pages[0], 1.3)

    case = Case.objects.select_related("buyer").get(pk=TIMELINES[30])
    buyer = browser_of(case.buyer.email)
    me = loading(buyer, "/bench/me/")
    last = case.events.order_by("-seq").values_list("public_id", flat=True)[0]
    page = f"/hub/cases/{case.public_id}/"
    check = loading(buyer, f"{page}live/?after={last}", 204)
    of_open_pages(compare("live check, unchanged", check, me, 1.3))

    def comment() -> None:
        sent = {"version": case.version, "form_key": str(uuid4()), "message": "One thing more."}
        answer = buyer.post(f"{page}comment/", sent)
        assert answer.status_code == 302, answer.status_code

    compare("respond: a message", comment, me, 2.0)


def of_open_pages(check: Side) -> None:
    """What a couple of hundred open cases take of one core while nothing happens."""
    from django.conf import settings

    share = 100 * check.cpu * OPEN_PAGES / settings.LIVE_SECONDS
    say(
        job=f"{OPEN_PAGES} open pages, of one core",
        unit="%",
        ours=round(share, 1),
        floor=OF_ONE_CORE,
        ratio=round(share / OF_ONE_CORE, 2),
        goal="<= 1",
        met=share <= OF_ONE_CORE,
        requests_a_second=OPEN_PAGES // settings.LIVE_SECONDS,
    )


def main() -> None:
    prepare()
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("collectstatic", interactive=False, verbosity=0)
    settings.ROOT_URLCONF = "bench.twins"
    from config.memory import settle

    settle()
    by_size()


if __name__ == "__main__":
    main()
