"""The mailbox of a demo, and the administration, as everybody has to be able to use them.

All other pages are looked at in tests/ui.
"""

import pytest

from tests.e2e.conftest import NARROW, WIDE
from tests.e2e.people import PRIYA, Person

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


def test_the_mailbox(chromium, browse, stack):
    nobody = Person("", browse(), stack.base_url, chromium.expect)

    found = look_at(nobody, ["/dev/mailbox/", ("/dev/mailbox/", ".row__link")])

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
