"""The notices in the app: how many are new, and what makes them read."""

import re

from django.test import Client
from django.urls import reverse

from marketplace.models import User
from notifications.models import Notification
from resolution import cases
from resolution.models import Case
from resolution.terms import Actor
from tests.notifications.conftest import MakeMessage


def unread(browser: Client, address: str = "/hub/credits/") -> str:
    """What the menu of a page says is unread."""
    html = browser.get(address).content.decode()
    found = re.search(r'aria-label="Notices(?:, (\S+) unread)?"', html) or re.search(
        r'>Notices(?: <span class="count">(\S+?)<)?', html
    )
    assert found
    return found[1] or ""


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_opening_the_case_reads_what_was_told_of_it(
    waiting_case: Case, bea: User, cleo: User, creator: Actor
) -> None:
    beas, cleos = browser_of(bea), browser_of(cleo)
    cases.take_step(waiting_case, "comment", creator, message="Hello.")
    page = reverse("hub-case", args=[waiting_case.public_id])
    before = unread(beas)

    on_the_page = unread(beas, page)

    assert (before, on_the_page, unread(beas)) == ("2", "", "")
    assert unread(cleos, reverse("dash-rules")) == "1"
    assert unread(cleos, reverse("dash-case", args=[waiting_case.public_id])) == ""


def test_the_list_says_what_happened_and_leads_to_the_case(
    waiting_case: Case, bea: User, cleo: User, make_message: MakeMessage
) -> None:
    make_message(bea, about="revt_gone", thread="reso_gone")

    in_hub = browser_of(bea).get(reverse("hub-notices")).content.decode()
    on_dash = browser_of(cleo).get(reverse("dash-notices")).content.decode()

    told = [
        re.findall(r'row__link" href="(\S+)">.*?<bdi>(.*?)</bdi>', p) for p in (in_hub, on_dash)
    ]
    due = re.search(r"Reply by (\w+ \d+)", on_dash)
    assert due
    assert told == [
        [
            (
                f"/hub/cases/{waiting_case.public_id}/",
                "We have your case about Golden Hour presets",
            )
        ],
        [
            (
                f"/dash/resolution-center/cases/{waiting_case.public_id}/",
                f"Bea Lind asks for $64.00 back. {due[0]}",
            )
        ],
    ]


def test_all_that_was_shown_can_be_marked_as_read_and_nothing_newer_or_anothers(
    make_message: MakeMessage, bea: User, cleo: User
) -> None:
    shown, hers = [make_message(bea) for _ in range(2)][-1], make_message(cleo)
    newer = make_message(bea)

    browser_of(bea).post(reverse("hub-notices-read"), {"newest": shown.public_id})
    browser_of(bea).post(reverse("hub-notices-read"), {"newest": hers.public_id})

    left = Notification.objects.filter(read_at=None).order_by("pk")
    assert list(left) == [hers, newer]


def test_a_menu_counts_no_further_than_ninety_nine(bea: User) -> None:
    browser = browser_of(bea)
    rows = [Notification(key=f"k{n}", recipient=bea, thread="t", about="a") for n in range(250)]
    counts = []
    for many in (99, 250):
        Notification.objects.all().delete()
        Notification.objects.bulk_create(rows[:many])
        counts.append(unread(browser))

    assert counts == ["99", "99+"]
