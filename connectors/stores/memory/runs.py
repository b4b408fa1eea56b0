"""The index of runs in memory: lists, look-ups, load."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import CLOSED, RunCount, RunRow
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
        return self._newest(lambda row: row.saga_id in self._tables.origins.get(origin, ()))

    def generations(self, namespace: str, saga: str, idempotency_keys: Sequence[str]) -> dict[str, int]:
        asked = set(idempotency_keys)
        found: dict[str, int] = {}
        with self._tables.lock:
            for row in self._tables.runs.values():
                if row.idempotency_key in asked and (row.namespace, row.saga) == (namespace, saga):
                    found[row.idempotency_key] = max(row.generation, found.get(row.idempotency_key, 0))
        return found

    def accounted(self, namespace: str, saga: str, origins: Sequence[Origin]) -> set[Origin]:
        with self._tables.lock:
            return {at for at in origins if any(map(partial(self._is_of, namespace, saga), self._runs_at(at)))}

    def runs_open(self, *, limit: int = 100_000) -> list[RunRow]:
        return self._newest(lambda row: row.status not in CLOSED)[:limit]

    def open_counted(self) -> list[RunCount]:
        rows = self._newest(lambda row: row.status not in CLOSED)
        found = Counter(
            (row.saga, row.definition_version, row.definition_hash, row.status, row.quarantined) for row in rows
        )
        return [
            RunCount(
                saga=saga,
                definition_version=version,
                definition_hash=digest,
                status=status,
                quarantined=quarantined,
                runs=found[saga, version, digest, status, quarantined],
            )
            for saga, version, digest, status, quarantined in sorted(found)
        ]

    def load(self) -> dict[int, int]:
        with self._tables.lock:
            load = dict.fromkeys(self._tables.leases["worker"], 0)
            for row in self._tables.runs.values():
                if row.status not in CLOSED:
                    load[row.shard] += 1
            return load

    def _runs_at(self, origin: Origin) -> set[SagaId]:
        place = (origin.topic, origin.partition, origin.offset)
        letters = (row for row in self._tables.dead_letters if (row.topic, row.partition, row.offset) == place)
        return {*self._tables.origins.get(origin, ()), *(row.saga_id for row in letters if row.saga_id is not None)}

    def _is_of(self, namespace: str, saga: str, saga_id: SagaId) -> bool:
        row = self._tables.runs.get(saga_id)
        return row is not None and (row.namespace, row.saga) == (namespace, saga)

    def _newest(self, fits: Callable[[RunRow], bool]) -> list[RunRow]:
        with self._tables.lock:
            found = [row for row in self._tables.runs.values() if fits(row)]
        return sorted(found, key=lambda row: (row.started_at, row.saga_id), reverse=True)
