"""Waiting for what is away: doubling waits, told each time, and once when it is back."""

import asyncio
import logging
import time
from typing import Final

from amends.coordinator.errors import AmendsError

FIRST_S: Final = 0.25
LAST_S: Final = 5.0


class Patience:
    """Of one task that tries the same again and again. `what` names the events: `bus_unavailable`, `bus_is_back`.

    It is back when it has worked for `steady_s`: a broker may let us in, and refuse us the group a moment later.
    """

    def __init__(self, what: str, log: logging.Logger, *, steady_s: float = 0.0) -> None:
        self._what = what
        self._log = log
        self._steady_s = steady_s
        self._works_since: float | None = None
        self._wait_s = FIRST_S
        self._tries = 0

    async def wait(self, error: AmendsError) -> None:
        """It failed again."""
        self._tries += 1
        self._works_since = None
        self._log.warning(f"{self._what}_unavailable", extra={"why": error.why, "again_in_s": self._wait_s})
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(LAST_S, 2 * self._wait_s)

    def over(self) -> None:
        """It worked."""
        if not self._tries:
            return
        now = time.monotonic()
        if self._works_since is None:
            self._works_since = now
        if now - self._works_since >= self._steady_s:
            self._log.info(f"{self._what}_is_back", extra={"tries": self._tries})
            self._tries, self._wait_s = 0, FIRST_S
