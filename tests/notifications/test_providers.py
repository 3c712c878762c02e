"""Mail that leaves by a provider's API, and what the provider reports of it: Postmark, for one."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from anymail.webhooks.postmark import PostmarkTrackingWebhookView
from django.test import RequestFactory
from pytest_django import Settings

from marketplace.models import User
from notifications.models import Notification, Preferences
from notifications.outbox import Composed, deliver
from tests.notifications.conftest import MakeMessage

SECRET = "postmark:knows this"
INACTIVE = (
    "You tried to send to a recipient that has been marked as inactive.\nFound inactive addresses: "
    "{}.\nInactive recipients are ones that have generated a hard bounce or a spam complaint."
)
BROKEN = (500, {"ErrorCode": 0, "Message": "Try again."})


def greet(messages: Sequence[Notification]) -> Mapping[int, Composed | None]:
    return {m.pk: Composed(f"About {m.about}", "Hello.", "<p>Hello.</p>") for m in messages}


class Provider(ThreadingHTTPServer):
    """Takes e-mails as Postmark does; `answers` come first, then it is content."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[Any] = []
        self.answers: list[tuple[int, Any]] = []


class Taking(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code, said = 200, {"ErrorCode": 0, "Message": "OK", "MessageID": "m", "To": sent["To"]}
        if self.server.answers:
            code, said = self.server.answers.pop(0)
        else:
            self.server.taken.append(sent)
        body = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    """A provider that the settings point to."""
    server = Provider()
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    settings.EMAIL_BACKEND = "anymail.backends.postmark.EmailBackend"
    settings.ANYMAIL = {
        "POSTMARK_SERVER_TOKEN": "token",
        "POSTMARK_API_URL": f"http://127.0.0.1:{server.server_port}/",
        "WEBHOOK_SECRET": SECRET,
    }
    yield server
    server.shutdown()
    server.server_close()


def report(**event: Any) -> int:
    """Let the provider report something, as it would."""
    told = base64.b64encode(SECRET.encode()).decode()
    request = RequestFactory().post(
        "/", json.dumps(event), content_type="application/json", HTTP_AUTHORIZATION=f"Basic {told}"
    )
    return int(PostmarkTrackingWebhookView.as_view()(request).status_code)


def now_at(message: Notification) -> Notification:
    return Notification.objects.get(pk=message.pk)


@pytest.mark.django_db(transaction=True)
def test_mail_leaves_by_a_providers_api_under_its_own_id(
    provider: Provider, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea)

    deliver(greet)

    [sent] = provider.taken
    assert (sent["To"], sent["Subject"], sent["TextBody"]) == (
        bea.email, f"About {message.about}", "Hello.",
    )  # fmt: skip
    assert sent["Metadata"] == {"message": message.public_id}
    headers = {header["Name"]: header["Value"] for header in sent["Headers"]}
    assert headers["Message-ID"].startswith(f"<{message.public_id}@")
    assert now_at(message).state == "sent"


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_refuses_an_address_or_fails_is_heard(
    provider: Provider, make_message: MakeMessage, bea: User, cleo: User
) -> None:
    provider.answers = [(422, {"ErrorCode": 406, "Message": INACTIVE.format(bea.email)}), BROKEN]
    refused, failed, fine = make_message(bea), make_message(cleo), make_message(cleo)

    deliver(greet)

    assert now_at(refused).state == "dead"
    assert (now_at(failed).state, now_at(failed).attempts) == ("pending", 1)
    assert now_at(failed).error.startswith("500: ")
    assert now_at(fine).state == "sent"


@pytest.mark.parametrize(
    ("kind", "permanent"), [("HardBounce", True), ("SoftBounce", False), ("DnsError", False)]
)
def test_a_bounce_is_kept_with_its_message(
    provider: Provider, make_message: MakeMessage, bea: User, kind: str, permanent: bool
) -> None:
    message = make_message(bea, state="sent")

    code = report(
        RecordType="Bounce", Type=kind, Email=bea.email, Details="550 No such user", ID=1,
        Description=f"{kind}: it came back", Metadata={"message": message.public_id},
    )  # fmt: skip

    assert code == 200
    assert now_at(message).state == ("dead" if permanent else "sent")
    assert "550 No such user" in now_at(message).error
    assert Preferences.objects.filter(user=bea, refused_at__isnull=False).exists() == permanent


def test_who_complains_gets_only_what_they_need(provider: Provider, bea: User) -> None:
    report(RecordType="SpamComplaint", Type="SpamComplaint", Email=bea.email, ID=1)

    assert Preferences.objects.get(user=bea).complained_at
