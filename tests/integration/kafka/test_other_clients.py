"""Records of other clients are read as they were sent, and ours by other clients."""

import asyncio
import json
import subprocess

import pytest

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.partitions import partition_of
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.source import KafkaSource
from amends.coordinator.ports.bus import Outgoing
from tests.integration.kafka.clients import consume, create_topic, kcat_produce, polled, produce, settings_of

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def group(prefix: str) -> Group:
    return Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)


async def test_kcat_s_records_are_read_with_key_and_headers(kafka: str, kcat: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    kcat_produce(kcat, kafka, topic, "R-1|one\nR-2|two\n", "-K|", "-H", "idempotency-key=I-1", "-z", "zstd")
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        records = await polled(source, 2)
    finally:
        await source.stop()
    assert [(each.key, each.value) for each in records] == [(b"R-1", b"one"), (b"R-2", b"two")]
    assert records[0].headers == (("idempotency-key", b"I-1"),)


@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec_of_confluent_kafka_is_read(kafka: str, prefix: str, codec: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    values = [b"%08d %s" % (n, b"x" * (n % 300)) for n in range(2_000)]
    produce(kafka, topic, values, **{"compression.type": codec, "linger.ms": "50"})
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        assert [each.value for each in await polled(source, 2_000)] == values
    finally:
        await source.stop()


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_what_we_publish_is_read_by_confluent_kafka(kafka: str, prefix: str, codec: str | None) -> None:
    topic = f"{prefix}audit"
    create_topic(kafka, topic, partitions=4)
    records = [Outgoing(topic=topic, key=b"run %d" % (n % 9), value=b"%d" % n) for n in range(1_000)]
    sink = KafkaSink(settings_of(kafka), compression=codec)
    await sink.start()
    try:
        await sink.publish(records)
    finally:
        await sink.stop()
    found = consume(kafka, topic, 1_000)
    assert sorted((key, value) for key, value, _ in found) == sorted((each.key, each.value) for each in records)


async def test_a_key_has_the_partition_that_java_s_default_gives_it(kafka: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic, partitions=7)
    keys = [b"", b"a", b"abcd", b"order-0815", "grüße".encode(), bytes(range(256))]
    produce_as_java = {"partitioner": "murmur2_random"}  # librdkafka's name for Java's default
    from confluent_kafka import Producer  # noqa: PLC0415

    producer = Producer({"bootstrap.servers": kafka, **produce_as_java})
    for key in keys:
        producer.produce(topic, key=key, value=key)
    assert producer.flush(10) == 0
    found = {key: partition for key, _, partition in consume(kafka, topic, len(keys))}
    assert found == {key: partition_of(key, 7) for key in keys if key} | {b"": found[b""]}


async def test_an_aborted_transaction_s_records_are_not_read(kafka: str, prefix: str) -> None:
    from confluent_kafka import Producer  # noqa: PLC0415

    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{prefix}tx"})
    producer.init_transactions(10)
    for value, commit in ((b"aborted", False), (b"committed", True)):
        producer.begin_transaction()
        producer.produce(topic, value=value)
        producer.flush(10)
        (producer.commit_transaction if commit else producer.abort_transaction)(10)
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        assert [each.value for each in await polled(source, 1)] == [b"committed"]
        for _ in range(50):
            if await source.at_end():
                break
            assert await source.poll(records_max=10, timeout_s=0.1) == []
        assert await source.at_end()
    finally:
        await source.stop()


async def test_kcat_reads_the_headers_we_write(kafka: str, kcat: str, prefix: str) -> None:
    topic = f"{prefix}outcomes"
    create_topic(kafka, topic)
    sink = KafkaSink(settings_of(kafka))
    await sink.start()
    try:
        await sink.publish([Outgoing(topic=topic, key=b"A-1", value=b"{}", headers=(("ce_id", b"1"), ("h", b"2")))])
    finally:
        await sink.stop()
    said = await asyncio.to_thread(
        subprocess.run,
        [kcat, "-q", "-C", "-b", kafka, "-t", topic, "-e", "-J"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    message = json.loads(said.stdout)
    assert (message["key"], message["payload"]) == ("A-1", "{}")
    assert message["headers"] == ["ce_id", "1", "h", "2"]
