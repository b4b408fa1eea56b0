"""A started idempotent producer: a typed façade over aiokafka's, from its start to its first failure.

After any failure it is of no more use: a batch that was refused leaves a hole in the producer's sequence numbers, and
one that was given up would be sent for ever. So it is dropped with all it holds, and a new one is made.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, errors

from amends.connectors.kafka import faults
from amends.connectors.kafka.client import TROUBLE, client_options, explained, topics_of_cluster
from amends.connectors.kafka.partitions import partition_of
from amends.connectors.kafka.settings import KafkaSettings
from amends.coordinator.errors import RecordRefused, RecordTooLarge, UsageError
from amends.coordinator.ports.bus import Outgoing, Place

BATCH_BYTES = 128 * 1024
"""Fastest on the wire, and an eighth of what a topic takes by default. A larger record travels alone."""

START_S = 5.0
STOP_S = 3.0

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
REFUSED = (
    *TOO_LARGE,
    errors.TopicAuthorizationFailedError,
    errors.InvalidTopicError,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
    errors.UnsupportedForMessageFormatError,
    errors.UnknownError,  # What aiokafka has no name for: INVALID_RECORD (87), UNSUPPORTED_COMPRESSION_TYPE (76).
)
"""What a broker says of a record or its topic, and will say again."""

Placed = list[Place | None]
"""Where each record was put, None as long as it is not acknowledged."""


class Publisher:
    """Sends records in batches by partition. Its methods raise aiokafka's `TROUBLE`; drop it then."""

    def __init__(self, settings: KafkaSettings, producer: Any, topics: dict[str, int]) -> None:  # noqa: ANN401
        self._settings = settings
        self._producer = producer
        self._topics = topics

    @classmethod
    async def connected(cls, settings: KafkaSettings, compression: str | None) -> "Publisher":
        topics = await topics_of_cluster(settings)
        producer = AIOKafkaProducer(
            **client_options(settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            compression_type=compression,
        )
        publisher = cls(settings, producer, topics)
        try:
            async with asyncio.timeout(START_S):
                await producer.start()
        except BaseException as error:
            await publisher.drop()
            if isinstance(error, TROUBLE):
                raise await explained(settings, error) from error
            raise
        return publisher

    def require(self, topics: Sequence[str]) -> None:
        """Raise `UsageError` naming those that do not exist."""
        if missing := [topic for topic in topics if topic not in self._topics]:
            raise faults.missing_topics(self._settings, missing)

    async def send(self, records: Sequence[Outgoing], placed: Placed, *, alone: bool = False) -> None:
        """Publish the records that have no place yet and fill the places in; `alone` makes each a batch of its own.

        Order is kept per partition. Raises `RecordRefused` where a topic does not exist or a batch of one was refused.
        """
        by_partition: dict[tuple[str, int], list[int]] = {}
        for index, record in enumerate(records):
            if placed[index] is None:
                try:
                    partitions = await self._partitions(record.topic)
                except UsageError as error:
                    raise faults.as_refused(error, topic=record.topic, index=index) from error
                by_partition.setdefault((record.topic, partition_of(record.key, partitions)), []).append(index)
        try:
            async with asyncio.TaskGroup() as tasks:
                for (topic, partition), indices in by_partition.items():
                    tasks.create_task(self._send_in_order(topic, partition, indices, records, placed, alone=alone))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _send_in_order(
        self,
        topic: str,
        partition: int,
        indices: list[int],
        records: Sequence[Outgoing],
        placed: Placed,
        *,
        alone: bool,
    ) -> None:
        at = 0
        while at < len(indices):
            batch = self._producer.create_batch()
            taken = at
            while taken < len(indices) and _appended(batch, records[indices[taken]]):
                taken += 1
                if alone:
                    break
            batch.close()
            base = await self._sent(batch, topic, partition, records, indices[at:taken])
            for index in indices[at:taken]:
                placed[index] = Place(topic=topic, partition=partition, offset=base)
                base += 1 if base >= 0 else 0
            at = taken

    async def _sent(
        self,
        batch: Any,  # noqa: ANN401
        topic: str,
        partition: int,
        records: Sequence[Outgoing],
        indices: list[int],
    ) -> int:
        """Give the batch's first offset; -1 where the broker had it from an earlier try and no longer knows."""
        try:
            sent = await self._producer.send_batch(batch, topic, partition=partition)
            return int((await sent).offset)
        except REFUSED as error:
            if len(indices) > 1:
                raise
            raise self._refused(error, records[indices[0]], indices[0]) from error

    def _refused(self, error: errors.KafkaError, record: Outgoing, index: int) -> RecordRefused:
        if isinstance(error, TOO_LARGE):
            size_bytes = len(record.value or b"") + len(record.key or b"")
            return RecordTooLarge(topic=record.topic, index=index, size_bytes=size_bytes)
        if isinstance(error, errors.TopicAuthorizationFailedError):
            return faults.as_refused(faults.forbidden(self._settings, error), topic=record.topic, index=index)
        return faults.refused(self._settings, error, topic=record.topic, index=index)

    async def _partitions(self, topic: str) -> int:
        """How many. A topic is asked for by name only when it exists: some brokers create what is asked for."""
        if topic not in self._topics:
            self._topics = await topics_of_cluster(self._settings)
            if topic not in self._topics:
                raise faults.missing_topics(self._settings, [topic])
        partitions: set[int] = await self._producer.partitions_for(topic)
        return len(partitions)

    async def stop(self) -> None:
        """Close it in order if the cluster answers in time, else drop it."""
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(STOP_S):
                await self._producer.stop()
                return
        await self.drop()

    async def drop(self) -> None:
        """Send nothing more. What is on the wire already may still arrive."""
        producer = self._producer
        producer._closed = True  # noqa: SLF001  aiokafka's own stop waits until everything is delivered
        sending = producer._sender.sender_task  # noqa: SLF001
        for _ in range(2):  # A cancelled sender first waits for its requests, which end with the connections.
            if sending is not None and not sending.done():
                sending.cancel()
            await producer.client.close()
            if sending is not None:
                await asyncio.wait({sending}, timeout=0.5)
        await producer.client.close()  # it may have made a new connection meanwhile


def _appended(batch: Any, record: Outgoing) -> bool:  # noqa: ANN401
    """Add it unless the batch is full. A batch takes its first record whatever its size."""
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None
