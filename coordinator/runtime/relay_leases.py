"""Which shards a relay publishes: leased apart from the workers' shards, spread over the relays that are alive."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.leases import Leases

log = logging.getLogger("amends.relay")


class RelayLeases:
    """Leases of one relay. One that runs out unnoticed costs duplicates, nothing else: the position is fenced."""

    def __init__(self, *, store: Store, relay: str, lease_ms: int) -> None:
        self._leases = Leases(store=store, role="relay", owner=relay, lease_ms=lease_ms)

    @property
    def held(self) -> Mapping[int, Lease]:
        """Shards held; a lease's position is where the shard stood when we took it."""
        return dict(self._leases.held)

    async def keep(self) -> None:
        """Renew, take and give up for ever, every third of a lease. Cancel it, then `give_back`."""
        while True:
            try:
                await asyncio.to_thread(self.turn)
            except StoreUnavailable as error:
                log.warning("leases_not_renewed", extra={"why": error.why})
            await asyncio.sleep(self._leases.lease_ms / 3000)

    def turn(self) -> None:
        """One round: renew what is held, take a fair share of what is free, give up what is over. Blocks."""
        fair = self._leases.fair()
        self._leases.renew()
        if surplus := sorted(self._leases.held)[fair:]:
            self._leases.release(self._leases.drop(surplus), clean=True)
        elif taken := self._leases.take(fair - len(self._leases.held)):
            log.info("relay_shards_gained", extra={"shards": [lease.shard for lease in taken]})

    def lost(self, shards: Iterable[int]) -> None:
        """Somebody else has these."""
        self._leases.drop(shards)

    async def give_back(self) -> None:
        """Let others take over at once."""
        try:
            await asyncio.to_thread(self._leases.give_back, clean=True)
        except StoreUnavailable as error:
            log.warning("leases_not_released", extra={"why": error.why})
