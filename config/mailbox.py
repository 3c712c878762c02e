"""The pages of the demo that show the e-mails it has sent, as `config/mail_sink.py` keeps them."""

import re
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from email.utils import getaddresses, parsedate_to_datetime
from html import unescape
from pathlib import Path

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from config.mail_sink import MESSAGE_SUFFIX

PAGE_LENGTH = 50
SHOWN_HEADERS = ("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To")


@dataclass
class Message:
    """One e-mail as it was received."""

    name: str
    content: EmailMessage

    @property
    def recipients(self) -> list[str]:
        return [address for _, address in getaddresses([str(self.content["X-Envelope-To"])])]

    @property
    def subject(self) -> str:
        return str(self.content["Subject"] or "(no subject)")

    @property
    def headline(self) -> str:
        """What is new in it: the subject is that of its whole conversation."""
        title = re.search(r"<title>(.*?)</title>", self.html, re.DOTALL)
        return unescape(title[1]).strip() if title else self.subject

    @property
    def sent_at(self) -> datetime | None:
        try:
            return parsedate_to_datetime(str(self.content["Date"]))
        except ValueError:
            return None

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, str(self.content[name])) for name in SHOWN_HEADERS if self.content[name]]

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.content.get_body((kind,))
        return str(part.get_content()) if part else ""


def kept_messages(to: str = "", before: str = "") -> tuple[list[Message], bool]:
    """One page of the messages, newest first, and whether there are older ones."""
    page: list[Message] = []
    for name in sorted((file.stem for file in _folder().glob(f"*{MESSAGE_SUFFIX}")), reverse=True):
        if before and name >= before:
            continue
        message = kept_message(name)
        if to and to.lower() not in " ".join(message.recipients).lower():
            continue
        if len(page) == PAGE_LENGTH:
            return page, True
        page.append(message)
    return page, False


def kept_message(name: str) -> Message:
    """Raises Http404 when there is no such message."""
    if not re.fullmatch(r"[0-9-]+", name):
        raise Http404
    try:
        raw = (_folder() / f"{name}{MESSAGE_SUFFIX}").read_bytes()
    except FileNotFoundError:
        raise Http404 from None
    content = message_from_bytes(raw, policy=modern)
    return Message(name, content)


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "mail"


@require_safe
@never_cache
def mailbox(request: HttpRequest) -> HttpResponse:
    to, before = request.GET.get("to", "").strip(), request.GET.get("before", "")
    messages, has_older = kept_messages(to, before)
    context = {"kept": messages, "to": to, "older": messages[-1].name if has_older else ""}
    return render(request, "dev/mailbox.html", context)


@require_safe
@never_cache
def message(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "dev/message.html", {"message": kept_message(name)})


MAY_OPEN_LINKS = ("allow-popups", "allow-popups-to-escape-sandbox", "allow-same-origin")


@require_safe
@never_cache
@xframe_options_sameorigin
@csp(  # type: ignore[arg-type]  # its types know no views with arguments
    {
        "sandbox": list(MAY_OPEN_LINKS),
        "default-src": [NONE],
        "img-src": [SELF, "data:"],
        "style-src": [UNSAFE_INLINE],
        "frame-ancestors": [SELF],
    }
)
def message_html(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML of a message by itself: styled as it likes, but without scripts and forms."""
    html = kept_message(name).html
    if not html:
        raise Http404
    return HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))


urlpatterns = [
    path("", mailbox, name="mailbox"),
    path("<slug:name>/", message, name="mailbox_message"),
    path("<slug:name>/html/", message_html, name="mailbox_html"),
]
