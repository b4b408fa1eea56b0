"""The embedded store: one SQLite file, one coordinator, any number of readers and of processes that leave messages."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from amends.connectors.stores import faults
from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.sql.archive import SqlArchive
from amends.connectors.stores.sql.locks import SqlLocks
from amends.connectors.stores.sql.mail import SqlMail
from amends.connectors.stores.sql.messages import SqlMessages
from amends.connectors.stores.sql.runs import SqlRuns
from amends.connectors.stores.sql.subjects import SqlSubjects
from amends.connectors.stores.sql.topics import SqlTopics
from amends.connectors.stores.sql.work import Work
from amends.connectors.stores.sqlite.append import append
from amends.connectors.stores.sqlite.connections import AMONG, Datastore, SqliteWork, Writer, many, told_as_faults
from amends.connectors.stores.sqlite.copies import backup, restore
from amends.connectors.stores.sqlite.leases import SqliteLeases
from amends.connectors.stores.sqlite.lock import CoordinatorLock, lock_of
from amends.connectors.stores.sqlite.log import SqliteLog
from amends.connectors.stores.sqlite.making import make, make_folder
from amends.connectors.stores.sqlite.scrubbing import scrub
from amends.coordinator.ports.rows import Batch, StoredEntry
from amends.coordinator.ports.store import Kind
from amends.coordinator.sealing.master import NO_MASTER, MasterReference
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

__all__ = ["CoordinatorLock", "SqliteLog", "SqliteStore", "lock_of", "make_folder"]


class SqliteStore(SqlRuns, SqlTopics, SqlMail, SqlSubjects, SqlArchive, SqlMessages, SqlLocks, SqliteLeases):
    """Reads use read-only connections; the one that writes is opened at the first write.

    `claim` takes the coordinator's lock (`lock`) if it is not held yet, so nobody owns a shard without it. Everything
    but `append` and `claim` may be called beside a running coordinator, from any process.
    """

    kind: Kind = "sqlite"
    place: ClassVar[str] = "rowid"
    for_update: ClassVar[str] = ""
    among: ClassVar[str] = AMONG
    lock_key: ClassVar[str | None] = None

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], Instant] = wall_clock,
        master: MasterReference = NO_MASTER,
    ) -> None:
        self.path = path
        self.master = master
        self.lock = CoordinatorLock(lock_of(path))
        self._read_only = read_only
        self._clock = clock
        self._claimed = set()
        self._writer = Writer(path)
        self._datastore = Datastore(path)
        self._log = SqliteLog(self._datastore)
        self._mark_lock = threading.Lock()
        self._marking: sqlite3.Connection | None = None

    def migrate(self, *, shards: int) -> None:
        """Make the store if it is missing; on one that exists `shards` changes nothing."""
        make(self.path, self._log, shards=shards)

    def now(self) -> Instant:
        return self._clock()

    def append(self, batch: Batch) -> None:
        try:
            with self._transaction() as work:
                append(work, self._log, batch, now=self._clock)
        except BaseException:
            self._log.forget()
            raise

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        return self._log.entries_of(saga_id, after=after, limit=limit)

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        with told_as_faults(self.path):
            return self._log.entries_from(shard, after=after, limit=limit)

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        return self._log.open_entries(shard)

    def change_mark(self) -> object:
        """SQLite's `data_version`: it differs after any commit to the file by any other connection than the one asked.

        That one never writes, so commits of this process count as those of others do. It costs some microseconds and
        reads no table.
        """
        self._writer.require_files()
        with self._mark_lock, told_as_faults(self.path):
            self._marking = self._marking or self._datastore.pool.open()
            return self._marking.execute("PRAGMA data_version").fetchone()[0]

    def backup(self, to: Path) -> None:
        """Copy the store while it is used. Raises `Conflict` if `to` exists: a backup overwrites nothing."""
        backup(self.path, to)

    def restore(self, source: Path) -> None:
        """Become what the backup `source` was, under a new incarnation. No coordinator may run meanwhile."""
        self.lock.acquire()
        restore(self.path, source)

    def scrub(self) -> None:
        scrub(self.path)

    def close(self) -> None:
        with self._mark_lock:
            if self._marking is not None:
                self._marking.close()
                self._marking = None
        self._writer.close()
        self._datastore.close()
        self.lock.release()

    def _rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        with self._datastore.reading() as connection:
            return connection.execute(sql, params).fetchall()

    def _writing(self) -> AbstractContextManager[SqliteWork]:
        return self._transaction()

    def _transaction(self) -> AbstractContextManager[SqliteWork]:
        if self._read_only:
            raise faults.read_only(str(self.path), "it was opened for reading only")
        return self._writer.transaction()

    def _before_erasing(self, work: Work) -> None:
        work.change("PRAGMA secure_delete = ON")

    def _many(self, values: Sequence[str]) -> str:
        return many(values)
