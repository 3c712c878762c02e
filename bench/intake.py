"""Provider webhooks coming in, beside a view that does nothing: stored before they are answered."""

import hashlib
import hmac
import json
import time
from itertools import count

from bench.measure import SMALL, by_turns, costs_at_most, prepare

TURNS, EACH = (15, 20) if SMALL else (50, 50)
GOAL = 4


def main() -> None:
    prepare()
    import django
    from django.conf import settings
    from django.test import Client

    django.setup()
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    settings.ROOT_URLCONF = "bench.twins"
    from bench.world import a_fresh_database
    from config.memory import settle

    settle()
    numbers = count(1)
    client = Client(headers={"host": "localhost"})
    secret = settings.STRIPE_WEBHOOK_SECRETS[0].encode()

    def send(number: int) -> None:
        about = {"id": f"re_{number}", "object": "refund", "charge": f"ch_{number}"}
        event = {"id": f"evt_{number}", "type": "refund.updated", "data": {"object": about}}
        body, at = json.dumps(event), int(time.time())
        signature = hmac.new(secret, f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
        answer = client.post(
            "/webhooks/stripe/",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": f"t={at},v1={signature}"},
        )
        assert answer.status_code == 200, answer.content

    def bare() -> None:
        client.post("/bench/bare/", "{}", content_type="application/json")

    with a_fresh_database():
        from payments.models import ProviderEvent

        ours, floor = by_turns(lambda: send(next(numbers)), bare, TURNS, EACH)
        stored = ProviderEvent.objects.count()
        assert stored == next(numbers) - 1
        costs_at_most("webhook in, a new event", ours, floor, GOAL)
        ours, floor = by_turns(lambda: send(1), bare, TURNS, EACH)
        assert ProviderEvent.objects.count() == stored, "a duplicate added a row"
        costs_at_most("webhook in, a duplicate", ours, floor, GOAL)


if __name__ == "__main__":
    main()
