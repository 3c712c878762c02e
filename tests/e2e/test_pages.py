"""The main pages of each role as everybody has to be able to use them: axe finds nothing."""

import pytest

from tests.e2e.conftest import NARROW, WIDE
from tests.e2e.people import MAYA, PRIYA, SOFIA, Person

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser
AXE = axe.Axe().axe_script
EVERYTHING = {"resultTypes": ["violations"]}
COLOURS = EVERYTHING | {"runOnly": ["color-contrast", "link-in-text-block"]}
RUN = """async options => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    return (await axe.run(document, options)).violations.flatMap(rule =>
    rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}"""
CLUB = "Sideproject Club"


def violations(page, options):
    """What axe finds, each with the element that it found."""
    return [f"{page.url} {found}" for found in page.evaluate(RUN, options)]


def look_at(person, links):
    """Visit pages at both widths and in both themes, and answer what is wrong with them.

    A link is an address, or (the address of a list, the selector of a link there to follow).
    """
    wrong = []
    for link in links:
        path, selector = link if isinstance(link, tuple) else (link, "")
        person.page.set_viewport_size({"width": WIDE, "height": 900})
        person.visit(path)
        if selector:
            person.page.locator(selector).first.click()
            person.page.wait_for_load_state()
        person.page.evaluate(AXE)
        wrong += violations(person.page, EVERYTHING)
        person.page.emulate_media(color_scheme="dark")
        wrong += violations(person.page, COLOURS)
        person.page.set_viewport_size({"width": NARROW, "height": 900})
        person.look()
        wrong += violations(person.page, EVERYTHING)
        person.page.emulate_media(color_scheme="light")
        wrong += violations(person.page, COLOURS)
    return wrong


def test_what_everybody_sees(chromium, browse, stack):
    nobody = Person("", browse(), stack.base_url, chromium.expect)
    mailbox = ("/dev/mailbox/", ".row__link")

    found = look_at(nobody, ["/login/", "/password-reset/", "/nowhere/", "/dev/mailbox/", mailbox])

    assert found == []


def test_the_hub(buyer, stack):
    maya = buyer(MAYA)

    def mine(kind):
        rows = stack.accounts["payments"][kind]
        return next(row["id"] for row in rows if row["buyer"] == MAYA)

    found = look_at(
        maya,
        [
            "/hub/",
            ("/hub/", "a[href*='/hub/memberships/']"),
            f"/hub/payments/{mine('partly_refunded')}/open-case/",
            f"/hub/payments/{mine('expired')}/open-case/",
            "/hub/cases/",
            ("/hub/cases/", "a[href*='/hub/cases/reso_']"),
            "/hub/credits/",
        ],
    )

    assert found == []


def test_every_case_of_a_buyer(buyer):
    sofia = buyer(SOFIA)
    sofia.visit("/hub/cases/")
    links = sofia.page.locator("a[href*='/hub/cases/reso_']")
    addresses = [link.get_attribute("href") for link in links.all()]

    found = look_at(sofia, addresses[:4])

    assert found == []


def test_the_dashboard(creator):
    marta = creator(CLUB)
    base = "/dash/resolution-center/"

    found = look_at(
        marta,
        [
            base,
            f"{base}?view=all",
            f"{base}?view=closed",
            (base, "a[href*='/cases/reso_']"),
            (f"{base}?view=closed", "a[href*='/cases/reso_']"),
            f"{base}auto-respond/",
            f"{base}auto-respond/new/",
            f"{base}replies/",
            f"{base}replies/new/",
            f"{base}insights/",
            f"{base}insights/?from=2020-01-01&to=2020-01-02",
        ],
    )

    assert found == []


def test_the_administration(staff):
    priya = staff(PRIYA)
    cases = "/admin/resolution/case/"

    found = look_at(
        priya,
        [
            "/admin/",
            cases,
            (cases, "th a.row__link"),
            (f"{cases}?view=decided", "th a.row__link"),
            f"{cases}money/",
            ("/admin/payments/creditaccount/", "td.field-owner a"),
        ],
    )

    assert found == []
