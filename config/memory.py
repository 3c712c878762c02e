"""How a process that serves for long looks after its memory."""

import gc


def settle() -> None:
    """Call once all is loaded: what is there stays, and what is new is looked through less often.

    Python looks for cycles after each 700 new objects by default, over and over through what a
    batch of a thousand cases or a long page is just being made of: a fifth of a sweep's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
