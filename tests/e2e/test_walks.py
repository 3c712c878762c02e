"""Cases from the first click to the last: three sides in three browsers, and real workers."""

import re

import pytest

from tests.e2e.conftest import NARROW
from tests.e2e.people import (
    CANCELED,
    DANIEL,
    MAYA,
    NOT_AS_DESCRIBED,
    NOT_RECEIVED,
    OMAR,
    PRIYA,
    SOFIA,
    Staff,
    log_in,
    team_of,
)

pytestmark = pytest.mark.browser
WORDS = "The page promised forty templates, and only nine of them are in the folder."
BOTH_PROCESSORS = pytest.mark.parametrize("processor", ["stripe", "paypal"])


@BOTH_PROCESSORS
def test_a_case_goes_all_the_way_to_a_final_review(
    stack, buyer, creator, staff, browse, files, processor
):
    maya, priya, omar = buyer(MAYA), staff(PRIYA), staff(OMAR)
    payment = stack.take_payment(MAYA, processor)

    maya.find_payment(payment)
    maya.describe(NOT_AS_DESCRIBED, WORDS, files=files)
    company = maya.send()
    case = maya.page.url.rstrip("/").split("/")[-1]
    asked, product = maya.asked(), maya.product()
    maya.waits_for(f"Waiting for {company}")

    owner = creator(company)
    owner.see(case)
    assert owner.page.locator("a.file .file__name").all_inner_texts() == [f.name for f in files]
    owner.ask("Which folder did you look in?")
    assert owner.turn.startswith("Waiting for Maya")

    maya.page.reload()
    assert maya.turn.startswith(f"Answer {company} by ")
    maya.answer("In the one that your e-mail links to.", files[:1])
    owner.page.reload()
    assert owner.turn.startswith("Reply to Maya by ")
    owner.deny("All forty are there, in the second folder.")
    maya.page.reload()
    assert maya.turn == f"{company} denied your request"
    maya.appeal_denial("There is no second folder behind that link.")
    assert maya.turn == "Whop is reviewing"

    priya.find(case)
    first_why = "Half of it could not be found from the link that was sent."
    priya.page.get_by_role("radio", name="Refund Maya").check()
    priya.press("Half")
    half = priya.page.get_by_role("textbox", name="Amount").input_value()
    priya.decide("Refund Maya", first_why, note="Seen the folder myself.")
    maya.page.reload()
    assert maya.turn == f"You get ${half} back"

    appealing = owner if processor == "stripe" else maya
    appealing.page.reload()
    appealing.appeal_decision("Please look at the folder once more.")
    priya.see(case)
    priya.reads("You don’t decide this one")
    omar.find(case)
    final_why = "The folder was there, and hard to find. Half is fair."
    omar.decide("Refund Maya", final_why, amount=half)

    for reader in (maya, owner, omar):
        reader.page.bring_to_front()
        reader.see(case)
        reader.waits_for("Case closed.")
    omar.opens_timeline()
    theirs, ours = maya.timeline(), omar.timeline()
    notes = {id for id, text in ours if "Internal note" in text}
    assert [id for id, _ in theirs] == [id for id, _ in owner.timeline()]
    assert [id for id, _ in theirs] == [id for id, _ in ours if id not in notes]
    assert [reader.times_told("Seen the folder myself.") for reader in (maya, owner, omar)] == [
        0, 0, 1,
    ]  # fmt: skip
    for reader in (maya, owner, omar):
        for said in (WORDS, "Which folder", "that your e-mail links to", "second folder.",
                     first_why, "once more.", final_why, "Refund requested.", "Refund sent.",
                     "Refund arrived.", "Case closed."):  # fmt: skip
            assert reader.times_told(said) == 1, (reader.email, said)
    assert (maya.times_told(f"+${half}"), owner.times_told(f"−${half}")) == (1, 1)
    assert maya.turn.startswith(f"${half} was refunded to your ")
    assert owner.turn == f"${half} was refunded to Maya"
    told_maya = [
        f"We have your case about {product}",
        f"{company} asks you for more details. Answer by DATE",
        f"{company} denied your request. Appeal by DATE",
        f"Whop decided: you get ${half} back",
        *([f"{company} appealed Whop’s decision"] if appealing is owner else []),
        f"Final decision: you get ${half} back",
        f"Case closed: {product}, ${half} refunded",
    ]
    told_owner = [
        f"Maya Okafor asks for {asked} back. Reply by DATE",
        "Maya Okafor answered. Reply by DATE",
        "Maya Okafor appealed your denial",
        f"Whop decided: ${half} goes back to Maya from your balance",
        *(["Maya Okafor appealed Whop’s decision"] if appealing is maya else []),
        f"Final decision: ${half} goes back to Maya from your balance",
        f"Case closed: {product}, ${half} refunded",
    ]
    assert mail_to(stack, case, MAYA, wait_for=len(told_maya)) == told_maya
    assert mail_to(stack, case, owner.email, wait_for=len(told_owner)) == told_owner
    assert mail_to(stack, case, team_of(company, "viewer")) == []
    if processor == "stripe":
        follow_a_mail(browse(), stack, MAYA, f"Final decision: you get ${half} back")
    else:
        subject = f"Final decision: ${half} goes back to Maya from your balance"
        follow_a_mail(browse(), stack, owner.email, subject)


MONTHS = (
    r"(January|February|March|April|May|June|July|August|September|October|November|December) \d+$"
)


def mail_to(stack, case, email, wait_for=0):
    """The subjects of the e-mails about a case that somebody got, the dates left out."""
    told = stack.mail_about(case, email, at_least=wait_for)
    return [re.sub(MONTHS, "DATE", subject) for subject in told]


def follow_a_mail(page, stack, email, subject):
    """From the mailbox through the login to the case, as somebody who is not logged in."""
    page.goto(f"{stack.base_url}/dev/mailbox/?to={email}")
    page.get_by_role("link", name=subject).first.click()
    page.locator("pre a[href*='/cases/reso_']").click()
    log_in(page, email)
    page.locator("#now").wait_for()

    assert page.locator("ol.timeline").count() == 1


def test_a_creator_accepts_and_the_money_goes_back(stack, buyer, creator):
    maya = buyer(MAYA)
    opened = []
    for processor in ("stripe", "paypal"):
        case, company = maya.open_case(stack.take_payment(MAYA, processor), NOT_RECEIVED, WORDS)
        opened.append((case, maya.asked()))
        maya.waits_for(f"Waiting for {company}")
        owner = creator(company)
        owner.see(case)
        owner.accept("Sorry for that. It is on its way.")
        owner.reads("Accepted. The refund is on its way.")

    for case, asked in opened:
        maya.see(case)
        maya.waits_for("Case closed.")

        assert maya.turn.startswith(f"{asked} was refunded to your ")
        assert maya.times_told("Sorry for that.") == 1
        assert maya.times_told("Refund arrived.") == 1


def test_a_rule_refunds_without_anybody_doing_anything(stack, buyer):
    sofia = buyer(SOFIA)
    opened = []
    for processor, part in (("stripe", ""), ("paypal", "41.50")):
        payment = stack.take_payment(SOFIA, processor, sofia.can_claim("Send to Kiln School"))
        case, _ = sofia.open_case(payment, CANCELED, WORDS, part=part)
        opened.append((case, sofia.asked()))

    for case, asked in opened:
        sofia.see(case)
        sofia.waits_for("Case closed.")

        assert sofia.times_told("Sent by auto-respond.") == 1
        assert sofia.times_told(f"Hi Sofia, no hard feelings: {asked} for ") == 1
        assert sofia.times_told("They had until") == 0
        assert sofia.turn.startswith(f"{asked} was refunded to your ")
    assert opened[1][1] == "$41.50"


def test_silence_brings_it_to_staff_who_decide_on_a_phone_without_scripts(
    stack, chromium, browse, buyer, staff
):
    phone = {"width": NARROW, "has_touch": True, "java_script_enabled": False}
    daniel, priya = buyer(DANIEL), staff(PRIYA, **phone)
    omar = Staff(OMAR, browse(**phone), stack.base_url, chromium.expect)
    cases = [
        daniel.open_case(stack.take_payment(DANIEL, processor), NOT_AS_DESCRIBED, WORDS)[0]
        for processor in ("stripe", "paypal")
    ]
    for case in cases:
        daniel.see(case)
        daniel.waits_for("Waiting for ")

    stack.advance(7)
    for case, outcome, amount, told in zip(
        cases,
        ("Whop Credits", "No refund"),
        ("12.50", ""),
        ("You get $12.50 in Whop Credits", "There is no refund"),
        strict=True,
    ):
        daniel.see(case)
        daniel.waits_for("Whop is reviewing")
        priya.find(case)
        priya.press("Take it")
        priya.reads("Assigned to you.")
        priya.decide(outcome, "Nobody answered, and you lost time.", amount=amount)
        daniel.page.reload()
        assert daniel.turn == told
    daniel.appeal_decision("Thirty-one templates are missing.")
    omar.visit("/admin/resolution/case/?why=final")
    log_in(omar.page, OMAR)
    omar.page.locator(f"a[href*='{cases[1]}']").click()
    omar.press("Take over")
    omar.decide("Refund Daniel", "They are missing, as the folder shows.", amount="7")
    stack.advance(7)
    for case, told in zip(
        cases, ("Whop Credits added to your account.", "Refund arrived."), strict=True
    ):
        daniel.see(case)
        daniel.waits_for("Case closed.")
        assert daniel.times_told(told) == 1

    daniel.press("Credits")
    daniel.reads("You have $12.50 to use on any product.")
    assert daniel.page.locator("tbody td:nth-child(3)").all_inner_texts() == ["+$12.50"]


@pytest.mark.parametrize(
    ("options", "part"),
    [({"java_script_enabled": False}, "9.99"), ({"width": NARROW, "has_touch": True}, "8.88")],
    ids=["without scripts", "on a phone"],
)
def test_a_case_can_be_opened_and_accepted_anywhere(stack, buyer, creator, files, options, part):
    maya = buyer(MAYA, **options)

    maya.find_payment(stack.take_payment(MAYA, "stripe"))
    maya.describe(NOT_RECEIVED, WORDS, part=part, files=files)
    company = maya.send()
    case = maya.page.url.rstrip("/").split("/")[-1]
    maya.waits_for(f"Waiting for {company}")
    owner = creator(company, **options)
    owner.visit("/dash/resolution-center/")
    owner.page.locator(f"a[href*='{case}']").click()
    owner.look()
    owner.accept()
    maya.see(case)
    maya.waits_for("Case closed.")
    maya.visit("/hub/cases/")
    maya.visit("/hub/")

    assert maya.page.locator(".row__link", has_text=f"${part}").count() == 1


def test_a_buyer_withdraws_after_being_asked_once_more(stack, buyer, creator):
    maya = buyer(MAYA)
    case, company = maya.open_case(stack.take_payment(MAYA, "paypal"), NOT_RECEIVED, WORDS)
    maya.waits_for(f"Waiting for {company}")
    owner = creator(company)

    owner.see(case)
    owner.comment("We are looking for it.")
    maya.see(case)
    maya.comment("Thank you.")
    maya.press("Withdraw this case")
    maya.reads("Withdraw this case?")
    maya.press("Keep it as it is")
    assert maya.turn == f"Waiting for {company}"
    maya.press("Withdraw this case")
    maya.press("Withdraw and close the case")
    owner.see(case)

    assert maya.turn == "You withdrew the case"
    assert owner.turn == "Maya withdrew the case"
    assert [owner.times_told(said) for said in ("We are looking for it.", "Thank you.")] == [1, 1]
    assert owner.page.get_by_role("textbox").count() == 0
