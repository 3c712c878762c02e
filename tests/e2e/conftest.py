"""One running product for all these tests, and people who use it in a real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config import demo_files
from tests.e2e.people import Buyer, Creator, Person, Staff, log_in, team_of
from tests.e2e.stack import CHROMIUM, Stack, running_stack

WIDE, NARROW = 1280, 390


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"There is no Chromium at {CHROMIUM}.")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        browser.expect = playwright.expect
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(chromium: Any) -> Iterator[Stack]:
    """The product, running. It starts only where there is a browser to use it with."""
    with running_stack() as stack:
        yield stack


@pytest.fixture(scope="package")
def logins() -> dict[str, Any]:
    """The cookies of everyone who has logged in once."""
    return {}


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: errors of scripts, refused resources, broken requests."""
    return []


Browse = Callable[..., Any]


@pytest.fixture
def browse(chromium: Any, stack: Stack, complaints: list[str]) -> Iterator[Browse]:
    """A browser of somebody's own; nobody in this test may meet a complaint of the browser's."""
    contexts: list[Any] = []

    def open_browser(width: int = WIDE, **options: Any) -> Any:
        options = {
            "reduced_motion": "reduce",
            "viewport": {"width": width, "height": 900},
        } | options
        context = chromium.new_context(**options)
        context.set_default_timeout(30_000)
        context.on("console", lambda said: complaints.extend(_complaint(said)))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return context.new_page()

    yield open_browser
    for context in contexts:
        context.close()
    assert complaints == []


def _complaint(said: Any) -> list[str]:
    """A page that answers 404 or 409 on purpose is not a complaint; a file it loads is one."""
    if said.type not in ("error", "warning"):
        return []
    refused = re.match(
        "Failed to load resource: the server responded with a status of 4", said.text
    )
    if refused and "/static/" not in said.location["url"]:
        return []
    return [f"{said.text} ({said.location['url']})"]


@pytest.fixture
def person(
    chromium: Any, stack: Stack, browse: Browse, logins: dict[str, Any]
) -> Callable[..., Any]:
    """Somebody, logged in, in a browser of their own: `person(Buyer, MAYA, width=NARROW)`."""

    def come(kind: type[Person], email: str, **options: Any) -> Person:
        if email not in logins:
            page = browse()
            page.goto(f"{stack.base_url}/login/")
            log_in(page, email)
            page.wait_for_url(lambda url: "/login/" not in url)
            logins[email] = page.context.storage_state()
        page = browse(storage_state=logins[email], **options)
        return kind(email, page, stack.base_url, chromium.expect)

    return come


@pytest.fixture
def buyer(person: Callable[..., Any]) -> Callable[..., Buyer]:
    return lambda email, **options: person(Buyer, email, **options)


@pytest.fixture
def creator(person: Callable[..., Any]) -> Callable[..., Creator]:
    """Somebody of a company's team: `creator("Kiln School", "support")`."""
    return lambda company, role="owner", **options: person(
        Creator, team_of(company, role), **options
    )


@pytest.fixture
def staff(person: Callable[..., Any]) -> Callable[..., Staff]:
    return lambda email, **options: person(Staff, email, **options)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A screenshot and a receipt."""
    made = []
    for name in ("screenshot.png", "receipt.pdf"):
        path = tmp_path / name
        path.write_bytes(demo_files.make(name))
        made.append(path)
    return made[0], made[1]
