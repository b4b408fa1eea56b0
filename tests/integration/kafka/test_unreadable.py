"""A batch that cannot be read is reported and passed by; what stands around it is read."""

import asyncio
import resource
import subprocess
import sys

import pytest

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.source import KafkaSource
from tests.integration.kafka.clients import create_topic, polled, produce, settings_of
from tests.servers.kafka import KafkaServer

BOMB_BYTES = 100_000_000


def group(prefix: str) -> Group:
    return Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)


BOMB = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

async def main(address, topic, codec, size):
    producer = AIOKafkaProducer(bootstrap_servers=address, compression_type=codec, max_request_size=2 * int(size))
    await producer.start()
    await producer.send_and_wait(topic, bytes(int(size)))
    await producer.stop()

asyncio.run(main(*sys.argv[1:]))
"""


def send_bomb(address: str, topic: str, codec: str) -> None:
    """Send one record of 100 MB that takes a few kilobytes on the wire, from a process whose memory is not ours."""
    subprocess.run([sys.executable, "-c", BOMB, address, topic, codec, str(BOMB_BYTES)], check=True, timeout=60)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4"])
async def test_a_bomb_of_100_mb_is_reported_and_passed_by(kafka: str, prefix: str, codec: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    produce(kafka, topic, [b"before"])
    send_bomb(kafka, topic, codec)
    produce(kafka, topic, [b"after"])
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        records = await polled(source, 3)
    finally:
        await source.stop()
    assert [each.value for each in records] == [b"before", None, b"after"]
    assert [each.offset for each in records] == [0, 1, 2]
    assert "offset 1: BatchTooLarge" in (records[1].unreadable or "")
    assert records[0].unreadable is None
    assert records[2].unreadable is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from < 100_000  # kB


async def test_a_batch_damaged_on_the_broker_s_disk_is_reported_and_passed_by(
    own_kafka: KafkaServer, prefix: str
) -> None:
    topic = f"{prefix}orders"
    create_topic(own_kafka.address, topic)
    for value in (b"before", b"damaged", b"after"):
        produce(own_kafka.address, topic, [value])
    log = own_kafka.data / f"{topic}-0" / f"{0:020}.log"
    whole = log.read_bytes()
    with log.open("r+b") as file:
        file.seek(whole.rindex(b"damaged"))
        file.write(b"DAMAGED")
    source = KafkaSource(settings_of(own_kafka.address), group=group(prefix))
    await source.start([topic])
    try:
        records = await polled(source, 3)
    finally:
        await source.stop()
    assert [each.value for each in records] == [b"before", None, b"after"]
    assert "checksum" in (records[1].unreadable or "")


async def test_of_a_batch_with_one_malformed_record_the_rest_is_one_report(kafka: str, kcat: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    produce(kafka, topic, [b"before"])
    options = [b"-H", b"\xff\xfe=not text", b"-X", b"linger.ms=200"]
    command = [kcat.encode(), b"-q", b"-P", b"-b", kafka.encode(), b"-t", topic.encode(), *options]
    await asyncio.to_thread(subprocess.run, command, input=b"one\ntwo\n", check=True, timeout=30)
    produce(kafka, topic, [b"after"])
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        records = await polled(source, 3)
    finally:
        await source.stop()
    assert [(each.offset, each.value) for each in records] == [(0, b"before"), (2, None), (3, b"after")]
    assert "offsets 1 to 2" in (records[1].unreadable or "")


async def test_a_report_is_committed_past_and_does_not_come_again(kafka: str, kcat: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    command = [kcat.encode(), b"-q", b"-P", b"-b", kafka.encode(), b"-t", topic.encode(), b"-H", b"\xff=1"]
    await asyncio.to_thread(subprocess.run, command, input=b"one\n", check=True, timeout=30)
    produce(kafka, topic, [b"after"])
    for expected in ([(0, None), (1, b"after")], [(1, b"after")]):
        source = KafkaSource(settings_of(kafka), group=group(prefix))
        await source.start([topic])
        try:
            records = await polled(source, len(expected))
            await source.commit({(topic, 0): 1})
        finally:
            await source.stop()
        assert [(each.offset, each.value) for each in records] == expected
