"""Which shards a relay publishes: leased apart from the workers' shards, spread over the relays that are alive."""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Store

log = logging.getLogger("amends.relay")


@dataclass(slots=True, kw_only=True)
class RelayLeases:
    """Leases of one relay. One that runs out unnoticed costs duplicates, nothing else: the position is fenced."""

    store: Store
    relay: str
    lease_ms: int
    _held: dict[int, Lease] = field(default_factory=dict)

    @property
    def held(self) -> Mapping[int, Lease]:
        """Shards held; a lease's position is where the shard stood when we took it."""
        return dict(self._held)

    async def keep(self) -> None:
        """Renew, take and give up for ever, every third of a lease. Cancel it, then `give_back`."""
        while True:
            try:
                await asyncio.to_thread(self.turn)
            except StoreUnavailable as error:
                log.warning("leases_not_renewed", extra={"why": error.why})
            await asyncio.sleep(self.lease_ms / 3000)

    def turn(self) -> None:
        """One round: renew what is held, take a fair share of what is free, give up what is over. Blocks."""
        alive = self.store.beat(self.relay, lease_ms=self.lease_ms, role="relay")
        kept = set(self.store.renew("relay", self.relay, lease_ms=self.lease_ms))
        held = {shard: lease for shard, lease in self._held.items() if shard in kept}
        if stray := sorted(kept - held.keys()):  # A release or a claim of theirs was never answered.
            self.store.release("relay", self.relay, stray, clean=True)
        fair = math.ceil(len(self.store.shards()) / max(1, alive))
        if surplus := sorted(held)[fair:]:
            self.store.release("relay", self.relay, surplus, clean=True)
            held = {shard: lease for shard, lease in held.items() if shard not in surplus}
        elif len(held) < fair:
            taken = self.store.claim("relay", self.relay, lease_ms=self.lease_ms, limit=fair - len(held))
            held |= {lease.shard: lease for lease in taken}
            if taken:
                log.info("relay_shards_gained", extra={"shards": [lease.shard for lease in taken]})
        self._held = held

    def lost(self, shards: Iterable[int]) -> None:
        """Somebody else has these."""
        self._held = {shard: lease for shard, lease in self._held.items() if shard not in set(shards)}

    async def give_back(self) -> None:
        """Let others take over at once."""
        held, self._held = self._held, {}
        try:
            await asyncio.to_thread(self.store.release, "relay", self.relay, tuple(held), clean=True)
            await asyncio.to_thread(self.store.retire, self.relay, role="relay")
        except StoreUnavailable as error:
            log.warning("leases_not_released", extra={"why": error.why})
