"""The queue: who sees it, what it holds, how it is narrowed, searched and paged, and taken from."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace.models import TeamMember, User
from resolution import cases
from resolution.admin.queue import counts
from resolution.models import Case
from resolution.terms import Actor, Party
from tests.conftest import Later
from tests.staff.conftest import QUEUE, LogIn, MakeWaiting, now_at, page_of


def listed(client: Client, query: str = "") -> list[str]:
    return [row.case.public_id for row in client.get(QUEUE + query).context["rows"]]


def test_buyers_and_creators_are_sent_to_the_login(
    bea: User, cleo: User, as_user: LogIn, escalated: Case
) -> None:
    answers = [as_user(person).get(QUEUE) for person in (bea, cleo)]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert [answer["Location"] for answer in answers] == [f"/admin/login/?next={QUEUE}"] * 2


def test_staff_without_a_role_see_nothing(bea: User, as_user: LogIn, escalated: Case) -> None:
    User.objects.filter(pk=bea.pk).update(is_staff=True)

    assert as_user(bea).get(QUEUE).status_code == 403


def test_what_waits_is_listed_by_its_date(
    at_sams: Client, make_waiting: MakeWaiting, waiting_case: Case, later: Later
) -> None:
    first = make_waiting()
    later(timedelta(hours=2))
    second = make_waiting()

    assert listed(at_sams) == [first.public_id, second.public_id]


def test_a_final_review_says_whose_it_is_not(at_sams: Client, appealed: Case) -> None:
    row = at_sams.get(QUEUE).context["rows"][0]

    assert (row.pill.label, row.assigned) == (
        "Final review, buyer appealed", "You can’t: you decided it",
    )  # fmt: skip


def test_a_failed_refund_waits_in_the_queue(at_sams: Client, failed: Case) -> None:
    assert listed(at_sams, "?why=refund") == [failed.public_id]
    assert listed(at_sams, "?why=final") == []


def test_each_kind_is_counted_among_those_that_wait(
    at_sams: Client, sam: User, make_waiting: MakeWaiting, waiting_case: Case, product: object
) -> None:
    mine = make_waiting(amount_minor=4_900)
    make_waiting(amount_minor=25_000)
    make_waiting(amount_minor=25_001)
    make_waiting(amount_minor=251, currency="JPY")
    Case.objects.filter(pk=mine.pk).update(assigned_to=sam)

    counts = at_sams.get(QUEUE).context["counts"]

    assert {name: counts[name] for name in ("waiting", "mine", "unassigned", "why_denial")} == {
        "waiting": 4, "mine": 1, "unassigned": 3, "why_denial": 4,
    }  # fmt: skip
    assert [counts[f"band_{band}"] for band in ("small", "medium", "large")] == [1, 1, 2]
    assert listed(at_sams, "?view=mine") == [mine.public_id]
    assert listed(at_sams, "?amount=small") == [mine.public_id]


def test_a_case_that_was_asked_about_is_no_longer_waiting(
    at_sams: Client, escalated: Case, staff: Actor
) -> None:
    cases.take_step(escalated, "ask_party", staff, message="Which six?", asks=Party.BUYER)

    assert listed(at_sams) == []
    assert listed(at_sams, "?view=asked") == [escalated.public_id]


def test_what_staff_decided_is_kept(at_sams: Client, failed: Case, waiting_case: Case) -> None:
    assert listed(at_sams, "?view=decided") == [failed.public_id]


def test_any_case_is_found_by_its_ids_its_people_and_its_payment(
    at_sams: Client, waiting_case: Case, bea: User
) -> None:
    terms = [
        waiting_case.public_id, waiting_case.payment.public_id, bea.email.upper(), "bea", "lind",
        "loop", waiting_case.company.public_id, bea.public_id,
    ]  # fmt: skip

    assert [listed(at_sams, f"?q={term}") for term in terms] == [[waiting_case.public_id]] * 8
    assert listed(at_sams, f"?q={waiting_case.public_id[:-1]}") == []
    assert listed(at_sams, "?q=nobody") == []


@pytest.mark.parametrize(
    "query",
    ["?view=x&why=y&amount=z", "?after=~", "?after=2026-99-99T00:00:00~1", "?after=" + "9" * 400,
     "?view=decided&after=%C2%B2", "?view=decided&after=-1",
     "?after=2026-01-01T00:00:00~5"],
)  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_queue(
    at_sams: Client, escalated: Case, query: str
) -> None:
    assert at_sams.get(QUEUE + query).status_code == 200


def test_pages_hold_every_case_once(at_sams: Client, make_waiting: MakeWaiting) -> None:
    made = {make_waiting().public_id for _ in range(27)}
    Case.objects.update(due_at=Case.objects.earliest("due_at").due_at)

    first = at_sams.get(QUEUE)
    second = at_sams.get(QUEUE + first.context["next_href"])

    pages = [[row.case.public_id for row in page.context["rows"]] for page in (first, second)]
    assert [len(page) for page in pages] == [25, 2]
    assert set(pages[0] + pages[1]) == made
    assert second.context["next_href"] == ""


@pytest.mark.parametrize("count", [3, 30])
def test_the_queue_takes_five_queries_however_long(
    at_sams: Client, make_waiting: MakeWaiting, count: int
) -> None:
    for _ in range(count):
        make_waiting()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        at_sams.get(QUEUE)

    assert len(queries) == 5  # session, user, counts, rows, who is on them
    assert not any("OFFSET" in query["sql"] for query in queries)


# ── Taking cases ──────────────────────────────────────────────────────────────────────────────────


def test_the_next_one_is_the_earliest_that_nobody_has(
    at_sams: Client, sam: User, ada: User, make_waiting: MakeWaiting, later: Later
) -> None:
    taken = make_waiting()
    Case.objects.filter(pk=taken.pk).update(assigned_to=ada)
    later(timedelta(hours=1))
    first = make_waiting()
    later(timedelta(hours=1))
    make_waiting()

    answer = at_sams.post(f"{QUEUE}take-next/")

    assert answer["Location"] == page_of(first)
    assert now_at(first).assigned_to == sam
    assert now_at(taken).assigned_to == ada
    assert now_at(first).version == first.version


def test_the_next_one_is_never_one_that_i_may_not_decide(
    at_sams: Client, at_abes: Client, sam: User, abe: User, appealed: Case,
    make_waiting: MakeWaiting, company: object,
) -> None:  # fmt: skip
    large = make_waiting(amount_minor=25_100)
    TeamMember.objects.create(company=large.company, user=sam, role="viewer")

    answers = [client.post(f"{QUEUE}take-next/") for client in (at_sams, at_abes, at_abes)]

    assert [answer["Location"] for answer in answers] == [QUEUE, page_of(appealed), QUEUE]
    assert now_at(large).assigned_to is None
    assert now_at(appealed).assigned_to == abe


def test_an_appeal_is_no_longer_with_whoever_decided_first(
    at_sams: Client, at_adas: Client, sam: User, ada: User, appealed: Case
) -> None:
    first = now_at(appealed).first_decider
    assert first == sam
    Case.objects.filter(pk=appealed.pk).update(assigned_to=sam)

    mine, free = (counts(sam)["mine"], counts(ada)["unassigned"])
    answers = [client.post(f"{QUEUE}take-next/")["Location"] for client in (at_sams, at_adas)]

    assert (mine, free) == (0, 1)
    assert answers == [QUEUE, page_of(appealed)]
    assert now_at(appealed).assigned_to == ada
    assert (counts(ada)["mine"], counts(ada)["unassigned"]) == (1, 0)


def test_a_case_is_taken_once_when_two_press_at_once(
    at_sams: Client, at_adas: Client, sam: User, escalated: Case
) -> None:
    address = f"{QUEUE}{escalated.public_id}/assign/"

    at_sams.post(address, {"seen": 0})
    late = at_adas.post(address, {"seen": 0}, follow=True)

    assert now_at(escalated).assigned_to == sam
    assert [str(message) for message in late.context["messages"]] == [
        "Sam Reyes has this case now. Nothing was changed."
    ]


def test_a_case_is_let_go_and_taken_over(
    at_sams: Client, at_adas: Client, sam: User, ada: User, escalated: Case
) -> None:
    address = f"{QUEUE}{escalated.public_id}/assign/"
    at_sams.post(address, {"seen": 0})

    at_adas.post(address, {"seen": sam.pk})
    taken_over = now_at(escalated).assigned_to
    at_adas.post(address, {"seen": ada.pk})

    assert taken_over == ada
    assert now_at(escalated).assigned_to is None
    assert "note" not in list(escalated.events.values_list("step", flat=True))
