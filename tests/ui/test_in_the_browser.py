"""The pages in Chromium, under the product's own security headers: accessible, nothing refused.

`UI_SHOTS=folder pytest tests/ui/test_in_the_browser.py` also saves a picture of each.
"""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.ui import gallery

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="There is no Chromium here."),
    pytest.mark.urls("tests.ui.gallery"),
]
SEND = ".respond button[type=submit]:not([aria-hidden]):visible"
WIDTHS = {"narrow": 390, "wide": 1280}
WHOLLY_CHECKED = (("light", 1280), ("dark", 390))


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser.new_context(reduced_motion="reduce")
        browser.close()


@pytest.fixture
def look(window: Any) -> Iterator[Any]:
    """Open an address at a width and in a theme; the page answered holds its complaints."""

    def open_page(address: str, width: int, theme: str, html: str = "") -> Any:
        page = window.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("requestfailed", lambda request: page.complaints.append(request.url))
        page.set_content(html) if html else page.goto(address, wait_until="load")
        return page

    yield open_page
    for page in window.pages:
        page.close()
    window.clear_cookies()


def save_picture(page: Any, name: str) -> None:
    if folder := os.environ.get("UI_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def violations(page: Any, without: tuple[str, ...] = (), all_rules: bool = True) -> list[str]:
    """What axe has against a page; without `all_rules` only against its colours and targets."""
    options: dict[str, Any] = {"rules": {rule: {"enabled": False} for rule in without}}
    if not all_rules:
        options = {"runOnly": ["color-contrast", "link-in-text-block", "target-size"]}
    results = axe.Axe().run(page, options=options).response["violations"]
    return [
        f"{found['id']}: {node['html']} {node['failureSummary']}"
        for found in results
        for node in found["nodes"]
    ]


WALKED = {"dash-case", "hub-case", "login", "staff"}
"""Pages that tests/e2e looks at in the same way, with what the product itself puts on them."""


@pytest.mark.parametrize("name", sorted(gallery.SHOWN.keys() - WALKED))
def test_a_page_is_accessible_and_fits(live_server, look, name):
    html = gallery.SHOWN[name](None) if name.startswith("email") else ""
    without = ("landmark-one-main", "region") if html else ()  # the mail program has those
    page = look(f"{live_server.url}/ui/{name}/", 1280, "light", html)

    found, too_wide = [], []
    for theme, width in product(("light", "dark"), WIDTHS.values()):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        save_picture(page, f"{name}-{width}-{theme}")
        found += violations(page, without, all_rules=(theme, width) in WHOLLY_CHECKED)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            too_wide.append((theme, width))

    assert page.complaints == []
    assert found == []
    assert too_wide == []


def test_an_error_summary_has_the_focus(live_server, look):
    page = look(f"{live_server.url}/ui/open-refused/", 1280, "light")

    focused = page.evaluate("document.activeElement.className")

    assert focused == "errors"


def test_nothing_is_chosen_and_no_panel_shows_before_the_creator_chooses(live_server, look):
    page = look(f"{live_server.url}/ui/dash-case/", 1280, "light")

    chosen = page.locator(".respond input:checked").count()
    panels = page.locator(".respond__panel:visible").count()

    assert (chosen, panels) == (0, 0)


@pytest.mark.parametrize(
    ("choice", "button"),
    [
        ("accept", "Refund $79.00 and close"),
        ("request_info", "Request details"),
        ("deny", "Deny the request"),
    ],
)
def test_the_button_matches_the_choice(live_server, look, choice, button):
    page = look(f"{live_server.url}/ui/dash-case/", 1280, "light")

    page.locator(f".respond input[value={choice}]").check()
    save_picture(page, f"dash-case-{choice}")

    assert page.locator(SEND).all_inner_texts() == [button]


def test_a_chosen_file_is_named_and_one_too_large_is_told_of(live_server, look, tmp_path):
    page = look(f"{live_server.url}/ui/hub-case/", 1280, "light")
    large = tmp_path / "call.mp4"
    with large.open("wb") as file:
        file.truncate(26 * 2**20)

    page.locator("input[type=file]").set_input_files(large)

    assert page.locator("span[data-chosen]").inner_text() == "1 file chosen: call.mp4"
    assert page.locator("[data-file-problem]").inner_text() == (
        "“call.mp4” is 26 MB. Choose a file smaller than 25 MB."
    )


def test_characters_are_counted(live_server, look):
    page = look(f"{live_server.url}/ui/hub-case/", 1280, "light")

    page.locator("textarea").fill("I joined on June 24.")

    assert page.locator("[data-counter]").inner_text() == "20 of 4,000 characters"


def test_news_is_a_link_that_moves_nothing(live_server, look):
    page = look(f"{live_server.url}/ui/hub-case/", 390, "dark")
    before = page.evaluate("[scrollY, document.documentElement.scrollHeight]")

    page.get_by_role("link", name="Show 1 new message").wait_for()
    save_picture(page, "hub-case-news")

    assert page.evaluate("[scrollY, document.documentElement.scrollHeight]") == before
    assert violations(page, all_rules=False) == []
    assert page.complaints == []


def test_a_form_is_sent_once(live_server, look):
    page = look(f"{live_server.url}/ui/hub-case/", 1280, "light")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.route("**/*", lambda route: route.fulfill(status=204))  # the browser stays on the page

    with page.expect_request(lambda request: request.method == "POST"):
        page.get_by_role("button", name="Send answer").dblclick()
    page.wait_for_timeout(250)  # for a second one, which must not come

    assert page.get_by_role("button", name="Send answer").get_attribute("aria-busy") == "true"
    assert sent.count("POST") == 1  # beside what the page itself may still fetch


def test_the_stock_administration_works_under_our_bar(live_server, look, django_user_model):
    django_user_model.objects.create_superuser("sam@example.com", "a long password", name="Sam")

    page = look(f"{live_server.url}/admin/login/", 1280, "light")
    save_picture(page, "admin-login")
    page.get_by_label("Email").fill("sam@example.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_load_state("networkidle")
    save_picture(page, "admin-index")
    page.goto(f"{live_server.url}/admin/marketplace/user/", wait_until="networkidle")
    save_picture(page, "admin-list")
    page.locator("#result_list tbody th a").click()
    page.wait_for_load_state("networkidle")
    save_picture(page, "admin-change")

    assert page.complaints == []
    assert page.locator(".staffbar__brand").inner_text() == "Administration"
    assert page.locator("#id_name").input_value() == "Sam"
