"""PostgreSQL as a participant."""

from typing import TYPE_CHECKING, Any, Final, cast

from amends.connectors.sql.inbox import TABLE
from amends.connectors.sql.placeholders import for_psycopg
from amends.connectors.sql.sessions import SAVEPOINT, Fault, Params, Row, TransactionEndedError, Trouble
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT_MAX_S: Final = 10.0
TABLE_LOCK: Final = 0x616D656E6473  # any number of our own: two sessions must not make the table at once

_NO_SAVEPOINT: Final = frozenset({"3B001", "25P01"})
_BUSY: Final = frozenset({"40001", "40P01", "55P03"})
_TIMEOUT: Final = frozenset({"57014", "25P03"})
_UNDECIDED: Final = frozenset({"08", "57", "58", "XX"})
_GONE: Final = frozenset({"08", "28", "3D", "53", "57", "58", "XX"})
_REFUSED: Final = frozenset({"22", "23", "44"})
_STATEMENT: Final = "42"
_SYNTAX: Final = "42601"
"""Its message quotes the statement, and whoever writes values into a statement has them quoted."""


class PostgresSession:
    """A connection in autocommit mode; transactions are ours to begin."""

    def __init__(self, connection: "Connection[dict[str, Any]]") -> None:
        self._connection = connection

    def begin(self, *, read_only: bool, timeout_s: float) -> None:
        timeout_ms = max(1, int(timeout_s * 1_000))
        self._connection.execute(
            f"BEGIN {'READ ONLY' if read_only else 'READ WRITE'}; SET LOCAL statement_timeout = {timeout_ms}; "
            f"SET LOCAL lock_timeout = {timeout_ms}; SET LOCAL idle_in_transaction_session_timeout = {timeout_ms}"
        )

    def run(self, statement: str, params: Params) -> tuple[list[Row], int]:
        cursor = self._connection.execute(cast("Any", for_psycopg(statement, params)), params or None)
        return (cursor.fetchall() if cursor.description is not None else []), max(cursor.rowcount, 0)

    def savepoint(self) -> None:
        self._connection.execute(f"SAVEPOINT {SAVEPOINT}")

    def release(self) -> None:
        from psycopg import Error  # noqa: PLC0415  an extra

        try:
            self._connection.execute(f"RELEASE SAVEPOINT {SAVEPOINT}")
        except Error as error:
            if error.sqlstate in _NO_SAVEPOINT:
                raise TransactionEndedError from error
            raise

    def rollback_to_savepoint(self) -> None:
        self._connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> bool:
        from psycopg import Error  # noqa: PLC0415  an extra
        from psycopg.pq import TransactionStatus  # noqa: PLC0415  an extra

        try:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except Error:
            return False
        return not self._connection.closed

    def interrupt(self) -> None:
        self._connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase:
    """A database by its URL; psycopg is imported at the first connection."""

    def __init__(self, url: str, *, threads: int) -> None:
        self.threads = threads
        self._url = url

    def connect(self, *, timeout_s: float) -> PostgresSession:
        try:
            import psycopg  # noqa: PLC0415  an extra
            from psycopg.rows import dict_row  # noqa: PLC0415  an extra
        except ImportError as error:
            raise not_installed() from error
        within_s = min(timeout_s, CONNECT_MAX_S)
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,  # poolers that share connections between clients do not like prepared statements
            connect_timeout=max(1, round(within_s)),
            application_name="amends",
            tcp_user_timeout=max(1_000, int(timeout_s * 1_000)),
        )
        try:
            _make_table(connection)
        except BaseException:
            connection.close()
            raise
        return PostgresSession(connection)

    def fault_of(self, error: Exception) -> Fault | None:
        from psycopg import Error, OperationalError  # noqa: PLC0415  an extra

        if not isinstance(error, Error):
            return None
        state = error.sqlstate
        if state is None:
            if isinstance(error, OperationalError):
                return Fault(trouble=Trouble.GONE, why=type(error).__name__, undecided=True)
            # the library's own complaint, about arguments: it counts them and names types
            return Fault(trouble=Trouble.BROKEN, why=f"{type(error).__name__}: {error}", undecided=False)
        family, why = state[:2], f"{type(error).__name__} {state}"
        if family in _REFUSED:
            constraint = error.diag.constraint_name
            why = f"{why} ({constraint})" if constraint else why
            return Fault(trouble=Trouble.REFUSED, why=why, undecided=False)
        if state in _TIMEOUT:
            return Fault(trouble=Trouble.TIMEOUT, why=why, undecided=True)
        if state in _BUSY:
            return Fault(trouble=Trouble.BUSY, why=why, undecided=False)
        if family == _STATEMENT and state != _SYNTAX and error.diag.message_primary:
            why = f"{why}: {error.diag.message_primary}"  # it names a relation, a column, a function, a privilege
        gone = family in _GONE
        return Fault(trouble=Trouble.GONE if gone else Trouble.BROKEN, why=why, undecided=family in _UNDECIDED)


def not_installed() -> UsageError:
    """The driver is an extra (AM2007)."""
    return UsageError(
        "AM2007", "psycopg is not installed, so PostgreSQL cannot be reached", do="pip install 'amends[postgres]'"
    )


def _make_table(connection: "Connection[dict[str, Any]]") -> None:
    found = connection.execute("SELECT to_regclass('amends_inbox') IS NOT NULL AS found").fetchone()
    if found is not None and found["found"]:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (TABLE_LOCK,))
        connection.execute(TABLE)
