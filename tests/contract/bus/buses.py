"""Both buses behind one face: what the contract's tests need of each."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from amends.connectors.kafka.admin import KafkaAdmin
from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.source import KafkaSource
from amends.connectors.local.sink import LocalSink
from amends.connectors.local.source import LocalSource
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.bus import Outgoing, Sink, Source
from amends.coordinator.reading.publishing import OwnTopics
from amends.schemas.record import Record

WITHIN_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """`source` and `sink` give fresh ones each time; `prefix` makes names this test's own."""

    prefix: str
    partitions: int
    source: Callable[[], Source]
    sink: Callable[[], Sink]
    create: Callable[[str], object]

    async def topic(self, name: str = "orders") -> str:
        topic = f"{self.prefix}{name}"
        made = self.create(topic)
        if asyncio.iscoroutine(made):
            await made
        return topic

    @asynccontextmanager
    async def reading(self, *topics: str) -> AsyncIterator[Source]:
        source = self.source()
        await source.start(topics)
        try:
            yield source
        finally:
            await source.stop()

    async def publish(self, *records: Outgoing) -> None:
        sink = self.sink()
        await sink.start()
        try:
            await sink.publish(records)
        finally:
            await sink.stop()


async def polled(source: Source, count: int, *, records_max: int = 500) -> list[Record]:
    """Poll until `count` records have come."""
    records: list[Record] = []
    deadline = time.monotonic() + WITHIN_S
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records within {WITHIN_S} s"
        records += await source.poll(records_max=records_max, timeout_s=0.1)
    return records


async def at_end(source: Source) -> bool:
    """Poll on until the source is at its end."""
    deadline = time.monotonic() + WITHIN_S
    while not await source.at_end():
        if time.monotonic() > deadline:
            return False
        await source.poll(records_max=500, timeout_s=0.1)
    return True


def local_bus(prefix: str) -> Bus:
    store = MemoryStore()
    store.migrate(shards=1)
    return Bus(
        prefix=prefix,
        partitions=1,
        source=lambda: LocalSource(store, group=f"{prefix}group"),
        sink=lambda: LocalSink(store, own=OwnTopics(prefix), now=store.now),
        create=lambda _: None,
    )


def kafka_bus(address: str, prefix: str) -> Bus:
    settings = KafkaSettings(bootstrap=address)
    group = Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)

    async def create(topic: str) -> None:
        async with KafkaAdmin.connected(settings) as admin:
            await admin.create(topic, partitions=3, replication=1)

    return Bus(
        prefix=prefix,
        partitions=3,
        source=lambda: KafkaSource(settings, group=group),
        sink=lambda: KafkaSink(settings),
        create=create,
    )
