"""The index of runs in memory: lists, look-ups, load."""

from collections.abc import Callable, Sequence

from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import CLOSED, RunRow
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class Runs(Part):
    """Reads runs; only an append changes them."""

    def run(self, saga_id: SagaId) -> RunRow | None:
        with self._tables.lock:
            return self._tables.runs.get(saga_id)

    def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
        with self._tables.lock:
            runs = self._tables.runs
            return {saga_id: runs[saga_id] for saga_id in saga_ids if saga_id in runs}

    def runs_by_prefix(self, prefix: str, *, limit: int = 2) -> list[RunRow]:
        found = self._newest(lambda row: row.saga_id.startswith(prefix))
        return sorted(found, key=lambda row: row.saga_id)[:limit]

    def runs_by_key(self, saga: str, idempotency_key: str) -> list[RunRow]:
        found = self._newest(lambda row: row.saga == saga and row.idempotency_key == idempotency_key)
        return sorted(found, key=lambda row: -row.generation)

    def runs(
        self,
        *,
        status: str | None = None,
        saga: str | None = None,
        key: str | None = None,
        since: Instant | None = None,
        limit: int = 100,
        before: tuple[Instant, SagaId] | None = None,
    ) -> list[RunRow]:
        def fits(row: RunRow) -> bool:
            return (
                (status is None or row.status == status)
                and (saga is None or row.saga == saga)
                and (key is None or key in (row.idempotency_key, row.business_key))
                and (since is None or row.started_at >= since)
                and (before is None or (row.started_at, row.saga_id) < before)
            )

        return self._newest(fits)[:limit]

    def runs_by_origin(self, topic: str, partition: int, offset: int) -> list[RunRow]:
        origin = Origin(topic=topic, partition=partition, offset=offset)
        return self._newest(lambda row: origin in row.origins)

    def runs_open(self, *, limit: int = 100_000) -> list[RunRow]:
        return self._newest(lambda row: row.status not in CLOSED)[:limit]

    def load(self) -> dict[int, int]:
        with self._tables.lock:
            load = dict.fromkeys(self._tables.leases["worker"], 0)
            for row in self._tables.runs.values():
                if row.status not in CLOSED:
                    load[row.shard] += 1
            return load

    def _newest(self, fits: Callable[[RunRow], bool]) -> list[RunRow]:
        with self._tables.lock:
            found = [row for row in self._tables.runs.values() if fits(row)]
        return sorted(found, key=lambda row: (row.started_at, row.saga_id), reverse=True)
