"""`python -m payments.sandbox --port 8001 --state var/sandbox.jsonl`: run the two providers.

With `--webhook-url http://localhost:8000` every change is told to `/webhooks/stripe/` and
`/webhooks/paypal/` there, signed by STRIPE_WEBHOOK_SECRET and for PAYPAL_WEBHOOK_ID, and the
certificate to check PayPal's by is written to `--authority`.

Prints one line of JSON with their addresses once it listens, and stops on SIGTERM or SIGINT.
"""

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from payments.sandbox.server import Sandbox


def main() -> None:
    """Serve until told to stop."""
    options = argparse.ArgumentParser(prog="payments.sandbox", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0, help="0 finds a free one")
    options.add_argument("--state", type=Path, help="the journal that outlives a restart")
    options.add_argument("--settle-seconds", type=float, default=5.0)
    options.add_argument("--webhook-url", default="", help="where the product listens")
    options.add_argument("--authority", type=Path, help="file for PayPal's root certificate")
    chosen = options.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(
        chosen.state,
        chosen.settle_seconds,
        webhook_url=chosen.webhook_url,
        stripe_secret=os.environ.get("STRIPE_WEBHOOK_SECRET") or "whsec_sandbox",
        paypal_webhook_id=os.environ.get("PAYPAL_WEBHOOK_ID") or "WH-SANDBOX",
    )
    if chosen.authority:
        chosen.authority.write_text(sandbox.webhooks.signer.authority_pem)
    server = sandbox.serve(chosen.host, chosen.port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}).start()
    print(json.dumps({"stripe": server.url, "paypal": server.url}), flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()
    sandbox.webhooks.close()
    sandbox.ledger.close()


main()
