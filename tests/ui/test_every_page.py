"""Every page there is, as everybody who may see it: axe finds nothing, and nothing is too wide.

The pages are those of the policy table, which fails for an address that it does not know: a new
page cannot be missed. They are fetched without a browser, each shape once, and laid before one.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.db import transaction
from django.urls import reverse

from resolution.models import Case
from tests.access.conftest import world as world
from tests.access.test_policy import NAMELESS, World, addresses, row_of, surface_of

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="There is no Chromium here."),
]

SITE = "https://testserver"
SEEN_BY = {
    "": ("stranger", "buyer"),
    "hub": ("buyer", "other buyer"),
    "dash": ("owner", "support", "viewer", "other owner"),
    "admin": ("agent", "finance", "party"),
}
"""Who sees other pages than the rest: the others of a surface see the same as one of these."""

STEPS = (
    "waiting", "asked", "denied", "escalated", "decided", "appealed", "failed", "proposed",
)  # fmt: skip

AXE = axe.Axe().axe_script
EVERYTHING = {"resultTypes": ["violations"]}
COLOURS = EVERYTHING | {"runOnly": ["color-contrast", "link-in-text-block", "target-size"]}
RUN = """async options => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    return (await axe.run(document, options)).violations.flatMap(rule =>
    rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`));
}"""
LOOKS = ((1280, "light", EVERYTHING), (390, "dark", COLOURS))
STOCK = re.compile(r"/admin/(?!resolution/case/)(\w+/\w+/(\d+/(change|history)/|add/)?)?")
STOCK_LOOKS = ((1280, "light", EVERYTHING), (390, "dark", EVERYTHING))
"""The administration's own lists and forms are all of one make: each is looked at in one way."""
STOCK_SEEN_BY: dict[tuple[str, bool], tuple[str, ...]] = {
    ("GET", False): ("finance",),
    ("GET", True): ("finance", "agent"),
    ("POST", True): ("finance",),
    ("POST", False): (),
}
"""Who they are looked at by: a method, and whether it is a form, which not all may send."""

FITS = (1280, 640, 390, 320)
"""640 is a wide screen at 200 %, 320 the narrowest that there is."""


VOID = {"br", "hr", "img", "input", "link", "meta", "source", "use", "rect", "path", "circle"}


class Parts(HTMLParser):
    """What a page is made of: each kind of element in each kind of element around it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.around, self.found = [""], set[tuple[str, str]]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        kind = " ".join([tag, *(str(told.get(name, "")) for name in ("class", "type", "role"))])
        self.found.add((self.around[-1], kind))
        if tag not in VOID:
            self.around.append(kind)

    def handle_endtag(self, tag: str) -> None:
        if len(self.around) > 1 and self.around[-1].startswith(f"{tag} "):
            self.around.pop()


@dataclass(frozen=True)
class Shown:
    """A page as it was answered to somebody; `name` is its address's, "" for a refusal."""

    name: str
    what: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes


def shown(world: World, person: str, what: str, path: str, data: Any = None) -> Shown | None:
    """A whole page that is answered to somebody; None for anything else, and for the usual 404."""
    client = world.browser_of(person)
    with transaction.atomic():
        answer = client.get(path) if data is None else client.post(path, data)
        transaction.set_rollback(True)
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    if not is_page or answer.status_code in (302, 401, 404, 405) or b"<html" not in answer.content:
        return None
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name in ("Content-Type", "Content-Security-Policy")
    }
    status = answer.status_code
    name = what.split()[1] if status == HTTPStatus.OK else ""
    told = f"{what} as {person} ({status})"
    return Shown(name, told, path, status, headers, answer.content)


def every_page(world: World, surface: str) -> Iterator[Shown]:
    """Each page of a surface, and it again as somebody else or in another state if it is not alike.

    What is made of parts that are seen elsewhere, each in the same place, is looked at there: so
    are most of the administration's own lists and histories, which are all of one make.
    """
    seen: set[tuple[str, str]] = set()
    laid: set[str] = set()
    for found in _answered(world, surface):
        if found is None:
            continue
        parts = Parts(found.body.decode()).found
        is_new = found.name not in laid and not is_stock(found.path)
        if is_new or not parts <= seen:
            laid.add(found.name)
            seen |= parts
            yield found


def _answered(world: World, surface: str) -> Iterator[Shown | None]:
    for name in dict.fromkeys(addresses()):
        if surface_of(name) != surface or name.startswith("api:"):
            continue
        for method in ("GET", "POST"):
            for act, _ in row_of(method, name):
                label = f"{name} {act}".strip()
                path = NAMELESS.get(name) or reverse(name, args=world.args(label))
                data: Any = {} if method == "POST" else None
                people = SEEN_BY[surface]
                if is_stock(path):
                    people = STOCK_SEEN_BY[method, name.endswith(("_change", "_add"))]
                for person in people:
                    yield shown(world, person, f"{method} {label}", path, data)
    pages = {"hub": "hub-case", "dash": "dash-case", "admin": "admin:resolution_case_change"}
    if surface in pages:
        for step in STEPS:
            case: Case = getattr(world, step)
            path = reverse(pages[surface], args=[case.public_id])
            for person in SEEN_BY[surface]:
                yield shown(world, person, f"GET {pages[surface]} {step}", path)
    else:
        yield shown(world, "buyer", "GET nowhere", "/nowhere/")


def is_stock(path: str) -> bool:
    """One of the administration's own lists and forms."""
    return STOCK.fullmatch(path) is not None


class Screen:
    """A browser before which pages are laid; it never asks a server."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.now: Shown | None = None
        self.complaints: list[str] = []
        self.weight: dict[str, int] = {}
        self.stock = 0
        self.examined = False
        page.route("**/*", self._answer)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, said: Any) -> None:
        """An answer of 4xx to the page itself is no complaint, nor what axe does to the page."""
        refused = "the server responded with a status of 4" in said.text
        if said.type == "error" and not refused and not self.examined:
            self.complaints.append(f"{self.now and self.now.what}: {said.text}")

    def _answer(self, route: Any) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/static/"):
            found = finders.find(path.removeprefix("/static/"))
            assert isinstance(found, str), path
            self.weight[path] = len(gzip.compress(Path(found).read_bytes()))
            route.fulfill(path=found)
        elif route.request.is_navigation_request():
            shown = self.now
            assert shown, "a page is laid there first"
            self.weight = {path: len(gzip.compress(shown.body))}
            route.fulfill(status=shown.status, headers=shown.headers, body=shown.body)
        else:
            route.fulfill(status=HTTPStatus.NO_CONTENT)

    def lay(self, shown: Shown) -> None:
        self.now, self.examined = shown, False
        self.page.goto(SITE + shown.path)

    def faults(self) -> Iterator[str]:
        """What is wrong with the page that lies there."""
        page, path = self.page, urlsplit(self.page.url).path
        looks: Any = LOOKS
        if is_stock(path):
            self.stock += 1
            looks = STOCK_LOOKS[self.stock % 2 :][:1]
        self.examined = True
        page.evaluate(AXE)
        for width, theme, options in looks:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            yield from page.evaluate(RUN, options)
        for width in FITS:
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                yield f"{wide} px wide at {width}"


@pytest.fixture
def screen() -> Iterator[Screen]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = browser.new_context(reduced_motion="reduce", ignore_https_errors=True)
        yield Screen(context.new_page())
        browser.close()


@pytest.fixture(params=SEEN_BY)
def pages(world: World, request: pytest.FixtureRequest) -> list[Shown]:
    """All of them, fetched before there is a browser, whose loop has no part in the transaction."""
    return list(every_page(world, request.param))


def test_every_page_is_for_everybody(pages: list[Shown], screen: Screen) -> None:
    wrong = []
    for shown in pages:
        screen.lay(shown)
        wrong += [f"{shown.what}: {fault}" for fault in screen.faults()]

    assert screen.complaints == []
    assert wrong == []


# ── The page of a case ────────────────────────────────────────────────────────────────────────────

MOST_BYTES = 60 * 1024
SHIFTS = """() => new Promise(tell => {
    let sum = 0;
    const add = list => list.getEntries().forEach(entry => sum += entry.value);
    new PerformanceObserver(add).observe({type: "layout-shift", buffered: true});
    requestAnimationFrame(() => setTimeout(() => tell(sum), 50));
})"""
MOVING = "document.getAnimations().filter(animation => animation.playState === 'running').length"
SEEN = """selector => [...document.querySelectorAll(selector)].map(element => {
    const style = getComputedStyle(element);
    return style.borderTopStyle !== "none" && parseFloat(style.borderTopWidth) > 0;
})"""


@pytest.fixture
def case_page(world: World) -> Shown:
    """A case on which the creator can do everything."""
    path = reverse("dash-case", args=[world.waiting.public_id])
    page = shown(world, "owner", "GET dash-case", path)
    assert page
    return page


def test_the_page_of_a_case_is_light_and_stands_still(case_page: Shown, screen: Screen) -> None:
    shifts = []
    for width in (1280, 390):
        screen.page.set_viewport_size({"width": width, "height": 900})
        screen.lay(case_page)
        shifts.append(screen.page.evaluate(SHIFTS))

    assert shifts == [0, 0]
    assert screen.page.evaluate(MOVING) == 0
    assert sum(screen.weight.values()) < MOST_BYTES, screen.weight


def test_what_can_be_pressed_has_an_edge_in_forced_colours(
    case_page: Shown, screen: Screen
) -> None:
    screen.page.emulate_media(forced_colors="active")
    screen.lay(case_page)

    for part in (".turn", ".btn", ".choice", ".card", ".meter i"):
        edges = screen.page.evaluate(SEEN, part)
        assert (part, bool(edges), all(edges)) == (part, True, True)


def test_a_case_is_answered_by_keys_alone(case_page: Shown, screen: Screen) -> None:
    screen.lay(case_page)
    keys = screen.page.keyboard

    keys.press("Tab")
    skipped = screen.page.evaluate("document.activeElement.className")
    screen.page.locator(".turn a.btn").focus()
    keys.press("Enter")
    keys.press("Tab")
    keys.press("Space")
    chosen = screen.page.evaluate("document.activeElement.value")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press("Tab")
    keys.type("It was delivered on the day.")
    with screen.page.expect_request(lambda request: request.method == "POST") as sent:
        keys.press("Control+Enter")

    assert (skipped, chosen) == ("skip", "accept")
    assert sent.value.url.endswith(f"/{case_page.path.split('/')[-2]}/respond/")
    assert "It was delivered on the day." in (sent.value.post_data or "")
    assert 'name="do"\r\n\r\ndeny' in (sent.value.post_data or "")
