"""Logging in, being sent to the right place, and getting a new password."""

import re

import pytest
from django.core import mail
from django.test import Client

from marketplace.models import Company, TeamMember, User
from notifications import outbox
from resolution import messages

PASSWORD = "correct horse battery"


def make(name: str, **fields: object) -> User:
    return User.objects.create_user(f"{name}@example.com", PASSWORD, name=name, **fields)


def make_member(name: str, role: str) -> User:
    user = make(name)
    TeamMember.objects.create(company=Company.objects.create(name="Studio"), user=user, role=role)
    return user


def make_agent(name: str) -> User:
    return make(name, is_staff=True, staff_role=User.StaffRole.AGENT)


def log_in(client: Client, user: User, next_page: str = "") -> list[str]:
    """Log in and answer the addresses one is sent to, up to the first of another app."""
    sent = client.post("/login/", {"username": user.email, "password": PASSWORD, "next": next_page})
    if sent["Location"] != "/":
        return [sent["Location"]]
    return [sent["Location"], client.get("/")["Location"]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("user", "place"),
    [
        (lambda: make("bea"), "/hub/"),
        (lambda: make_member("cleo", TeamMember.Role.OWNER), "/dash/resolution-center/"),
        (lambda: make_member("vic", TeamMember.Role.VIEWER), "/dash/resolution-center/"),
        (lambda: make_agent("sam"), "/admin/"),
    ],
    ids=["buyer", "owner", "viewer", "staff"],
)
def test_everyone_is_sent_to_where_they_work(client: Client, user, place: str):
    person = user()

    sent = log_in(client, person)

    assert sent == ["/", place]


@pytest.mark.django_db
def test_who_came_for_a_page_is_sent_to_it(client: Client):
    assert log_in(client, make("bea"), "/hub/cases/") == ["/hub/cases/"]


@pytest.mark.django_db
def test_nobody_is_sent_to_another_site(client: Client):
    assert log_in(client, make("bea"), "https://elsewhere.example/") == ["/", "/hub/"]


@pytest.mark.django_db
def test_capitals_in_an_address_do_not_matter(client: Client):
    bea = make("bea")

    client.post("/login/", {"username": "BEA@Example.com", "password": PASSWORD})

    assert client.session["_auth_user_id"] == str(bea.pk)


@pytest.mark.django_db
def test_a_wrong_password_logs_nobody_in_and_keeps_the_address(client: Client):
    bea = make("bea")

    answer = client.post("/login/", {"username": bea.email, "password": "wrong"})

    assert answer.status_code == 200
    assert answer.context["form"]["username"].value() == bea.email
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_the_front_page_asks_strangers_to_log_in(client: Client):
    answer = client.get("/")

    assert (answer.status_code, answer["Location"]) == (302, "/login/")


@pytest.mark.django_db
def test_the_administration_has_no_login_of_its_own(client: Client):
    answer = client.get("/admin/", follow=True)

    assert [address for address, _ in answer.redirect_chain] == [
        "/admin/login/?next=/admin/",
        "/login/?next=/admin/",
    ]
    assert answer.status_code == 200


@pytest.mark.django_db
def test_logging_out_takes_a_post_and_ends_the_session(client: Client):
    client.force_login(make("bea"))

    looked = client.get("/logout/")
    left = client.post("/logout/")

    assert (looked.status_code, left.status_code, left["Location"]) == (405, 302, "/login/")
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_a_forgotten_password_is_replaced_through_a_link_in_an_e_mail(client: Client):
    bea = make("bea")

    asked = client.post(
        "/password-reset/", {"email": "Bea@example.com"}, headers={"host": "127.0.0.1"}
    )
    outbox.deliver(messages.compose)
    [sent] = mail.outbox
    [link] = re.findall(r"https://testserver(/password-reset/\S+)", str(sent.body))
    form = client.get(link, follow=True)
    client.post(
        form.redirect_chain[-1][0],
        {"new_password1": "a whole new secret", "new_password2": "a whole new secret"},
    )

    assert (asked.status_code, sent.to) == (302, [bea.email])
    bea.refresh_from_db()
    assert bea.check_password("a whole new secret") is True
    assert client.get(link, follow=True).redirect_chain == []


@pytest.mark.django_db
def test_an_unknown_address_gets_no_e_mail_and_the_same_answer(client: Client):
    bea = make("bea")

    known = client.post("/password-reset/", {"email": bea.email})
    unknown = client.post("/password-reset/", {"email": "nobody@example.com"})
    outbox.deliver(messages.compose)

    assert (unknown.status_code, unknown["Location"]) == (known.status_code, known["Location"])
    assert [message.to for message in mail.outbox] == [[bea.email]]


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_with_a_page_of_ours():
    client = Client(enforce_csrf_checks=True)

    answer = client.post("/login/", {"username": "a@example.com", "password": "b"})

    assert answer.status_code == 403
    assert answer.templates[0].name == "403_csrf.html"


@pytest.mark.django_db
def test_every_page_says_what_a_browser_may_load(client: Client):
    answer = client.get("/login/")

    assert set(answer["Content-Security-Policy"].split("; ")) == {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    }
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
def test_outside_a_demo_there_is_no_mailbox(client: Client):
    assert client.get("/dev/mailbox/").status_code == 404
