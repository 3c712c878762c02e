"""An open page hears of what is new, cheaply, and a long timeline comes in parts."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketplace import clock
from marketplace.models import User
from resolution import words
from resolution.models import Case, Event
from resolution.terms import Actor
from resolution.timeline import events_of, part_of
from tests.hub.conftest import Walk, page_of, text_of

HTMX = {"HX-Request": "true"}


def live_on(browser: Client, address: str) -> str:
    """Where the page of a case asks for news."""
    found = re.search(r'hx-get="([^"]+/live/[^"]*)"', browser.get(address).content.decode())
    assert found, "the page asks for nothing"
    return found[1].replace("&amp;", "&")


def told(answer: Any) -> str:
    return re.sub(r"<[^>]+>", "", answer.content.decode()).strip()


def asks_next(answer: Any) -> str:
    return str(re.findall(r'hx-get="([^"]+/live/[^"]*)"', answer.content.decode())[0]).replace(
        "&amp;", "&"
    )


@pytest.fixture
def page_of_cleo(waiting_case: Case) -> str:
    return reverse("dash-case", args=[waiting_case.public_id])


def test_without_news_there_is_no_answer_and_three_queries(
    beas_browser: Client, cleos_browser: Client, waiting_case: Case, page_of_cleo: str
) -> None:
    for browser, page in ((beas_browser, page_of(waiting_case)), (cleos_browser, page_of_cleo)):
        address = live_on(browser, page)

        with CaptureQueriesContext(connection) as queries:
            answer = browser.get(address, headers=HTMX)

        assert (answer.status_code, answer.content, len(queries)) == (204, b"", 3)


def test_a_message_and_a_step_of_the_other_side_are_told_once(
    beas_browser: Client, waiting_case: Case, take: Walk, creator: Actor
) -> None:
    address = live_on(beas_browser, page_of(waiting_case))

    take(("comment", creator), ("comment", creator))
    messages = beas_browser.get(address, headers=HTMX)
    again = beas_browser.get(asks_next(messages), headers=HTMX)
    take(("deny", creator))
    moved = beas_browser.get(asks_next(messages), headers=HTMX)

    assert (told(messages), again.status_code) == ("Show 2 new messages", 204)
    assert told(moved) == "This case has moved on. Show it"
    assert f'hx-get="{page_of(waiting_case)}" hx-select="#case"' in moved.content.decode()


def test_a_note_of_staffs_is_no_news(
    beas_browser: Client, waiting_case: Case, take: Walk, staff: Actor
) -> None:
    address = live_on(beas_browser, page_of(waiting_case))

    take(("note", staff))

    assert beas_browser.get(address, headers=HTMX).status_code == 204


def test_a_closed_case_asks_for_no_news(beas_browser: Client, take: Walk, buyer: Actor) -> None:
    case = take(("withdraw", buyer))

    assert "data-live" not in beas_browser.get(page_of(case)).content.decode()


def test_strangers_and_the_logged_out_hear_nothing(
    client: Client, nias_browser: Client, waiting_case: Case
) -> None:
    address = reverse("hub-live", args=[waiting_case.public_id])

    assert nias_browser.get(address, headers=HTMX).status_code == 404
    assert client.get(address, headers=HTMX).status_code == 401


# ── A long timeline ───────────────────────────────────────────────────────────────────────────────


def ids_in(html: str) -> list[str]:
    return re.findall(r'<li id="(revt_\w{14})">', html)


@pytest.fixture
def long_case(take: Walk, creator: Actor, staff: Actor) -> Case:
    """A case with 118 messages, written as rows: how they are taken is other tests' matter."""
    case = take(("request_info", creator), ("note", staff))
    seq = case.last_seq
    Event.objects.bulk_create(
        Event(
            case=case, seq=seq + number, step="comment", party="buyer", actor=case.buyer,
            state_after=case.state, message=f"Remark {number}.", created_at=clock.now(), hash="0",
        )
        for number in range(1, 119)
    )  # fmt: skip
    Case.objects.filter(pk=case.pk).update(last_seq=seq + 118)
    return Case.objects.get(pk=case.pk)


def test_a_long_timeline_comes_in_parts_without_a_gap(
    beas_browser: Client, long_case: Case
) -> None:
    every = [event.public_id for event in events_of(long_case, "buyer")]

    page = beas_browser.get(page_of(long_case))
    html, parts = page.content.decode(), []
    while html:
        parts.append(ids_in(html))
        more = re.search(r'hx-get="([^"]+\?before=[^"]+)"', html)
        html = beas_browser.get(more[1], headers=HTMX).content.decode() if more else ""

    assert [len(part) for part in parts] == [50, 50, 21]
    assert [id for part in parts[::-1] for id in part] == every
    assert re.search(r"Show 50 of 71 earlier entries, \w+ \d+", text_of(page))


def test_without_scripts_the_link_shows_a_page_with_more(
    beas_browser: Client, long_case: Case
) -> None:
    first = ids_in(beas_browser.get(page_of(long_case)).content.decode())

    more = beas_browser.get(f"{page_of(long_case)}?before={first[0]}").content.decode()

    assert (len(ids_in(more)), ids_in(more)[50:], "<form" in more) == (100, first, True)


@pytest.mark.parametrize("odd", ["revt_00000000000000", "x", "' OR 1=1"])
def test_a_place_that_there_is_not_shows_the_newest(
    beas_browser: Client, long_case: Case, odd: str
) -> None:
    page = beas_browser.get(page_of(long_case), {"before": odd})

    assert len(ids_in(page.content.decode())) == 50


@pytest.mark.parametrize("reader", ["buyer", "creator"])
def test_the_progress_is_the_same_however_much_is_shown(long_case: Case, reader: str) -> None:
    whole = words.progress(long_case, reader, events_of(long_case, reader))

    assert words.progress(long_case, reader, part_of(long_case, reader).steps) == whole


def test_the_next_part_is_the_readers_own(
    nias_browser: Client, beas_browser: Client, long_case: Case, nia: User
) -> None:
    first = ids_in(beas_browser.get(page_of(long_case)).content.decode())[0]

    answer = nias_browser.get(f"{page_of(long_case)}?before={first}", headers=HTMX)

    assert (answer.status_code, ids_in(answer.content.decode())) == (404, [])
