"""Publishing to topics that are tables in the store."""

import asyncio
from collections.abc import Callable, Sequence

from amends.coordinator.errors import BusUnavailable, StoreUnavailable, UsageError
from amends.coordinator.ports.bus import Outgoing, Place
from amends.coordinator.ports.rows import LocalRecord
from amends.coordinator.ports.store import LocalTopics
from amends.coordinator.reading.publishing import OwnTopics
from amends.schemas.instants import Instant


class LocalSink:
    """Implements `Sink`. What is published together becomes visible together.

    `own` names the topics that are views over the log here: nobody publishes to them (`UsageError` AM4201). The signed
    heads are a table as a user's topic is, but only who is `signing` writes to it.
    `published` is called after every publication, on the loop that publishes: a source's `wake`.
    """

    def __init__(
        self,
        topics: LocalTopics,
        *,
        own: OwnTopics,
        now: Callable[[], Instant],
        signing: bool = False,
        published: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = topics
        self._refused = own.published - {own.checkpoints} if signing else own.published
        self._now = now
        self._published = published

    async def start(self) -> None:
        """Nothing to connect to: the store is open."""

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        at = self._now()
        rows = [self._row(record, at) for record in records]
        if not rows:
            return []
        loop = asyncio.get_running_loop()

        def publish() -> list[int]:
            offsets = self._store.publish(rows)
            loop.call_soon_threadsafe(self._published)  # From here: its reader need not wait for us to be told.
            return offsets

        try:
            offsets = await asyncio.to_thread(publish)
        except StoreUnavailable as error:
            raise BusUnavailable(error.code, error.what, do=error.do) from error
        return [Place(topic=row.topic, partition=0, offset=offset) for row, offset in zip(rows, offsets, strict=True)]

    async def stop(self) -> None:
        """Nothing to give back."""

    def _row(self, record: Outgoing, at: Instant) -> LocalRecord:
        if record.topic in self._refused:
            raise UsageError(
                "AM4201",
                f"topic {record.topic!r} is a view over the log on the local bus",
                do="publish to a topic that a saga is triggered by",
            )
        return LocalRecord(topic=record.topic, key=record.key, value=record.value, headers=record.headers, at=at)
