"""Single sign-on, against an OpenID provider over HTTP: whom it lets in, and whom never."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from pytest_django import Settings

from marketplace.models import User
from tests.accounts import issuer as provider
from tests.accounts.conftest import code, give_app
from tests.accounts.issuer import Issuer
from tests.people import make_user


@pytest.fixture(scope="module")
def a_provider() -> Iterator[Issuer]:
    with provider.running() as issuer:
        yield issuer


@pytest.fixture
def issuer(a_provider: Issuer, settings: Settings, bea: User) -> Issuer:
    """It vouches for bea, unless it is told otherwise."""
    settings.SSO_ISSUER, settings.SSO_NAME = a_provider.address, "Acme"
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = provider.CLIENT, provider.SECRET
    a_provider.claims = {"sub": "acme-1", "email": bea.email, "email_verified": True}
    a_provider.twist = {}
    a_provider.asked = []
    return a_provider


def come_back(client: Client, next_page: str = "") -> str:
    """From our login page to the provider; answers where it sends the browser back to."""
    sent = client.get("/login/sso/", {"next": next_page})
    back = requests.get(sent["Location"], allow_redirects=False, timeout=5)
    return back.headers["Location"]


def log_in_there(client: Client, next_page: str = "") -> Any:
    place = urlsplit(come_back(client, next_page))
    assert (place.scheme, place.netloc) == ("https", "testserver")
    return client.get(f"{place.path}?{place.query}")


def who(client: Client) -> str:
    return str(client.session.get("_auth_user_id", ""))


def test_an_address_that_is_verified_there_is_linked_and_told(issuer: Issuer, bea: User) -> None:
    client = Client()

    answer = log_in_there(client, "/hub/cases/")

    assert (answer["Location"], who(client)) == ("/hub/cases/", str(bea.pk))
    assert [link.uid for link in SocialAccount.objects.filter(user=bea)] == ["acme-1"]
    assert [event.kind for event in bea.account_events.all()] == ["linked"]
    assert issuer.asked[-2:] == ["/token", "/keys"] or issuer.asked[-1] == "/keys"


def test_who_is_linked_stays_linked_whatever_becomes_of_the_address(
    issuer: Issuer, bea: User
) -> None:
    log_in_there(Client())
    issuer.claims = {"sub": "acme-1", "email": "other@example.com", "email_verified": False}
    client = Client()

    log_in_there(client)

    assert who(client) == str(bea.pk)
    assert SocialAccount.objects.get(user=bea).extra_data == {}


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_opens_nothing(
    issuer: Issuer, bea: User, verified: object
) -> None:
    issuer.claims["email_verified"] = verified
    client = Client()

    answer = log_in_there(client)

    assert (answer["Location"], who(client)) == ("/login/", "")
    assert list(SocialAccount.objects.all()) == []


def test_another_who_gets_a_freed_address_there_is_not_the_person_here(
    issuer: Issuer, bea: User
) -> None:
    nat = make_user("Nat Away")
    log_in_there(Client())
    User.objects.filter(pk=bea.pk).update(email="moved@example.com")
    issuer.claims = {"sub": "acme-2", "email": bea.email, "email_verified": True}
    client = Client()

    log_in_there(client)

    assert (who(client), nat.is_active) == ("", True)


def test_nobody_is_made_up(issuer: Issuer) -> None:
    issuer.claims = {"sub": "acme-9", "email": "new@example.com", "email_verified": True}
    client, before = Client(), User.objects.count()

    page = client.get(log_in_there(client)["Location"]).content.decode()

    assert (who(client), User.objects.count()) == ("", before)
    assert "There is no account here for that login." in page


def test_staff_are_not_linked_by_an_address(issuer: Issuer, sam: User) -> None:
    issuer.claims = {"sub": "acme-3", "email": sam.email, "email_verified": True}
    client = Client()

    log_in_there(client)

    assert who(client) == ""


def test_the_subject_can_be_the_id_that_the_marketplace_feeds(
    issuer: Issuer, bea: User, sam: User, settings: Settings
) -> None:
    settings.SSO_SUBJECT_IS_ID = True
    issuer.claims = {"sub": sam.public_id, "email": bea.email, "email_verified": True}
    give_app(sam)
    client = Client()

    answer = log_in_there(client)
    halfway = who(client)
    client.post("/login/second-step/", {"code": code()})

    assert (answer["Location"], halfway, who(client)) == ("/login/second-step/", "", str(sam.pk))


def test_a_closed_account_stays_closed(issuer: Issuer, bea: User) -> None:
    log_in_there(Client())
    User.objects.filter(pk=bea.pk).update(is_active=False)
    client = Client()

    log_in_there(client)

    assert who(client) == ""


FORGED: dict[str, dict[str, Any]] = {
    "for another login": {"claims": {"nonce": "another"}},
    "without a nonce": {"claims": {"nonce": ""}},
    "for another client": {"claims": {"aud": "another"}},
    "by another issuer": {"claims": {"iss": "https://evil.example"}},
    "too old": {"claims": {"exp": 1}},
    "of nobody": {"claims": {"sub": ""}},
    "by another key": {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
    "unsigned": {"algorithm": "none", "key": None},
    "by a secret we share": {"algorithm": "HS256", "key": provider.SECRET + "x" * 32},
    "discovered at another": {"discovery": {"issuer": "https://evil.example"}},
}


@pytest.mark.parametrize("how", FORGED)
def test_a_token_that_is_not_for_this_login_opens_nothing(
    issuer: Issuer, bea: User, how: str
) -> None:
    issuer.twist = FORGED[how]
    client = Client()

    answer = log_in_there(client)

    assert (answer.status_code, answer["Location"], who(client)) == (302, "/login/", "")


def test_an_answer_is_good_once_and_in_the_browser_that_asked(issuer: Issuer, bea: User) -> None:
    mine, theirs = Client(), Client()
    place = urlsplit(come_back(mine))

    stolen = theirs.get(f"{place.path}?{place.query}")
    first = mine.get(f"{place.path}?{place.query}")
    mine.post("/logout/")
    again = mine.get(f"{place.path}?{place.query}")

    assert [who(theirs), stolen["Location"], first["Location"]] == ["", "/login/", "/"]
    assert (again["Location"], who(mine)) == ("/login/", "")


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x&code=x", "?error=access_denied", "?code=%FF&state=%00x"]
)
def test_an_answer_that_is_none_leads_to_the_login(issuer: Issuer, query: str) -> None:
    answer = Client().get(f"/login/sso/callback/{query}")

    assert answer.status_code in (302, 400)
    assert answer.headers.get("Location", "/login/") == "/login/"


def test_a_provider_that_is_down_leaves_the_other_ways(issuer: Issuer, settings: Settings) -> None:
    settings.SSO_ISSUER = "http://127.0.0.1:9"
    client = Client()
    began = time.monotonic()

    answer = client.get("/login/sso/")

    assert (answer["Location"], time.monotonic() - began < 5) == ("/login/", True)
    assert "can’t be reached" in client.get("/login/").content.decode()


def test_what_is_asked_there_is_what_should_be(issuer: Issuer) -> None:
    sent = Client().get("/login/sso/", {"next": "https://evil.example/"})

    asked = {name: value[0] for name, value in parse_qs(urlsplit(sent["Location"]).query).items()}
    assert asked["redirect_uri"] == "https://testserver/login/sso/callback/"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 16


def test_without_an_issuer_there_is_no_such_place(settings: Settings, db: None) -> None:
    assert [Client().get(f"/login/sso/{rest}").status_code for rest in ("", "callback/")] == [
        404
    ] * 2
