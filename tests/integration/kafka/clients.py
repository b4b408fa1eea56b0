"""Kafka clients that have nothing of ours, and small things the tests here share."""

import subprocess
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it does
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from amends.connectors.kafka.settings import KafkaSettings
from amends.coordinator.errors import BusUnavailable
from amends.coordinator.ports.bus import Source
from amends.schemas.record import Record

WITHIN_S = 30.0


def create_topic(address: str, topic: str, *, partitions: int = 1, settings: Mapping[str, str] | None = None) -> None:
    """Make a topic with confluent-kafka."""
    admin = AdminClient({"bootstrap.servers": address})
    wish = NewTopic(topic, partitions, 1, config=dict(settings or {}))
    for made in admin.create_topics([wish], operation_timeout=10).values():
        made.result(WITHIN_S)


def limit_records(address: str, topic: str, size_bytes: int) -> None:
    """Let the topic take no batch larger than this."""
    set_topic(address, topic, "max.message.bytes", str(size_bytes))


def set_topic(address: str, topic: str, name: str, value: str) -> None:
    """Change one setting of a topic."""
    admin = AdminClient({"bootstrap.servers": address})
    setting = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    wish = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[setting])
    for done in admin.incremental_alter_configs([wish]).values():
        done.result(WITHIN_S)


def deny_writes(login: Mapping[str, str], user: str, topic: str, *, denied: bool) -> None:
    """Let the broker show the topic to this user and refuse what is written there, or take both rules back."""
    admin = AdminClient(dict(login))
    place = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*")
    rules = [(AclOperation.WRITE, AclPermissionType.DENY), (AclOperation.DESCRIBE, AclPermissionType.ALLOW)]
    if denied:
        for made in admin.create_acls([AclBinding(*place, *rule) for rule in rules]).values():
            made.result(WITHIN_S)
    else:
        for deleted in admin.delete_acls([AclBindingFilter(*place, *rule) for rule in rules]).values():
            deleted.result(WITHIN_S)


def produce(address: str, topic: str, values: Sequence[bytes], **settings: str) -> None:
    """Send with confluent-kafka, keyed by the value's first eight bytes, and wait for every acknowledgment."""
    producer = Producer({"bootstrap.servers": address, **settings})
    for value in values:
        producer.produce(topic, value=value, key=value[:8])
    assert producer.flush(WITHIN_S) == 0


def consume(address: str, topic: str, count: int) -> list[tuple[bytes | None, bytes | None, int | None]]:
    """Read `count` records, and all that are there by now, with confluent-kafka: key, value and partition of each."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "independent", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    places = [TopicPartition(topic, number, 0) for number in partitions]
    count = max(count, sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places))
    consumer.assign(places)
    found: list[tuple[bytes | None, bytes | None, int | None]] = []
    deadline = time.monotonic() + WITHIN_S
    try:
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.5):
                assert message.error() is None, message.error()
                found.append((message.key(), message.value(), message.partition()))
    finally:
        consumer.close()
    return found


def kcat_produce(kcat: str, address: str, topic: str, lines: str, *options: str) -> None:
    """Send one record per line with kcat."""
    subprocess.run(
        [kcat, "-q", "-P", "-b", address, "-t", topic, *options], input=lines.encode(), check=True, timeout=WITHIN_S
    )


def settings_of(address: str, **more: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=address, **more)  # type: ignore[arg-type]


async def polled(source: Source, count: int, *, within_s: float = WITHIN_S) -> list[Record]:
    """Poll until `count` records have come, through any time the bus is away."""
    records: list[Record] = []
    deadline = time.monotonic() + within_s
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records within {within_s} s"
        try:
            records += await source.poll(records_max=500, timeout_s=0.2)
        except BusUnavailable:
            continue
    return records
