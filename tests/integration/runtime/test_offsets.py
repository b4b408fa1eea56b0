"""What the engine has accounted for is committed on the bus: all of it, in order, and though the bus was away."""

from collections.abc import Mapping

import pytest

from amends.connectors.local.source import LocalSource
from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import BusUnavailable
from tests.integration.runtime.workers import worker_on


class Source(LocalSource):
    """Away for as long as `away` says; notes what was committed."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, group="amends.default")
        self.away = True
        self.committed: list[dict[tuple[str, int], int]] = []

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        if self.away:
            raise BusUnavailable("AM0401", "the bus is away", do="wait")
        self.committed.append(dict(next_offsets))


async def test_offsets_that_were_accounted_for_while_the_bus_was_away_are_committed_when_it_is_back() -> None:
    store = MemoryStore(clock=wall_clock)
    store.migrate(shards=1)
    worker = worker_on(store)
    worker.source = source = Source(store)
    worker._accounted.extend([{("orders", 0): 1, ("refunds", 0): 1}, {("orders", 0): 2}])
    with pytest.raises(BusUnavailable):
        await worker._commit()
    worker._accounted.extend([{("orders", 0): 3}, {("orders", 0): 4}])
    source.away = False
    for _ in range(2):
        await worker._commit()
    assert source.committed == [{("orders", 0): 4, ("refunds", 0): 1}]
