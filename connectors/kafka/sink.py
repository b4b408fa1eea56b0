"""Publishing to a Kafka cluster: acknowledged by all in-sync replicas, or reported as not known.

aiokafka's idempotent producer never gives up by itself. Every call here has a timeout; what was given up may still
arrive later (bytes on the wire cannot be called back), out of order with what is sent after it. Consumers keep the
highest version per saga id and drop what is not newer, so that does no harm.
"""

import asyncio
from collections.abc import Sequence

from amends.connectors.kafka import faults
from amends.connectors.kafka.client import TROUBLE, explained
from amends.connectors.kafka.publisher import REFUSED, Placed, Publisher
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.notice import Notice, log_notice
from amends.coordinator.errors import AmendsError, BusUnavailable, UsageError
from amends.coordinator.ports.bus import Outgoing, Place

PUBLISH_S = 10.0


class KafkaSink:
    """Implements `Sink`. Makes a new producer after every failure, so just publish again.

    `required` are topics without which there is no use in starting. `notice` is told `bus_away` at the first failure
    and `bus_back` when a publication succeeds again.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        required: Sequence[str] = (),
        timeout_s: float = PUBLISH_S,
        compression: str | None = "zstd",
        notice: Notice = log_notice,
    ) -> None:
        self._settings = settings
        self._required = tuple(required)
        self._timeout_s = timeout_s
        self._compression = compression
        self._notice = notice
        self._publisher: Publisher | None = None
        self._connecting = asyncio.Lock()
        self._away = False

    async def start(self) -> None:
        """Connect. Raises `UsageError` (refused login, missing topic) or `BusUnavailable`, within 5 s or so."""
        try:
            publisher = await self._connected()
            publisher.require(self._required)
        except BusUnavailable as error:
            self._lost(error)
            raise
        except UsageError:
            await self.stop()
            raise

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        """Raises `BusUnavailable`, `UsageError` for a refused login, or `RecordRefused` for a record or its topic.

        Whatever it raises, any number of the records may have been published.
        """
        placed: Placed = [None] * len(records)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send(records, placed)
        except TimeoutError as error:
            given_up = self._failed(placed, f"no answer within {self._timeout_s:g} s")
            self._lost(given_up)
            raise given_up from error
        except BusUnavailable as error:
            self._lost(error)
            raise
        self._back()
        return [place for place in placed if place is not None]

    async def stop(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.stop()

    async def _send(self, records: Sequence[Outgoing], placed: Placed) -> None:
        """Send in batches; where a topic refuses one, each record alone, to find the one that it means."""
        try:
            await self._try(records, placed, alone=False)
        except REFUSED:
            await self._try(records, placed, alone=True)

    async def _try(self, records: Sequence[Outgoing], placed: Placed, *, alone: bool) -> None:
        publisher = await self._connected()
        try:
            await publisher.send(records, placed, alone=alone)
        except BaseException as error:
            await self._drop(publisher)
            if isinstance(error, REFUSED) or not isinstance(error, TROUBLE):
                raise
            raise self._failed(placed, await explained(self._settings, error)) from error

    async def _connected(self) -> Publisher:
        async with self._connecting:
            if self._publisher is None:
                self._publisher = await Publisher.connected(self._settings, self._compression)
            return self._publisher

    async def _drop(self, publisher: Publisher) -> None:
        if self._publisher is publisher:
            self._publisher = None
        await asyncio.shield(publisher.drop())

    def _failed(self, placed: Placed, why: object) -> BusUnavailable:
        return faults.unpublished(self._settings, placed.count(None), why)

    def _lost(self, error: AmendsError) -> None:
        if not self._away:
            self._away = True
            self._notice("bus_away", {"bus": self._settings.bootstrap, "why": str(error)})

    def _back(self) -> None:
        if self._away:
            self._away = False
            self._notice("bus_back", {"bus": self._settings.bootstrap})
