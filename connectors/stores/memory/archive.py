"""Entries that have moved to an archive, in memory."""

from collections.abc import Sequence

from amends.connectors.stores import faults
from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import CLOSED, ArchivedRow, RunRow, StoredEntry
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class Archive(Part):
    """What stays of the entries that the log has no more."""

    def archivable(self, before: Instant, *, limit: int) -> list[RunRow]:
        with self._tables.lock:
            archived = {row.saga_id for row in self._tables.archived}
            rows = [
                row
                for row in self._tables.runs.values()
                if row.status in CLOSED and not row.quarantined and row.saga_id not in archived
                if row.ended_at is not None and row.ended_at < before
            ]
            return sorted(rows, key=lambda row: (row.ended_at, row.saga_id))[:limit]

    def archive(self, moved: Sequence[tuple[ArchivedRow, StoredEntry]]) -> None:
        with self._tables.lock:
            for row, entry in moved:
                if entry not in self._tables.by_run[entry.saga_id]:
                    raise faults.archived_otherwise(row.saga_id, row.version)
            gone = {(entry.saga_id, entry.version) for _, entry in moved}
            kept = {
                shard: [each for each in entries if (each.saga_id, each.version) not in gone]
                for shard, entries in self._tables.by_shard.items()
            }
            self._tables.by_shard.update(kept)
            for saga_id in {entry.saga_id for _, entry in moved}:
                entries = self._tables.by_run[saga_id]
                self._tables.by_run[saga_id] = [each for each in entries if (saga_id, each.version) not in gone]
                for wait in [wait for wait in self._tables.awaited if wait[0] == saga_id]:
                    del self._tables.awaited[wait]  # An answer could be written down no more.
            self._tables.archived = sorted(
                [*self._tables.archived, *(row for row, _ in moved)], key=lambda row: (row.shard, row.position)
            )
            self._tables.mark += 1

    def archived(self, shard: int, *, after: int, limit: int) -> list[ArchivedRow]:
        with self._tables.lock:
            return [row for row in self._tables.archived if row.shard == shard and row.position > after][:limit]

    def archived_of(self, saga_id: SagaId) -> list[ArchivedRow]:
        with self._tables.lock:
            found = [row for row in self._tables.archived if row.saga_id == saga_id]
        return sorted(found, key=lambda row: row.version)
