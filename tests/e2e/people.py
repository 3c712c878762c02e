"""What buyers, creators and staff do on their pages, found by what a person reads there."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.demo_story import PASSWORD, SHOPS, TEAM

SECONDS_FOR_THE_WORKERS = 60_000
"""How long, in milliseconds, a person waits for what happens behind the pages."""

MAYA = "maya.okafor@buyers.example"
DANIEL = "daniel.reyes@buyers.example"
SOFIA = "sofia.lindqvist@buyers.example"
RUTH = "ruth.adler@buyers.example"
PRIYA = "priya.shah@staff.example"
OMAR = "omar.haddad@staff.example"

NOT_RECEIVED = "Product not received"
NOT_AS_DESCRIBED = "Product not as described"
CANCELED = "Canceled before payment"


def team_of(company: str, role: str) -> str:
    """The e-mail address of whoever has a role in a company's team."""
    shop = next(shop for shop in SHOPS.values() if shop.name == company)
    return next(TEAM[key].email for key, place in shop.team.items() if place == role)


def log_in(page: Any, email: str) -> None:
    """Fill in the login page, wherever it came up."""
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


@dataclass
class Person:
    """Somebody in front of a browser of their own."""

    email: str
    page: Any
    base_url: str
    expect: Callable[..., Any]

    def visit(self, path: str) -> int:
        """Open an address, look at the page, and answer its status."""
        answer = self.page.goto(self.base_url + path)
        self.look()
        return int(answer.status)

    def look(self) -> None:
        """The page fits: nothing has to be scrolled sideways."""
        wide = self.page.locator("html").evaluate("page => page.scrollWidth")
        assert wide <= self.page.viewport_size["width"], f"{self.page.url} is {wide} px wide"

    def press(self, name: str | re.Pattern[str]) -> None:
        """Press a button or follow a link, by its whole name."""
        whole = isinstance(name, str)
        page = self.page
        page.get_by_role("button", name=name, exact=whole).or_(
            page.get_by_role("link", name=name, exact=whole)
        ).click()
        self.settles()

    def settles(self) -> None:
        """A form that was sent is answered: its part of the page is exchanged, or the page is."""
        self.page.locator("form[data-sent]").first.wait_for(state="detached")
        self.page.wait_for_load_state()
        self.look()

    def reads(self, text: str | re.Pattern[str]) -> None:
        """A sentence is to be read on the page."""
        self.expect(self.page.get_by_role("main")).to_contain_text(text)

    def waits_for(self, text: str) -> None:
        """Reload until a sentence is to be read: the workers bring it about."""
        main = self.page.get_by_role("main")

        def there() -> bool:
            self.page.reload()
            return text in main.inner_text()

        _wait_until(self.page, there, lambda: f"{text!r} did not come:\n{main.inner_text()}")
        self.look()

    @property
    def heading(self) -> str:
        """What the page is about."""
        said: str = self.page.get_by_role("heading", level=1).inner_text()
        return said

    @property
    def turn(self) -> str:
        """The title of the card that says who acts."""
        said: str = self.page.locator("#now").inner_text()
        return said

    def timeline(self) -> list[tuple[str, str]]:
        """The entries of the timeline: the event's public id, and what is to be read."""
        script = """entries => entries.filter(entry => entry.id.startsWith("revt_"))
            .map(entry => [entry.id, entry.textContent.replace(/\\s+/g, " ").trim()])"""
        found: list[list[str]] = self.page.locator("ol.timeline > li").evaluate_all(script)
        return [(id, text) for id, text in found]

    def times_told(self, text: str) -> int:
        """How many entries of the timeline hold these words."""
        return sum(text in told for _, told in self.timeline())

    def asked(self) -> str:
        """The amount that the case is about, as the page's heading says it."""
        found = re.search(r"[$€¥][\d,.]+", self.heading)
        assert found, self.heading
        return found[0]

    def product(self) -> str:
        """The product that the buyer's case is about."""
        return self.heading.split(" back for ")[1]


class Buyer(Person):
    """Somebody who paid."""

    def find_payment(self, payment: str) -> None:
        """Come to the form for a payment through the hub, as a person would."""
        self.visit("/hub/")
        manage = self.page.get_by_role("link", name=re.compile("^Manage"))
        for href in [link.get_attribute("href") for link in manage.all()]:
            self.visit(href)
            link = self.page.locator(f"a[href='/hub/payments/{payment}/open-case/']")
            if link.count():
                link.click()
                return
        raise AssertionError(f"No membership shows {payment}.")

    def can_claim(self, words: str) -> Callable[[str], bool]:
        """Whether the form for a payment has these words: its company, or its product."""

        def has_words(payment: str) -> bool:
            self.visit(f"/hub/payments/{payment}/open-case/")
            return words in self.page.get_by_role("main").inner_text()

        return has_words

    def describe(
        self, reason: str, words: str, *, part: str = "", files: tuple[Path, ...] = ()
    ) -> None:
        """Fill in the form that opens a case."""
        page = self.page
        page.get_by_role("radio", name=reason).check()
        page.get_by_role("radio", name="Part of it" if part else "All of it").check()
        if part:
            page.get_by_role("textbox", name="Amount").fill(part)
        page.get_by_label("What happened?").fill(words)
        if files:
            page.get_by_label("Files").set_input_files(files)

    def send(self) -> str:
        """Send the form that opens a case; answer the company it went to."""
        button = self.page.get_by_role("button", name=re.compile("^Send to "))
        company: str = button.inner_text().removeprefix("Send to ")
        button.click()
        self.settles()
        return company

    def open_case(self, payment: str, reason: str, words: str, **more: Any) -> tuple[str, str]:
        """Open a case for a payment; answer the case's public id and the company."""
        self.visit(f"/hub/payments/{payment}/open-case/")
        self.describe(reason, words, **more)
        company = self.send()
        self.expect(self.page).to_have_url(re.compile("/hub/cases/reso_"))
        return self.page.url.rstrip("/").split("/")[-1], company

    def see(self, case: str) -> None:
        self.visit(f"/hub/cases/{case}/")

    def write(self, label: str, words: str, button: str, files: tuple[Path, ...] = ()) -> None:
        """Write into a form of the case's page and send it."""
        box = self.page.get_by_label(label)
        if not box.is_visible():
            self.page.locator("summary", has_text="Add a message").click()
        box.fill(words)
        if files:
            form = self.page.locator("form", has=box)
            form.locator("input[type=file]").set_input_files(files)
        self.press(button)

    def answer(self, words: str, files: tuple[Path, ...] = ()) -> None:
        self.write("Your answer", words, "Send answer", files)

    def appeal_denial(self, words: str) -> None:
        self.write("Appeal to Whop", words, "Send appeal")

    def appeal_decision(self, words: str) -> None:
        self.write("Appeal this decision", words, "Send appeal")

    def comment(self, words: str) -> None:
        self.write("Add a message", words, "Send message")


class Creator(Buyer):
    """Somebody of the team that sold it."""

    def see(self, case: str) -> None:
        self.visit(f"/dash/resolution-center/cases/{case}/")

    def choose(self, act: str) -> None:
        self.page.get_by_role("radio", name=act).check()

    def accept(self, words: str = "") -> None:
        self.choose("Accept and refund")
        if words:
            self.page.get_by_label("Message to the buyer").fill(words)
        self.press(re.compile("^Refund .* and close$"))

    def ask(self, words: str) -> None:
        self.choose("Request more details")
        self.page.get_by_label("What do you need to know?").fill(words)
        self.press("Request details")

    def deny(self, words: str) -> None:
        self.choose("Deny the request")
        self.page.get_by_label("Why not?").fill(words)
        self.press("Deny the request")


class Staff(Person):
    """Somebody of the platform, in the administration."""

    def see(self, case: str) -> None:
        self.visit(f"/admin/resolution/case/{case}/change/")

    def find(self, case: str) -> None:
        """Come to a case through the queue and its search."""
        self.visit("/admin/resolution/case/")
        self.page.get_by_role("searchbox", name="Search all cases").fill(case)
        self.press("Search")
        self.page.locator("tr", has_text=case).get_by_role("link").click()
        self.page.wait_for_load_state()
        self.look()

    def decide(self, outcome: str, why: str, *, amount: str = "", note: str = "") -> None:
        """Fill in the decision and press the button that goes with its outcome."""
        page = self.page
        page.get_by_role("radio", name=outcome).check()
        if amount:
            label = "Credits" if outcome == "Whop Credits" else "Amount"
            page.get_by_role("textbox", name=label).fill(amount)
        page.get_by_label("Why", exact=True).fill(why)
        if note:
            page.locator("#decide-note").fill(note)
        self.press(re.compile("and tell both$"))

    def opens_timeline(self) -> None:
        """Unfold the timeline, where it is not open already."""
        timeline = self.page.locator("details#timeline")
        if timeline.get_attribute("open") is None:
            timeline.locator("summary").first.click()


def _wait_until(page: Any, fact: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    waited = 0
    while not fact():
        assert waited < SECONDS_FOR_THE_WORKERS, otherwise()
        page.wait_for_timeout(400)
        waited += 400
