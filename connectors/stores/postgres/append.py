"""The append on PostgreSQL: the whole common part of a batch is one statement (design, section 2, Append).

Its first part is the compare-and-set of the shards; the others wait for its answer and do nothing if it is not whole.
So the rows of the shards are locked when the server has the batch in hand, and a COMMIT later they are free: a worker
frozen in mid-sentence holds up nobody.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

import msgspec
from psycopg.rows import tuple_row

from amends.connectors.stores.changes import changed
from amends.connectors.stores.places import ENTRY_TOPIC, place_of
from amends.connectors.stores.postgres.arrays import Blobs, Integers, Texts, blobs, integers, texts
from amends.connectors.stores.postgres.connections import Connection
from amends.connectors.stores.sql.rows import RUN_COLUMNS, run_columns
from amends.coordinator.errors import RunExists
from amends.coordinator.ports.rows import Batch, RunChange, RunRow
from amends.schemas.ids import SagaId

Array = Integers | Texts | Blobs

_INTEGERS: Final = frozenset({
    "shard", "definition_version", "generation", "version", "started_at", "updated_at", "ended_at", "next_due_at",
    "quarantined", "duplicates",
})  # fmt: skip
_CHANGED: Final = RunChange.__struct_fields__

_MOVED: Final = """WITH moved AS (
    UPDATE shards s SET position = a.target, head = a.head
    FROM unnest(%b, %b, %b, %b, %b) AS a (shard, epoch, position, target, head)
    WHERE s.shard = a.shard AND s.epoch = a.epoch AND s.position = a.position RETURNING s.shard
), whole AS (SELECT count(*) = %b::bigint AS ok FROM moved)"""
_LOGGED: Final = f""", logged AS (
    INSERT INTO events (originator_id, originator_version, topic, state, notification_id)
    SELECT a.saga_id, a.version, '{ENTRY_TOPIC}', a.data, a.place
    FROM unnest(%b, %b, %b, %b) AS a (saga_id, version, data, place) WHERE (SELECT ok FROM whole))"""
_STARTED: Final = f""", started AS (
    INSERT INTO runs ({", ".join(RUN_COLUMNS)})
    SELECT {", ".join("a.quarantined <> 0" if name == "quarantined" else f"a.{name}" for name in RUN_COLUMNS)}
    FROM unnest({", ".join("%b" for _ in RUN_COLUMNS)}) AS a ({", ".join(RUN_COLUMNS)})
    WHERE (SELECT ok FROM whole)
), began AS (
    INSERT INTO origins (topic, partition, "offset", saga_id)
    SELECT * FROM unnest(%b, %b, %b, %b) WHERE (SELECT ok FROM whole) ON CONFLICT DO NOTHING)"""
_CHANGES: Final = f""", changes AS (
    UPDATE runs r SET {
    ", ".join(
        f"{name} = a.quarantined <> 0" if name == "quarantined" else f"{name} = a.{name}" for name in _CHANGED[1:]
    )
}
    FROM unnest({", ".join("%b" for _ in _CHANGED)}) AS a ({", ".join(_CHANGED)})
    WHERE r.saga_id = a.saga_id AND (SELECT ok FROM whole))"""
_DONE: Final = ", done AS (DELETE FROM inbox WHERE message_id = ANY (%b) AND (SELECT ok FROM whole))"
_HANDED: Final = """, handed AS (
    INSERT INTO inbox (shard, message_id, body) SELECT * FROM unnest(%b, %b, %b) WHERE (SELECT ok FROM whole)
    ON CONFLICT DO NOTHING)"""
_KEPT: Final = """, kept AS (
    INSERT INTO blobs (digest, data) SELECT * FROM unnest(%b, %b) WHERE (SELECT ok FROM whole)
    ON CONFLICT DO NOTHING)"""
_ANSWER: Final = " SELECT shard FROM moved"


def write(connection: Connection, batch: Batch) -> set[int]:
    """Send the batch, but for its rare parts, into the open transaction; the shards that were as expected.

    Unless these are all of the batch's, nothing else was written, and the caller rolls back.
    """
    parts: list[str] = [_MOVED]
    params: list[object] = _moved(batch)
    for part, arrays in (
        (_LOGGED, _logged(batch)),
        (_STARTED, _started(batch)),
        (_CHANGES, _changes(batch)),
        (_DONE, _done(batch)),
        (_HANDED, _handed(batch)),
        (_KEPT, _kept(batch)),
    ):
        if arrays:
            parts.append(part)
            params += arrays
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    cursor.execute(_statement(tuple(parts)), params, prepare=True)
    return {row[0] for row in cursor}


def race_lost(connection: Connection, batch: Batch) -> RunExists | None:
    """After the rollback for a key that exists: which of the batch's new runs do, if any."""
    ids = [row.saga_id for part in batch.appends for row in part.started]
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    exist = {row[0] for row in cursor.execute("SELECT saga_id FROM runs WHERE saga_id = ANY (%b)", (texts(ids),))}
    return RunExists([saga_id for saga_id in ids if saga_id in exist]) if exist else None


@cache
def _statement(parts: tuple[str, ...]) -> bytes:
    return ("".join(parts) + _ANSWER).encode()


def _moved(batch: Batch) -> list[object]:
    """Shards in one order everywhere, so that two transactions never wait for each other in a circle."""
    appends = sorted(batch.appends, key=lambda part: part.shard)
    return [
        integers([part.shard for part in appends]),
        integers([part.epoch for part in appends]),
        integers([part.position for part in appends]),
        integers([part.position + len(part.entries) for part in appends]),
        texts(part.head for part in appends),
        len(appends),
    ]


def _logged(batch: Batch) -> Sequence[Array]:
    entries = list(chain.from_iterable(part.entries for part in batch.appends))
    if not entries:
        return ()
    return (
        texts(entry.saga_id for entry in entries),
        integers([entry.version for entry in entries]),
        blobs([entry.data for entry in entries]),
        integers([place_of(entry.shard, entry.position) for entry in entries]),
    )


def _started(batch: Batch) -> Sequence[Array]:
    """New runs, in the order of their ids: who races for several of them waits for nobody in a circle."""
    started = {row.saga_id: row for part in batch.appends for row in part.started}
    if not started:
        return ()
    for part in batch.appends:
        for change in part.changed:
            if row := started.get(change.saga_id):  # One statement cannot insert a row and update it.
                started[change.saga_id] = changed(row, change)
    rows = [started[saga_id] for saga_id in sorted(started)]
    return (*_columns(RUN_COLUMNS, map(run_columns, rows)), *_origins(rows))


def _origins(rows: Sequence[RunRow]) -> Sequence[Array]:
    found = [(at, row.saga_id) for row in rows for at in row.origins]
    return (
        texts(at.topic for at, _ in found),
        integers([at.partition for at, _ in found]),
        integers([at.offset for at, _ in found]),
        texts(saga_id for _, saga_id in found),
    )


def _changes(batch: Batch) -> Sequence[Array]:
    """The last change of each run: of several for one row the database would take any."""
    started: set[SagaId] = {row.saga_id for part in batch.appends for row in part.started}
    last = {
        change.saga_id: change for part in batch.appends for change in part.changed if change.saga_id not in started
    }
    return _columns(_CHANGED, map(msgspec.structs.astuple, last.values())) if last else ()


def _done(batch: Batch) -> Sequence[Array]:
    done = [message_id for part in batch.appends for message_id in part.inbox_done]
    return (texts(done),) if done else ()


def _handed(batch: Batch) -> Sequence[Array]:
    rows = sorted(batch.inbox, key=lambda row: row.message_id)
    if not rows:
        return ()
    return (
        integers([row.shard for row in rows]),
        texts(row.message_id for row in rows),
        blobs([row.body for row in rows]),
    )


def _kept(batch: Batch) -> Sequence[Array]:
    kept = sorted(dict(batch.blobs).items())
    return (texts(digest for digest, _ in kept), blobs([data for _, data in kept])) if kept else ()


def _columns(names: Sequence[str], rows: Any) -> list[Array]:  # noqa: ANN401  rows of any columns
    """Rows turned into an array for each column."""
    return [
        integers(values) if name in _INTEGERS else texts(values)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
