"""Opening a case from the hub: once per payment, and without ever losing what was written."""

import threading
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from marketplace.models import User
from payments.models import Payment
from resolution import cases
from resolution.eligibility import NotEligible
from resolution.models import Attachment, Case
from tests.hub.conftest import OpeningForm, form_of, long_ago, page_of, picture, text_of
from tests.people import MakePayment


def test_the_form_names_the_payment_and_chooses_no_reason(
    beas_browser: Client, payment: Payment
) -> None:
    response = beas_browser.get(form_of(payment))

    assert response.status_code == 200
    assert "Golden Hour presets from Loop & Lens" in text_of(response)
    assert response.content.decode().count(" checked") == 1  # all of it, but no reason


def test_a_case_is_opened_and_shown(
    beas_browser: Client, payment: Payment, bea: User, opening: OpeningForm
) -> None:
    response = beas_browser.post(form_of(payment), opening(files=[picture()]), follow=True)

    case = Case.objects.get()
    assert response.redirect_chain == [(page_of(case), 302)]
    assert (case.buyer, case.asked_minor, case.reason) == (bea, 6400, "not_as_described")
    assert [file.filename for file in case.events.get(seq=1).attachments.all()] == ["listing.png"]
    assert "The page says forty presets. I count nine of them." in text_of(response)


def test_a_part_can_be_asked_for(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    beas_browser.post(form_of(payment), opening(ask="part", amount="12.50"))

    assert Case.objects.get().asked_minor == 1250


def test_a_partly_refunded_payment_asks_for_the_rest(
    beas_browser: Client, make_payment: MakePayment, opening: OpeningForm
) -> None:
    payment = make_payment(refunded_minor=1400)

    beas_browser.post(form_of(payment), opening())

    assert Case.objects.get().asked_minor == 5000


def test_a_refused_form_keeps_the_text_the_choice_and_the_files(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    fields = opening(description="Too short.", files=[picture()])

    response = beas_browser.post(form_of(payment), fields)

    html = response.content.decode()
    assert response.status_code == 422
    assert "<title>Error: Open a case for Golden Hour presets</title>" in html
    assert "Describe what happened in at least 30 characters. You’ve written 10." in html
    assert ">\nToo short.</textarea>" in html
    assert 'value="not_as_described" checked' in html
    kept = Attachment.objects.get()
    assert f'name="uploads" value="{kept.public_id}"' in html
    assert "listing.png" in text_of(response)
    assert not Case.objects.exists()


def test_a_file_that_was_kept_is_sent_with_the_next_try(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    beas_browser.post(form_of(payment), opening(reason="", files=[picture()]))
    kept = Attachment.objects.get()

    beas_browser.post(form_of(payment), opening(uploads=[kept.public_id]))

    assert list(Case.objects.get().events.get(seq=1).attachments.all()) == [kept]


def test_a_file_can_be_taken_out_again(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    beas_browser.post(form_of(payment), opening(reason="", files=[picture()]))
    kept = Attachment.objects.get().public_id

    response = beas_browser.post(form_of(payment), opening(uploads=[kept], remove_upload=kept))

    assert response.status_code == 200
    assert "listing.png" not in text_of(response)
    assert "I count nine of them." in text_of(response)
    assert not Case.objects.exists()


@pytest.mark.parametrize("amount", ["", "0", "-1", "64.01", "190", "1.234", "a lot"])
def test_an_amount_that_cannot_be_asked_for_is_refused(
    beas_browser: Client, payment: Payment, opening: OpeningForm, amount: str
) -> None:
    response = beas_browser.post(form_of(payment), opening(ask="part", amount=amount))

    assert response.status_code == 422
    assert "Enter an amount from $0.01 to $64.00." in text_of(response)
    assert f'value="{amount}"' in response.content.decode() or not amount
    assert not Case.objects.exists()


def test_an_amount_that_was_typed_and_given_up_is_ignored(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    beas_browser.post(form_of(payment), opening(ask="full", amount="a lot"))

    assert Case.objects.get().asked_minor == 6400


def test_the_same_form_sent_twice_is_one_case(
    beas_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    fields = opening(form_key=str(uuid4()))

    first = beas_browser.post(form_of(payment), fields)
    second = beas_browser.post(form_of(payment), fields)

    case = Case.objects.get()
    assert (first.url, second.url) == (page_of(case), page_of(case))  # type: ignore[attr-defined]
    assert case.events.count() == 1


def test_another_form_for_the_same_payment_keeps_its_text(
    beas_browser: Client, case: Case, opening: OpeningForm
) -> None:
    response = beas_browser.post(form_of(case.payment), opening(form_key=str(uuid4())))

    assert response.status_code == 409
    said = text_of(response)
    assert "This payment already has a case. Each can have one." in said
    assert "It was not sent. Copy it if you still need it." in said
    assert "The page says forty presets. I count nine of them." in said
    assert page_of(case) in response.content.decode()
    assert Case.objects.get() == case


def test_the_form_of_a_payment_with_a_case_leads_to_the_case(
    beas_browser: Client, case: Case
) -> None:
    assert beas_browser.get(form_of(case.payment)).headers["Location"] == page_of(case)


def test_the_form_of_a_payment_that_is_too_old_says_so(
    beas_browser: Client, make_payment: MakePayment, opening: OpeningForm
) -> None:
    payment = make_payment(paid_at=long_ago(days=31))

    shown, sent = beas_browser.get(form_of(payment)), beas_browser.post(form_of(payment), opening())

    assert (shown.status_code, sent.status_code) == (200, 409)
    assert "The 30 days to open a case for this payment are over." in text_of(shown)
    assert "I count nine of them." in text_of(sent)
    assert not Case.objects.exists()


def test_somebody_elses_payment_looks_like_none(
    nias_browser: Client, payment: Payment, opening: OpeningForm
) -> None:
    none = reverse("hub-open-case", args=["pay_00000000000000"])

    answers = [
        (nias_browser.get(form_of(payment)), nias_browser.get(none)),
        (nias_browser.post(form_of(payment), opening()), nias_browser.post(none, opening())),
    ]

    for theirs, missing in answers:
        assert (theirs.status_code, missing.status_code) == (404, 404)
        assert theirs.content == missing.content
    assert not Case.objects.exists()


def test_who_is_logged_out_comes_back_after_the_login(client: Client, payment: Payment) -> None:
    response = client.get(form_of(payment))

    assert response.headers["Location"] == f"/login/?next={form_of(payment)}"


@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_one_opens_the_case(payment: Payment, bea: User) -> None:
    start = threading.Barrier(8)
    ends: list[str] = []

    def open_at_once() -> None:
        start.wait()
        try:
            opened = cases.open_case(
                payment, bea, reason="not_as_described", message="At once.", asked_minor=6400
            )
            ends.append(opened.public_id)
        except NotEligible as reason:
            ends.append(reason.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=open_at_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    case = Case.objects.get()
    assert sorted(ends) == ["has_case"] * 7 + [case.public_id]
    assert case.events.filter(step="open_case").count() == 1
