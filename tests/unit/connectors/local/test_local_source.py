"""A local source hands every record out, whenever its store goes away."""

import asyncio

from amends.connectors.local.source import LocalSource
from amends.connectors.stores import faults
from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import BusUnavailable
from amends.coordinator.ports.rows import LocalRecord

TOPICS = ["bookings", "orders"]
COUNT = 30


class Flickering(MemoryStore):
    """Away at every third call that a source makes."""

    calls = 0

    def records(self, topic: str, *, after: int, limit: int) -> list[LocalRecord]:
        self._flicker()
        return super().records(topic, after=after, limit=limit)

    def consume(self, group: str, positions: dict[str, int]) -> None:
        self._flicker()
        super().consume(group, positions)

    def _flicker(self) -> None:
        self.calls += 1
        if self.calls % 3 == 0:
            raise faults.unreachable("here", "it flickers")


async def test_no_record_is_lost_when_the_store_goes_away_between_two_topics_or_after_they_were_read() -> None:
    store = Flickering(clock=wall_clock)
    store.migrate(shards=1)
    source = LocalSource(store, group="g")
    await source.start(TOPICS)
    found, failures = [], 0
    for number in range(COUNT):
        store.publish([LocalRecord(topic=topic, key=None, value=b"%d" % number, headers=(), at=0) for topic in TOPICS])
        try:
            records = await source.poll(records_max=10, timeout_s=0)
            found += records
            await source.commit({(record.topic, 0): record.offset + 1 for record in records})
        except BusUnavailable:
            failures += 1
    while len(found) < 2 * COUNT:
        try:
            found += await source.poll(records_max=10, timeout_s=0)
        except BusUnavailable:
            failures += 1
    assert failures >= COUNT // 3
    assert {(record.topic, record.offset) for record in found} == {(t, n) for t in TOPICS for n in range(COUNT)}
    assert len(found) == 2 * COUNT


class Counting(MemoryStore):
    """Counts the readings of a source."""

    read = 0

    def records(self, topic: str, *, after: int, limit: int) -> list[LocalRecord]:
        self.read += 1
        return super().records(topic, after=after, limit=limit)


async def test_what_nobody_tells_of_is_looked_for_once_and_what_is_told_of_at_once() -> None:
    store = Counting(clock=wall_clock)
    store.migrate(shards=1)
    record = LocalRecord(topic="orders", key=None, value=b"", headers=(), at=0)
    store.publish([record] * 3)
    source = LocalSource(store, group="g")
    await source.start(["orders"])
    assert len(await source.poll(records_max=2, timeout_s=5)) == 2
    assert len(await source.poll(records_max=2, timeout_s=5)) == 1, (
        "the reading before was cut off, so this one waits not"
    )
    assert store.read == 2
    assert await source.poll(records_max=0, timeout_s=0.05) == []
    assert store.read == 2, "a reader without room asks nothing"
    assert await source.poll(records_max=2, timeout_s=0.05) == []
    assert store.read == 3, "it waited, and looked once"
    store.publish([record])
    source.wake()
    assert len(await source.poll(records_max=2, timeout_s=5)) == 1
    assert store.read == 4


async def test_a_source_of_no_topics_leaves_the_loop_to_others() -> None:
    store = MemoryStore(clock=wall_clock)
    store.migrate(shards=1)
    source = LocalSource(store, group="g")
    await source.start([])
    waiting = asyncio.create_task(source.poll(records_max=10, timeout_s=0.1))
    turns = 0
    while not waiting.done():
        turns += 1
        await asyncio.sleep(0)
    assert await waiting == []
    assert turns > 2, "it began, and others had their turns before it was done"
