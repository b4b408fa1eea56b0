"""Forgetting: a request whose run ended longer ago than its saga's `dedup_for` is a new request again (rule 4).

Its next record starts the next generation: another saga id, another stream, other effect keys; the former runs stay.
A record is one request for ever, though: read again, it is recognized by its place, whichever generation had it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from amends.coordinator.core.messages import Start
from amends.coordinator.ports.rows import CLOSED, RunRow
from amends.coordinator.ports.store import Store
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of the requests of one batch."""

    runs: Mapping[SagaId, RunRow]
    generations: Mapping[SagaId, int]
    """Which generation a forgotten request is in by now: its newest, or the one after it if that is forgotten too."""
    accounted: Collection[tuple[str, Origin]]
    """Records of forgotten requests, each with its saga, that were dealt with before."""

    def current(self, start: Start) -> Start:
        """The start as it is now."""
        generation = self.generations.get(start.saga_id)
        return start if generation is None else in_generation(start, generation)

    def had(self, start: Start) -> bool:
        """Whether this very record was dealt with in a generation that is forgotten."""
        return (start.saga, start.origin) in self.accounted


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """Asks the store once for all requests of a batch, and again only where some of them are forgotten."""

    store: Store
    namespace: str
    dedup_for_us: Mapping[str, int]
    """By saga. Those that are not in it remember for ever."""

    def ask(self, starts: Sequence[Start], now: Instant) -> Known:
        """Raises `StoreUnavailable`."""
        runs = self.store.runs_by_id([start.saga_id for start in starts]) if starts else {}
        by_saga: defaultdict[str, list[Start]] = defaultdict(list)
        for start in starts:
            if self._forgotten(runs.get(start.saga_id), now):
                by_saga[start.saga].append(start)
        generations: dict[SagaId, int] = {}
        accounted: set[tuple[str, Origin]] = set()
        for saga, forgotten in by_saga.items():
            newest = self._newest(saga, forgotten)
            runs |= self.store.runs_by_id([start.saga_id for start in newest.values()])
            for saga_id, start in newest.items():
                generations[saga_id] = start.generation + self._forgotten(runs.get(start.saga_id), now)
            origins = {start.origin for start in forgotten if start.origin is not None}
            accounted |= {(saga, origin) for origin in self.store.accounted(self.namespace, saga, list(origins))}
        return Known(runs=runs, generations=generations, accounted=accounted)

    def _newest(self, saga: str, forgotten: Sequence[Start]) -> dict[SagaId, Start]:
        """The same starts, each once, in the newest generations there are."""
        starts = {start.saga_id: start for start in forgotten}
        newest = self.store.generations(
            self.namespace, saga, sorted({start.idempotency_key for start in starts.values()})
        )
        return {saga_id: in_generation(start, newest[start.idempotency_key]) for saga_id, start in starts.items()}

    def _forgotten(self, row: RunRow | None, now: Instant) -> bool:
        if row is None or row.ended_at is None or row.status not in CLOSED:
            return False
        dedup_for_us = self.dedup_for_us.get(row.saga)
        return dedup_for_us is not None and now - row.ended_at > dedup_for_us


def in_generation(start: Start, generation: int) -> Start:
    """The start of another generation of the same request."""
    saga_id = saga_id_of(
        namespace=start.namespace, saga=start.saga, idempotency_key=start.idempotency_key, generation=generation
    )
    named_by_itself = start.business_key == start.saga_id  # Without a business key the saga id stands for it.
    return replace(
        start,
        generation=generation,
        saga_id=saga_id,
        business_key=saga_id if named_by_itself else start.business_key,
    )
