"""The reply to a COMMIT was lost: what became of the batch is read from the rows of its shards, never guessed.

The transaction may still run on the server, a ghost of a connection that is gone. Reading the rows `FOR UPDATE` waits
for it; then a shard at our epoch, position and head says that the batch is there, one still where it was that it is
not, and anything else that somebody has taken over.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from psycopg.rows import tuple_row

from amends.connectors.stores.postgres.arrays import integers
from amends.connectors.stores.postgres.connections import Connection
from amends.coordinator.errors import Fenced
from amends.coordinator.ports.rows import ShardAppend

_READ: Final = "SELECT shard, epoch, position, head FROM shards WHERE shard = ANY (%b) ORDER BY shard FOR UPDATE"

Found = Mapping[int, tuple[int, int, str]]
"""Epoch, position and head of each shard."""


class Verdict(Enum):
    """What became of a batch."""

    DONE = "it is there"
    NOT_DONE = "it is not there and will not be"
    NOT_TO_SEE = "it moves no shard, and may be done again"


def judge(appends: Sequence[ShardAppend], found: Found) -> Verdict:
    """Tell from the shards' rows. Raises `Fenced` with those that another owner has."""
    foreign = [part.shard for part in appends if part.shard not in found or found[part.shard][0] != part.epoch]
    if foreign:
        raise Fenced(foreign)
    moving = [part for part in appends if part.entries]
    if not moving:
        return Verdict.NOT_TO_SEE
    if is_there(appends, found):
        return Verdict.DONE
    if all(found[part.shard][1] == part.position for part in moving):
        return Verdict.NOT_DONE
    raise Fenced(part.shard for part in moving)


def is_there(appends: Sequence[ShardAppend], found: Found) -> bool:
    """Whether the shards are where exactly these appends take them: nobody else can have their epochs and heads."""
    moving = [part for part in appends if part.entries]
    targets = {part.shard: (part.epoch, part.position + len(part.entries), part.head) for part in moving}
    return bool(moving) and all(found.get(shard) == target for shard, target in targets.items())


def read(connection: Connection, shards: Iterable[int]) -> Found:
    """The shards' rows, once nobody holds them any more."""
    cursor: Any = connection.cursor(binary=True, row_factory=tuple_row)
    with connection.transaction():
        rows = cursor.execute(_READ, (integers(list(shards)),)).fetchall()
    return {shard: (epoch, position, head) for shard, epoch, position, head in rows}
