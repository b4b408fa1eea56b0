"""This machine's clock, as the store's port counts time."""

import time

from amends.schemas.instants import Instant


def wall_clock() -> Instant:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1_000
