"""One membership in a consumer group: a typed façade over aiokafka's consumer, from its start to its end."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors

from amends.connectors.kafka import faults
from amends.connectors.kafka.batches import guard
from amends.connectors.kafka.client import TROUBLE, client_options, explained, topics_of_cluster
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.notice import Notice
from amends.schemas.record import Record

ANSWER_S = 5.0
"""How long one request may take."""

STOP_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Who reads: the group's name and its timers. Others notice a clean leave after one heartbeat."""

    name: str
    session_timeout_ms: int = 10_000
    heartbeat_ms: int = 1_000


class Membership:
    """A started consumer. Every method raises aiokafka's `TROUBLE`, put into our words by the source."""

    def __init__(self, settings: KafkaSettings, consumer: Any, listener: "_Listener") -> None:  # noqa: ANN401
        self._settings = settings
        self._consumer = consumer
        self._listener = listener

    @classmethod
    async def join(cls, settings: KafkaSettings, group: Group, topics: Sequence[str], notice: Notice) -> "Membership":
        """Connect first and subscribe then: one that starts subscribed waits 40 s for a missing topic."""
        known = await topics_of_cluster(settings)
        if missing := [topic for topic in topics if topic not in known]:
            raise faults.missing_topics(settings, missing)
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            group_id=group.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            session_timeout_ms=group.session_timeout_ms,
            heartbeat_interval_ms=group.heartbeat_ms,
        )
        listener = _Listener(notice)
        try:
            async with asyncio.timeout(ANSWER_S):
                await consumer.start()
        except BaseException as error:
            await _closed(consumer)
            if isinstance(error, TROUBLE):
                raise await explained(settings, error) from error
            raise
        guard(consumer)
        consumer.subscribe(topics, listener=listener)
        return cls(settings, consumer, listener)

    async def take(self, *, records_max: int, timeout_s: float) -> list[Record]:
        """Records in order per partition. Cancelling it may lose what it has just taken; a rebalance prolongs it."""
        taken = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=records_max)
        return [record for records in taken.values() for record in records]

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit what is still ours. A rebalance may take it meanwhile: the new owner reads it again."""
        assigned = self._consumer.assignment()
        wanted = {TopicPartition(*place): offset for place, offset in next_offsets.items()}
        ours = {place: offset for place, offset in wanted.items() if place in assigned}
        if not ours:
            return
        with contextlib.suppress(errors.CommitFailedError, errors.IllegalStateError):
            async with asyncio.timeout(ANSWER_S):
                await self._consumer.commit(ours)

    async def at_end(self) -> bool:
        """Whether everything up to the present end of our partitions was taken; no while they are being assigned."""
        if not self._listener.settled:
            return False
        assigned = self._consumer.assignment()
        try:
            async with asyncio.timeout(ANSWER_S):
                ends = await self._consumer.end_offsets(list(assigned)) if assigned else {}
                positions = {place: await self._consumer.position(place) for place in assigned}
        except errors.IllegalStateError:
            return False  # a rebalance has begun
        return all(positions[place] >= end for place, end in ends.items())

    def pause(self) -> None:
        """Fetch nothing. What was fetched and not taken is thrown away and fetched again later."""
        self._consumer.pause(*(self._consumer.assignment() - self._consumer.paused()))

    def resume(self) -> None:
        self._consumer.resume(*self._consumer.paused())

    def answered_since(self, moment_s: float) -> bool:
        """Whether a fetch was answered since then (monotonic seconds), or there is nothing to fetch."""
        assigned = self._consumer.assignment() - self._consumer.paused()
        if not assigned:
            return self._listener.settled
        wall_ms = (time.time() - (time.monotonic() - moment_s)) * 1000
        return any((self._consumer.last_poll_timestamp(place) or 0) >= wall_ms for place in assigned)

    async def leave(self) -> None:
        """Leave in order if the cluster answers in time."""
        await _closed(self._consumer)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """`settled`: the group has told us our partitions, and no rebalance has taken them since."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self.settled = False

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.settled = False
        if revoked:
            self._notice("partitions_revoked", {"partitions": _named(revoked)})

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.settled = True
        self._notice("partitions_assigned", {"partitions": _named(assigned)})


def _named(partitions: set[TopicPartition]) -> list[str]:
    return sorted(f"{place.topic}:{place.partition}" for place in partitions)


async def _closed(consumer: Any) -> None:  # noqa: ANN401  aiokafka has no types
    """Stop it; if the cluster does not answer in time, drop its tasks and connections as they are."""
    try:
        async with asyncio.timeout(STOP_S):
            await consumer.stop()
    except TROUBLE:
        await _dropped(consumer)
    except asyncio.CancelledError:
        await asyncio.shield(_dropped(consumer))
        raise


async def _dropped(consumer: Any) -> None:  # noqa: ANN401
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001  no public way
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    tasks = [getattr(coordinator, name, None) for name in names] + [getattr(fetcher, "_fetch_task", None)]
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await consumer._client.close()  # noqa: SLF001
    await asyncio.gather(*running, return_exceptions=True)
    await consumer._client.close()  # noqa: SLF001  one of them may have made a new connection meanwhile
