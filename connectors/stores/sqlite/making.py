"""Making a SQLite store, and refusing what is not one that this version knows."""

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from amends.connectors.stores import faults
from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.sql.rows import RUN_COLUMNS, dead_letter_digest
from amends.connectors.stores.sql.tables import VERSION, Types, create, fill, origins, runs, upgrade
from amends.connectors.stores.sqlite.connections import SqliteWork, open_writer, told_as_faults, uri
from amends.connectors.stores.sqlite.lock import CoordinatorLock, lock_of
from amends.connectors.stores.sqlite.log import SqliteLog

APPLICATION_ID: Final = 0x416D6E64
"""`Amnd` in the file's header: what tells a store from any other SQLite database."""

TYPES: Final = Types(
    integer="INTEGER",
    text="TEXT",
    data="BLOB",
    flag="INTEGER",
    numbered="INTEGER PRIMARY KEY",
    run_id="first INTEGER PRIMARY KEY, saga_id TEXT NOT NULL UNIQUE",  # `first`: its first entry's place; see log.py
    dead_letter_digest="dead_letter_digest(size_bytes, key, value)",
    clustered=" WITHOUT ROWID",
)


_OF_VERSION_3: Final = (
    *(f"DROP INDEX runs_{name}" for name in ("newest", "saga", "idempotency_key", "business_key", "status")),
    "ALTER TABLE runs RENAME TO runs_before",
    *runs(TYPES),
    f"""INSERT INTO runs (first, {", ".join(RUN_COLUMNS)})
        SELECT coalesce(begun.first, left_over.first, -runs_before.rowid), {", ".join(RUN_COLUMNS)}
        FROM runs_before LEFT JOIN events AS begun ON originator_id = saga_id AND originator_version = 1
        LEFT JOIN (
            SELECT originator_id AS run, min(first) AS first FROM events
            WHERE first NOT IN (SELECT rowid FROM events WHERE originator_version = 1) GROUP BY originator_id
        ) AS left_over ON run = saga_id""",
    "DROP TABLE runs_before",
    "DROP INDEX events_first",
    "ALTER TABLE origins RENAME TO origins_before",
    origins(TYPES),
    "INSERT INTO origins SELECT * FROM origins_before",
    "DROP TABLE origins_before",
)
"""It says what `runs` was in version 3 by what it is now: whoever changes that table writes it down here first."""


def make(path: Path, log: SqliteLog, *, shards: int) -> None:
    """Make the store if it is missing, or bring it up to this version; two processes at once do it once.

    Raises `UsageError` for what cannot be used.
    """
    make_folder(path.parent)
    with _alone(path.parent), told_as_faults(path):
        if found := version(path):
            if found < VERSION:
                _upgrade(path, log, found=found)
            return
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise faults.read_only(str(path), error.strerror or str(error)) from error
        connection = open_writer(path)
        try:
            _fill(connection, log, shards=shards)
        finally:
            connection.close()


def version(path: Path) -> int:
    """The store's version, 0 for none. Raises `UsageError` for another program's file or a newer version's store."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with told_as_faults(path):
        connection = _open_to_look(path)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            found: int = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            connection.close()
    if not tables:
        return 0
    if application != APPLICATION_ID:
        raise faults.not_a_store(str(path), "it is another program's SQLite database")
    if found > VERSION:
        raise faults.newer(str(path), found=found, known=VERSION)
    return found


def make_folder(folder: Path) -> None:
    """Make the data folder so that only its owner can look inside; one that exists stays as it is."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not folder.is_dir():
            raise faults.no_folder(folder, "there is a file of that name") from None
    except OSError as error:
        raise faults.no_folder(folder, error.strerror or str(error)) from error


def _fill(connection: sqlite3.Connection, log: SqliteLog, *, shards: int) -> None:
    work = SqliteWork(connection)
    work.change("BEGIN IMMEDIATE")
    for statement in (*log.construct_create_table_statements(), *create(TYPES)):
        work.change(statement)
    for statement, params in fill(shards=shards):
        work.change(statement, params)
    work.change("INSERT INTO store VALUES (?, ?, ?)", (VERSION, str(uuid.uuid4()), wall_clock()))
    work.change(f"PRAGMA application_id = {APPLICATION_ID}")
    work.change(f"PRAGMA user_version = {VERSION}")
    work.change("COMMIT")


def _upgrade(path: Path, log: SqliteLog, *, found: int) -> None:
    """No coordinator may run meanwhile: one of the older version would go on by the older tables. Raises `Conflict`."""
    lock = CoordinatorLock(lock_of(path))
    lock.acquire(upgrade=f"the store {path} is of version {found} and must be brought up to {VERSION}")
    try:
        with closing(open_writer(path)) as connection:
            _upgraded(SqliteWork(connection), log)
    finally:
        lock.release()


def _upgraded(work: SqliteWork, log: SqliteLog) -> None:
    work.connection.create_function("dead_letter_digest", 3, dead_letter_digest, deterministic=True)
    work.change("BEGIN IMMEDIATE")
    found = work.rows("PRAGMA user_version")[0][0]
    if found == VERSION:  # By now another process may have done it.
        work.change("ROLLBACK")
        return
    of_version_3 = _OF_VERSION_3 if found < 3 else ()  # noqa: PLR2004  the version it made
    for statement in (*upgrade(TYPES, found=found), *log.upgrade(found=found), *of_version_3):
        work.change(statement)
    work.change("UPDATE store SET version = ?", (VERSION,))
    work.change(f"PRAGMA user_version = {VERSION}")
    work.change("COMMIT")


def _open_to_look(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(uri(path, "ro"), uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        return sqlite3.connect(uri(path, "ro") + "&immutable=1", uri=True, isolation_level=None)
    return connection


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on the folder itself: it needs no file, and no write access where the store exists."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # Some network file systems lock no folders; the transaction below excludes as well.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
