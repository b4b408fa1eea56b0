"""The writer of a simulated worker: it takes its time, as `WriterThread` does, and tells of a commit when it likes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Batch
from amends.coordinator.runtime.batching import OpenBatch
from amends.coordinator.runtime.inbound import AppendFailed, Committed, Inbound
from amends.schemas.instants import MILLISECOND
from tests.simulation.workers.connection import Connection, Weather


class Owner(Protocol):
    """The worker that this writer belongs to."""

    def put(self, inbound: Inbound) -> None: ...

    def after(self, microseconds: int, happening: Callable[[], None]) -> None: ...

    def breaks(self, rule: str, why: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class SlowWriter:
    """One batch at a time: a second one before the first is answered would be too far ahead of the store."""

    owner: Owner
    store: Connection
    weather: Weather
    writing: OpenBatch | None = None
    rows: Batch | None = None
    """What is still to be appended; None once it is, or is refused, and the answer is on its way."""
    tries: int = field(default=0)

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> Inbound | None:
        if self.writing is not None:
            self.owner.breaks("S3", "a batch is to be written before the former one is answered")
        self.tries = 0
        if at_once and self._random.randrange(100) < self.weather.troubles.at_once:
            try:
                answer = self._tried(batch, rows)
            except StoreUnavailable:
                pass
            else:
                self.weather.fired["an append was answered at once"] += 1
                return answer
        self.writing, self.rows = batch, rows
        self.owner.after(self._a_while(), self._append)
        return None

    @property
    def _random(self) -> Random:
        return self.weather.random

    def _append(self) -> None:
        batch, rows = self.writing, self.rows
        assert batch is not None, "an append is asked for"
        assert rows is not None, "an append is asked for"
        try:
            answer = self._tried(batch, rows)
        except StoreUnavailable:
            self.tries += 1
            self.owner.after(min(5_000, 50 * 2**self.tries) * MILLISECOND, self._append)
            return
        self.rows = None
        self.owner.after(self._a_while(), lambda: self._answer(answer))

    def _answer(self, answer: Inbound) -> None:
        self.writing = None
        self.owner.put(answer)

    def _tried(self, batch: OpenBatch, rows: Batch) -> Inbound:
        try:
            self.store.append(rows)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  as the real one: the engine decides what it means
            return AppendFailed(batch=batch, error=error)
        return Committed(batch=batch)

    def _a_while(self) -> int:
        if self.weather.percent(self.weather.troubles.slow):
            return self._random.randrange(50, 3_000) * MILLISECOND
        return self._random.randrange(3_000)
