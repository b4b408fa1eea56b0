"""Local topics that several workers could read: only the holder of the lease `bus` does (design, section 2)."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from amends.coordinator.errors import BusUnavailable, StoreUnavailable
from amends.coordinator.ports.bus import Source
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.leases import Leases
from amends.schemas.record import Record


class LeasedSource:
    """A source that hands records out only while its worker holds the lease. Implements `Source`."""

    def __init__(self, source: Source, store: Store, *, owner: str, lease_ms: int) -> None:
        self._source = source
        self._leases = Leases(store=store, role="bus", owner=owner, lease_ms=lease_ms)
        self._lease_ms = lease_ms
        self._topics: Sequence[str] = ()
        self._held = False
        self._asked_at = 0.0

    async def start(self, topics: Sequence[str]) -> None:
        self._topics = topics
        await self._keep()

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        await self._keep()
        if not self._held:
            await asyncio.sleep(min(timeout_s, self._lease_ms / 3000))
            return []
        return await self._source.poll(records_max=records_max, timeout_s=min(timeout_s, self._lease_ms / 3000))

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        if self._held:
            await self._source.commit(next_offsets)

    async def at_end(self) -> bool:
        """Whoever does not read has nothing to wait for."""
        return not self._held or await self._source.at_end()

    async def stop(self) -> None:
        if self._held:
            self._held = False
            await self._source.stop()
            await asyncio.to_thread(self._leases.release, self._leases.drop([0]), clean=True)

    async def _keep(self) -> None:
        """Renew or claim, every third of the lease."""
        if time.monotonic() < self._asked_at + self._lease_ms / 3000:
            return
        asked_at = time.monotonic()
        try:
            held = await asyncio.to_thread(self._ask)
        except StoreUnavailable as error:
            raise BusUnavailable(error.code, error.what, do=error.do) from error
        self._asked_at = asked_at
        if held and not self._held:
            await self._source.start(self._topics)
        self._held = held

    def _ask(self) -> bool:
        self._leases.renew()
        return bool(self._leases.held or self._leases.take(1))
