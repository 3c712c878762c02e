"""The main pages of each role in German, and from right to left: all said, nothing too wide.

`UI_SHOTS=folder` saves a picture of each.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from config import translations
from tests.e2e.conftest import NARROW, WIDE
from tests.e2e.people import MAYA, PRIYA, Person

pytestmark = pytest.mark.browser

SAID = """() => {
    const said = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (!node.parentElement.closest("script, style, template, code, pre"))
            said.add(node.textContent.replace(/\\s+/g, " ").trim());
    }
    for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]"))
        for (const name of ["aria-label", "placeholder", "title"])
            if (element.getAttribute(name)) said.add(element.getAttribute(name).trim());
    said.add(document.title);
    return [...said];
}"""
"""Every text of a page that a person reads or hears."""

OVER_EACH_OTHER = """() => {
    const parts = ["a", "button", "input", "select", "label", "h1", "h2", "summary", ".pill"];
    const hidden = ".vh, .drop, details:not([open]) > :not(summary)";
    const all = [...document.querySelectorAll(parts.map(part => `main ${part}, header ${part}`))]
        .filter(element => element.checkVisibility({ visibilityProperty: true }))
        .filter(element => !element.closest(hidden))
        .filter(element => element.getBoundingClientRect().width > 2);
    const found = [];
    all.forEach((one, at) => all.slice(at + 1).forEach(other => {
        if (one.contains(other) || other.contains(one)) return;
        const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const named = [one, other].map(element => element.outerHTML.slice(0, 90));
        if (wide > 3 && high > 3) found.push(named.join(" over "));
    }));
    return found;
}"""


@pytest.fixture(scope="module")
def english() -> set[str]:
    """What pages say in English and otherwise in German: whole texts, without places to fill."""
    [german] = [translations.read(path) for path in translations.catalog_paths()]
    texts = {text.id: text.string for text in german if isinstance(text.id, str) and text.id}
    return {
        text
        for text, said in texts.items()
        if said != text and len(text) > 3 and not re.search(r"[{%<]", text)
    }


@contextmanager
def in_german(person: Person) -> Iterator[None]:
    """The person reads German, as they choose in their account, and English again afterwards."""

    def choose(language: str) -> None:
        person.page.set_viewport_size({"width": WIDE, "height": 900})
        person.visit("/account/")
        person.page.locator("select[name=language]").select_option(language)
        person.page.locator("main form button[type=submit]").click()
        person.page.wait_for_load_state()
        assert person.page.locator("html").get_attribute("lang") == language

    choose("de")
    try:
        yield
    finally:
        choose("en")


def look_at(person: Person, links: list[Any], english: set[str]) -> list[str]:
    """What is not said in German, and what does not fit when all is turned round."""
    wrong, page = [], person.page
    for number, link in enumerate(links):
        path, selector = link if isinstance(link, tuple) else (link, "")
        page.set_viewport_size({"width": WIDE, "height": 900})
        person.visit(path)
        if selector:
            page.locator(selector).first.click()
            page.wait_for_load_state()
        wrong += [f"{page.url}: {text}" for text in page.evaluate(SAID) if text in english]
        for direction in ("ltr", "rtl"):
            page.locator("html").evaluate("(html, dir) => html.dir = dir", direction)
            for width in (WIDE, NARROW):
                page.set_viewport_size({"width": width, "height": 900})
                person.look()
                found = page.evaluate(OVER_EACH_OTHER)
                wrong += [f"{page.url} {direction} {width}: {both}" for both in found]
                save_picture(page, f"{person.email.split('@')[0]}-{number}-{direction}-{width}")
    return wrong


def save_picture(page: Any, name: str) -> None:
    if folder := os.environ.get("UI_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_nobody_speaks_of_another_language_than_those_there_are():
    assert {path.parts[-3] for path in translations.catalog_paths()} == {
        language for language, _ in settings.LANGUAGES if language != settings.LANGUAGE_CODE
    }


def test_the_hub_in_german(buyer, stack, english):
    maya = buyer(MAYA)
    payments = stack.accounts["payments"]["partly_refunded"]
    payment = next(row["id"] for row in payments if row["buyer"] == MAYA)

    with in_german(maya):
        found = look_at(
            maya,
            [
                "/hub/",
                ("/hub/", "a[href*='/hub/memberships/']"),
                f"/hub/payments/{payment}/open-case/",
                "/hub/cases/",
                ("/hub/cases/", "a[href*='/hub/cases/reso_']"),
                "/hub/credits/",
                "/hub/notices/",
                "/account/",
                "/account/notifications/",
                "/nowhere/",
            ],
            english,
        )

    assert found == []


def test_the_dashboard_in_german(creator, english):
    marta = creator("Sideproject Club")
    base = "/dash/resolution-center/"

    with in_german(marta):
        found = look_at(
            marta,
            [
                base,
                f"{base}?view=closed",
                (base, "a[href*='/cases/reso_']"),
                f"{base}auto-respond/",
                f"{base}auto-respond/new/",
                f"{base}replies/",
                f"{base}insights/",
                f"{base}developers/",
            ],
            english,
        )

    assert found == []


def test_the_administration_in_german(staff, english):
    priya = staff(PRIYA)
    cases = "/admin/resolution/case/"

    with in_german(priya):
        found = look_at(
            priya,
            [
                cases,
                (cases, "th a.row__link"),
                f"{cases}money/",
                ("/admin/payments/creditaccount/", "td.field-owner a"),
            ],
            english,
        )

    assert found == []
