"""How fast messages leave, beside what `smtplib` needs to send the very same over one connection.

Both sides talk to the same SMTP server, in a process of its own, and take turns, so that a busy
machine slows both. Much of it is waiting for that server, so the ratio is of wall time.
"""

import asyncio
import multiprocessing
import smtplib
import socket
import time
from statistics import median

from bench.measure import SMALL, prepare, say

ROUNDS = {"small": (4, 200), "full": (10, 1000)}
"""Rounds, and messages in each, by the environment's SIZE."""

GOAL = 0.6


def serve(port: int) -> None:
    """A mail server that takes everything and keeps nothing."""
    from aiosmtpd.smtp import SMTP, Envelope, Session

    class Forget:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            return "250 OK"

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(Forget(), enable_SMTPUTF8=True, loop=loop), "127.0.0.1", port
        )
        await server.serve_forever()

    asyncio.run(listen())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("The mail server did not start.")


def run(rounds: int, messages: int, port: int) -> None:
    """Let both sides send the same messages in turns; the figures are medians of the rounds."""
    from django.test.utils import override_settings

    from bench.world import messages_of_cases
    from notifications import outbox
    from notifications.models import Notification
    from resolution import messages as letters

    with override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=port):
        messages_of_cases(messages)
        rows = list(Notification.objects.select_related("recipient").order_by("pk"))
        words = letters.compose(rows)
        emails = [outbox.Mail(row, said) for row in rows if (said := words[row.pk])]
        rendered = [(email.to, email.for_smtp(eight_bit=True)) for email in emails]
        sender = "no-reply@resolution.example"
        times: dict[str, list[float]] = {"ours": [], "floor": []}
        for _ in range(rounds):
            started = time.perf_counter()
            with smtplib.SMTP("127.0.0.1", port) as post:
                for to, content in rendered:
                    post.sendmail(sender, to, content)
            times["floor"].append(len(rendered) / (time.perf_counter() - started))
            started = time.perf_counter()
            while outbox.deliver(letters.compose):
                pass
            times["ours"].append(len(rendered) / (time.perf_counter() - started))
            assert not Notification.objects.exclude(state="sent").exists()
            Notification.objects.update(state="pending", attempts=0)
    ours, floor = median(times["ours"]), median(times["floor"])
    say(
        job="outbox drain",
        unit="mails/s",
        ours=round(ours),
        floor=round(floor),
        ratio=round(ours / floor, 2),
        goal=f">= {GOAL}",
        met=ours / floor >= GOAL,
    )


def main() -> None:
    prepare()
    rounds, messages = ROUNDS["small" if SMALL else "full"]
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    from bench.world import a_fresh_database

    with a_fresh_database():
        wait_for(port)
        run(rounds, messages, port)
    server.terminate()


if __name__ == "__main__":
    main()
