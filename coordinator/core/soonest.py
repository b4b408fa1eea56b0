"""What a run's row says of all that the run waits for: what comes first, and how many more there are."""

from collections.abc import Callable, Iterable
from heapq import nsmallest
from typing import Final

from amends.schemas.instants import Instant

TOLD_MAX: Final = 5
"""A list may have thousands of items that wait, and its row is written with each of them."""


def soonest(waits: Iterable[tuple[Instant, str]], told: Callable[[Instant, str], str]) -> str | None:
    """Those of the earliest instants, each told of by its instant and its step's name; None if there are none."""
    found = list(waits)
    texts = [told(at, name) for at, name in nsmallest(TOLD_MAX, found)]
    if len(found) > TOLD_MAX:
        texts.append(f"and {len(found) - TOLD_MAX} more")
    return "; ".join(texts) or None
