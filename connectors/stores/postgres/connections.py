"""PostgreSQL connections: made alike, kept while they work, dropped at the first doubt."""

import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from amends.connectors.stores.postgres import arrays
from amends.connectors.stores.postgres.telling import Where, as_unavailable, on_connecting, on_working
from amends.coordinator.errors import AmendsError

T = TypeVar("T")

SCHEMA: Final = "amends"
"""Our tables' own schema, so that a database may hold other things."""

CONNECTION: Final[dict[str, object]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "amends",
}
"""What the URL does not say otherwise: a server that vanished without a word is noticed after about ten seconds."""

SESSION: Final = {
    "search_path": SCHEMA,
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",  # frees the shards of a worker frozen between update and commit
    "tcp_keepalives_idle": "5",  # and of one whose machine vanished
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
WRITER_SESSION: Final = {
    "plan_cache_mode": "force_generic_plan",  # the append is planned once …
    "enable_seqscan": "off",  # … and by index, whatever the planner believed of tables that were empty then
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_NEVER_ASYNC: Final = """SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'"""
_IDLE_KEPT: Final = 4

ANSWER_S: Final = 35
"""Longer than any statement may take. A server that is silent for so long stands still, though its machine answers."""


class Connection(psycopg.Connection[DictRow]):
    """A connection that waits for no answer for ever."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, ANSWER_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # Nobody will read the answer any more.
            raise


class PostgresWork:
    """An open transaction that writes, for the SQL that both databases share."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        return self._execute(sql, params).fetchall()

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._execute(sql, params).rowcount

    def change_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self.connection.cursor(binary=True).executemany(_statement(sql), [_held(row) for row in rows])

    def _execute(self, sql: str, params: Sequence[object]) -> psycopg.Cursor[Any]:
        cursor = self.connection.cursor(binary=True, row_factory=tuple_row)
        return cursor.execute(_statement(sql), _held(params))


def _statement(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _held(params: Sequence[object]) -> list[object]:
    """As the database can hold them."""
    return [arrays.without_nul(value) if isinstance(value, str) else value for value in params]


class Datastore(PostgresDatastore):
    """The library's handle on a database, over connections of ours: no thread of its own, no wait for a dead server."""

    def __init__(self, url: str) -> None:
        given = conninfo_to_dict(url)
        self.parameters: dict[str, Any] = {**CONNECTION, **given}
        self.where = Where(given)
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        super().__init__("", "", "", "", "", schema=SCHEMA, originator_id_type="text")

    def register_type_adapters(self) -> None:
        """None: our insert sends arrays of plain types."""

    @contextmanager
    def get_connection(self) -> Iterator[Connection]:
        """A connection for one use, in autocommit mode. What it raises within becomes an error of ours."""
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            raise self.told(connection, error) from error
        finally:
            self._give_back(connection)

    def connect(self, *, session: dict[str, str] | None = None) -> Connection:
        """Open a connection. Raises `StoreUnavailable`, or `UsageError` where waiting would not help."""
        try:
            connection = Connection.connect(**self.parameters, autocommit=True, row_factory=dict_row)
        except psycopg.Error as error:
            raise on_connecting(self.where, error) from error
        try:
            settings = {**SESSION, **(session or {})}
            calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
            connection.execute(f"SELECT {calls}".encode(), [text for setting in settings.items() for text in setting])
            connection.execute(_NEVER_ASYNC)
            arrays.register(connection)
        except psycopg.Error as error:
            connection.close()
            raise on_working(self.where, error) from error
        return connection

    def reconnect(self, *, session: dict[str, str] | None = None) -> Connection:
        """Open a connection to a store that was open before: everything that prevents it may pass."""
        try:
            return self.connect(session=session)
        except AmendsError as error:
            raise as_unavailable(error) from error

    def told(self, connection: Connection | None, error: psycopg.Error) -> Exception:
        """End the transaction and say what the error means; after a broken connection no idle one is trusted."""
        with suppress(psycopg.Error):
            if connection and not connection.closed:
                connection.execute("ROLLBACK")
        if connection is None or connection.closed:
            self.forget()
        return on_working(self.where, error)

    def forget(self) -> None:
        """Close what is idle: the server has gone, or it is another one now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        self._closed = True
        self.forget()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self.reconnect()
            if is_alive(connection):
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            return
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()  # Given up in the middle; the server rolls back.
            return
        with self._lock:
            if len(self._idle) < _IDLE_KEPT and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def is_alive(connection: Connection) -> bool:
    """Whether an idle connection looks as it should: a server that ended it has said so, and there is input."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
