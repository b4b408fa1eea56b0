"""Lanes of a relay that are held up: a topic refuses their next record. They wait; the others go on (rule 19)."""

import logging
import random
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from amends.coordinator.errors import RecordRefused
from amends.coordinator.runtime.relay_batches import DEAD_LETTERS

FIRST_WAIT_S: Final = 0.1
LAST_WAIT_S: Final = 5.0

log = logging.getLogger("amends.relay")


def wait_s(failures: int) -> float:
    """How long to wait after so many failures: 0.1 to 5 s, doubling, spread so that relays do not march in step."""
    longest = min(LAST_WAIT_S, FIRST_WAIT_S * float(2 ** min(failures, 10)))
    return longest * random.uniform(0.5, 1)  # noqa: S311  no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Where a lane stands still, and why."""

    position: int
    why: str
    failures: int
    again_at: float


@dataclass(slots=True)
class Holds:
    """Each is tried again after a while, by its next record alone."""

    _held: dict[int, Hold] = field(default_factory=dict)

    def __contains__(self, lane: object) -> bool:
        return lane in self._held

    @property
    def due(self) -> Collection[int]:
        """Lanes to be tried again."""
        now = time.monotonic()
        return {lane for lane, hold in self._held.items() if hold.again_at <= now}

    def hold(self, lane: int, position: int, refused: RecordRefused) -> bool:
        """The record at this position was refused, perhaps again; say whether that is news, and log it then."""
        former = self._held.get(lane)
        failures = 0 if former is None else former.failures + 1
        self._held[lane] = Hold(
            position=position, why=refused.why, failures=failures, again_at=time.monotonic() + wait_s(failures)
        )
        news = former is None or (former.position, former.why) != (position, refused.why)
        if news:
            log.warning("relay_waits", extra={**_place(lane, position), "why": refused.why})
        return news

    def passed(self, lane: int, position: int) -> None:
        """The lane is published up to here."""
        hold = self._held.get(lane)
        if hold is not None and hold.position <= position:
            del self._held[lane]
            log.info("relay_goes_on", extra=_place(lane, hold.position))

    def keep(self, lanes: Collection[int]) -> None:
        """Forget those that another relay has by now."""
        self._held = {lane: hold for lane, hold in self._held.items() if lane in lanes}


def _place(lane: int, position: int) -> dict[str, Any]:
    return {"dead_letter": position} if lane == DEAD_LETTERS else {"shard": lane, "position": position}
