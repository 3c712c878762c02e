"""The demo's mail: what the sink keeps, and the pages that show it."""

import smtplib
import socket
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from config import mailbox
from config.demo import free_port
from config.urls import urlpatterns as usual

urlpatterns = [*usual, path("dev/mailbox/", include(mailbox.urlpatterns))]


def letter(to: str, subject: str = "Café: your case") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Whop <no-reply@resolution.example>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Sun, 22 Nov 2026 10:00:00 +0000"
    message.set_content("See https://testserver/hub/cases/reso_1/ <b>")
    message.add_alternative(
        "<html><head></head><body style='color: red'>Hello<script>1</script></body></html>",
        subtype="html",
    )
    return message


@pytest.fixture
def sink(tmp_path: Path, settings: Settings):
    """A running sink that keeps mail where the pages look for it."""
    settings.VAR_DIR = tmp_path
    settings.ROOT_URLCONF = __name__
    port = free_port()
    command = [sys.executable, "-m", "config.mail_sink", "--port", str(port)]
    process = subprocess.Popen([*command, "--folder", str(tmp_path / "mail")])
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    process.terminate()
    assert process.wait(10) == 0


def send(port: int, *messages: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port) as server:
        for message in messages:
            server.send_message(message)


@pytest.mark.django_db
def test_what_was_sent_can_be_read_newest_first(client: Client, sink: int):
    send(sink, letter("bea@example.com", "First"), letter("cleo@example.com", "Second"))

    page = client.get("/dev/mailbox/")

    assert [(message.recipients, message.subject) for message in page.context["kept"]] == [
        (["cleo@example.com"], "Second"),
        (["bea@example.com"], "First"),
    ]


@pytest.mark.django_db
def test_mail_to_one_person_can_be_picked(client: Client, sink: int):
    send(sink, letter("bea@example.com", "First"), letter("cleo@example.com", "Second"))

    page = client.get("/dev/mailbox/", {"to": "BEA@"})

    assert [message.subject for message in page.context["kept"]] == ["First"]


@pytest.mark.django_db
def test_a_message_is_shown_with_its_text_and_headers(client: Client, sink: int):
    send(sink, letter("bea@example.com"))
    [name] = [file.stem for file in kept_in().glob("*.eml")]

    page = client.get(f"/dev/mailbox/{name}/")

    shown = page.content.decode()
    assert shown.count("<h1><bdi>Café: your case</bdi></h1>") == 1
    assert shown.count('<a href="https://testserver/hub/cases/reso_1/"') == 1
    assert shown.count("&lt;b&gt;") == 1
    assert shown.count(f'src="/dev/mailbox/{name}/html/"') == 1


@pytest.mark.django_db
def test_the_html_of_a_message_may_be_styled_but_may_do_nothing(client: Client, sink: int):
    send(sink, letter("bea@example.com"))
    [name] = [file.stem for file in kept_in().glob("*.eml")]

    page = client.get(f"/dev/mailbox/{name}/html/")

    assert page.content.decode().strip() == (
        '<html><head><base target="_blank"></head>'
        "<body style='color: red'>Hello<script>1</script></body></html>"
    )
    assert set(page["Content-Security-Policy"].split("; ")) == {
        "sandbox allow-popups allow-popups-to-escape-sandbox allow-same-origin",
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'unsafe-inline'",
        "frame-ancestors 'self'",
    }
    assert page["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["123-456", "secret_key", "a"])
def test_what_is_not_a_message_is_not_found(client: Client, sink: int, name: str):
    assert client.get(f"/dev/mailbox/{name}/").status_code == 404


def kept_in() -> Path:
    """The folder of the present test's mail."""
    return mailbox._folder()
