"""All deadlines of all runs, in one heap. An entry that is not current any more is dropped when it comes up."""

import heapq
from collections.abc import Callable
from typing import Literal, NamedTuple

from amends.coordinator.runtime.runs import Identity
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

Kind = Literal["due", "timeout", "overdue", "ask", "alone"]
"""`due`: the run's own instant. `timeout`: an attempt's. `overdue`: it was told to stop and has not. `ask`: a question
that was put off. `alone`: a suspect's time by itself is over."""


TIDY_FROM = 10_000


class Timer(NamedTuple):
    """Ordered by instant; the number keeps the order of equal ones."""

    due: Instant
    number: int
    kind: Kind
    saga_id: SagaId
    identity: Identity | None


class Timers:
    """A heap with lazy removal."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._number = 0
        self._tidy_at = TIDY_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, due: Instant, kind: Kind, saga_id: SagaId, identity: Identity | None = None) -> None:
        """Have this come up at `due`."""
        self._number += 1
        heapq.heappush(self._heap, Timer(due, self._number, kind, saga_id, identity))

    def next_due(self) -> Instant | None:
        """The instant of the earliest one."""
        return self._heap[0].due if self._heap else None

    def come_up(self, now: Instant) -> list[Timer]:
        """Take those whose instant has come, earliest first."""
        found: list[Timer] = []
        while self._heap and self._heap[0].due <= now:
            found.append(heapq.heappop(self._heap))
        return found

    def tidy(self, is_current: Callable[[Timer], bool]) -> None:
        """Drop what is not current any more, once the heap has doubled since the last time."""
        if len(self._heap) < self._tidy_at:
            return
        self._heap = [timer for timer in self._heap if is_current(timer)]
        heapq.heapify(self._heap)
        self._tidy_at = max(TIDY_FROM, 2 * len(self._heap))
