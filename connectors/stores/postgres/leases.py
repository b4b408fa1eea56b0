"""Ownership on PostgreSQL: leases by the database's clock."""

from collections.abc import Sequence
from typing import Final

from amends.connectors.stores.sql.work import SqlStore
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Role
from amends.schemas.instants import MILLISECOND

NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class PostgresLeases(SqlStore):
    """Rows are locked in the order of the shards, as an append locks them, so nobody waits in a circle."""

    def claim(self, role: Role, owner: str, *, lease_ms: int, limit: int) -> list[Lease]:
        """A row that a transaction holds is passed over: its owner lives, or the server is about to end it."""
        table, where, head = _place(role)
        with self._writing() as work:
            taken = work.rows(
                f"""WITH free AS (
                    SELECT shard, clean FROM {table} WHERE {where} AND (owner IS NULL OR expires_at <= {NOW})
                    ORDER BY shard LIMIT ? FOR UPDATE SKIP LOCKED)
                UPDATE {table} t SET owner = ?, epoch = epoch + 1, expires_at = {NOW} + ?, clean = FALSE
                FROM free WHERE {where} AND t.shard = free.shard
                RETURNING t.shard, t.epoch, t.position, {head}, free.clean""",
                (limit, owner, lease_ms * MILLISECOND),
            )
        return [
            Lease(shard=shard, epoch=epoch, position=position, head=head, clean=clean)
            for shard, epoch, position, head, clean in sorted(taken)
        ]

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:
        table, where, _ = _place(role)
        with self._writing() as work:
            kept = work.rows(
                f"""WITH mine AS (
                    SELECT shard FROM {table} WHERE {where} AND owner = ? ORDER BY shard FOR UPDATE)
                UPDATE {table} t SET expires_at = {NOW} + ? FROM mine WHERE {where} AND t.shard = mine.shard
                RETURNING t.shard""",
                (owner, lease_ms * MILLISECOND),
            )
        return sorted(row[0] for row in kept)

    def release(self, role: Role, owner: str, shards: Sequence[int], *, clean: bool) -> None:
        table, where, _ = _place(role)
        with self._writing() as work:
            for shard in sorted(shards):
                work.change(
                    f"""UPDATE {table} SET owner = NULL, expires_at = NULL, clean = ?
                    WHERE {where} AND shard = ? AND owner = ?""",
                    (clean, shard, owner),
                )


def _place(role: Role) -> tuple[str, str, str]:
    """Table, condition and head: a worker leases the shard itself, all others a row beside it."""
    return ("shards", "TRUE", "t.head") if role == "worker" else ("leases", f"role = '{role}'", "''")
