"""A page that stays open: what is typed into it, what happens elsewhere meanwhile."""

import pytest

from tests.e2e.people import DANIEL, NOT_RECEIVED, log_in

pytestmark = pytest.mark.browser
WORDS = "Nothing has come since I paid, neither by e-mail nor in my account."


@pytest.fixture
def both(stack, buyer, creator):
    """A new case of Daniel's, open before him and before the creator: `both("stripe")`."""

    def open_one(processor):
        daniel = buyer(DANIEL)
        payment = stack.take_payment(DANIEL, processor)
        case, company = daniel.open_case(payment, NOT_RECEIVED, WORDS)
        daniel.waits_for(f"Waiting for {company}")
        owner = creator(company)
        owner.see(case)
        return daniel, owner

    return open_one


def test_a_text_and_its_files_outlive_the_page_and_the_session(both, files):
    _, owner = both("stripe")
    page, why = owner.page, owner.page.get_by_label("Why not?")
    saved, kept = page.get_by_text("Saved. Not sent yet."), page.locator("div.file .file__name")

    owner.choose("Deny the request")
    page.locator("form.respond input[type=file]").set_input_files(files)
    kept.nth(1).wait_for()
    why.fill("It was sent on the day of the payment.")
    saved.first.wait_for()
    page.reload()
    after_reload = why.input_value(), kept.all_inner_texts()
    page.context.clear_cookies(name="session")
    why.fill("It was sent on the day of the payment, as the record shows.")
    owner.press("Deny the request")
    log_in(page, owner.email)
    why.wait_for()

    names = [file.name for file in files]
    assert after_reload == ("It was sent on the day of the payment.", names)
    assert why.input_value() == "It was sent on the day of the payment, as the record shows."
    assert kept.all_inner_texts() == names
    owner.press("Deny the request")
    assert owner.times_told("as the record shows.") == 1
    assert page.locator("a.file .file__name").all_inner_texts() == names


def test_an_open_page_tells_of_the_other_sides_act_and_keeps_what_is_being_typed(both):
    daniel, owner = both("paypal")
    why = owner.page.get_by_label("Why not?")
    owner.choose("Deny the request")
    why.fill("I am still wri")
    before = owner.page.evaluate("scrollY")

    daniel.comment("It came just now.")
    news = owner.page.get_by_role("link", name="Show 1 new message")
    news.wait_for()
    moved = owner.page.evaluate("scrollY") - before
    why.press("End")
    why.press_sequentially("ting.")
    news.click()
    owner.page.get_by_text("It came just now.").wait_for()

    assert moved == 0
    assert why.input_value() == "I am still writing."
    assert owner.page.get_by_role("radio", name="Deny the request").is_checked()
    owner.press("Deny the request")
    daniel.page.get_by_role("link", name="This case has moved on. Show it").click()
    daniel.page.get_by_text("I am still writing.").wait_for()
    assert daniel.turn.endswith("denied your request")
