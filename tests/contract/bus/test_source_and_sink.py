"""What every bus promises: tests/contract/bus/buses.py says which ones there are."""

import asyncio
import time

import pytest

from amends.coordinator.ports.bus import Outgoing
from tests.contract.bus.buses import Bus, at_end, polled


def record(topic: str, number: int, key: str = "k") -> Outgoing:
    return Outgoing(topic=topic, key=key.encode(), value=f"{number}".encode(), headers=(("n", b"%d" % number),))


async def test_what_is_published_is_read_as_it_was(bus: Bus) -> None:
    topic = await bus.topic()
    sent = Outgoing(topic=topic, key=b"\x00key", value=b"\xff\x00", headers=(("a", b"1"), ("a", b"2"), ("empty", b"")))
    await bus.publish(sent)
    before_ms = time.time() * 1000
    async with bus.reading(topic) as source:
        (read,) = await polled(source, 1)
    assert (read.topic, read.key, read.value, read.headers) == (topic, sent.key, sent.value, sent.headers)
    assert read.offset == 0
    assert read.unreadable is None
    assert read.timestamp_ms is not None
    assert abs(read.timestamp_ms - before_ms) < 60_000


async def test_key_and_value_may_be_absent(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(
        Outgoing(topic=topic, key=None, value=b"v"),
        Outgoing(topic=topic, key=b"k", value=None),
        Outgoing(topic=topic, key=b"", value=b""),
    )
    async with bus.reading(topic) as source:
        records = await polled(source, 3)
    assert {(each.key, each.value) for each in records} == {(None, b"v"), (b"k", None), (b"", b"")}


async def test_places_say_where_each_record_was_put(bus: Bus) -> None:
    topic = await bus.topic()
    sink = bus.sink()
    await sink.start()
    try:
        places = await sink.publish([record(topic, n, key=f"key {n}") for n in range(50)])
    finally:
        await sink.stop()
    async with bus.reading(topic) as source:
        read = {(each.partition, each.offset): each.value for each in await polled(source, 50)}
    assert [read[place.partition, place.offset] for place in places] == [b"%d" % n for n in range(50)]


async def test_records_of_one_key_stay_in_order(bus: Bus) -> None:
    topic = await bus.topic()
    sink = bus.sink()
    await sink.start()
    try:
        for start in range(0, 3_000, 300):
            await sink.publish([record(topic, n, key=f"key {n % 7}") for n in range(start, start + 300)])
    finally:
        await sink.stop()
    async with bus.reading(topic) as source:
        records = await polled(source, 3_000, records_max=100)
    for key in {each.key for each in records}:
        numbers = [int(each.value or b"") for each in records if each.key == key]
        assert numbers == sorted(numbers)
    assert sorted(int(each.value or b"") for each in records) == list(range(3_000))


async def test_a_poll_gives_no_more_than_was_asked_for(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n, key=f"{n}") for n in range(40)))
    async with bus.reading(topic) as source:
        sizes: list[int] = []
        while sum(sizes) < 40:
            sizes.append(len(await source.poll(records_max=7, timeout_s=1)))
    assert max(sizes) <= 7


async def test_offsets_rise_by_one_within_a_partition(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n, key=f"{n}") for n in range(100)))
    async with bus.reading(topic) as source:
        records = await polled(source, 100)
    for partition in range(bus.partitions):
        offsets = [each.offset for each in records if each.partition == partition]
        assert offsets == list(range(len(offsets)))


async def test_what_was_not_committed_is_handed_out_again_after_a_restart(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n) for n in range(10)))
    async with bus.reading(topic) as source:
        await polled(source, 10)
    async with bus.reading(topic) as source:
        assert len(await polled(source, 10)) == 10


async def test_what_was_committed_is_not_handed_out_again_after_a_restart(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n) for n in range(10)))
    async with bus.reading(topic) as source:
        records = await polled(source, 10)
        await source.commit({(topic, records[3].partition): records[3].offset + 1})
    async with bus.reading(topic) as source:
        assert [each.value for each in await polled(source, 6)] == [b"%d" % n for n in range(4, 10)]


async def test_committing_a_partition_that_is_not_ours_is_ignored(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(record(topic, 1))
    async with bus.reading(topic) as source:
        await polled(source, 1)
        await source.commit({(f"{bus.prefix}another", 0): 5})
        await bus.publish(record(topic, 2))
        assert [each.value for each in await polled(source, 1)] == [b"2"]


async def test_several_topics_are_read_together(bus: Bus) -> None:
    topics = [await bus.topic(name) for name in ("orders", "refunds", "returns")]
    await bus.publish(*(record(topic, n) for topic in topics for n in range(20)))
    async with bus.reading(*topics) as source:
        records = await polled(source, 60, records_max=10)
    assert {topic: sum(each.topic == topic for each in records) for topic in topics} == dict.fromkeys(topics, 20)


async def test_at_end_is_true_only_when_everything_was_handed_out(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n) for n in range(30)))
    async with bus.reading(topic) as source:
        assert not await source.at_end()
        await polled(source, 10, records_max=10)
        assert not await source.at_end()
        await polled(source, 20, records_max=20)
        assert await at_end(source)
        await bus.publish(record(topic, 31))
        await asyncio.sleep(0)
        assert not await source.at_end()
        await polled(source, 1)
        assert await at_end(source)


async def test_a_topic_without_records_is_at_its_end(bus: Bus) -> None:
    topic = await bus.topic()
    async with bus.reading(topic) as source:
        assert await at_end(source)


async def test_a_source_without_topics_is_at_its_end(bus: Bus) -> None:
    async with bus.reading() as source:
        assert await source.poll(records_max=1, timeout_s=0.01) == []
        assert await source.at_end()


async def test_an_empty_poll_returns_after_its_timeout(bus: Bus) -> None:
    topic = await bus.topic()
    async with bus.reading(topic) as source:
        await at_end(source)
        began = time.monotonic()
        assert await source.poll(records_max=10, timeout_s=0.3) == []
        assert 0.2 < time.monotonic() - began < 2


async def test_a_poll_that_waits_gets_what_is_published_meanwhile(bus: Bus) -> None:
    topic = await bus.topic()
    async with bus.reading(topic) as source:
        await at_end(source)
        waiting = asyncio.create_task(source.poll(records_max=10, timeout_s=10))
        await asyncio.sleep(0)
        await bus.publish(record(topic, 1))
        began = time.monotonic()
        assert [each.value for each in await waiting] == [b"1"]
        assert time.monotonic() - began < 2


async def test_backpressure_hands_out_nothing_and_loses_nothing(bus: Bus) -> None:
    topic = await bus.topic()
    await bus.publish(*(record(topic, n) for n in range(20)))
    async with bus.reading(topic) as source:
        await polled(source, 5, records_max=5)
        until = time.monotonic() + 2.5  # longer than the source takes to pause its partitions, and than a session
        while time.monotonic() < until:
            assert await source.poll(records_max=0, timeout_s=0.1) == []
        assert [each.value for each in await polled(source, 15)] == [b"%d" % n for n in range(5, 20)]


async def test_publishing_nothing_is_no_work(bus: Bus) -> None:
    sink = bus.sink()
    await sink.start()
    assert await sink.publish([]) == []
    await sink.stop()


@pytest.mark.parametrize("times", [1, 2])
async def test_stopping_may_be_done_at_any_time_and_twice(bus: Bus, times: int) -> None:
    topic = await bus.topic()
    source, sink = bus.source(), bus.sink()
    for _ in range(times):
        await source.stop()
        await sink.stop()
    await source.start([topic])
    await sink.start()
    for _ in range(times):
        await source.stop()
        await sink.stop()
