"""The pages that only a running demo has; tests/ui looks at all others in the same way."""

import pytest

from tests.e2e.people import Person

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser
AXE = axe.Axe().axe_script
RUN = """async options => (await axe.run(document, options)).violations.flatMap(rule =>
    rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))"""


def test_the_mailbox(chromium, browse, stack):
    nobody = Person("", browse(), stack.base_url, chromium.expect)
    page, found = nobody.page, []

    nobody.visit("/dev/mailbox/")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(AXE)
        found += page.evaluate(RUN, {"resultTypes": ["violations"]})
    page.locator(".row__link").first.click()
    page.wait_for_load_state()
    page.evaluate(AXE)
    found += page.evaluate(RUN, {"resultTypes": ["violations"]})

    assert found == []
