"""When to try again."""

import asyncio
import random
import time

FIRST_S = 0.1
LAST_S = 5.0


class Backoff:
    """Doubling waits from 0.1 to 5 s, shortened at random by up to half: many processes must not knock at once."""

    def __init__(self) -> None:
        self._tries = 0
        self._due_at = 0.0

    def reset(self) -> None:
        """It worked: the next failure waits 0.1 s again."""
        self._tries = 0
        self._due_at = 0.0

    async def is_due(self, *, within_s: float) -> bool:
        """Wait for the next try if it comes within that time, and count it; else wait that time and say no."""
        wait_s = self._due_at - time.monotonic()
        if wait_s > within_s:
            await asyncio.sleep(within_s)
            return False
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        longest_s = min(LAST_S, FIRST_S * 2**self._tries)
        self._tries = min(self._tries + 1, 10)
        self._due_at = time.monotonic() + longest_s * random.uniform(0.5, 1)  # noqa: S311  not a secret
        return True
