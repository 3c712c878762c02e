"""The outbox at work: it claims messages that wait, sends them and settles each. Knows no cases.

What a message says is made by the caller's `compose` at the moment that it leaves. Nothing is
locked and no transaction is open while the mail server is talked to: a message is held by a lease,
and only who holds the lease may settle it. A worker that dies leaves a lease that runs out.
"""

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
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from marketplace.failpoints import failpoint
from notifications.models import Notification

log = logging.getLogger(__name__)

PENDING, SENDING = Notification.State.PENDING, Notification.State.SENDING
SENT, DEAD = Notification.State.SENT, Notification.State.DEAD

LEASE = timedelta(minutes=5)
RENEW_AFTER_SECONDS = 60
"""How old a lease may be when a message leaves; one message takes less than the rest of it."""

MAX_ATTEMPTS = 12
FIRST_DELAY = timedelta(minutes=2)
"""Doubled after each attempt: the twelfth comes after about three days."""

NO_SERVER_DELAY = timedelta(seconds=30)
LONGEST_SUBJECT = 150
NOTHING_TO_SAY = "There is nothing to say of this any more."
NEVER_SETTLED = "Its workers ended before they could tell what became of it."


@dataclass(frozen=True)
class Composed:
    """A message in words: one line of subject, and the same as text and as HTML."""

    subject: str
    text: str
    html: str


Compose = Callable[[Sequence[Notification]], Mapping[int, Composed | None]]
"""From messages to their words by primary key; None where there is nothing to say any more."""


class NoServer(Exception):
    """The mail server cannot be reached, or does not let us in."""


# ── What the workers and the staff call ───────────────────────────────────────────────────────────


def deliver(compose: Compose, limit: int = 100) -> int:
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
    with _Post() as post:
        words = _compose_each(compose, batch)
        renewed = time.monotonic()
        held = {message.pk for message in batch}
        for message in batch:
            if time.monotonic() - renewed > RENEW_AFTER_SECONDS:
                held, renewed = _renew(token), time.monotonic()
            if message.pk not in held:
                continue
            try:
                _send(post, message, words[message.pk], token)
            except NoServer as trouble:
                log.warning("No mail leaves: %s", trouble)
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
    """Take a lease on the oldest messages that are due, past those that somebody else takes."""
    now = timezone.now()
    free = Q(state=PENDING) | Q(state=SENDING, lease_until__lt=now)
    with transaction.atomic(durable=True):
        batch = list(
            Notification.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(free, next_attempt_at__lte=now)
            .select_related("recipient")
            .order_by("id")[:limit]
        )
        Notification.objects.filter(pk__in=[message.pk for message in batch]).update(
            state=SENDING, lease_token=token, lease_until=now + LEASE, attempts=F("attempts") + 1
        )
    for message in batch:
        message.attempts += 1
    return batch


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


def _settle(message: Notification, token: uuid.UUID, **fields: Any) -> None:
    """Write what became of a message, unless its lease has passed to somebody else."""
    held = Notification.objects.filter(pk=message.pk, lease_token=token, state=SENDING)
    if not held.update(lease_token=None, lease_until=None, **fields):
        log.warning("%s was taken over by another worker", message.public_id)


def _try_again(message: Notification, token: uuid.UUID, error: str) -> None:
    """Let a message wait, twice as long each time; give it up after the last attempt."""
    if message.attempts >= MAX_ATTEMPTS:
        _settle(message, token, state=DEAD, error=error)
        return
    wait = FIRST_DELAY * 2 ** (message.attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311
    _settle(message, token, state=PENDING, error=error, next_attempt_at=timezone.now() + wait)


# ── Words ─────────────────────────────────────────────────────────────────────────────────────────


def _compose_each(
    compose: Compose, batch: Sequence[Notification]
) -> Mapping[int, Composed | Exception | None]:
    """The words of each message, or what went wrong with this one alone."""
    try:
        words = compose(batch)
    except Exception as trouble:
        if len(batch) == 1:
            log.exception("No words for %s", batch[0].public_id)
            return {batch[0].pk: trouble}
        alone = [_compose_each(compose, [message]) for message in batch]
        return {pk: said for single in alone for pk, said in single.items()}
    return {message.pk: words.get(message.pk) for message in batch}


def _as_email(message: Notification, words: Composed) -> EmailMultiAlternatives:
    """The e-mail to send: the same Message-ID at each attempt, one thread a case and person."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    thread = f"<{message.thread}.thread.{message.recipient.public_id}@{host}>"
    email = EmailMultiAlternatives(
        one_line(words.subject)[:LONGEST_SUBJECT],
        words.text,
        to=[message.recipient.email],
        headers={
            "Message-ID": f"<{message.public_id}@{host}>",
            "In-Reply-To": thread,
            "References": thread,
            "Auto-Submitted": "auto-generated",
        },
    )
    email.attach_alternative(words.html, "text/html")
    return email


UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """The text as one line of printable characters, none of which turns the line's direction."""
    return UNPRINTABLE.sub(" ", DIRECTIONS.sub("", text)).strip()


# ── The mail server ───────────────────────────────────────────────────────────────────────────────


class _Post:
    """One connection to the mail server, opened at the first message and again when it broke."""

    def __init__(self) -> None:
        self.connection = get_connection()
        self.open = False

    def __enter__(self) -> "_Post":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def send(self, email: EmailMultiAlternatives) -> None:
        """Hand over one e-mail. Raises NoServer when there is nobody to hand it to."""
        if not self.open:
            try:
                self.connection.open()
            except (smtplib.SMTPException, OSError) as trouble:
                self.hang_up()
                raise NoServer(_in_words(trouble)) from trouble
            self.open = True
        self.connection.send_messages([email])

    def hang_up(self) -> None:
        self.open = False
        with suppress(smtplib.SMTPException, OSError):
            self.connection.close()


def _send(
    post: _Post, message: Notification, words: Composed | Exception | None, token: uuid.UUID
) -> None:
    """Send one message and settle it; raises NoServer when it could not even be tried."""
    if words is None:
        _settle(message, token, state=DEAD, error=NOTHING_TO_SAY)
        return
    if message.attempts > MAX_ATTEMPTS:
        _settle(message, token, state=DEAD, error=NEVER_SETTLED)
        return
    if isinstance(words, Exception):
        _try_again(message, token, _in_words(words))
        return
    try:
        post.send(_as_email(message, words))
    except (smtplib.SMTPException, OSError, ValueError) as trouble:
        log.warning("%s did not leave: %s", message.public_id, _in_words(trouble))
        if _is_final(trouble):
            _settle(message, token, state=DEAD, error=_in_words(trouble))
        else:
            _try_again(message, token, _in_words(trouble))
        if not _says_no_to_this_one(trouble):
            post.hang_up()
        return
    failpoint("message.sent")
    _settle(message, token, state=SENT, sent_at=timezone.now(), error="")
    failpoint("message.settled")


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
    return f"{type(trouble).__name__}: {trouble}"


def _decoded(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
