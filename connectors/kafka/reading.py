"""Reading a topic from its start, outside any group: for people, and for rebuilding runs from Kafka alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from amends.connectors.kafka import faults
from amends.connectors.kafka.batches import guard
from amends.connectors.kafka.client import TROUBLE, client_options, explained, topics_of_cluster
from amends.connectors.kafka.settings import KafkaSettings
from amends.schemas.record import Record

STALLED_S = 15.0
"""A topic that is read to its end, and gives nothing for so long, is not going to."""

RECORDS_MAX = 5_000


async def read_topic(settings: KafkaSettings, topic: str, *, follow: bool = False) -> AsyncIterator[Record]:
    """Give the topic's records, in order per partition, up to the end it has now; with `follow`, go on for ever.

    What cannot be read comes as a record with `unreadable` set. Raises `UsageError` for a missing topic, within 5 s,
    and `BusUnavailable` where the cluster is away (with `follow`, only at the start).
    """
    partitions = (await topics_of_cluster(settings)).get(topic)
    if partitions is None:
        raise faults.missing_topics(settings, [topic])
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    places = [TopicPartition(topic, number) for number in range(partitions)]
    try:
        ends = await _started(settings, consumer, places)
        heard_at = time.monotonic()
        while follow or not await _at_end(consumer, ends):
            records = await _next(settings, consumer)
            now = time.monotonic()
            if records:
                heard_at = now
            elif not follow and now - heard_at > STALLED_S:
                raise faults.silent(settings, now - heard_at)
            for record in records:
                if follow or record.offset < ends[TopicPartition(topic, record.partition)]:
                    yield record
    finally:
        await consumer.stop()


async def end_offsets(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Give the offset that each partition's next record will have. Raises as `read_topic` does."""
    partitions = (await topics_of_cluster(settings)).get(topic)
    if partitions is None:
        raise faults.missing_topics(settings, [topic])
    consumer = AIOKafkaConsumer(**client_options(settings), isolation_level="read_committed")
    try:
        ends = await _started(settings, consumer, [TopicPartition(topic, number) for number in range(partitions)])
    finally:
        await consumer.stop()
    return {place.partition: end for place, end in ends.items()}


async def _started(
    settings: KafkaSettings,
    consumer: Any,  # noqa: ANN401  aiokafka has no types
    places: list[TopicPartition],
) -> dict[TopicPartition, int]:
    try:
        async with asyncio.timeout(STALLED_S):
            await consumer.start()
            guard(consumer)
            consumer.assign(places)
            return dict(await consumer.end_offsets(places))
    except TROUBLE as error:
        raise await explained(settings, error) from error


async def _at_end(consumer: Any, ends: dict[TopicPartition, int]) -> bool:  # noqa: ANN401
    return all([await consumer.position(place) >= end for place, end in ends.items()])


async def _next(settings: KafkaSettings, consumer: Any) -> list[Record]:  # noqa: ANN401
    try:
        taken = await consumer.getmany(timeout_ms=200, max_records=RECORDS_MAX)
    except TROUBLE as error:
        raise await explained(settings, error) from error
    return [record for records in taken.values() for record in records]
