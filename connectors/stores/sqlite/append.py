"""The append on SQLite: one transaction for a batch, the compare-and-set first (design, section 2, Append)."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from amends.connectors.stores.sql.locks import change_locks
from amends.connectors.stores.sql.messages import meet_messages
from amends.connectors.stores.sql.rare import count_duplicates, put_dead_letters
from amends.connectors.stores.sql.rows import RUN_COLUMNS, run_columns
from amends.connectors.stores.sql.subjects import begin_sealed
from amends.connectors.stores.sqlite.connections import AMONG, SqliteWork, many
from amends.connectors.stores.sqlite.log import Firsts, SqliteLog
from amends.coordinator.errors import Fenced, RunExists
from amends.coordinator.ports.rows import Batch, RunChange, RunRow, ShardAppend
from amends.schemas.instants import Instant

_ADVANCE: Final = "UPDATE shards SET position = ?, head = ? WHERE shard = ? AND epoch = ? AND position = ?"
_START: Final = f"INSERT INTO runs ({', '.join(RUN_COLUMNS)}, first) VALUES ({'?, ' * len(RUN_COLUMNS)}?)"
_ORIGIN: Final = "INSERT OR IGNORE INTO origins VALUES (?, ?, ?, ?)"
_PLACES: Final = {column: f"?{place}" for place, column in enumerate(RunChange.__struct_fields__[1:], 2)}
_MOVING: Final = {"version", "updated_at", "next_due_at"}
"""What each entry changes; in most of them it is all that does."""
_MOVE: Final = (
    f"UPDATE runs SET {', '.join(f'{column} = {_PLACES[column]}' for column in sorted(_MOVING))} WHERE first = ?1 AND "
    + " AND ".join(f"{column} IS {place}" for column, place in _PLACES.items() if column not in _MOVING)
)
"""For a run that is otherwise what it was: no index knows of it."""
_CHANGE: Final = (
    f"UPDATE runs SET {', '.join(f'{column} = {place}' for column, place in _PLACES.items())} WHERE first = ?1"
)


def append(work: SqliteWork, log: SqliteLog, batch: Batch, *, now: Callable[[], Instant]) -> None:
    """Write a batch into the open transaction. The caller rolls back on `Fenced`, `RunExists` or `KeyErased`."""
    fenced = [part.shard for part in batch.appends if not _advance(work, part)]
    if fenced:
        raise Fenced(fenced)
    try:
        for part in batch.appends:
            _write(work, log, part)
    except sqlite3.IntegrityError as error:
        raise _race_lost(work, batch, error) from error
    connection = work.connection
    if batch.inbox:
        connection.executemany(
            "INSERT OR IGNORE INTO inbox (shard, message_id, body) VALUES (?, ?, ?)",
            [(row.shard, row.message_id, row.body) for row in batch.inbox],
        )
    if batch.blobs:
        connection.executemany("INSERT OR IGNORE INTO blobs VALUES (?, ?)", batch.blobs)
    if batch.sealed:
        begin_sealed(work, batch.sealed, lock="")
    meet_messages(work, batch, None, now)
    put_dead_letters(work, batch.dead_letters)
    count_duplicates(work, batch.duplicates, for_update="")
    change_locks(work, batch.locks)


def _advance(work: SqliteWork, part: ShardAppend) -> bool:
    target = part.position + len(part.entries)
    return work.change(_ADVANCE, (target, part.head, part.shard, part.epoch, part.position)) == 1


def _write(work: SqliteWork, log: SqliteLog, part: ShardAppend) -> None:
    connection, firsts = work.connection, log.firsts_of(work, part)
    if part.started:
        _start(connection, part.started, firsts)
    if part.entries:
        assert part.entries[0].position == part.position + 1
        log.insert_entries(work, part.entries, firsts)
    if part.changed:
        _change(connection.cursor(), part.changed, firsts)
    if part.inbox_done:
        connection.executemany("DELETE FROM inbox WHERE message_id = ?", [(done,) for done in part.inbox_done])


def _start(connection: sqlite3.Connection, started: Sequence[RunRow], firsts: Firsts) -> None:
    connection.executemany(_START, [(*run_columns(row), firsts[row.saga_id]) for row in started])
    connection.executemany(
        _ORIGIN, [(at.topic, at.partition, at.offset, row.saga_id) for row in started for at in row.origins]
    )


def _change(cursor: sqlite3.Cursor, changed: Sequence[RunChange], firsts: Firsts) -> None:
    for change in changed:
        values = (firsts.get(change.saga_id), *msgspec.structs.astuple(change)[1:])
        if change.ended_at is not None or cursor.execute(_MOVE, values).rowcount == 0:
            cursor.execute(_CHANGE, values)


def _race_lost(work: SqliteWork, batch: Batch, error: sqlite3.IntegrityError) -> Exception:
    """Say which of the batch's new runs exist; if none, the error is a bug of ours and stays what it is."""
    work.connection.execute("ROLLBACK")  # What this transaction has inserted itself must not count as existing.
    ids = [row.saga_id for part in batch.appends for row in part.started]
    exist = {row[0] for row in work.rows(f"SELECT saga_id FROM runs WHERE saga_id {AMONG}", (many(ids),))}
    return RunExists([saga_id for saga_id in ids if saga_id in exist]) if exist else error
