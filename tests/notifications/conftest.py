"""A mail server that can be told to misbehave, and messages that wait for it."""

import socket
from asyncio import WriteTransport
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from itertools import count
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django import Settings

from marketplace.models import User
from notifications.models import Notification

numbers = count(1)


class MailServer:
    """What a mail server was given, and what it will answer next."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.connections = 0
        self.refused: dict[str, str] = {}
        self.answers: list[str] = []
        self.hang_ups = 0
        self.extension = "8BITMIME"

    async def handle_EHLO(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self.connections += 1
        responses = [said.replace("8BITMIME", self.extension) for said in responses]
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            content = envelope.original_content or b""
            self.received.append(message_from_bytes(content, policy=policy.default))
        if self.hang_ups:
            self.hang_ups -= 1
            cast("WriteTransport", server.transport).abort()
        return answer

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.received]

    def headlines(self, to: str) -> list[str]:
        """What is new in the e-mails to somebody: the title of each."""
        told = []
        for mail in self.received:
            page = mail.get_body(("html",)) if mail["To"] == to else None
            if page:
                told.append(unescape(page.get_content().split("<title>")[1].split("</title>")[0]))
        return told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    """A real SMTP server, which the settings point to."""
    server = MailServer()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.SITE_URL = "https://rc.example:8443"
    yield server
    controller.stop()


@pytest.fixture
def no_mail_server(settings: Settings) -> None:
    """Settings that point to where nobody listens."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()


MakeMessage = Callable[..., Notification]


@pytest.fixture
def make_message(db: None) -> MakeMessage:
    """A message that waits to leave: to whom, and whatever else is not as usual."""

    def make(recipient: User, **fields: Any) -> Notification:
        number = next(numbers)
        defaults: dict[str, Any] = {
            "key": f"revt_{number}:{recipient.public_id}:email",
            "kind": "greeting",
            "about": f"revt_{number}",
            "thread": f"reso_{number}",
        }
        return Notification.objects.create(recipient=recipient, **(defaults | fields))

    return make
