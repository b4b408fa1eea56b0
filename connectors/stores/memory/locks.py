"""Locks in memory: the same rows of runs, and the same handing on, as the databases have."""

from collections.abc import Sequence

from msgspec.structs import replace

from amends.connectors.stores.grants import grant
from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import LockRow, LocksLeft, LocksWanted
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class Locks(Part):
    """By key and run; the lock of the tables stands for the transaction."""

    def locks(self, *, key: str | None = None, saga_id: SagaId | None = None) -> list[LockRow]:
        with self._tables.lock:
            rows = list(self._tables.locks.values())
        keys = {row.key for row in rows if saga_id in {None, row.saga_id} and key in {None, row.key}}
        return sorted((row for row in rows if row.key in keys), key=lambda row: (row.key, row.place))

    def _change_locks(self, changes: Sequence[LocksWanted | LocksLeft]) -> None:
        touched: set[str] = set()
        for change in changes:
            if isinstance(change, LocksWanted):
                self._tables.lock_place += 1
                self._want(change)
                touched.update(change.keys)
            else:
                gone = {key for key, run in self._tables.locks if run == change.saga_id}
                gone &= gone if change.keys is None else set(change.keys)
                for key in gone:
                    del self._tables.locks[key, change.saga_id]
                touched |= gone
        for key in sorted(touched):
            self._hand_on(key, changes[-1].at)

    def _want(self, change: LocksWanted) -> None:
        for key in change.keys:
            self._tables.locks[key, change.saga_id] = LockRow(
                key=key,
                saga_id=change.saga_id,
                shard=change.shard,
                place=self._tables.lock_place,
                since=change.at,
                held_since=None,
            )

    def _hand_on(self, key: str, at: Instant) -> None:
        first = self._first(key)
        if first is None or first.held_since is not None:
            return
        mine = [row for row in self._tables.locks.values() if row.saga_id == first.saga_id]
        if all(self._first(row.key) == row for row in mine):
            for row in mine:
                self._tables.locks[row.key, row.saga_id] = replace(row, held_since=at)
            told = grant(first)
            self._tables.inbox.setdefault(told.message_id, told)

    def _first(self, key: str) -> LockRow | None:
        rows = (row for row in self._tables.locks.values() if row.key == key)
        return min(rows, key=lambda row: row.place, default=None)
