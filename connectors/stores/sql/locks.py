"""Locks in the append's transaction: a row of runs for each key, and the first of all its rows holds them (rule 16).

One counter gives every run its place, and its row in the database stays locked until the commit: whoever changes locks
sees all that was changed before. So places are in the order of the commits, nobody comes to stand before a holder, and
as whoever waits for somebody has the higher place, nobody waits in a circle.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from amends.connectors.stores.grants import grant
from amends.connectors.stores.sql.work import SqlStore, Work
from amends.coordinator.ports.rows import LockRow, LocksLeft, LocksWanted
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

_COLUMNS: Final = LockRow.__struct_fields__
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM locks"
_INSERT: Final = f"INSERT INTO locks ({', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING"
_FIRST: Final = f"{_SELECT} WHERE key = ? ORDER BY place LIMIT 1"
_BEHIND: Final = """SELECT count(*) FROM locks mine JOIN locks theirs ON theirs.key = mine.key
    AND theirs.place < mine.place WHERE mine.saga_id = ?"""


class SqlLocks(SqlStore):
    """Reads the table `locks`; only an append changes it."""

    def locks(self, *, key: str | None = None, saga_id: SagaId | None = None) -> list[LockRow]:
        conditions, params = ["TRUE"], []
        if key is not None:
            conditions.append("key = ?")
            params.append(key)
        if saga_id is not None:
            conditions.append("key IN (SELECT key FROM locks WHERE saga_id = ?)")
            params.append(saga_id)
        return _rows(self._rows(f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY key, place", params))


def change_locks(work: Work, changes: Sequence[LocksWanted | LocksLeft]) -> None:
    """Take places and give them up, then hand each key that is free now to whoever is first in all of its rows."""
    if not changes:
        return
    work.change("UPDATE counters SET value = value WHERE name = 'locks'")
    place: int = work.rows("SELECT value FROM counters WHERE name = 'locks'")[0][0]
    touched: set[str] = set()
    for change in changes:
        if isinstance(change, LocksWanted):
            place += 1
            work.change_each(_INSERT, [(key, change.saga_id, change.shard, place, change.at) for key in change.keys])
            touched.update(change.keys)
        else:
            touched.update(_left(work, change))
    work.change("UPDATE counters SET value = ? WHERE name = 'locks'", (place,))
    _hand_on(work, touched, changes[-1].at)


def _left(work: Work, change: LocksLeft) -> list[str]:
    keys = [row[0] for row in work.rows("SELECT key FROM locks WHERE saga_id = ?", (change.saga_id,))]
    gone = [key for key in keys if change.keys is None or key in change.keys]
    work.change_each("DELETE FROM locks WHERE key = ? AND saga_id = ?", [(key, change.saga_id) for key in gone])
    return gone


def _hand_on(work: Work, keys: Iterable[str], at: Instant) -> None:
    """A run is told once: it waits until it is the first in all of its rows, and holds from then on."""
    for key in sorted(keys):
        for first in _rows(work.rows(_FIRST, (key,))):
            if first.held_since is not None or work.rows(_BEHIND, (first.saga_id,))[0][0]:
                continue
            work.change("UPDATE locks SET held_since = ? WHERE saga_id = ?", (at, first.saga_id))
            told = grant(first)
            work.change(
                "INSERT INTO inbox (shard, message_id, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (told.shard, told.message_id, told.body),
            )


def _rows(found: Iterable[Sequence[object]]) -> list[LockRow]:
    return [LockRow(**dict(zip(_COLUMNS, row, strict=True))) for row in found]  # type: ignore[arg-type]
