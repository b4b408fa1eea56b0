"""The index of runs: look-ups, lists and load, each by an index, so that a million runs stay quick."""

from collections.abc import Sequence
from typing import Final

from amends.connectors.stores.sql.rows import SELECT_RUN, run_of
from amends.connectors.stores.sql.tables import OPEN, UNFINISHED
from amends.connectors.stores.sql.work import SqlStore
from amends.coordinator.ports.rows import RunCount, RunRow
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

NEWEST_FIRST: Final = "ORDER BY r.started_at DESC, r.saga_id DESC"
BY_KEY: Final = """r.saga_id IN (
    SELECT saga_id FROM runs WHERE idempotency_key = ? UNION SELECT saga_id FROM runs WHERE business_key = ?)"""


class SqlRuns(SqlStore):
    """Reads runs; only an append changes them."""

    def run(self, saga_id: SagaId) -> RunRow | None:
        found = self._rows(f"{SELECT_RUN} WHERE r.saga_id = ?", (saga_id,))
        return run_of(found[0]) if found else None

    def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
        if not saga_ids:
            return {}
        found = self._rows(f"{SELECT_RUN} WHERE r.saga_id {self.among}", (self._many(saga_ids),))
        return {row.saga_id: row for row in map(run_of, found)}

    def runs_by_prefix(self, prefix: str, *, limit: int = 2) -> list[RunRow]:
        found = self._rows(
            f"{SELECT_RUN} WHERE r.saga_id >= ? AND r.saga_id < ? ORDER BY r.saga_id LIMIT ?",
            (prefix, prefix + "\U0010ffff", limit),
        )
        return [run_of(row) for row in found]

    def runs_by_key(self, saga: str, idempotency_key: str) -> list[RunRow]:
        found = self._rows(
            f"{SELECT_RUN} WHERE r.idempotency_key = ? AND r.saga = ? ORDER BY r.generation DESC",
            (idempotency_key, saga),
        )
        return [run_of(row) for row in found]

    def generations(self, namespace: str, saga: str, idempotency_keys: Sequence[str]) -> dict[str, int]:
        found = self._rows(
            f"""SELECT idempotency_key, max(generation) FROM runs
            WHERE idempotency_key {self.among} AND saga = ? AND namespace = ? GROUP BY idempotency_key""",
            (self._many(idempotency_keys), saga, namespace),
        )
        return dict(map(tuple, found))

    def accounted(self, namespace: str, saga: str, origins: Sequence[Origin]) -> set[Origin]:
        if not origins:
            return set()
        of_saga = "JOIN runs r ON r.saga_id = p.saga_id AND r.saga = ? AND r.namespace = ?"
        here = " OR ".join(['(p.topic = ? AND p.partition = ? AND p."offset" = ?)'] * len(origins))
        params = (saga, namespace, *(part for at in origins for part in (at.topic, at.partition, at.offset)))
        found = self._rows(
            f"""SELECT p.topic, p.partition, p."offset" FROM origins p {of_saga} WHERE {here}
            UNION SELECT p.topic, p.partition, p."offset" FROM dead_letters p {of_saga} WHERE {here}""",
            (*params, *params),
        )
        return {Origin(topic=topic, partition=partition, offset=offset) for topic, partition, offset in found}

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
        conditions = ["TRUE"]
        params: list[object] = []
        if status is not None:
            conditions.append("r.status = ?" if status == "completed" else f"r.status = ? AND r.{UNFINISHED}")
            params.append(status)
        if saga is not None:
            conditions.append("r.saga = ?")
            params.append(saga)
        if key is not None:
            conditions.append(BY_KEY)
            params += (key, key)
        if since is not None:
            conditions.append("r.started_at >= ?")
            params.append(since)
        if before is not None:
            conditions.append("(r.started_at, r.saga_id) < (?, ?)")
            params += before
        where = " AND ".join(conditions)
        return [
            run_of(row) for row in self._rows(f"{SELECT_RUN} WHERE {where} {NEWEST_FIRST} LIMIT ?", (*params, limit))
        ]

    def runs_by_origin(self, topic: str, partition: int, offset: int) -> list[RunRow]:
        found = self._rows(
            f"""{SELECT_RUN} WHERE r.saga_id IN (
                SELECT saga_id FROM origins WHERE topic = ? AND partition = ? AND "offset" = ?) {NEWEST_FIRST}""",
            (topic, partition, offset),
        )
        return [run_of(row) for row in found]

    def runs_open(self, *, limit: int = 100_000) -> list[RunRow]:
        return [run_of(row) for row in self._rows(f"{SELECT_RUN} WHERE r.{OPEN} {NEWEST_FIRST} LIMIT ?", (limit,))]

    def open_counted(self) -> list[RunCount]:
        of = "saga, definition_version, definition_hash, status, quarantined"
        found = self._rows(f"SELECT {of}, count(*) FROM runs WHERE {OPEN} GROUP BY {of}")
        return [
            RunCount(
                saga=saga,
                definition_version=version,
                definition_hash=digest,
                status=status,
                quarantined=bool(quarantined),
                runs=runs,
            )
            for saga, version, digest, status, quarantined, runs in sorted(map(tuple, found))
        ]

    def load(self) -> dict[int, int]:
        found = self._rows(
            f"""SELECT s.shard, coalesce(l.load, 0) FROM shards s
            LEFT JOIN (SELECT shard, count(*) AS load FROM runs WHERE {OPEN} GROUP BY shard) l ON l.shard = s.shard
            ORDER BY s.shard"""
        )
        return {row[0]: row[1] for row in found}
