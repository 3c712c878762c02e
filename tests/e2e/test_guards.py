"""Who is kept out, and what is not done twice: strangers, limits, late and double clicks."""

import re

import pytest

from tests.e2e.people import DANIEL, MAYA, NOT_RECEIVED

pytestmark = pytest.mark.browser
WORDS = "Nothing has come since I paid, neither by e-mail nor in my account."
STORY = "I waited for two days before I wrote this, and nothing came."


@pytest.fixture
def opened(stack, buyer):
    """Open a case of Maya's that waits for the creator: `opened(files=…)`."""

    def open_one(processor="stripe", **more):
        maya = buyer(MAYA)
        payment = stack.take_payment(MAYA, processor)
        case, company = maya.open_case(payment, NOT_RECEIVED, WORDS, **more)
        maya.waits_for(f"Waiting for {company}")
        return maya, case, company

    return open_one


def test_a_case_is_there_for_its_two_sides_only(opened, buyer, creator, browse, stack, files):
    maya, case, company = opened("paypal", files=files)
    file = maya.page.locator("a.file").first.get_attribute("href")
    other = "Loop & Lens" if company == "Sideproject Club" else "Sideproject Club"
    owner, daniel, stranger = creator(company), buyer(DANIEL), creator(other)
    pages = [f"/hub/cases/{case}/", f"/dash/resolution-center/cases/{case}/", file]

    def answers(person):
        return [person.page.request.get(stack.base_url + page).status for page in pages]

    assert answers(maya) == [200, 404, 200]
    assert answers(owner) == [404, 200, 200]
    assert answers(daniel) == [404, 404, 404]
    assert answers(stranger) == [404, 404, 404]
    assert daniel.visit(pages[0]) == 404
    assert daniel.heading == "There is nothing here"
    nobody = browse()
    nobody.goto(stack.base_url + pages[0])
    assert nobody.get_by_role("heading", level=1).inner_text() == "Log in"


def test_a_viewer_reads_and_support_gives_back_only_a_little(buyer, creator, stack):
    daniel = buyer(DANIEL)
    payment = stack.take_payment(DANIEL, "stripe", daniel.can_claim("Landing page clinic"))
    case, company = daniel.open_case(payment, NOT_RECEIVED, WORDS)
    daniel.waits_for(f"Waiting for {company}")
    viewer, support = creator(company, "viewer"), creator(company, "support")

    viewer.see(case)
    support.see(case)

    assert viewer.page.get_by_role("textbox").count() == 0
    assert viewer.page.get_by_role("radio").count() == 0
    assert viewer.times_told(WORDS) == 1
    assert support.page.locator(".choice b").all_inner_texts() == [
        "Request more details",
        "Deny the request",
    ]
    support.reads("You can’t accept this one.")


def test_a_double_click_and_a_repeated_request_count_once(opened, creator, stack):
    maya, case, company = opened()
    owner = creator(company)
    owner.see(case)
    owner.choose("Accept and refund")

    with owner.page.expect_request(lambda request: request.method == "POST") as sent:
        owner.page.get_by_role("button", name=re.compile("^Refund ")).dblclick()
    owner.reads("Accepted. The refund is on its way.")
    again = owner.page.request.post(
        sent.value.url,
        data=sent.value.post_data_buffer,
        headers={
            "Content-Type": sent.value.headers["content-type"],
            "Referer": sent.value.headers["referer"],
        },
    )
    owner.page.go_back()
    offered = owner.page.get_by_role("button", name=re.compile("^Refund ")).count()
    maya.waits_for("Case closed.")
    owner.see(case)

    assert (again.status, offered) == (200, 0)
    assert owner.times_told("accepted the request") == 1
    assert owner.times_told("Refund requested.") == 1
    assert owner.times_told("Refund arrived.") == 1


def test_a_page_that_is_open_for_too_long_keeps_the_words(opened, creator):
    maya, case, company = opened()
    first, second = creator(company), creator(company)

    first.see(case)
    second.see(case)
    first.accept()
    second.choose("Deny the request")
    second.page.get_by_label("Why not?").fill("It was delivered on time.")
    with second.page.expect_response("**/respond/") as answer:
        second.page.get_by_role("button", name="Deny the request").click()
    second.page.wait_for_load_state()

    assert answer.value.status == 409
    second.reads("This case has changed")
    second.reads("It was delivered on time.")
    maya.page.reload()
    assert maya.times_told("It was delivered on time.") == 0


def test_a_form_with_a_mistake_keeps_text_and_files(stack, buyer, files):
    daniel = buyer(DANIEL)
    daniel.visit(f"/hub/payments/{stack.take_payment(DANIEL, 'stripe')}/open-case/")

    daniel.describe(NOT_RECEIVED, STORY, part="99999", files=files)
    daniel.page.evaluate("window.opened = 'once'")
    with daniel.page.expect_response("**/open-case/") as answer:
        daniel.send()
    told = daniel.page.get_by_role("alert").inner_text()
    title = daniel.page.title()[:7]
    daniel.expect(daniel.page.get_by_role("alert")).to_be_focused()
    opened = daniel.page.evaluate("window.opened")
    kept = daniel.page.locator(".file__name").all_inner_texts()
    text = daniel.page.get_by_label("What happened?").input_value()
    daniel.page.get_by_role("radio", name="All of it").check()
    daniel.send()

    assert answer.value.status == 422
    assert (opened, title) == ("once", "Error: ")
    assert "Enter an amount from $0.01 to " in told
    assert kept == [file.name for file in files]
    assert text == STORY
    assert daniel.page.locator("a.file .file__name").all_inner_texts() == kept
