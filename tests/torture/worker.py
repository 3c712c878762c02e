"""One process of the histories: plays the worlds that it is given, and says what became of each.

`python -m tests.torture.worker 1:0-24 1:50-74 …`. It has a database, a sandbox and an address of
its own, at which the product takes in what the sandbox tells.
"""

import gc
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import redis

django.setup()

from django.conf import settings  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

from tests.torture.freezing import freezing_worker  # noqa: E402
from tests.torture.history import Tools, World  # noqa: E402
from tests.torture.house import sandbox_of  # noqa: E402
from tests.torture.mistakes import mistaken  # noqa: E402
from tests.torture.people import People  # noqa: E402


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """The sandbox's events are many and all alike."""


def main(worlds: list[str]) -> None:
    """Play each world, and say in a line of JSON what became of it."""
    settings.STATIC_ROOT.mkdir(exist_ok=True)
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sandbox_of(dict(os.environ)) as sandbox:
        settings.STRIPE_API_BASE = sandbox.stripe_url
        settings.PAYPAL_API_BASE = sandbox.paypal_url
        addresses = {"STRIPE_API_BASE": sandbox.stripe_url, "PAYPAL_API_BASE": sandbox.paypal_url}
        valkey = redis.Redis.from_url(settings.REDIS_URL.partition("?")[0])
        with (
            freezing_worker(dict(os.environ) | addresses) as freezing,
            mistaken(os.environ.get("MISTAKE", "")),
        ):
            address = f"http://127.0.0.1:{server.server_port}"
            tools = Tools(People.move_in(), sandbox, valkey, address, freezing)
            # What is loaded by now stays, so it need not be looked through for garbage.
            gc.freeze()
            gc.set_threshold(20_000, 20, 20)
            for world in worlds:
                said = asdict(World(world, tools).play())
                sys.stdout.write(json.dumps(said) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that its sandbox ends as well
    main(sys.argv[1:])
