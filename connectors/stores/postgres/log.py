"""The log on PostgreSQL: the library's application recorder, with our table, our writes, and its reads."""

from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.rows import tuple_row
from psycopg.sql import SQL

from amends.connectors.stores.places import POSITION_BITS, POSITION_MASK, place_of
from amends.connectors.stores.postgres.connections import Connection, Datastore, PostgresWork
from amends.connectors.stores.sql.portions import OPEN_RUNS, portions
from amends.coordinator.ports.rows import StoredEntry
from amends.schemas.ids import SagaId

_OF_RUN: Final = """SELECT originator_id, originator_version, notification_id, state FROM events
    WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s"""
_OF_RUNS: Final = """SELECT originator_id, originator_version, notification_id, state FROM events
    WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version"""


class PostgresLog(PostgresApplicationRecorder):
    """Entries in the library's columns: `state` holds an entry's canonical bytes, neither compressed nor encrypted.

    `notification_id` is shard and position in one number, given by the append: no sequence, and so no gaps; no lock on
    the table, because the row of its shard orders the appends to it.
    """

    datastore: Datastore

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore, events_table_name="events")
        self.sql_create_statements = [
            SQL(statement).format()
            for statement in (
                """CREATE TABLE events (
                    originator_id text COLLATE "C" NOT NULL, originator_version bigint NOT NULL,
                    topic text NOT NULL, state bytea NOT NULL, notification_id bigint NOT NULL,
                    PRIMARY KEY (originator_id, originator_version))""",
                "CREATE UNIQUE INDEX events_notification_id_idx ON events (notification_id)",
            )
        ]

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> NoReturn:
        """Refused: this way round there is no fence, no position and no chain. Use the store's `append`."""
        raise NotImplementedError("entries are written by the store's append, behind its compare-and-set")

    def entries_of(self, saga_id: SagaId, *, after: int, limit: int) -> list[StoredEntry]:
        with self.datastore.get_connection() as connection:
            return _entries(connection, _OF_RUN, (saga_id, after, limit))

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        found = self.select_notifications(
            place_of(shard, after), limit, place_of(shard, POSITION_MASK), inclusive_of_start=False
        )
        return [_entry(str(row.originator_id), row.originator_version, row.id, row.state) for row in found]

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        with self.datastore.get_connection() as connection:
            runs = PostgresWork(connection).rows(OPEN_RUNS, (shard,))
        for portion in portions(runs):
            with self.datastore.get_connection() as connection:
                found = _entries(connection, _OF_RUNS, (portion,))
            yield from found


def _entries(connection: Connection, query: str, params: Sequence[object]) -> list[StoredEntry]:
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    return [_entry(*row) for row in cursor.execute(query.encode(), params)]


def _entry(saga_id: str, version: int, place: int, data: bytes) -> StoredEntry:
    return StoredEntry(
        saga_id=SagaId(saga_id),
        version=version,
        shard=place >> POSITION_BITS,
        position=place & POSITION_MASK,
        data=data,
    )
