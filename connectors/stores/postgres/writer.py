"""The appending side of a PostgreSQL store: one connection, one batch at a time, and an answer that is always true."""

import logging
import threading
import time
from typing import Final

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from amends.connectors.stores import faults
from amends.connectors.stores.postgres import ghost
from amends.connectors.stores.postgres.append import race_lost, write
from amends.connectors.stores.postgres.connections import (
    WRITER_SESSION,
    Connection,
    Datastore,
    PostgresWork,
    is_alive,
)
from amends.connectors.stores.postgres.leases import NOW
from amends.connectors.stores.sql.locks import change_locks
from amends.connectors.stores.sql.messages import meet_messages
from amends.connectors.stores.sql.rare import count_duplicates, put_dead_letters
from amends.connectors.stores.sql.subjects import begin_sealed
from amends.coordinator.errors import Fenced, StoreUnavailable
from amends.coordinator.ports.rows import Batch

FOR_UPDATE: Final = " FOR UPDATE OF d"
LOCK_KEY: Final = "SELECT pg_advisory_xact_lock(hashtextextended(?, 4701))"
ATTEMPTS: Final = 5
"""How often a batch is sent that the server itself asked to send again (deadlock, serialization)."""

RESOLVE_S: Final = 30
"""How long the answer to a lost COMMIT is sought. Then the lease is over anyway, and fenced is the safe answer."""

_PAUSE_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)

log: Final = logging.getLogger(__name__)


class _ReplyLost(Exception):
    """The COMMIT was sent and nothing certain came back."""


class Writer:
    """Appends batches; used by one thread at a time."""

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closing = threading.Event()

    def append(self, batch: Batch) -> None:
        with self._lock:
            try:
                self._append_until_told(batch)
            except psycopg.Error as error:
                raise self._datastore.told(self._connection, error) from error
            finally:
                if self._connection and self._connection.info.transaction_status != TransactionStatus.IDLE:
                    self._drop()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            self._drop()

    def _append_until_told(self, batch: Batch) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._append(batch)
                return
            except (errors.SerializationFailure, errors.DeadlockDetected):
                if attempt == ATTEMPTS:
                    raise
                self._ready().execute("ROLLBACK")
            except _ReplyLost as lost:
                if self._what_became_of(batch) is ghost.Verdict.DONE:
                    return
                if attempt == ATTEMPTS:
                    raise faults.unreachable(self._datastore.where.text, str(lost)) from lost

    def _append(self, batch: Batch) -> None:
        connection = self._ready()
        connection.execute("BEGIN")
        try:
            moved = write(connection, batch)
        except errors.UniqueViolation as error:
            connection.execute("ROLLBACK")
            raise race_lost(connection, batch) or error from error
        if len(moved) != len(batch.appends):
            connection.execute("ROLLBACK")
            self._refused(connection, batch, moved)
            return
        work = PostgresWork(connection)
        if batch.sealed:
            begin_sealed(work, batch.sealed, lock=" FOR SHARE")
        meet_messages(work, batch, LOCK_KEY, lambda: work.rows(f"SELECT {NOW}")[0][0])
        put_dead_letters(work, batch.dead_letters)
        count_duplicates(work, batch.duplicates, for_update=FOR_UPDATE)
        change_locks(work, batch.locks)
        self._commit(connection)

    def _commit(self, connection: Connection) -> None:
        try:
            connection.execute("COMMIT")
        except (errors.SerializationFailure, errors.DeadlockDetected):
            raise  # A definite no.
        except psycopg.Error as error:
            why = self._datastore.where.why(error)
            log.warning("commit_reply_lost", extra={"why": why})
            self._drop()
            self._datastore.forget()
            raise _ReplyLost(why) from error

    def _refused(self, connection: Connection, batch: Batch, moved: set[int]) -> None:
        """A shard was not as expected. If it is where this very batch takes it, the batch is there already."""
        found = ghost.read(connection, (part.shard for part in batch.appends))
        if not ghost.is_there(batch.appends, found):
            raise Fenced(part.shard for part in batch.appends if part.shard not in moved)

    def _what_became_of(self, batch: Batch) -> ghost.Verdict:
        """Find out, however long the server is away, within reason."""
        if not batch.appends:
            return ghost.Verdict.NOT_TO_SEE
        deadline = time.monotonic() + RESOLVE_S
        tries = 0
        while True:
            try:
                connection = self._ready()
                verdict = ghost.judge(batch.appends, ghost.read(connection, (part.shard for part in batch.appends)))
            except (psycopg.Error, StoreUnavailable) as error:
                self._drop()
                pause = _PAUSE_S[min(tries, len(_PAUSE_S) - 1)]
                tries += 1
                if time.monotonic() + pause > deadline or self._closing.wait(pause):
                    raise Fenced(part.shard for part in batch.appends) from error
                continue
            log.warning("commit_reply_resolved", extra={"verdict": verdict.name})
            return verdict

    def _ready(self) -> Connection:
        if self._connection is None or not is_alive(self._connection):
            self._drop()
            self._connection = self._datastore.reconnect(session=WRITER_SESSION)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
