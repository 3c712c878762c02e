"""The two payment providers as one local server, for development and tests.

It speaks enough of Stripe's and PayPal's HTTP APIs for their SDKs to run unmodified, keeps its own
ledger (an independent witness of what was refunded), and can be told to misbehave. It knows nothing
of this project's database. Start it with `python -m payments.sandbox --port 0`.

=================  ===========================================================================
ledger.py          charges, refunds and idempotency keys, with a journal that survives a restart
faults.py          the misbehaviour that was asked for, and how often still
stripe_api.py      Stripe's calls, answers and errors
paypal_api.py      PayPal's
webhooks.py        the signed events by which they tell of changes
server.py          which call is whose, the control API under /_sandbox/, the log
wire.py            requests and answers on a real socket, broken ones included
=================  ===========================================================================
"""
