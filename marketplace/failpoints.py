"""Named places at which a worker can be made to die or freeze, to see that nothing is lost there.

`FAILPOINTS=refund.called=0.05,event.stored=#3` kills the process, as SIGKILL does, at every
twentieth pass of the one by chance and at the third pass of the other. `refund.called=stop` stops
it there each time, as SIGSTOP does, until somebody lets it go on (SIGCONT). Without the setting a
place does nothing; a production start with it is refused (settings). Every death is a line of the
file FAILPOINTS_LOG, written before it happens.

=====================  =====================================================================
place                  where it is
=====================  =====================================================================
intent.written         a step with its rows is written, not committed
intent.committed       it is committed, and no worker has been nudged yet
refund.claimed         a refund is leased to a worker
refund.calling         it is written down that the provider is about to be called
refund.called          the provider has answered, and nobody knows
refund.settling        the answer is written, not committed
refund.settled         it is committed, the case does not know
event.stored           a provider's event is stored, not answered
event.claimed          a worker has taken it
event.looked           what it told of is seen to, the event is not
message.claimed        messages are leased to a worker
message.sent           the mail server has taken one, and nobody knows
message.settled        it is written down as sent
=====================  =====================================================================
"""

import os
import random
import re
import signal
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PLACES = (
    *("intent.written", "intent.committed"),
    *("refund.claimed", "refund.calling", "refund.called", "refund.settling", "refund.settled"),
    *("event.stored", "event.claimed", "event.looked"),
    *("message.claimed", "message.sent", "message.settled"),
)
"""All names, in the order in which a refund and what is told of it come past them."""

_passes: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Die here, if that was asked for."""
    if settings.FAILPOINTS:
        _perhaps_die(name, armed(settings.FAILPOINTS).get(name))


@cache
def armed(asked: str) -> dict[str, float | int | Literal["stop"]]:
    """What the setting asks for: by place a chance (a fraction), the pass to die at, or to stop.

    Raises ImproperlyConfigured for a place or a number that there is not.
    """
    found: dict[str, float | int | Literal["stop"]] = {}
    for part in filter(None, (each.strip() for each in asked.split(","))):
        name, _, when = part.partition("=")
        if name not in PLACES or not re.fullmatch(r"#[1-9][0-9]*|0?\.[0-9]+|1|stop", when):
            raise ImproperlyConfigured(
                f"FAILPOINTS must be like 'refund.called=0.05,event.stored=#3', not {part!r}."
            )
        if when == "stop":
            found[name] = "stop"
        else:
            found[name] = int(when[1:]) if when.startswith("#") else float(when)
    return found


def _perhaps_die(name: str, when: float | int | Literal["stop"] | None) -> None:
    _passes[name] += 1
    if when is None:
        return
    if when == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    by_chance = isinstance(when, float)
    if random.random() < when if by_chance else _passes[name] == when:  # noqa: S311
        if settings.FAILPOINTS_LOG:
            with Path(settings.FAILPOINTS_LOG).open("a") as log:
                log.write(f"{name}\n")
        os.kill(os.getpid(), signal.SIGKILL)
