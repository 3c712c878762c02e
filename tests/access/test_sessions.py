"""What a session may do, how it ends, and what a browser may keep of it."""

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from pytest_django import Settings

from marketplace.models import User
from resolution.models import Case
from tests.people import make_user

NEVER = "max-age=0, no-cache, no-store, must-revalidate, private"


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_browser_keeps_no_copy_of_what_a_signed_in_person_saw(
    waiting_case: Case, bea: User, cleo: User, sam: User
) -> None:
    number = waiting_case.public_id
    seen = {
        bea: ["/hub/", "/hub/cases/", f"/hub/cases/{number}/", "/hub/credits/", "/hub/nowhere/"],
        cleo: [
            "/dash/resolution-center/",
            f"/dash/resolution-center/cases/{number}/",
            "/dash/resolution-center/auto-respond/",
        ],
        sam: ["/admin/", "/admin/resolution/case/", f"/admin/resolution/case/{number}/change/"],
    }

    kept = {
        address: logged_in(user).get(address).headers["Cache-Control"]
        for user, addresses in seen.items()
        for address in addresses
    }

    assert set(kept.values()) == {NEVER}


def test_after_logging_out_an_old_cookie_opens_nothing(waiting_case: Case, bea: User) -> None:
    client, address = logged_in(bea), f"/hub/cases/{waiting_case.public_id}/"
    stolen = Client(headers={"cookie": f"session={client.cookies['session'].value}"})
    before = stolen.get(address).status_code

    client.post("/logout/")

    after = stolen.get(address)
    assert (before, after.status_code, after["Location"]) == (200, 302, f"/login/?next={address}")


def test_a_new_password_ends_every_session(bea: User) -> None:
    elsewhere, address = logged_in(bea), "/hub/cases/"
    uid = urlsafe_base64_encode(force_bytes(bea.pk))
    form = Client()
    page = form.get(f"/password-reset/{uid}/{default_token_generator.make_token(bea)}/")
    before = elsewhere.get(address).status_code

    form.post(
        page["Location"], {"new_password1": "one more secret", "new_password2": "one more secret"}
    )

    assert (before, elsewhere.get(address).status_code) == (200, 302)


def test_a_link_to_a_new_password_works_once_and_for_its_person(
    bea: User, nia: User, settings: Settings
) -> None:
    token = default_token_generator.make_token(bea)
    altered = token[:-1] + ("1" if token.endswith("0") else "0")
    hers, others = (urlsafe_base64_encode(force_bytes(user.pk)) for user in (bea, nia))

    pages = [
        Client().get(f"/password-reset/{uid}/{sign}/", follow=True)
        for uid, sign in ((others, token), (hers, altered), ("x", token), (hers, "x-y"))
    ]

    assert [b"new_password1" in page.content for page in pages] == [False] * 4
    address, new = f"/password-reset/{hers}/{token}/", "one more secret"
    settings.PASSWORD_RESET_TIMEOUT = -1
    too_late = Client().get(address, follow=True)
    settings.PASSWORD_RESET_TIMEOUT = 60 * 60
    browser = Client()
    first = browser.get(address, follow=True)
    browser.post(first.redirect_chain[-1][0], {"new_password1": new, "new_password2": new})
    second = Client().get(address, follow=True)
    assert [b"new_password1" in page.content for page in (too_late, first, second)] == [
        False, True, False,
    ]  # fmt: skip
    assert User.objects.get(pk=bea.pk).check_password(new)


def test_a_closed_account_is_logged_out_and_cannot_come_back(bea: User) -> None:
    client = logged_in(bea)
    User.objects.filter(pk=bea.pk).update(is_active=False)

    seen = client.get("/hub/").status_code
    back = Client().post("/login/", {"username": bea.email, "password": "pw-Bea Lind"})
    Client().post("/password-reset/", {"email": bea.email})

    assert (seen, back.status_code, mail.outbox) == (302, 200, [])


def test_a_login_does_not_tell_whether_an_account_exists(bea: User) -> None:
    closed = make_user("Una Gone", is_active=False)

    said = [
        str(
            Client()
            .post("/login/", {"username": address, "password": "wrong-password"})
            .context["form"]
            .non_field_errors()
        )
        for address in (bea.email, closed.email, "nobody@example.com")
    ]

    assert said == [said[0]] * 3


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example",
        "http:evil.example", "javascript:alert(1)", "\x08//evil.example", "https:///evil.example",
        "/ /evil.example/..//", " //evil.example",
    ],
)  # fmt: skip
def test_a_login_leads_nowhere_else(bea: User, place: str) -> None:
    sent = Client().post(
        "/login/", {"username": bea.email, "password": "pw-Bea Lind", "next": place}
    )

    assert sent.status_code == 302
    assert sent["Location"] in ("/", "/%20/evil.example/..//")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(bea: User) -> None:
    client = Client()

    client.post("/login/", {"username": bea.email, "password": "pw-Bea Lind"})

    for cookie in (client.cookies["session"], client.cookies["csrf"]):
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


def test_a_login_takes_a_new_session(bea: User) -> None:
    client = Client()
    client.force_login(make_user("Una Before"))
    before = client.cookies["session"].value

    client.post("/login/", {"username": bea.email, "password": "pw-Bea Lind"})

    assert client.cookies["session"].value != before


def test_no_page_may_be_framed(bea: User, waiting_case: Case) -> None:
    page = logged_in(bea).get(f"/hub/cases/{waiting_case.public_id}/")

    assert page["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]


def test_an_act_without_the_forms_token_is_refused(bea: User, waiting_case: Case) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bea)

    sent = client.post(f"/hub/cases/{waiting_case.public_id}/comment/", {"message": "Hello?"})

    assert sent.status_code == 403
    assert list(waiting_case.events.filter(step="comment")) == []
