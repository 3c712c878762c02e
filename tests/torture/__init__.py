"""Tries to lose money, and to pay it twice: `make torture`.

Histories are made up by chance and a seed: buyers, creators and staff act, clocks jump, workers run
twice and at the same time or freeze in mid-work, providers fail in every way that the sandbox
knows, webhooks get lost. In the end everything heals, the sweeps run until nothing moves any more,
and our books are held against the sandbox's own. With KILLS real Celery workers are killed at every
named place.

===============  =================================================================================
house.py         the servers of one run, in a folder of its own
people.py        who takes part, and the payments that a history is about
history.py       histories, what may happen in them, and how the world that they share heals
freezing.py      a worker that is stopped in mid-work and wakes up later
mistakes.py      known mistakes to be made on purpose
oracle.py        our books against the sandbox's
kills.py         real workers under a supervisor, killed at each place of marketplace/failpoints.py
__main__.py      the command: shares histories out, adds up, prints the closing line
===============  =================================================================================
"""
