"""Requests a second through gunicorn, as it is deployed, beside a view that does nothing.

Both are asked for by turns over connections that stay open, by threads of this process, which is on
the same machine: so both sides are lower than they are alone, and the ratio is what counts.
"""

import http.client
import os
import subprocess
import sys
import threading
import time
from statistics import median

from bench.measure import SMALL, prepare, say
from bench.outbox import free_port, wait_for

ROUNDS, SECONDS, CLIENTS = (3, 2.0, 4) if SMALL else (10, 5.0, 8)


def asked(port: int, address: str, cookie: str) -> float:
    """How many of these answers come in a second."""
    until, answers = time.perf_counter() + SECONDS, [0] * CLIENTS

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < until:
            connection.request("GET", address, headers={"Host": "localhost", "Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, f"{address}: {answer.status}"
            answers[number] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answers) / SECONDS


def main() -> None:
    prepare()
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from bench.load import as_after_years, load_cases
    from bench.pages import browser_of
    from bench.world import a_fresh_database

    call_command("collectstatic", interactive=False, verbosity=0)
    with a_fresh_database():
        load_cases(10_000, as_after_years, big=True)
        session = browser_of("person.1@example.com").cookies[settings.SESSION_COOKIE_NAME].value
        cookie, port = f"{settings.SESSION_COOKIE_NAME}={session}", free_port()
        environment = os.environ | {"BENCH_DATABASE": connection.settings_dict["NAME"]}
        command = [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn"]
        command += ["--bind", f"127.0.0.1:{port}", "--log-level", "error", "bench.served"]
        server = subprocess.Popen(command, env=environment)
        try:
            wait_for(port)
            pages: list[float] = []
            bares: list[float] = []
            for _ in range(ROUNDS + 1):
                pages.append(asked(port, "/dash/resolution-center/", cookie))
                bares.append(asked(port, "/bench/bare/", ""))
        finally:
            server.terminate()
            server.wait()
    ours, floor = median(pages[1:]), median(bares[1:])
    say(
        job="creator's list through gunicorn", unit="req/s", ours=round(ours), floor=round(floor),
        ratio=round(ours / floor, 2), goal="none", met=None,
    )  # fmt: skip


if __name__ == "__main__":
    main()
