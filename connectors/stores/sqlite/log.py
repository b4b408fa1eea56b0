"""The log on SQLite: the library's application recorder, with our table, our writes, and its reads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NoReturn

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder

from amends.connectors.stores.places import ENTRY_TOPIC, POSITION_BITS, POSITION_MASK, place_of
from amends.connectors.stores.sql.portions import OPEN_RUNS, portions
from amends.connectors.stores.sqlite.connections import AMONG, Datastore, SqliteWork, many
from amends.coordinator.ports.rows import ShardAppend, StoredEntry
from amends.schemas.ids import SagaId

_INSERT: Final = f"""INSERT INTO events (originator_id, originator_version, topic, state, rowid, first)
    VALUES (?, ?, '{ENTRY_TOPIC}', ?, ?, ?)"""
_COLUMNS: Final = "originator_id, originator_version, rowid, state"
_OF_RUN: Final = f"""SELECT {_COLUMNS} FROM events WHERE first = (SELECT first FROM runs WHERE saga_id = ?)
    AND originator_version > ? ORDER BY originator_version LIMIT ?"""
_OF_RUNS: Final = f"""SELECT {_COLUMNS} FROM events WHERE first IN (SELECT first FROM runs WHERE saga_id {AMONG})
    ORDER BY originator_id, originator_version"""
_FIRSTS: Final = f"SELECT saga_id, first FROM runs WHERE saga_id {AMONG}"
_FIRSTS_MAX: Final = 50_000
"""First entries that are remembered: more than runs are ever in flight."""

Firsts = Mapping[SagaId, int]
"""Where runs began: the `rowid` of the first entry of each."""


class SqliteLog(SQLiteApplicationRecorder):
    """Entries in the library's columns: `state` holds an entry's canonical bytes, neither compressed nor encrypted.

    `rowid` is shard and position in one number. It is declared, so VACUUM keeps it, and given by the append, so it has
    no gaps; the library reads it as its notification id.

    `first` is the `rowid` of the run's first entry, and the number of the run's own row. Ids of runs are random: by
    them every entry, and every change of a row, would touch a page of its own. By `first` runs that began together
    stand together, and one index of `runs` leads there from a run's id.
    """

    datastore: Datastore

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore, events_table_name="events")
        self.select_events_statement = "SELECT * FROM events WHERE first = (SELECT first FROM runs WHERE saga_id = ?) "
        self._firsts: dict[SagaId, int] = {}

    def construct_create_table_statements(self) -> list[str]:
        return [
            """CREATE TABLE events (
                originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, topic TEXT NOT NULL,
                state BLOB NOT NULL, rowid INTEGER PRIMARY KEY, first INTEGER NOT NULL,
                UNIQUE (first, originator_version))""",
        ]

    def upgrade(self, *, found: int) -> list[str]:
        """Every statement that brings the table of an older store up to version 2; it is the same since."""
        if found > 1:
            return []
        return [
            "ALTER TABLE events RENAME TO events_before",
            *self.construct_create_table_statements(),
            """INSERT INTO events
                SELECT originator_id, originator_version, topic, state, rowid, (
                    SELECT f.rowid FROM events_before f WHERE f.originator_id = e.originator_id
                    ORDER BY f.originator_version LIMIT 1)
                FROM events_before e""",
            "DROP TABLE events_before",
            "CREATE UNIQUE INDEX events_first ON events (originator_id) WHERE originator_version = 1",
        ]

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> NoReturn:
        """Refused: this way round there is no fence, no position and no chain. Use the store's `append`."""
        raise NotImplementedError("entries are written by the store's append, behind its compare-and-set")

    def insert_entries(self, work: SqliteWork, entries: Sequence[StoredEntry], firsts: Firsts) -> None:
        """Part of the append's transaction. If that is rolled back, call `forget`."""
        rows = []
        for entry in entries:
            place = place_of(entry.shard, entry.position)
            rows.append((entry.saga_id, entry.version, entry.data, place, firsts.get(entry.saga_id, place)))
        work.connection.executemany(_INSERT, rows)

    def forget(self) -> None:
        """Remember no first entries: some of them may not have come about."""
        self._firsts.clear()

    def firsts_of(self, work: SqliteWork, part: ShardAppend) -> Firsts:
        """Where the runs of an append began. Those in flight are remembered, so the table is rarely asked."""
        known = self._firsts
        if len(known) > _FIRSTS_MAX:
            known.clear()
        for entry in part.entries:
            if entry.version == 1:
                known[entry.saga_id] = place_of(entry.shard, entry.position)
        asked = [row.saga_id for rows in (part.entries, part.changed) for row in rows if row.saga_id not in known]
        if asked:
            known.update(work.rows(_FIRSTS, (many(asked),)))
        return known

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
