"""Waiting for the world, with a deadline."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str, poll_s: float = 0.01) -> None:
    """Return as soon as `condition()` is true; raise TimeoutError naming `what` when it is not within `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            msg = f"{what}: not within {within_s:g} s"
            raise TimeoutError(msg)
        time.sleep(poll_s)
