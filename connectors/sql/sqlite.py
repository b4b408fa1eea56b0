"""SQLite as a participant: a file, one writer at a time, so one thread and one connection."""

import sqlite3
from pathlib import Path
from typing import Final

from amends.connectors.sql.inbox import TABLE
from amends.connectors.sql.sessions import SAVEPOINT, Fault, Params, Row, TransactionEndedError, Trouble

BUSY_MAX_S: Final = 5.0

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
)
_BROKEN: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_AUTH})
_NAMING: Final = ("no such ", "table ", "ambiguous column name: ", "wrong number of arguments")
"""Beginnings of complaints that name what the statement asks for, and quote nothing of it."""


class SqliteSession:
    """A connection in autocommit mode; transactions are ours to begin."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self, *, read_only: bool, timeout_s: float) -> None:
        busy_ms = max(1, int(min(timeout_s, BUSY_MAX_S) * 1_000))
        self._connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        self._connection.execute(f"PRAGMA query_only = {int(read_only)}")
        self._connection.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

    def run(self, statement: str, params: Params) -> tuple[list[Row], int]:
        cursor = self._connection.execute(statement, params)
        rows = cursor.fetchall()
        if cursor.description is None:
            return [], cursor.rowcount
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in rows], max(cursor.rowcount, 0)

    def savepoint(self) -> None:
        self._connection.execute(f"SAVEPOINT {SAVEPOINT}")

    def release(self) -> None:
        try:
            self._connection.execute(f"RELEASE {SAVEPOINT}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # there is no such savepoint
                raise TransactionEndedError from error
            raise

    def rollback_to_savepoint(self) -> None:
        self._connection.execute(f"ROLLBACK TO {SAVEPOINT}")
        self._connection.execute(f"RELEASE {SAVEPOINT}")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> bool:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()


class SqliteDatabase:
    """A file that is there already: a wrong path must not become an empty database."""

    threads = 1

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self, *, timeout_s: float) -> SqliteSession:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=min(timeout_s, BUSY_MAX_S),
            isolation_level=None,
            check_same_thread=False,  # closed by another thread than the one that used it
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # an effect that was reported survives a power cut
            connection.execute(TABLE)
        except BaseException:
            connection.close()
            raise
        return SqliteSession(connection)

    def fault_of(self, error: Exception) -> Fault | None:
        if not isinstance(error, sqlite3.Error):
            return None
        code = getattr(error, "sqlite_errorcode", None)
        if not isinstance(code, int):  # the module's own complaint, about arguments: it counts them and names types
            return Fault(trouble=Trouble.BROKEN, why=f"{type(error).__name__}: {error}".rstrip("."), undecided=False)
        name, primary = error.sqlite_errorname, code & 0xFF
        if primary in _REFUSED:
            return Fault(trouble=Trouble.REFUSED, why=f"{name}: {error}", undecided=False)  # it names the constraint
        if primary in _BUSY:
            return Fault(trouble=Trouble.BUSY, why=name, undecided=False)
        if primary == sqlite3.SQLITE_INTERRUPT:
            return Fault(trouble=Trouble.TIMEOUT, why=name, undecided=False)
        if primary in _BROKEN:
            why = f"{name}: {error}" if str(error).startswith(_NAMING) else name
            return Fault(trouble=Trouble.BROKEN, why=why, undecided=False)
        why = (
            f"{name}: the file of its url is not there, or not to be opened"
            if primary == sqlite3.SQLITE_CANTOPEN
            else name
        )
        return Fault(trouble=Trouble.GONE, why=why, undecided=primary == sqlite3.SQLITE_IOERR)
