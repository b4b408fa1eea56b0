"""A registry that is away, or refuses us, is waited out: what needs it waits, all else goes on, nothing is lost."""

import asyncio
import logging
import struct

import pytest

from amends.connectors.local.source import LocalSource
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import BusUnavailable, UsageError
from amends.coordinator.ports.rows import LocalRecord
from amends.coordinator.runtime import schema_source
from amends.coordinator.runtime.schema_source import SchemaSource
from amends.schemas.record import Record

AWAY = BusUnavailable("AM4121", "the registry cannot be reached", do="wait")
REFUSED = UsageError("AM4122", "the registry answered 401", do="correct the login")


class Beneath(LocalSource):
    """Counts how often it is polled, and hands a topic out again on demand, as a group that was joined anew does."""

    polls = 0

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        self.polls += 1
        found = await super().poll(records_max=records_max, timeout_s=timeout_s)
        assert len(found) <= records_max
        return found

    def read_again(self, topic: str) -> None:
        self._next[topic] = 0


class Registry:
    """Raises for some ids."""

    def __init__(self) -> None:
        self.refuses: dict[int, Exception] = {}
        self.asked: list[int] = []

    async def fetch(self, schema_id: int) -> None:
        self.asked.append(schema_id)
        await asyncio.sleep(0)
        if schema_id in self.refuses:
            raise self.refuses[schema_id]


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.migrate(shards=1)
    return store


@pytest.fixture
def beneath(store: MemoryStore) -> Beneath:
    return Beneath(store, group="g")


@pytest.fixture
async def source(beneath: Beneath, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> SchemaSource:
    monkeypatch.setattr("amends.coordinator.runtime.patience.FIRST_S", 0.01)
    made = SchemaSource(beneath, registry.fetch)
    await made.start(["a", "b"])
    return made


def put(store: MemoryStore, topic: str, *names: str, schema_id: int | None = None) -> None:
    head = b"" if schema_id is None else b"\0" + struct.pack(">I", schema_id)
    store.publish([LocalRecord(topic=topic, key=None, value=head + name.encode(), headers=(), at=0) for name in names])


async def polled(source: SchemaSource, *, times: int = 3, records_max: int = 100) -> list[str]:
    """What comes within so many polls."""
    found: list[Record] = []
    for _ in range(times):
        found += await source.poll(records_max=records_max, timeout_s=0.02)
    return [(record.value or b"")[-2:].decode() for record in found]


async def test_records_come_in_order_once_their_schemas_are_there(
    source: SchemaSource, store: MemoryStore, registry: Registry
) -> None:
    put(store, "a", "a1", schema_id=7)
    put(store, "a", "a2")
    put(store, "a", "a3", schema_id=8)
    assert await polled(source, times=1) == ["a1", "a2", "a3"]
    assert sorted(registry.asked) == [7, 8]
    assert await source.at_end()


@pytest.mark.parametrize("error", [AWAY, REFUSED], ids=["away", "refused"])
async def test_only_what_stands_behind_a_missing_schema_waits(
    source: SchemaSource,
    store: MemoryStore,
    registry: Registry,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    beneath = source._source
    assert isinstance(beneath, Beneath)
    caplog.set_level(logging.INFO, "amends.registry")
    registry.refuses[7] = error
    put(store, "a", "a1")
    put(store, "a", "a2", schema_id=7)
    put(store, "a", "a3")
    put(store, "b", "b1", schema_id=8)
    assert sorted(await polled(source)) == ["a1", "b1"]
    polls = beneath.polls
    put(store, "b", "b2")
    assert await polled(source) == ["b2"]
    assert beneath.polls - polls == 3, "the source beneath is polled while the registry is waited for"
    assert not await source.at_end()
    del registry.refuses[7]
    assert await polled(source, times=20) == ["a2", "a3"]
    assert await source.at_end()
    said = [record.message for record in caplog.records]
    assert said[0] == "schema_registry_unavailable"
    assert said[-1] == "schema_registry_is_back"
    assert str(error) in caplog.records[0].__dict__["why"]


async def test_who_need_not_wait_for_the_registry_does_not(
    source: SchemaSource, store: MemoryStore, registry: Registry
) -> None:
    registry.refuses[7] = AWAY
    put(store, "a", "a1", schema_id=7)
    assert await polled(source) == []
    put(store, "b", "b1")
    async with asyncio.timeout(2):
        found = await source.poll(records_max=100, timeout_s=30)
    assert [record.topic for record in found] == ["b"]


async def test_without_room_nothing_is_taken_and_the_source_beneath_is_told_so(
    source: SchemaSource, store: MemoryStore, beneath: Beneath
) -> None:
    put(store, "a", "a1", "a2")
    assert await polled(source, records_max=0) == []
    assert beneath.polls == 3
    assert await polled(source, times=1, records_max=1) == ["a1"]
    assert await polled(source, times=1) == ["a2"]


async def test_what_is_held_is_bounded(
    source: SchemaSource, store: MemoryStore, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_source, "HELD_MAX", 5)
    registry.refuses[7] = AWAY
    put(store, "a", *(f"{number:02}" for number in range(20)), schema_id=7)
    assert await polled(source, times=5) == []
    assert source._held.count == 5
    registry.refuses.clear()
    assert await polled(source, times=40) == [f"{number:02}" for number in range(20)]


async def test_what_is_held_and_read_again_comes_once(
    source: SchemaSource, store: MemoryStore, registry: Registry, beneath: Beneath
) -> None:
    registry.refuses[7] = AWAY
    put(store, "a", "a1", "a2", schema_id=7)
    assert await polled(source) == []
    beneath.read_again("a")
    put(store, "a", "a3")
    assert await polled(source) == []
    registry.refuses.clear()
    assert await polled(source, times=20) == ["a1", "a2", "a3"]


async def test_a_schema_that_never_comes_keeps_no_other_from_being_asked_for(
    source: SchemaSource, store: MemoryStore, registry: Registry
) -> None:
    registry.refuses.update(dict.fromkeys(range(1, 30), AWAY))
    for schema_id in range(1, 30):
        put(store, "a", "xx", schema_id=schema_id)
    assert await polled(source) == []
    put(store, "b", "b1", schema_id=99)
    assert await polled(source, times=20) == ["b1"]
    await source.stop()


async def test_a_fault_of_ours_is_not_waited_out(source: SchemaSource, store: MemoryStore, registry: Registry) -> None:
    registry.refuses[7] = ZeroDivisionError()
    put(store, "a", "a1", schema_id=7)
    with pytest.raises(ZeroDivisionError):
        await polled(source)
