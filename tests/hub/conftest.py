"""Bea in her hub, and what the tests of its pages read them by."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from marketplace import clock
from marketplace.models import Membership, Product, User
from payments.models import Payment
from resolution import cases
from resolution.models import Case
from resolution.terms import Actor
from tests.people import MakePayment

OpeningForm = Callable[..., dict[str, Any]]
Walk = Callable[..., Case]


@pytest.fixture
def beas_browser(client: Client, bea: User) -> Client:
    """Bea, logged in."""
    client.force_login(bea)
    return client


@pytest.fixture
def nias_browser(nia: User) -> Client:
    """Nia, a stranger to the case, logged in."""
    other = Client()
    other.force_login(nia)
    return other


@pytest.fixture
def cleos_browser(cleo: User) -> Client:
    """Cleo, who owns the company, logged in."""
    other = Client()
    other.force_login(cleo)
    return other


@pytest.fixture
def opening() -> OpeningForm:
    """The fields of a form that opens a case, complete unless told otherwise."""

    def make(**fields: Any) -> dict[str, Any]:
        return {
            "reason": "not_as_described",
            "ask": "full",
            "description": "The page says forty presets. I count nine of them.",
        } | fields

    return make


@pytest.fixture
def take(waiting_case: Case) -> Walk:
    """Take steps on bea's case, one after the other: `take(("deny", creator), …)`."""

    def walk(*steps: tuple[str, Actor], **more: Any) -> Case:
        for step, actor in steps:
            case = Case.objects.get(pk=waiting_case.pk)
            message = f"My words on {step.replace('_', ' ')}."
            cases.take_step(case, step, actor, message=message, **more)
        return Case.objects.get(pk=waiting_case.pk)

    return walk


@pytest.fixture
def many_of_bea(bea: User, product: Product, make_payment: MakePayment) -> Callable[[int], None]:
    """That many more memberships, payments and cases of bea's."""

    def make(many: int) -> None:
        for _ in range(many):
            held = Membership.objects.create(user=bea, product=product)
            payment = make_payment(membership=held)
            cases.open_case(
                payment, bea, reason="not_as_described", message="One of many.", asked_minor=6400
            )

    return make


def picture(name: str = "listing.png") -> SimpleUploadedFile:
    """A small picture, as a browser sends it."""
    out = BytesIO()
    Image.new("RGB", (8, 8), "teal").save(out, "PNG")
    return SimpleUploadedFile(name, out.getvalue(), content_type="image/png")


def page_of(case: Case) -> str:
    return reverse("hub-case", args=[case.public_id])


def act_on(case: Case, act: str) -> str:
    return reverse("hub-act", args=[case.public_id, act])


def form_of(payment: Payment) -> str:
    return reverse("hub-open-case", args=[payment.public_id])


def words_of(response: Any, pattern: str = "(?s)<main.*</main>") -> list[str]:
    """The text of every part of a page that matches, without its tags."""
    found = re.findall(pattern, response.content.decode())
    plain = [" ".join(unescape(re.sub(r"<[^>]+>", " ", part)).split()) for part in found]
    return [re.sub(r" (?=[.,?])", "", part) for part in plain]


def text_of(response: Any) -> str:
    """The text of a page's main part."""
    return words_of(response)[0]


def long_ago(**ago: int) -> Any:
    return clock.now() - timedelta(**ago)
