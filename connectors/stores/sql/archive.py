"""Entries that have moved to an archive: what stays of them, so that the shard's chain can still be computed."""

from collections.abc import Sequence
from typing import ClassVar, Final

from amends.connectors.stores import faults
from amends.connectors.stores.places import place_of
from amends.connectors.stores.sql.rows import SELECT_RUN, run_of
from amends.connectors.stores.sql.work import SqlStore
from amends.coordinator.ports.rows import ArchivedRow, RunRow, StoredEntry
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

_COLUMNS: Final = ArchivedRow.__struct_fields__
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM archived"
_INSERT: Final = f"INSERT INTO archived ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


class SqlArchive(SqlStore):
    """The table `archived`; the log's own table loses what is noted there."""

    place: ClassVar[str]
    """The log's column for shard and position in one number."""

    def archivable(self, before: Instant, *, limit: int) -> list[RunRow]:
        found = self._rows(
            f"""{SELECT_RUN} WHERE r.ended_at < ? AND r.status IN ('completed', 'compensated', 'killed')
            AND NOT r.quarantined AND NOT EXISTS (SELECT 1 FROM archived a WHERE a.saga_id = r.saga_id)
            ORDER BY r.ended_at, r.saga_id LIMIT ?""",
            (before, limit),
        )
        return [run_of(row) for row in found]

    def archive(self, moved: Sequence[tuple[ArchivedRow, StoredEntry]]) -> None:
        remove = f"DELETE FROM events WHERE {self.place} = ? AND state = ?"
        with self._writing() as work:
            for row, entry in moved:
                if work.change(remove, (place_of(entry.shard, entry.position), entry.data)) != 1:
                    raise faults.archived_otherwise(row.saga_id, row.version)
            work.change_each(_INSERT, [[getattr(row, column) for column in _COLUMNS] for row, _ in moved])
            deaf = sorted({row.saga_id for row, _ in moved})  # An answer could be written down no more.
            work.change_each("DELETE FROM awaited WHERE saga_id = ?", [(saga_id,) for saga_id in deaf])

    def archived(self, shard: int, *, after: int, limit: int) -> list[ArchivedRow]:
        found = self._rows(
            f"{_SELECT} WHERE shard = ? AND position > ? ORDER BY position LIMIT ?", (shard, after, limit)
        )
        return [ArchivedRow(**dict(zip(_COLUMNS, row, strict=True))) for row in found]

    def archived_of(self, saga_id: SagaId) -> list[ArchivedRow]:
        found = self._rows(f"{_SELECT} WHERE saga_id = ? ORDER BY version", (saga_id,))
        return [ArchivedRow(**dict(zip(_COLUMNS, row, strict=True))) for row in found]
