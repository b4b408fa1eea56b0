"""SQLite connections: one that writes, durably, a pool of read-only ones, and what SQLite says as errors of ours."""

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteDatastore

from amends.connectors.stores import faults
from amends.connectors.stores.sqlite.files import OpenFiles
from amends.coordinator.errors import AmendsError

BUSY_TIMEOUT_S: Final = 10
"""How long a writer waits for another process's transaction (the command line beside a worker)."""

_SYNCHRONOUS_FULL: Final = 2
_WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
_CHECKPOINT_PAGES: Final = 4_000
"""Four times SQLite's own: a page that changes with every batch reaches the database file that much more rarely."""
_CACHE_KIB: Final = 32 * 1024


_json: Final = msgspec.json.Encoder()

AMONG: Final = "IN (SELECT value FROM json_each(?))"
"""Asks whether a column is one of the values that `many` makes one parameter of."""


def many(values: Sequence[str]) -> str:
    """Any number of values as one parameter, so that the statement stays the same and prepared."""
    return _json.encode(values).decode()


class SqliteWork:
    """An open transaction on the writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        return self.connection.execute(sql, params).fetchall()

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        return self.connection.execute(sql, params).rowcount

    def change_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self.connection.executemany(sql, rows)


class Writer:
    """The one connection of this process that writes; opened at the first write, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._files: OpenFiles | None = None

    @contextmanager
    def transaction(self) -> Iterator[SqliteWork]:
        """BEGIN IMMEDIATE … COMMIT: a transaction that reads before it writes cannot be refused halfway."""
        with self._lock, told_as_faults(self.path):
            connection = self._connection = self._connection or open_writer(self.path)
            connection.execute("BEGIN IMMEDIATE")
            self._files = self._files or OpenFiles(self.path)  # Only now has SQLite opened both.
            try:
                yield SqliteWork(connection)
                self.require_files()
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def require_files(self) -> None:
        """Refuse to go on where the files were removed or replaced: nobody would ever see what is written there."""
        if self._files is not None and self._files.moved():
            raise faults.taken_away(str(self.path))

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = self._files = None


class Readers(SQLiteConnectionPool):
    """The library's pool, of read-only connections: a reader never holds a writer up, and can change nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        super().__init__(db_name=uri(path, "ro"), lock_timeout=BUSY_TIMEOUT_S)

    def _create_connection(self) -> SQLiteConnection:
        return SQLiteConnection(sqlite_conn=self.open(), max_age=None)

    def open(self) -> sqlite3.Connection:
        """A read-only connection beside the pool's."""
        connection = sqlite3.connect(
            self.db_name, uri=True, check_same_thread=False, isolation_level=None, timeout=BUSY_TIMEOUT_S
        )
        try:
            connection.execute("SELECT 1 FROM store").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorname not in _UNWRITABLE_FOLDER:
                raise
            connection = self._open_in_unwritable_folder()
        connection.row_factory = sqlite3.Row
        return connection

    def _open_in_unwritable_folder(self) -> sqlite3.Connection:
        """A database in WAL mode wants a file beside it even to be read. Nobody writes here, so a copy is as good."""
        wal = self.path.with_name(self.path.name + "-wal")
        if not wal.exists() or wal.stat().st_size == 0:
            self.db_name = uri(self.path, "ro") + "&immutable=1"
        else:
            self._copy = tempfile.TemporaryDirectory(prefix="amends-")
            copied = Path(self._copy.name) / self.path.name
            shutil.copyfile(self.path, copied)
            shutil.copyfile(wal, copied.with_name(wal.name))
            self.db_name = uri(copied, "rw")
        return sqlite3.connect(
            self.db_name, uri=True, check_same_thread=False, isolation_level=None, timeout=BUSY_TIMEOUT_S
        )

    def close(self) -> None:
        super().close()
        if self._copy:
            self._copy.cleanup()
            self._copy = None


class Datastore(SQLiteDatastore):
    """The library's handle on a database, over our read-only pool.

    Our own reads have a connection for each thread instead: to take one from the pool lasts longer than a short read.
    """

    pool: Readers

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pool = Readers(path)
        self.single_row_tracking = True
        self.originator_id_type = "text"
        self._opened: list[sqlite3.Connection] = []
        self._threads = threading.local()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of this thread's own; each statement on it is a snapshot of its own."""
        with told_as_faults(self.path):
            yield self._own()

    def close(self) -> None:
        super().close()
        while self._opened:
            self._opened.pop().close()

    def _own(self) -> sqlite3.Connection:
        own: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if own is None:
            own = self._threads.connection = self.pool.open()
            self._opened.append(own)
        return own


def open_writer(path: Path) -> sqlite3.Connection:
    """Open for writing, in WAL mode and with every commit synced to disk; refuse where either is not to be had."""
    connection = sqlite3.connect(
        uri(path, "rw"),
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        cached_statements=256,
    )
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    if (mode, synchronous) != ("wal", _SYNCHRONOUS_FULL):
        connection.close()
        raise faults.read_only(
            str(path), f"SQLite offers journal mode {mode}, synchronous {synchronous} there, not WAL, FULL"
        )
    return connection


def uri(path: Path, mode: str) -> str:
    """The file as SQLite's own URL."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


@contextmanager
def told_as_faults(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into what a caller of the store can act upon."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise  # A race for a primary key, which the append understands; anything else is a bug of ours.
        raise _fault(str(path), error) from error


def _fault(where: str, error: sqlite3.DatabaseError) -> AmendsError:
    name = getattr(error, "sqlite_errorname", "")
    why = f"{error}, {name}" if name else str(error)
    if name.startswith("SQLITE_FULL"):
        return faults.disk_full(where, why)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return faults.busy(where, why)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return faults.read_only(where, why)
    if name.startswith("SQLITE_NOTADB"):
        return faults.not_a_store(where, why)
    if name.startswith("SQLITE_CORRUPT"):
        return faults.damaged(where, why)
    return faults.trouble(where, why)


_UNWRITABLE_FOLDER: Final = frozenset({"SQLITE_CANTOPEN", "SQLITE_READONLY_CANTINIT", "SQLITE_READONLY_DIRECTORY"})
