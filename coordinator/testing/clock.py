"""The virtual clock of a world for tests."""

from dataclasses import dataclass

from amends.schemas.instants import Instant, instant_of

BEGINNING: Instant = instant_of("2026-01-01T00:00:00Z")


@dataclass(slots=True, kw_only=True)
class Clock:
    """Goes only where it is told to."""

    now: Instant = BEGINNING

    def __call__(self) -> Instant:
        return self.now
