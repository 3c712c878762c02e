"""The form that opens a case: its sentences, and the amounts it does not believe."""

from typing import Any

import pytest
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from marketplace.models import User
from payments.models import Payment
from resolution import cases
from resolution.forms.opening import OpenCaseForm
from tests.evidence import hostile
from tests.evidence.hostile import upload
from tests.people import MakePayment

pytestmark = pytest.mark.usefixtures("stored")

ENOUGH = "The page says twelve live calls, and there was one."
GOOD = {"reason": "not_as_described", "ask": "full", "amount": "", "description": ENOUGH}


def fill_in(user: User, payment: Payment, **fields: Any) -> OpenCaseForm:
    data = QueryDict(mutable=True)
    data.update({k: v for k, v in (GOOD | fields).items() if v is not None})
    return OpenCaseForm(data, MultiValueDict(), user=user, payment=payment)


def test_all_of_a_payment_can_be_asked_for(bea: User, payment: Payment) -> None:
    form = fill_in(bea, payment)

    assert form.is_valid()
    assert form.cleaned_data["asked_minor"] == 6400
    assert (form.text, form.files_to_send) == (ENOUGH, [])


def test_a_valid_form_opens_a_case(bea: User, payment: Payment) -> None:
    form = fill_in(bea, payment, ask="part", amount="$12.50")
    assert form.is_valid()

    case = cases.open_case(
        payment, bea, reason=form.cleaned_data["reason"], message=form.text,
        asked_minor=form.cleaned_data["asked_minor"], files=form.files_to_send,
        form_key=form.cleaned_data["form_key"],
    )  # fmt: skip

    assert (case.reason, case.asked_minor) == ("not_as_described", 1250)
    assert case.events.get().message == ENOUGH


def test_all_of_a_partly_refunded_payment_is_what_is_left(
    bea: User, make_payment: MakePayment
) -> None:
    form = fill_in(bea, make_payment(refunded_minor=1400))

    assert form.is_valid()
    assert form.cleaned_data["asked_minor"] == 5000
    assert form["ask"].help_text == (
        "You paid $64.00. $50.00 of it can still be refunded."
        " Ask for part of it if part of the product was fine."
    )
    assert form.ask_options[0] == ("full", "All of it", "$50.00 back to your Visa ending 4242")


@pytest.mark.parametrize(
    "amount",
    [
        "", " ", "0", "0.00", "-1", "−1", "64.01", "1e309", "1e3", "NaN", "inf", "12.345",
        "12 EUR", "€12", "twelve", "١٢", "9" * 400, "1\0", "0x10", "1,2",
    ],
)  # fmt: skip
def test_an_amount_that_cannot_be_is_refused_with_the_range(
    amount: str, bea: User, payment: Payment
) -> None:
    form = fill_in(bea, payment, ask="part", amount=amount)

    assert not form.is_valid()
    assert form.errors == {"amount": ["Enter an amount from $0.01 to $64.00."]}
    assert "asked_minor" not in form.cleaned_data


def test_a_currency_without_decimals_says_so(bea: User, make_payment: MakePayment) -> None:
    form = fill_in(bea, make_payment(currency="JPY"), ask="part", amount="12.50")

    assert not form.is_valid()
    assert form.errors == {"amount": ["Enter an amount from ¥1 to ¥6,400, without decimals."]}
    assert form.currency_sign == "¥"


@pytest.mark.parametrize(
    ("processor", "currency", "amount", "sentence"),
    [
        ("stripe", "KWD", "4.505", "from KWD\xa00.010 to KWD\xa06.400, in steps of KWD\xa00.010."),
        ("paypal", "HUF", "12.50", "from HUF\xa01.00 to HUF\xa064.00, without decimals."),
    ],
)
def test_an_amount_that_its_provider_cannot_pay_back_says_so(
    processor: str, currency: str, amount: str, sentence: str, bea: User, make_payment: MakePayment
) -> None:
    payment = make_payment(processor=processor, currency=currency)

    refused = fill_in(bea, payment, ask="part", amount=amount)
    taken = fill_in(bea, payment, ask="part", amount=f"{amount[:-2]}00")

    assert refused.errors == {"amount": [f"Enter an amount {sentence}"]}
    assert taken.is_valid()


@pytest.mark.parametrize("left_over", ["999999", "abc", "a\0b"])
def test_an_amount_does_not_count_when_all_is_asked_for(
    left_over: str, bea: User, payment: Payment
) -> None:
    form = fill_in(bea, payment, ask="full", amount=left_over)

    assert form.is_valid()
    assert form.cleaned_data["asked_minor"] == 6400


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Describe what happened in at least 30 characters."),
        ("\u200b" * 40, "Describe what happened in at least 30 characters."),
        (
            "not what I wanted",
            "Describe what happened in at least 30 characters. You’ve written 17.",
        ),
        ("a" * 4001, "This is 4,001 characters long. Shorten it to 4,000."),
        ("a\0" * 30, "This text has an unsupported character in it. Remove it and try again."),
    ],
)
def test_a_description_must_describe(text: str, sentence: str, bea: User, payment: Payment) -> None:
    form = fill_in(bea, payment, description=text)

    assert not form.is_valid()
    assert form.errors == {"description": [sentence]}


def test_every_mistake_is_told_at_once_and_nothing_is_lost(bea: User, payment: Payment) -> None:
    data = QueryDict("ask=part&amount=190&description=not+what+I+wanted")
    files: MultiValueDict[str, UploadedFile] = MultiValueDict()
    files.appendlist("files", upload("listing.png", hostile.picture()))
    form = OpenCaseForm(data, files, user=bea, payment=payment)

    assert not form.is_valid()
    assert form.errors == {
        "reason": ["Choose what went wrong."],
        "amount": ["Enter an amount from $0.01 to $64.00."],
        "description": ["Describe what happened in at least 30 characters. You’ve written 17."],
    }
    assert [kept.filename for kept in form.kept_files] == ["listing.png"]
    assert (form["amount"].value(), form["description"].value()) == ("190", "not what I wanted")


def test_only_known_choices_are_taken(bea: User, payment: Payment) -> None:
    form = fill_in(bea, payment, reason="void", ask="twice")

    assert not form.is_valid()
    assert sorted(form.errors) == ["ask", "reason"]


def test_every_reason_is_explained(bea: User, payment: Payment) -> None:
    form = OpenCaseForm(user=bea, payment=payment)

    assert [value for value, _, _ in form.reason_options] == [
        "product_not_received",
        "not_as_described",
        "product_unacceptable",
        "subscription_canceled",
        "fraudulent",
    ]
    assert all(note for _, _, note in form.reason_options)
    assert (form["reason"].value(), form["ask"].value()) == (None, "full")


def test_fields_come_in_the_order_of_the_page(bea: User, payment: Payment) -> None:
    form = OpenCaseForm(user=bea, payment=payment)

    assert [field.name for field in form.visible_fields()] == [
        "reason", "ask", "amount", "description", "files",
    ]  # fmt: skip
