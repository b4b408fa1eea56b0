"""The log on SQLite: the library's application recorder, with our table, our writes, and its reads."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NoReturn

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder

from amends.connectors.stores.places import ENTRY_TOPIC, POSITION_BITS, POSITION_MASK, place_of
from amends.connectors.stores.sql.portions import OPEN_RUNS, portions
from amends.connectors.stores.sqlite.connections import AMONG, Datastore, SqliteWork, many
from amends.coordinator.ports.rows import StoredEntry
from amends.schemas.ids import SagaId

_INSERT: Final = (
    f"INSERT INTO events (originator_id, originator_version, topic, state, rowid) VALUES (?, ?, '{ENTRY_TOPIC}', ?, ?)"
)
_OF_RUN: Final = """SELECT originator_id, originator_version, rowid, state FROM events
    WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version LIMIT ?"""
_OF_RUNS: Final = f"""SELECT originator_id, originator_version, rowid, state FROM events
    WHERE originator_id {AMONG} ORDER BY originator_id, originator_version"""


class SqliteLog(SQLiteApplicationRecorder):
    """Entries in the library's columns: `state` holds an entry's canonical bytes, neither compressed nor encrypted.

    `rowid` is shard and position in one number. It is declared, so VACUUM keeps it, and given by the append, so it has
    no gaps; the library reads it as its notification id.
    """

    datastore: Datastore

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore, events_table_name="events")

    def construct_create_table_statements(self) -> list[str]:
        return [
            """CREATE TABLE events (
                originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, topic TEXT NOT NULL,
                state BLOB NOT NULL, rowid INTEGER PRIMARY KEY, UNIQUE (originator_id, originator_version))"""
        ]

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> NoReturn:
        """Refused: this way round there is no fence, no position and no chain. Use the store's `append`."""
        raise NotImplementedError("entries are written by the store's append, behind its compare-and-set")

    def insert_entries(self, work: SqliteWork, entries: Iterable[StoredEntry]) -> None:
        """Part of the append's transaction."""
        work.connection.executemany(
            _INSERT,
            [(entry.saga_id, entry.version, entry.data, place_of(entry.shard, entry.position)) for entry in entries],
        )

    def entries_of(self, saga_id: SagaId, *, after: int, limit: int) -> list[StoredEntry]:
        with self.datastore.reading() as connection:
            found = connection.execute(_OF_RUN, (saga_id, after, limit)).fetchall()
        return [_entry(*row) for row in found]

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        found = self.select_notifications(
            place_of(shard, after), limit, place_of(shard, POSITION_MASK), inclusive_of_start=False
        )
        return [_entry(str(row.originator_id), row.originator_version, row.id, row.state) for row in found]

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        with self.datastore.reading() as connection:
            runs = connection.execute(OPEN_RUNS, (shard,)).fetchall()
        for portion in portions(runs):
            with self.datastore.reading() as connection:
                found = connection.execute(_OF_RUNS, (many(portion),)).fetchall()
            for row in found:
                yield _entry(*row)


def _entry(saga_id: str, version: int, place: int, data: bytes | str) -> StoredEntry:
    return StoredEntry(
        saga_id=SagaId(saga_id),
        version=version,
        shard=place >> POSITION_BITS,
        position=place & POSITION_MASK,
        data=data if isinstance(data, bytes) else data.encode(),  # what SQL changed by hand is text from then on
    )
