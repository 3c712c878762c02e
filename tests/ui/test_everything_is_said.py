"""In a language where all that is translated stands in brackets, nothing stands outside of them."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from babel import Locale
from django.urls import reverse
from django.utils import translation
from django.utils.safestring import SafeString
from django.utils.translation import trans_real

from marketplace.models import User
from resolution.forms.account import time_zones
from resolution.models import Event
from tests.access.conftest import world as world
from tests.access.test_policy import World
from tests.ui.test_every_page import STEPS

OURS = ("accounts", "marketplace", "notifications", "payments", "resolution")
OPEN, SHUT = "⟦", "⟧"
READ_ALOUD = {"aria-label", "placeholder", "title", "alt"}
NOT_WORDS = {"script", "style", "code", "kbd", "pre", "template", "svg"}
DATA = (
    "Whop", "Stripe", "PayPal", "Visa ending 4242", "Loop & Lens", "Golden Hour presets", "a.png",
    "English", "Deutsch", "example.com", "CSV", "KB", "USD", "Mine", "Ours", "Hello", "Hi.", "All",
    "ms", "https://shop.example/", "Sorry", "So.", "100 too much",
)  # fmt: skip
"""What nobody translates: names, what people typed, what programs call it."""
IDS = re.compile(
    r"\{\{ \w+ \}\}|\b(refund|resolution_center_case)\.\w+|[\w.+-]+@[\w.-]+"
    r"|\b(reso|pay|mem|prod|biz|user|revt|rfnd|hook|msg|cred|cadj)_\w*"
)
WORD = re.compile(r"[^\W\d_]+[a-z]|[a-z][^\W\d_]+")
"""Not the initials of people, nor what stands for a currency."""


@pytest.fixture
def _all_in_brackets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def bracketed(name: str) -> None:
        say = getattr(trans_real, name)

        def say_it(*words: object) -> str:
            text = say(*words)
            kind = SafeString if isinstance(text, SafeString) else str
            return kind(f"{OPEN}{text}{SHUT}") if text.strip() else text

        monkeypatch.setattr(translation._trans, name, say_it)  # type: ignore[attr-defined]

    for name in ("gettext", "ngettext", "pgettext", "npgettext"):
        bracketed(name)
    _forget_what_was_drawn()
    yield
    _forget_what_was_drawn()


def _forget_what_was_drawn() -> None:
    """Words are kept by their language, and these are in the same one."""
    for name, module in list(sys.modules.items()):
        if name.startswith(OURS):
            for kept in list(vars(module).values()):
                getattr(kept, "cache_clear", bool)()


class Outside(HTMLParser):
    """What a page says, aloud too, outside of all brackets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.depth, self.unread, self.found = 0, 0, list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unread += tag in NOT_WORDS
        told = dict(attrs)
        for name in READ_ALOUD & told.keys():
            self._listen(told[name] or "", 0)
        if tag == "optgroup":
            self._listen(told.get("label") or "", 0)

    def handle_endtag(self, tag: str) -> None:
        self.unread -= tag in NOT_WORDS

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.depth = self._listen(data, self.depth)

    def _listen(self, text: str, depth: int) -> int:
        outside = ""
        for letter in text:
            depth += (letter == OPEN) - (letter == SHUT)
            outside += letter if depth == 0 and letter != SHUT else " "
        if outside.strip():
            self.found.append(outside.strip())
        return depth


def bare(html: str, data: list[str]) -> list[str]:
    """The words of a page that no language can change, without what is data, and without dates."""
    found = []
    for said in Outside(html).found:
        left = IDS.sub(" ", said)
        for known in data:
            left = left.replace(known, " ")
        if WORD.search(left):
            found.append(said)
    return found


def names_and_dates() -> list[str]:
    """What people are called and typed, what days and hours are called; the longest first."""
    dates = Locale.parse("en")
    names = [name for user in User.objects.all() for name in (user.name, user.name.split()[0])]
    typed = list(Event.objects.exclude(message="").values_list("message", flat=True).distinct())
    words = [
        word
        for kind in (dates.months, dates.days)
        for width in ("wide", "abbreviated")
        for word in kind["format"][width].values()
    ]
    zones = [place for _, area in time_zones() for _, place in area]
    return sorted({*DATA, *names, *typed, *words, *zones}, key=len, reverse=True)


@pytest.mark.usefixtures("_all_in_brackets")
def test_every_word_can_be_translated(world: World) -> None:
    dash = [reverse("dash-case", args=[getattr(world, step).public_id]) for step in STEPS]
    hub = [reverse("hub-case", args=[getattr(world, step).public_id]) for step in STEPS]
    desk = [
        reverse("admin:resolution_case_change", args=[case.public_id])
        for case in (world.escalated, world.appealed, world.failed, world.proposed)
    ]
    pages = {
        "stranger": ["/login/", "/nowhere/", reverse("password_reset")],
        "buyer": [
            "/hub/", "/hub/cases/", "/hub/credits/", "/hub/notices/", "/account/", *hub,
            reverse("account-mail"), reverse("mfa_index"), reverse("account-password"),
            reverse("hub-membership", args=[world.membership.public_id]),
            reverse("hub-open-case", args=[world.free.public_id]),
            reverse("hub-act", args=[world.asked.public_id, "withdraw"]),
        ],
        "owner": [
            reverse("dash-cases"), f"{reverse('dash-cases')}?view=closed", *dash,
            reverse("dash-rules"), reverse("dash-rule", args=[world.rule.pk]),
            reverse("dash-rule-history"), reverse("dash-replies"), reverse("dash-reply-new"),
            reverse("dash-insights"), reverse("dash-developers"), reverse("dash-token-new"),
            reverse("dash-webhook", args=[world.endpoint.public_id]),
        ],
        "finance": [
            reverse("admin:resolution_case_changelist"), *desk,
            reverse("admin:resolution_case_money"),
            reverse("admin:resolution_case_audit", args=[world.escalated.public_id]),
            reverse("admin:payments_creditaccount_of", args=[world.bea.public_id]),
        ],
    }  # fmt: skip
    data = names_and_dates()

    told = {
        f"{path} as {person}": bare(world.browser_of(person).get(path).content.decode(), data)
        for person, paths in pages.items()
        for path in paths
    }

    assert {path: words for path, words in told.items() if words} == {}
