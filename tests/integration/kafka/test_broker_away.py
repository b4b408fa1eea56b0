"""A broker that is away at the start, dies in the middle, freezes, or says no."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import pytest

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.source import KafkaSource
from amends.coordinator.errors import AmendsError, BusUnavailable, RecordRefused, UsageError
from amends.coordinator.ports.bus import Outgoing
from tests.integration.kafka.clients import consume, create_topic, polled, produce, settings_of
from tests.servers.kafka import KafkaServer
from tests.servers.ports import LOOPBACK, free_ports


class Notices:
    """What a source or sink told the runtime."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def __call__(self, event: str, fields: Mapping[str, object]) -> None:
        self.events.append((event, fields))

    def named(self) -> list[str]:
        return [event for event, _ in self.events]


def group(prefix: str) -> Group:
    return Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)


async def test_an_unreachable_broker_is_said_so_within_5_s() -> None:
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    source, sink = KafkaSource(settings_of(address), group=group("x")), KafkaSink(settings_of(address))
    starts: list[Callable[[], Awaitable[None]]] = [lambda: source.start(["orders"]), sink.start]
    for start in starts:
        began = time.monotonic()
        with pytest.raises(BusUnavailable, match=r"cannot be reached.*(refused|Connect)") as raised:
            await start()
        assert time.monotonic() - began < 5
        assert raised.value.code == "AM4101"
        assert address in str(raised.value)


async def test_a_missing_topic_is_named_within_5_s(kafka: str, prefix: str) -> None:
    sink = KafkaSink(settings_of(kafka))
    await sink.start()
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    try:
        for use in (
            lambda: source.start([f"{prefix}missing"]),
            lambda: sink.publish([Outgoing(topic=f"{prefix}missing", key=b"k", value=b"v")]),
        ):
            began = time.monotonic()
            with pytest.raises(
                (UsageError, RecordRefused), match=f"{prefix}missing does not exist .*; run: amends topics create"
            ) as raised:
                await use()
            assert time.monotonic() - began < 5
            assert raised.value.code == "AM4104"
    finally:
        await source.stop()
        await sink.stop()


async def test_a_broker_killed_in_mid_stream_costs_nothing_once_it_is_back(own_kafka: KafkaServer, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic, partitions=3)
    notices = Notices()
    source = KafkaSource(settings_of(own_kafka.address), group=group(prefix), notice=notices)
    sink = KafkaSink(settings_of(own_kafka.address), timeout_s=2)
    await source.start([topic])
    await sink.start()
    sent = 0
    try:
        for _ in range(10):
            await sink.publish([_numbered(topic, n) for n in range(sent, sent + 50)])
            sent += 50
        read = await polled(source, 200)
        own_kafka.kill()
        with pytest.raises(BusUnavailable, match="did not acknowledge 50 records"):
            await sink.publish([_numbered(topic, n) for n in range(sent, sent + 50)])
        await _until_away(source)
        own_kafka.start()
        await _published(sink, [_numbered(topic, n) for n in range(sent, sent + 50)])
        sent += 50
        while len({each.value for each in read}) < sent:
            read += await polled(source, 1)
        await source.commit({(each.topic, each.partition): each.offset + 1 for each in read})
    finally:
        await source.stop()
        await sink.stop()
    assert {each.value for each in read} == {b"%d" % n for n in range(sent)}
    assert "bus_away" in notices.named()
    assert "bus_back" in notices.named()


async def test_a_source_started_without_a_broker_reads_when_it_comes(own_kafka: KafkaServer, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic)
    produce(own_kafka.address, topic, [b"early"])
    own_kafka.stop()
    source = KafkaSource(settings_of(own_kafka.address), group=group(prefix))
    with pytest.raises(BusUnavailable):
        await source.start([topic])
    with pytest.raises(BusUnavailable):
        await source.poll(records_max=1, timeout_s=0.2)
    own_kafka.start()
    try:
        assert [each.value for each in await polled(source, 1)] == [b"early"]
    finally:
        await source.stop()


async def test_no_poll_lasts_longer_than_its_timeout_while_the_broker_is_frozen(
    own_kafka: KafkaServer, prefix: str
) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic)
    produce(own_kafka.address, topic, [b"one"])
    source = KafkaSource(settings_of(own_kafka.address), group=group(prefix))
    await source.start([topic])
    try:
        await polled(source, 1)
        own_kafka.freeze()
        longest_s = 0.0
        until = time.monotonic() + 12
        away = False
        while time.monotonic() < until and not away:
            began = time.monotonic()
            try:
                await source.poll(records_max=10, timeout_s=0.2)
            except BusUnavailable:
                away = True
            longest_s = max(longest_s, time.monotonic() - began)
        assert away
        assert longest_s < 1
        own_kafka.thaw()
        produce(own_kafka.address, topic, [b"two"])
        assert b"two" in [each.value for each in await polled(source, 1)]
    finally:
        own_kafka.thaw()
        await source.stop()


async def test_a_publication_to_a_frozen_broker_is_given_up_in_time_and_may_arrive_later(
    own_kafka: KafkaServer, prefix: str
) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic)
    sink = KafkaSink(settings_of(own_kafka.address), timeout_s=1.5)
    await sink.start()
    await sink.publish([_numbered(topic, 0)])
    own_kafka.freeze()
    began = time.monotonic()
    with pytest.raises(BusUnavailable, match=r"no answer within 1\.5 s"):
        await sink.publish([_numbered(topic, 1)])
    assert time.monotonic() - began < 5
    own_kafka.thaw()
    await _published(sink, [_numbered(topic, 2)])
    await sink.stop()
    values = [value for _, value, _ in await asyncio.to_thread(consume, own_kafka.address, topic, 2)]
    assert values[0] == b"0"
    assert b"2" in values or b"1" in values


async def test_stopping_is_quick_while_the_broker_is_frozen(own_kafka: KafkaServer, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic)
    source = KafkaSource(settings_of(own_kafka.address), group=group(prefix))
    sink = KafkaSink(settings_of(own_kafka.address))
    await source.start([topic])
    await sink.start()
    await source.poll(records_max=1, timeout_s=0.5)
    own_kafka.freeze()
    began = time.monotonic()
    try:
        await asyncio.gather(source.stop(), sink.stop())
    finally:
        own_kafka.thaw()
    assert time.monotonic() - began < 5


async def test_a_wrong_security_protocol_is_hinted_at(kafka: str) -> None:
    with pytest.raises(BusUnavailable, match=r"connection was closed \(is SSL right\?\)"):
        await KafkaSink(settings_of(kafka, security_protocol="SSL")).start()


async def _until_away(source: KafkaSource) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            await source.poll(records_max=1, timeout_s=0.2)
        except BusUnavailable:
            return
    pytest.fail("the source did not notice that the broker is dead")


async def _published(sink: KafkaSink, records: list[Outgoing]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            await sink.publish(records)
        except AmendsError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        else:
            return


def _numbered(topic: str, n: int) -> Outgoing:
    return Outgoing(topic=topic, key=b"key %d" % (n % 5), value=b"%d" % n)
