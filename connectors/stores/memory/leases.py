"""Leases and heartbeats in memory, counted by the injected clock."""

from collections.abc import Sequence

from amends.connectors.stores.memory.tables import Part
from amends.coordinator.errors import Fenced
from amends.coordinator.ports.rows import Lease, ShardRow
from amends.coordinator.ports.store import Role
from amends.schemas.instants import MILLISECOND, Instant


class Leases(Part):
    """Who owns which shard until when."""

    def now(self) -> Instant:
        return self._tables.clock()

    def claim(self, role: Role, owner: str, *, lease_ms: int, limit: int) -> list[Lease]:
        with self._tables.lock:
            now = self.now()
            taken: list[Lease] = []
            for shard, row in sorted(self._tables.leases[role].items()):
                if len(taken) == limit:
                    break
                if row.owner is not None and row.expires_at is not None and row.expires_at > now:
                    continue
                was_clean, row.clean = row.clean, False
                row.owner, row.expires_at = owner, now + lease_ms * MILLISECOND
                row.epoch += 1
                taken.append(Lease(shard=shard, epoch=row.epoch, position=row.position, head=row.head, clean=was_clean))
            self._tables.mark += bool(taken)
            return taken

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:
        with self._tables.lock:
            expires_at = self.now() + lease_ms * MILLISECOND
            mine = [shard for shard, row in sorted(self._tables.leases[role].items()) if row.owner == owner]
            for shard in mine:
                self._tables.leases[role][shard].expires_at = expires_at
            return mine

    def release(self, role: Role, owner: str, shards: Sequence[int], *, clean: bool) -> None:
        with self._tables.lock:
            for shard in shards:
                row = self._tables.leases[role][shard]
                if row.owner == owner:
                    row.owner, row.expires_at, row.clean = None, None, clean
            self._tables.mark += 1

    def beat(self, worker: str, *, lease_ms: int, role: Role = "worker") -> int:
        with self._tables.lock:
            now = self.now()
            self._tables.workers[role, worker] = now + lease_ms * MILLISECOND
            return sum(peer == role and until > now for (peer, _), until in self._tables.workers.items())

    def retire(self, worker: str, *, role: Role = "worker") -> None:
        with self._tables.lock:
            self._tables.workers.pop((role, worker), None)

    def shards(self) -> list[ShardRow]:
        with self._tables.lock:
            return [
                ShardRow(
                    shard=shard,
                    owner=row.owner,
                    epoch=row.epoch,
                    expires_at=row.expires_at,
                    position=row.position,
                    head=row.head,
                    clean=row.clean,
                )
                for shard, row in sorted(self._tables.leases["worker"].items())
            ]

    def relay_position(self, shard: int) -> int:
        with self._tables.lock:
            return self._tables.leases["relay"][shard].position

    def relayed(self, shard: int, *, epoch: int, position: int) -> None:
        with self._tables.lock:
            row = self._tables.leases["relay"][shard]
            if row.epoch != epoch:
                raise Fenced([shard])
            row.position = max(row.position, position)
