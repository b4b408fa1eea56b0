"""The leases of one holder in one role: prolonged together, shared fairly with the others that live. Blocks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Role, Store


@dataclass(slots=True, kw_only=True)
class Leases:
    """`held` is what we know to be ours, by shard. Every method that asks the store raises `StoreUnavailable`."""

    store: Store
    role: Role
    owner: str
    lease_ms: int
    held: dict[int, Lease] = field(default_factory=dict)

    def fair(self) -> int:
        """Give a sign of life; how many shards are ours when all who live have the same share."""
        alive = self.store.beat(self.owner, lease_ms=self.lease_ms, role=self.role)
        return math.ceil(len(self.store.shards()) / max(1, alive))

    def renew(self) -> list[int]:
        """Prolong all of them; those that are somebody else's by now.

        One that we do not know of, because the answer to its release or claim was lost, is given back.
        """
        kept = set(self.store.renew(self.role, self.owner, lease_ms=self.lease_ms))
        if stray := sorted(kept - self.held.keys()):
            self.store.release(self.role, self.owner, stray, clean=False)
        return self.drop(self.held.keys() - kept)

    def take(self, limit: int) -> list[Lease]:
        """Take up to `limit` shards that are free or expired."""
        taken = self.store.claim(self.role, self.owner, lease_ms=self.lease_ms, limit=limit) if limit > 0 else []
        self.held.update((lease.shard, lease) for lease in taken)
        return taken

    def drop(self, shards: Iterable[int]) -> list[int]:
        """They are ours no more, whatever the store says; those of them that were."""
        return [shard for shard in sorted(shards) if self.held.pop(shard, None) is not None]

    def release(self, shards: Iterable[int], *, clean: bool) -> None:
        """Let others have them; `clean` says that no attempt is open there."""
        self.store.release(self.role, self.owner, sorted(shards), clean=clean)

    def give_back(self, *, clean: bool) -> None:
        """We are stopping: let others have all of them at once, and count on us no more."""
        held = self.drop(list(self.held))
        self.release(held, clean=clean)
        self.store.retire(self.owner, role=self.role)
