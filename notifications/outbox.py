"""The outbox at work: it claims messages that wait, sends them and settles each. Knows no cases.

What a message says is made by the caller's `compose` at the moment that it leaves. Nothing is
locked and no transaction is open while the mail server is talked to: a message is held by a lease,
and only who holds the lease may settle it. A worker that dies leaves a lease that runs out; what
the server had taken in the worker's last moments may then come again, as the same mail.

Messages of one conversation to one person leave in their order. While one has trouble the later
ones wait with it, for about half an hour: after that, news matters more than order.
"""

import binascii
import logging
import random
import re
import smtplib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email.header import Header
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from anymail.exceptions import AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend
from django.core.mail.message import sanitize_address
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from marketplace import clock
from marketplace.failpoints import failpoint
from notifications import preferences
from notifications.models import Notification

log = logging.getLogger(__name__)

PENDING, SENDING = Notification.State.PENDING, Notification.State.SENDING
SENT, DEAD, MUTED = Notification.State.SENT, Notification.State.DEAD, Notification.State.MUTED

BATCH = 200
LEASE = timedelta(minutes=5)
RENEW_AFTER_SECONDS = 60
"""How old a lease may be when a message leaves; one message takes less than the rest of it."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""How long an answer may wait, in seconds, for others to be written down with it: longer where
writing takes longer, so that it is a tenth of the work."""

WRITES_A_TENTH = 9

MAX_ATTEMPTS = 12
FIRST_DELAY = timedelta(minutes=2)
"""Doubled after each attempt: the twelfth comes after about three days."""

KEEPS_ORDER = 5
"""With fewer attempts than these a message holds back the later ones of its conversation."""

NO_SERVER_DELAY = timedelta(seconds=30)
LONGEST_SUBJECT = 150
LONGEST_LINE = 998
"""Bytes of a line that SMTP carries; longer ones have to be encoded."""

NOTHING_TO_SAY = "There is nothing to say of this any more."
NEVER_SETTLED = "Its workers ended before they could tell what became of it."
CLAIMING = 0x6D61696C
"""Names the lock that workers claim under, one after the other."""


@dataclass(frozen=True)
class Composed:
    """A message in words: in one line, and the same as text and as HTML.

    `topic` is what its conversation is called: all of its e-mails have that as their subject, as
    mail programs part a conversation where the subject changes.
    `group` is what its reader can mute it by, "" when they need it. `stop_href` is the address that
    does so with one click.
    """

    subject: str
    text: str
    html: str
    group: str = ""
    stop_href: str = ""
    topic: str = ""


Compose = Callable[[Sequence[Notification]], Mapping[int, Composed | None]]
"""From messages to their words by primary key; None where there is nothing to say any more."""


class NoServer(Exception):
    """The mail server cannot be reached, or does not let us in."""


# ── What the workers and the staff call ───────────────────────────────────────────────────────────


def deliver(compose: Compose, limit: int = BATCH) -> int:
    """Send up to `limit` of the messages that are due and answer how many were dealt with.

    Each leaves once, however many workers call this at a time. Answers 0 as well when the mail
    server cannot be reached: nobody's attempts are used up, and the next sweep tries again. It must
    not be called in a transaction.
    """
    token = uuid.uuid4()
    batch = _claim(token, limit)
    if not batch:
        return 0
    failpoint("message.claimed")
    with _Post() as post, _Settling(token) as settling:
        try:
            _Round(post, settling, batch).send(_compose_each(compose, batch))
        except NoServer as trouble:
            log.warning("No mail leaves: %s", trouble)
            settling.write_down()
            _put_back(token, str(trouble))
            return 0
    return len(batch)


def resend(notification_pk: int) -> bool:
    """Let a message that was given up wait to leave once more; False when it was not given up."""
    changed = Notification.objects.filter(pk=notification_pk, state=DEAD).update(
        state=PENDING, attempts=0, next_attempt_at=timezone.now(), error=""
    )
    return bool(changed)


# ── Holding messages ──────────────────────────────────────────────────────────────────────────────


def _claim(token: uuid.UUID, limit: int) -> list[Notification]:
    """Take a lease on the messages that are due, the oldest of a conversation first.

    One worker claims at a time, or one could miss what another is about to hold and go past it.
    """
    now = timezone.now()
    due = Q(next_attempt_at__lte=now)
    if ahead := clock.offset():
        due |= Q(attempts=0, next_attempt_at__lte=now + ahead)
    free = Q(state=PENDING) | Q(state=SENDING, lease_until__lt=now)
    held_back = Exists(
        Notification.objects.filter(
            Q(state=SENDING) | Q(state=PENDING, attempts__gt=0),
            recipient=OuterRef("recipient"),
            thread=OuterRef("thread"),
            pk__lt=OuterRef("pk"),
            attempts__lt=KEEPS_ORDER,
        )
    )
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIMING])
        batch = list(
            Notification.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(free & due, ~held_back)
            .select_related("recipient__mail")
            .order_by("next_attempt_at", "id")[:limit]
        )
        Notification.objects.filter(pk__in=[message.pk for message in batch]).update(
            state=SENDING, lease_token=token, lease_until=now + LEASE, attempts=F("attempts") + 1
        )
    for message in batch:
        message.attempts += 1
    return sorted(batch, key=lambda message: message.pk)


def _renew(token: uuid.UUID) -> set[int]:
    """Hold on for longer to what is still to be sent, and answer what is still held."""
    rows = Notification.objects.filter(lease_token=token, state=SENDING)
    rows.update(lease_until=timezone.now() + LEASE)
    return set(rows.values_list("pk", flat=True))


def _put_back(token: uuid.UUID, error: str) -> None:
    """Give back what was not tried, for lack of a mail server."""
    Notification.objects.filter(lease_token=token, state=SENDING).update(
        state=PENDING,
        attempts=F("attempts") - 1,
        next_attempt_at=timezone.now() + NO_SERVER_DELAY * random.uniform(0.8, 1.2),  # noqa: S311
        lease_token=None,
        lease_until=None,
        error=error,
    )


class _Settling:
    """Writes down what became of the messages of one lease.

    Those that were sent are written down together, many times a second: one by one, the disk would
    have the last word on how fast mail leaves. At the end nothing is left unwritten.
    """

    def __init__(self, token: uuid.UUID) -> None:
        self.token = token
        self.sent: list[Notification] = []
        self.due = 0.0
        self.pause = SHORTEST_PAUSE

    def __enter__(self) -> "_Settling":
        return self

    def __exit__(self, *_: object) -> None:
        self.write_down()

    def note_sent(self, message: Notification) -> None:
        """The server has taken this one."""
        if not self.sent:
            self.due = time.monotonic() + self.pause
        self.sent.append(message)
        failpoint("message.sent")

    def write_down_when_due(self) -> None:
        """Write down what was sent, unless that has just been done."""
        if self.sent and time.monotonic() >= self.due:
            self.write_down()

    def write_down(self) -> None:
        """Write down what the server has taken since the last time."""
        if self.sent:
            began = time.monotonic()
            self._settle(self.sent, state=SENT, sent_at=timezone.now(), error="")
            self.sent = []
            took = time.monotonic() - began
            self.pause = min(max(SHORTEST_PAUSE, took * WRITES_A_TENTH), LONGEST_PAUSE)
            failpoint("message.settled")

    def settle(self, message: Notification, **fields: Any) -> None:
        """Write down what else became of a message."""
        self._settle([message], **fields)

    def _settle(self, messages: Sequence[Notification], **fields: Any) -> None:
        """Write it unless the lease has passed to somebody else."""
        rows = Notification.objects.filter(
            pk__in=[message.pk for message in messages], lease_token=self.token, state=SENDING
        )
        written = rows.update(lease_token=None, lease_until=None, **fields)
        if written < len(messages):
            told = ", ".join(message.public_id for message in messages)
            log.warning("Another worker has taken over %s of %s", len(messages) - written, told)


# ── Words ─────────────────────────────────────────────────────────────────────────────────────────

Words = Callable[[], Composed | None]
"""Makes the words of one message; whatever it raises is about this message alone."""


def _compose_each(compose: Compose, batch: Sequence[Notification]) -> Mapping[int, Words]:
    """How to make the words of each message; one without any does not stop the others."""
    try:
        words = compose(batch)
    except Exception:  # whichever it is about raises it again, alone
        return {message.pk: partial(_alone, compose, message) for message in batch}
    return {message.pk: partial(words.get, message.pk) for message in batch}


def _alone(compose: Compose, message: Notification) -> Composed | None:
    return compose([message]).get(message.pk)


UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """The text as one line of printable characters, none of which turns the line's direction."""
    return UNPRINTABLE.sub(" ", DIRECTIONS.sub("", text)).strip()


# ── One after the other ───────────────────────────────────────────────────────────────────────────


class _Round:
    """A batch on its way: one after the other, each settled by what the server says to it.

    While the server takes one in, the next is put into words and what was sent is written down.
    """

    def __init__(self, post: "_Post", settling: _Settling, batch: Sequence[Notification]) -> None:
        self.post, self.settling, self.batch = post, settling, batch
        self.under_way: Notification | None = None
        self.troubled: set[tuple[str, int]] = set()
        self.held = {message.pk for message in batch}
        self.renewed = time.monotonic()

    def send(self, words: Mapping[int, Words]) -> None:
        """Send the whole batch. Raises NoServer when there is nobody to hand it to."""
        for message in self.batch:
            mail = self._mail(message, words[message.pk])
            self._hear()
            self._renew()
            if mail is None or message.pk not in self.held:
                continue
            if (message.thread, message.recipient_id) in self.troubled:
                self.settling.settle(message, state=PENDING, attempts=message.attempts - 1)
            elif isinstance(mail, Exception):
                self._try_again(message, mail)
            else:
                self._hand_over(message, mail)
                self.settling.write_down_when_due()
        self._hear()

    def _mail(self, message: Notification, words: Words) -> "Mail | Exception | None":
        """The e-mail to send, or what kept it from being written.

        None when the message is settled without one, or waits for the morning.
        """
        if message.attempts > MAX_ATTEMPTS:
            self.settling.settle(message, state=DEAD, error=NEVER_SETTLED)
            return None
        try:
            said = words()
        except Exception as trouble:
            log.exception("No words for %s", message.public_id)
            return trouble
        if said is None:
            self.settling.settle(message, state=DEAD, error=NOTHING_TO_SAY)
            return None
        reader, attempts = message.recipient, message.attempts - 1
        if why := preferences.why_only_in_app(reader, said.group):
            self.settling.settle(message, state=MUTED, error=why)
            return None
        if until := preferences.waits_until(reader, said.group, clock.now()):
            self.settling.settle(message, state=PENDING, attempts=attempts, next_attempt_at=until)
            return None
        return Mail(message, said)

    def _hand_over(self, message: Notification, mail: "Mail") -> None:
        try:
            self.post.hand_over(mail)
        except MAIL_TROUBLE as trouble:
            self._fail(message, trouble)
        else:
            self.under_way = message

    def _hear(self) -> None:
        """Wait for the answer to what is under way."""
        message, self.under_way = self.under_way, None
        if message is None:
            return
        try:
            self.post.hear()
        except MAIL_TROUBLE as trouble:
            self._fail(message, trouble)
        else:
            self.settling.note_sent(message)

    def _fail(self, message: Notification, trouble: Exception) -> None:
        log.warning("%s did not leave: %s", message.public_id, _in_words(trouble))
        if _is_final(trouble):
            self.settling.settle(message, state=DEAD, error=_in_words(trouble))
        else:
            self._try_again(message, trouble)
        if not _says_no_to_this_one(trouble):
            self.post.hang_up()

    def _try_again(self, message: Notification, trouble: Exception) -> None:
        """Let it wait, twice as long each time; give it up after the last attempt."""
        error = _in_words(trouble)
        if message.attempts >= MAX_ATTEMPTS:
            self.settling.settle(message, state=DEAD, error=error)
            return
        if message.attempts < KEEPS_ORDER:
            self.troubled.add((message.thread, message.recipient_id))
        wait = FIRST_DELAY * 2 ** (message.attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311
        again_at = timezone.now() + wait
        self.settling.settle(message, state=PENDING, error=error, next_attempt_at=again_at)

    def _renew(self) -> None:
        """Hold the lease for longer when it is getting old; what was lost is left alone."""
        if time.monotonic() - self.renewed > RENEW_AFTER_SECONDS:
            self.settling.write_down()
            self.held, self.renewed = _renew(self.settling.token), time.monotonic()


# ── An e-mail ─────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=8)
def _sender(configured: str) -> tuple[str, str]:
    """Who e-mails are from: as the header says it, and the bare address."""
    header = sanitize_address(configured, "utf-8")
    return header, header.rpartition("<")[2].rstrip(">")


def _on_the_wire(address: str) -> str:
    """An address in ASCII, which most are already."""
    return address if address.isascii() else sanitize_address(address, "utf-8")


class Mail:
    """A message with its words, as an e-mail: the same Message-ID at each attempt.

    All that one person hears of one case is one conversation: every e-mail answers to the same
    root, which itself was never sent.
    """

    def __init__(self, message: Notification, words: Composed) -> None:
        self.message, self.words = message, words
        self.to = message.recipient.email
        self.subject = one_line(words.topic or words.subject)[:LONGEST_SUBJECT]

    @property
    def headers(self) -> dict[str, str]:
        host = urlsplit(settings.SITE_URL).hostname or "localhost"
        message = self.message
        thread = f"<{message.thread}.thread.{message.recipient.public_id}@{host}>"
        headers = {
            "Message-ID": f"<{message.public_id}@{host}>",
            "In-Reply-To": thread,
            "References": thread,
            "Auto-Submitted": "auto-generated",
        }
        if self.words.stop_href:
            headers["List-Unsubscribe"] = f"<{self.words.stop_href}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return headers

    def for_any_backend(self) -> EmailMultiAlternatives:
        email = EmailMultiAlternatives(
            self.subject, self.words.text, to=[self.to], headers=self.headers
        )
        email.attach_alternative(self.words.html, "text/html")
        # By this a provider of django-anymail names the message when it reports of it.
        email.metadata = {"message": self.message.public_id}  # type: ignore[attr-defined]
        return email

    def for_smtp(self, *, eight_bit: bool) -> bytes:
        """The e-mail as it goes over the wire: in ASCII, unless the server takes `eight_bit`.

        Python's own generator needs as long for it as the whole conversation with the server takes.
        """
        border = f"=_{self.message.public_id}"
        subject = self.subject
        if not subject.isascii() or len(subject) > 60:
            subject = Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
        head = {
            "Subject": subject,
            "From": _sender(settings.DEFAULT_FROM_EMAIL)[0],
            "To": _on_the_wire(self.to),
            "Date": formatdate(),
            **self.headers,
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{border}"',
        }
        parts = "".join(f"{name}: {value}\r\n" for name, value in head.items()).encode("ascii")
        for kind, content in (("plain", self.words.text), ("html", self.words.html)):
            said = content.replace("\r\n", "\n").replace("\n", "\r\n").encode()
            as_it_is = eight_bit and max(map(len, said.split(b"\r\n"))) <= LONGEST_LINE
            parts += (
                f"\r\n--{border}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
                f"Content-Transfer-Encoding: {'8bit' if as_it_is else 'quoted-printable'}\r\n\r\n"
            ).encode("ascii")
            parts += said if as_it_is else binascii.b2a_qp(said, istext=True)
        return parts + f"\r\n--{border}--\r\n".encode("ascii")


# ── The mail server ───────────────────────────────────────────────────────────────────────────────

MAIL_TROUBLE = (smtplib.SMTPException, OSError, ValueError, AnymailError)


class _Post:
    """One connection to the mail server, opened at the first message and again when it broke.

    An e-mail is handed over, and its answer is heard later: in between, the caller has time.
    """

    def __init__(self) -> None:
        self.connection = get_connection()
        self.open = False
        self.to_hear: smtplib.SMTP | None = None

    def __enter__(self) -> "_Post":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hand_over(self, mail: Mail) -> None:
        """Give one e-mail to the server. Raises NoServer when there is nobody to give it to."""
        if not self.open:
            try:
                self.connection.open()
            except (smtplib.SMTPException, OSError) as trouble:
                self.hang_up()
                raise NoServer(_in_words(trouble)) from trouble
            self.open = True
        server = getattr(self.connection, "connection", None)
        if isinstance(self.connection, SmtpBackend) and server:
            self._speak(server, mail)
        else:
            self.connection.send_messages([mail.for_any_backend()])

    def _speak(self, server: smtplib.SMTP, mail: Mail) -> None:
        """SMTP up to the end of the message, as `smtplib.sendmail` does it."""
        server.ehlo_or_helo_if_needed()
        eight_bit = server.has_extn("8bitmime")
        content = mail.for_smtp(eight_bit=eight_bit)
        sender, to = _sender(settings.DEFAULT_FROM_EMAIL)[1], _on_the_wire(mail.to)
        options = ["body=8bitmime"] if eight_bit else []
        if server.has_extn("size"):
            options.append(f"size={len(content)}")
        code, said = server.mail(sender, options)
        if code != 250:
            self._start_over(server, code)
            raise smtplib.SMTPSenderRefused(code, said, sender)
        code, said = server.rcpt(to)
        if code not in (250, 251):
            self._start_over(server, code)
            raise smtplib.SMTPRecipientsRefused({to: (code, said)})
        code, said = server.docmd("data")
        if code != 354:
            self._start_over(server, code)
            raise smtplib.SMTPDataError(code, said)
        server.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.to_hear = server

    def hear(self) -> None:
        """Wait until the server has taken the message in; raises what it says against it."""
        server, self.to_hear = self.to_hear, None
        if server is None:
            return
        code, said = server.getreply()
        if code != 250:
            self._start_over(server, code)
            raise smtplib.SMTPDataError(code, said)

    @staticmethod
    def _start_over(server: smtplib.SMTP, code: int) -> None:
        """After a refusal: the server forgets the message, or has said good-bye."""
        if code == 421:
            server.close()
            return
        with suppress(smtplib.SMTPServerDisconnected):
            server.rset()

    def hang_up(self) -> None:
        self.open, self.to_hear = False, None
        with suppress(smtplib.SMTPException, OSError):
            self.connection.close()


def _codes(trouble: BaseException) -> list[int]:
    """What the server answered, as SMTP's codes."""
    if isinstance(trouble, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in trouble.recipients.values()]
    if isinstance(trouble, smtplib.SMTPResponseException):
        return [trouble.smtp_code]
    return []


def _is_final(trouble: Exception) -> bool:
    """The server refuses this recipient or this message for good.

    A sender that it refuses is our setting's fault, which can be mended while messages wait.
    """
    if isinstance(trouble, AnymailRecipientsRefused):
        return True
    refused = isinstance(trouble, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)
    return refused and all(code >= 500 for code in _codes(trouble))


def _says_no_to_this_one(trouble: Exception) -> bool:
    """The server goes on listening: it answered, and not with 421, which is good-bye."""
    codes = _codes(trouble)
    return bool(codes) and 421 not in codes


def _in_words(trouble: BaseException) -> str:
    """What went wrong, for the person who looks into it."""
    if isinstance(trouble, smtplib.SMTPRecipientsRefused):
        answers = [f"{code} {_decoded(said)}" for code, said in trouble.recipients.values()]
        return "; ".join(answers)
    if isinstance(trouble, smtplib.SMTPResponseException):
        return f"{trouble.smtp_code} {_decoded(trouble.smtp_error)}"
    if isinstance(trouble, AnymailError):
        return f"{trouble.status_code or type(trouble).__name__}: {one_line(str(trouble))[:300]}"
    return f"{type(trouble).__name__}: {trouble}"


def _decoded(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
