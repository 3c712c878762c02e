"""The outbox against a real mail server: each message once, whatever goes wrong."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from marketplace.models import User
from notifications import outbox
from notifications.models import Notification
from notifications.outbox import Composed, deliver, resend
from tests.notifications.conftest import MailServer, MakeMessage


def greet(messages: Sequence[Notification]) -> Mapping[int, Composed | None]:
    return {m.pk: Composed(f"About {m.about}", "Hello.", "<p>Hello.</p>") for m in messages}


def now_at(message: Notification) -> Notification:
    return Notification.objects.get(pk=message.pk)


def make_due(*messages: Notification) -> None:
    """Let the time to wait be over."""
    pks = [message.pk for message in messages]
    Notification.objects.filter(pk__in=pks).update(next_attempt_at=timezone.now())


def test_a_message_leaves_as_text_and_as_html(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea)

    assert deliver(greet) == 1

    [email] = mail_server.received
    text, html = email.get_body(("plain",)), email.get_body(("html",))
    assert text
    assert html
    assert (email["To"], email["Subject"]) == (bea.email, f"About {message.about}")
    assert email["From"] == "Whop <no-reply@resolution.example>"
    assert text.get_content().strip() == "Hello."
    assert html.get_content().strip() == "<p>Hello.</p>"
    sent = now_at(message)
    assert (sent.state, sent.attempts, sent.error) == ("sent", 1, "")
    assert sent.sent_at is not None
    assert (sent.lease_token, sent.lease_until) == (None, None)


def test_messages_of_a_case_are_one_thread_for_each_person(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea, thread="reso_abc")

    deliver(greet)

    [email] = mail_server.received
    root = f"<reso_abc.thread.{bea.public_id}@rc.example>"
    assert email["Message-ID"] == f"<{message.public_id}@rc.example>"
    assert (email["In-Reply-To"], email["References"]) == (root, root)
    assert email["Auto-Submitted"] == "auto-generated"


def test_the_oldest_leave_first_over_one_connection(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    messages = [make_message(bea) for _ in range(5)]

    assert [deliver(greet, limit=3), deliver(greet, limit=3), deliver(greet)] == [3, 2, 0]

    assert mail_server.subjects == [f"About {message.about}" for message in messages]
    assert mail_server.connections == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_message_once(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    messages = [make_message(bea) for _ in range(60)]
    start = Barrier(2)

    def work() -> int:
        start.wait()
        done = 0
        while sent := deliver(greet, limit=7):
            done += sent
        connection.close()
        return done

    with ThreadPoolExecutor(2) as pool:
        counts = [worker.result() for worker in [pool.submit(work), pool.submit(work)]]

    assert sum(counts) == 60
    assert sorted(mail_server.subjects) == sorted(f"About {m.about}" for m in messages)
    assert Notification.objects.filter(state="sent", attempts=1).count() == 60


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_inside_a_transaction(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea)

    with pytest.raises(RuntimeError), transaction.atomic():
        deliver(greet)

    assert mail_server.received == []
    assert now_at(message).state == "pending"


def test_a_recipient_refused_for_good_is_given_up_at_once(
    mail_server: MailServer, make_message: MakeMessage, bea: User, cleo: User
) -> None:
    mail_server.refused[bea.email] = "550 No such person"
    refused, welcome = make_message(bea), make_message(cleo)

    deliver(greet)

    assert (now_at(refused).state, now_at(refused).error) == ("dead", "550 No such person")
    assert now_at(welcome).state == "sent"
    assert mail_server.connections == 1


def test_a_temporary_refusal_is_tried_again_as_the_same_mail(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    mail_server.refused[bea.email] = "451 Come back later"
    message = make_message(bea)

    deliver(greet)
    waiting = now_at(message)
    assert deliver(greet) == 0
    mail_server.refused.clear()
    make_due(message)
    deliver(greet)

    assert (waiting.state, waiting.attempts, waiting.error) == ("pending", 1, "451 Come back later")
    wait = waiting.next_attempt_at - timezone.now()
    assert timedelta(minutes=1) < wait < timedelta(minutes=3)
    assert [email["Message-ID"] for email in mail_server.received] == [
        f"<{message.public_id}@rc.example>"
    ]
    assert (now_at(message).state, now_at(message).error) == ("sent", "")


def test_a_message_is_given_up_after_twelve_attempts(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    mail_server.refused[bea.email] = "451 Come back later"
    message = make_message(bea)

    states = []
    for _ in range(13):
        make_due(message)
        deliver(greet)
        states.append(now_at(message).state)

    assert states == ["pending"] * 11 + ["dead"] * 2
    assert now_at(message).attempts == 12
    assert now_at(message).error == "451 Come back later"


def test_the_attempts_are_spread_over_about_three_days() -> None:
    waits = [outbox.FIRST_DELAY * 2**attempt for attempt in range(outbox.MAX_ATTEMPTS - 1)]

    assert round(sum(waits, timedelta()) / timedelta(days=1)) == 3


def test_a_mail_dropped_after_its_data_comes_again_with_the_same_id(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    dropped, other = make_message(bea), make_message(bea)
    mail_server.hang_ups = 1

    deliver(greet)
    states = [now_at(dropped).state, now_at(other).state]
    make_due(dropped)
    deliver(greet)

    assert states == ["pending", "sent"]
    first, second, third = (email["Message-ID"] for email in mail_server.received)
    assert first == third == f"<{dropped.public_id}@rc.example>"
    assert second == f"<{other.public_id}@rc.example>"
    assert now_at(dropped).state == "sent"


def test_a_server_that_says_good_bye_is_called_again(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    mail_server.answers = ["421 Closing for now"]
    first, second = make_message(bea), make_message(bea)

    deliver(greet)

    assert [now_at(first).state, now_at(second).state] == ["pending", "sent"]
    assert now_at(first).error == "421 Closing for now"
    assert mail_server.connections == 2


def test_no_attempt_is_used_up_while_the_server_cannot_be_reached(
    no_mail_server: None, make_message: MakeMessage, bea: User
) -> None:
    messages = [make_message(bea), make_message(bea)]

    assert deliver(greet) == 0

    for message in messages:
        waiting = now_at(message)
        assert (waiting.state, waiting.attempts, waiting.lease_token) == ("pending", 0, None)
        assert waiting.error.startswith("ConnectionRefusedError")
        assert timedelta() < waiting.next_attempt_at - timezone.now() < timedelta(minutes=1)


def test_a_message_without_words_does_not_hold_up_the_others(
    mail_server: MailServer,
    make_message: MakeMessage,
    bea: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, broken, after = (make_message(bea) for _ in range(3))

    def stumble(messages: Sequence[Notification]) -> Mapping[int, Composed | None]:
        if broken.pk in {message.pk for message in messages}:
            raise LookupError("no such event")
        return greet(messages)

    deliver(stumble)

    assert mail_server.subjects == [f"About {before.about}", f"About {after.about}"]
    waiting = now_at(broken)
    assert (waiting.state, waiting.attempts) == ("pending", 1)
    assert waiting.error == "LookupError: no such event"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        f"No words for {broken.public_id}"
    ]


def test_a_message_that_has_nothing_to_say_any_more_is_given_up(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea)

    deliver(lambda messages: {message.pk: None})

    assert (now_at(message).state, now_at(message).error) == ("dead", outbox.NOTHING_TO_SAY)
    assert (mail_server.received, mail_server.connections) == ([], 0)


def test_a_message_that_was_given_up_can_be_sent_again(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea, state="dead", attempts=12, error="550 No such person")

    assert resend(message.pk) is True
    waiting = now_at(message)
    deliver(greet)

    assert (waiting.state, waiting.attempts, waiting.error) == ("pending", 0, "")
    assert now_at(message).state == "sent"
    assert resend(message.pk) is False
    assert now_at(message).state == "sent"


def test_what_a_dead_worker_held_is_taken_over_when_its_lease_is_over(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    over = timezone.now() - timedelta(seconds=1)
    left = make_message(bea, state="sending", attempts=1, lease_token=uuid4(), lease_until=over)
    held = make_message(
        bea, state="sending", lease_token=uuid4(), lease_until=over + timedelta(minutes=5)
    )

    assert deliver(greet) == 1

    assert (now_at(left).state, now_at(left).attempts) == ("sent", 2)
    assert (now_at(held).state, now_at(held).lease_token) == ("sending", held.lease_token)


def test_a_message_that_ends_every_worker_is_given_up(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    over = timezone.now() - timedelta(seconds=1)
    message = make_message(bea, state="sending", attempts=12, lease_token=uuid4(), lease_until=over)

    deliver(greet)

    assert (now_at(message).state, now_at(message).error) == ("dead", outbox.NEVER_SETTLED)
    assert mail_server.received == []


def test_a_worker_frozen_beyond_its_lease_sends_and_settles_no_more(
    mail_server: MailServer, make_message: MakeMessage, bea: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, other = make_message(bea), uuid4()
    monkeypatch.setattr(outbox, "RENEW_AFTER_SECONDS", -1)

    def freeze(messages: Sequence[Notification]) -> Mapping[int, Composed | None]:
        Notification.objects.filter(pk=message.pk).update(lease_token=other)
        return greet(messages)

    deliver(freeze)

    assert mail_server.received == []
    assert (now_at(message).state, now_at(message).lease_token) == ("sending", other)


def test_a_settlement_without_the_lease_changes_nothing(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message, other = make_message(bea), uuid4()

    def freeze(messages: Sequence[Notification]) -> Mapping[int, Composed | None]:
        Notification.objects.filter(pk=message.pk).update(lease_token=other)
        return greet(messages)

    deliver(freeze)

    assert len(mail_server.received) == 1
    assert (now_at(message).state, now_at(message).lease_token) == ("sending", other)


def test_no_line_break_reaches_a_header(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    message = make_message(bea)
    sly = "Theo\r\nBcc: everyone@example.com\x00\u202e asks\u2028now"

    deliver(lambda messages: {message.pk: Composed(sly, "Hello.", "<p>Hello.</p>")})

    [email] = mail_server.received
    assert email["Subject"] == "Theo Bcc: everyone@example.com asks now"
    assert email["Bcc"] is None


# ── In order ──────────────────────────────────────────────────────────────────────────────────────


def test_while_a_message_has_trouble_the_later_ones_of_its_conversation_wait(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    mail_server.answers = ["451 Later"]
    first, second = make_message(bea, thread="reso_one"), make_message(bea, thread="reso_one")
    other = make_message(bea, thread="reso_two")

    deliver(greet)
    in_trouble = [(now_at(m).state, now_at(m).attempts) for m in (first, second, other)]
    held = deliver(greet)
    make_due(first)
    deliver(greet)
    deliver(greet)

    assert in_trouble == [("pending", 1), ("pending", 0), ("sent", 1)]
    assert held == 0
    assert mail_server.subjects == [f"About {m.about}" for m in (other, first, second)]


def test_after_half_an_hour_of_trouble_news_goes_past_it(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    an_hour = timezone.now() + timedelta(hours=1)
    for attempts in (outbox.KEEPS_ORDER - 1, outbox.KEEPS_ORDER):
        make_message(bea, thread=f"reso_{attempts}", attempts=attempts, next_attempt_at=an_hour)
    held, free = (make_message(bea, thread=f"reso_{n}") for n in (4, 5))

    assert deliver(greet) == 1

    assert [now_at(held).state, now_at(free).state] == ["pending", "sent"]


def test_what_was_sent_is_written_down_even_when_the_worker_is_stopped(
    mail_server: MailServer, make_message: MakeMessage, bea: User
) -> None:
    first, second, third = (make_message(bea) for _ in range(3))

    class Stopping(dict[int, Composed | None]):
        def get(self, pk: int, default: object = None) -> Composed | None:
            if pk == third.pk:
                raise SystemExit
            return self[pk]

    with pytest.raises(SystemExit):
        deliver(lambda messages: Stopping(greet(messages)))

    assert [now_at(m).state for m in (first, second, third)] == ["sent", "sending", "sending"]
    assert len(mail_server.received) == 2


@pytest.mark.parametrize("extension", ["8BITMIME", "X-NONE"])
def test_every_character_and_line_arrives_as_it_was_written(
    mail_server: MailServer, make_message: MakeMessage, bea: User, extension: str
) -> None:
    mail_server.extension = extension
    text = (
        ".leading dot\n..two\n\n=3D and = at the end=\ntrailing \n"
        + "ü€𝄞’ " * 400
        + "\u2028\nFrom me\n"
    )
    html = "<p>\n.Füße =3D ü€𝄞’\u2028\n..</p>\n"
    said = Composed("Über „Füße“ – déjà vu, a subject that is longer than a line of it", text, html)

    make_message(bea)
    deliver(lambda messages: {message.pk: said for message in messages})

    [email] = mail_server.received
    bodies = [email.get_body((kind,)) for kind in ("plain", "html")]
    assert email["Subject"] == said.subject
    arrived = [body.get_content().replace("\r\n", "\n") for body in bodies if body]
    assert arrived == [text, html]
    assert max(map(len, email.as_bytes().splitlines())) < 998
