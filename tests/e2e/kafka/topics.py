"""What is in a topic, read to its end by a client that has nothing of Amends."""

import json
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.e2e.kafka.installation import Installation, wait_for
from tests.integration.kafka.relaying import newest_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A record of a topic, as it may be written to a copy of it."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]

    @property
    def saga_id(self) -> str:
        return self.key.decode()

    @property
    def version(self) -> int:
        version: int = json.loads(self.value)["version"]
        return version


def chains(installation: Installation) -> dict[str, list[bytes]]:
    """Give every run's entries in the audit topic. Fails where a run has a gap, or an entry's hash or link is wrong."""
    found = records(installation, installation.own.audit)
    kept, _ = newest_only((each.key, each.value, each.partition) for each in found)
    return kept


def records(installation: Installation, topic: str) -> list[Copied]:
    """All that is in a topic now, and what comes while it is read, in the order of its partitions."""
    consumer = Consumer({"bootstrap.servers": installation.address, "group.id": "copy", "enable.auto.commit": False})
    found: list[Copied] = []
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, 0)])
        wait_for(lambda end=end, partition=partition: _read(consumer, found, partition) >= end, "it is read")  # type: ignore[misc]
    consumer.close()
    return found


def _read(consumer: Consumer, found: list[Copied], partition: int) -> int:
    for message in consumer.consume(500, timeout=0.1):
        key, value, headers = message.key(), message.value(), message.headers()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        given: Any = headers or []
        found.append(Copied(topic=message.topic() or "", partition=partition, key=key, value=value, headers=given))
    return sum(each.partition == partition for each in found)
