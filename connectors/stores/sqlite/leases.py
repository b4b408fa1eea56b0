"""Ownership on SQLite: the holder of the coordinator's lock owns what it claims until it releases it or dies."""

from collections.abc import Sequence

from amends.connectors.stores.sql.work import SqlStore
from amends.connectors.stores.sqlite.lock import CoordinatorLock
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Role


class SqliteLeases(SqlStore):
    """Nothing expires: a claim raises the epoch at once over whatever a former process has left behind."""

    lock: CoordinatorLock
    _claimed: set[tuple[Role, int]]
    """What was claimed through this store; every other owner in the table is dead."""

    def claim(self, role: Role, owner: str, *, lease_ms: int, limit: int) -> list[Lease]:  # noqa: ARG002  no lease here
        self.lock.acquire()
        table, where, head = _place(role)
        with self._writing() as work:
            found = work.rows(
                f"SELECT shard, epoch, position, {head}, clean, owner FROM {table} WHERE {where} ORDER BY shard"
            )
            free = [row for row in found if row[5] is None or (role, row[0]) not in self._claimed][:limit]
            for shard, *_ in free:
                work.change(
                    f"UPDATE {table} SET owner = ?, epoch = epoch + 1, clean = FALSE WHERE {where} AND shard = ?",
                    (owner, shard),
                )
        self._claimed.update((role, row[0]) for row in free)
        return [
            Lease(shard=shard, epoch=epoch + 1, position=position, head=head, clean=bool(clean))
            for shard, epoch, position, head, clean, _ in free
        ]

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:  # noqa: ARG002  no lease here
        table, where, _ = _place(role)
        found = self._rows(f"SELECT shard FROM {table} WHERE {where} AND owner = ? ORDER BY shard", (owner,))
        return [row[0] for row in found]

    def release(self, role: Role, owner: str, shards: Sequence[int], *, clean: bool) -> None:
        table, where, _ = _place(role)
        with self._writing() as work:
            for shard in shards:
                work.change(
                    f"UPDATE {table} SET owner = NULL, clean = ? WHERE {where} AND shard = ? AND owner = ?",
                    (clean, shard, owner),
                )


def _place(role: Role) -> tuple[str, str, str]:
    """Table, condition and head: a worker leases the shard itself, all others a row beside it."""
    return ("shards", "TRUE", "head") if role == "worker" else ("leases", f"role = '{role}'", "''")
