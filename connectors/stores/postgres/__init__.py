"""The production store: PostgreSQL, any number of workers, each appending to the shards it leases."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from amends.connectors.stores import faults
from amends.connectors.stores.postgres.connections import Connection, Datastore, PostgresWork, is_alive
from amends.connectors.stores.postgres.leases import NOW, PostgresLeases
from amends.connectors.stores.postgres.log import PostgresLog
from amends.connectors.stores.postgres.making import make
from amends.connectors.stores.postgres.writer import FOR_UPDATE, LOCK_KEY, Writer
from amends.connectors.stores.sql.archive import SqlArchive
from amends.connectors.stores.sql.locks import SqlLocks
from amends.connectors.stores.sql.mail import SqlMail
from amends.connectors.stores.sql.messages import SqlMessages
from amends.connectors.stores.sql.runs import SqlRuns
from amends.connectors.stores.sql.subjects import SqlSubjects
from amends.connectors.stores.sql.topics import SqlTopics
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Batch, StoredEntry
from amends.coordinator.ports.store import Kind
from amends.coordinator.sealing.master import NO_MASTER, MasterReference
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

__all__ = ["PostgresLog", "PostgresStore", "understands"]

_SCRUBBED: Final = ("subjects", "records", "dead_letters", "inbox", "messages")
_PORTS: Final = 65_536
_RESOLVE_S: Final = 30
_DUMP: Final = (
    "dump it with `pg_dump --format=custom --schema=amends`, put it back with `pg_restore`, then run in psql: "
    "UPDATE amends.store SET incarnation = gen_random_uuid(); "
    "UPDATE amends.shards SET owner = NULL, clean = FALSE, epoch = epoch + 1000000;"
)


class PostgresStore(SqlRuns, SqlTopics, SqlMail, SqlSubjects, SqlArchive, SqlMessages, SqlLocks, PostgresLeases):
    """Leases and instants are by the database's clock. No thread of its own; safe to use from several."""

    kind: Kind = "postgresql"
    place: ClassVar[str] = "notification_id"
    for_update: ClassVar[str] = FOR_UPDATE
    among: ClassVar[str] = "= ANY (?)"
    lock_key: ClassVar[str | None] = LOCK_KEY

    def __init__(self, url: str, *, read_only: bool = False, master: MasterReference = NO_MASTER) -> None:
        self.master = master
        self._read_only = read_only
        self._datastore = Datastore(url)
        self._log = PostgresLog(self._datastore)
        self._writer = Writer(self._datastore)
        self._mark_lock = threading.Lock()
        self._marking: Connection | None = None

    def migrate(self, *, shards: int) -> None:
        """Make the store if it is missing; on one that exists `shards` changes nothing."""
        make(self._datastore, self._log, shards=shards)

    def now(self) -> Instant:
        now: Instant = self._rows(f"SELECT {NOW}")[0][0]
        return now

    def append(self, batch: Batch) -> None:
        self._refuse_if_read_only()
        self._writer.append(batch)

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        return self._log.entries_of(saga_id, after=after, limit=limit)

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        return self._log.entries_from(shard, after=after, limit=limit)

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        return self._log.open_entries(shard)

    def change_mark(self) -> object:
        """The server's snapshot: it differs after any commit in the server, by whomever. One round trip, no table."""
        with self._mark_lock:
            try:
                if self._marking and not is_alive(self._marking):
                    self._marking.close()
                    self._marking = None
                self._marking = self._marking or self._datastore.reconnect()
                return PostgresWork(self._marking).rows("SELECT pg_current_snapshot()::text")[0][0]
            except psycopg.Error as error:
                raise self._datastore.told(self._marking, error) from error

    def backup(self, to: Path) -> None:  # noqa: ARG002  the port's signature
        """Refused: PostgreSQL has its own tools, and they do it better."""
        raise faults.copy_elsewhere("PostgreSQL", _DUMP)

    def restore(self, source: Path) -> None:  # noqa: ARG002  the port's signature
        """Refused, as `backup` is."""
        raise faults.copy_elsewhere("PostgreSQL", _DUMP)

    def scrub(self) -> None:
        """Write the tables anew that held something in clear: in their pages what was overwritten stays legible.

        The server's own log and backups are its owner's.
        """
        self._refuse_if_read_only()
        connection = self._datastore.connect(session={"statement_timeout": "0"})
        try:
            for table in _SCRUBBED:
                connection.execute(f"VACUUM (FULL) {table}".encode())
        except psycopg.Error as error:
            raise self._datastore.told(connection, error) from error
        finally:
            connection.close()

    def close(self) -> None:
        self._writer.close()
        with self._mark_lock:
            if self._marking is not None:
                self._marking.close()
                self._marking = None
        self._datastore.close()

    def _rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        with self._datastore.get_connection() as connection:
            return PostgresWork(connection).rows(sql, params)

    @contextmanager
    def _writing(self) -> Iterator[PostgresWork]:
        self._refuse_if_read_only()
        with self._datastore.get_connection() as connection:
            connection.execute("BEGIN")
            work = PostgresWork(connection)
            try:
                yield work
                transaction = work.rows("SELECT pg_current_xact_id_if_assigned()::text")[0][0]
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise
            try:
                connection.execute("COMMIT")
            except psycopg.OperationalError as error:
                self._settle(transaction, error)

    def _settle(self, transaction: str | None, lost: psycopg.OperationalError) -> None:
        """The reply to a COMMIT was lost: ask the server what became of the transaction; it keeps that for long."""
        self._datastore.forget()
        deadline = time.monotonic() + _RESOLVE_S
        while transaction is not None and time.monotonic() < deadline:
            try:
                status = self._rows("SELECT pg_xact_status(?::xid8)", (transaction,))[0][0]
            except StoreUnavailable:
                status = "in progress"
            if status == "committed":
                return
            if status == "aborted":
                break
            time.sleep(0.05)
        raise lost

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise faults.read_only(self._datastore.where.text, "it was opened for reading only")

    def _many(self, values: Sequence[str]) -> list[str]:
        return list(values)


def understands(url: str) -> bool:
    """Whether libpq can read the URL, and its ports, which it reads only when it connects."""
    try:
        ports = str(conninfo_to_dict(url).get("port", ""))
    except psycopg.ProgrammingError:
        return False
    return all(port == "" or (port.isdecimal() and 0 < int(port) < _PORTS) for port in ports.split(","))
