"""A source whose records come with their registered schemas known, so that reading them never waits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from amends.coordinator.ports.bus import Source
from amends.schemas.decoding import confluent_id_of
from amends.schemas.record import Record


class SchemaSource:
    """Implements `Source` over another one.

    While the registry is away, `poll` raises `BusUnavailable`, keeping what it has taken: the next call goes on there.
    """

    def __init__(self, source: Source, fetch: Callable[[int], Awaitable[object]]) -> None:
        self._source = source
        self._fetch = fetch
        self._taken: list[Record] = []

    async def start(self, topics: Sequence[str]) -> None:
        await self._source.start(topics)

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        if not self._taken or not records_max:
            self._taken += await self._source.poll(records_max=records_max, timeout_s=timeout_s)
        for schema_id in {each for record in self._taken if (each := confluent_id_of(record)) is not None}:
            await self._fetch(schema_id)
        records, self._taken = self._taken[:records_max], self._taken[records_max:]
        return records

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        await self._source.commit(next_offsets)

    async def at_end(self) -> bool:
        return not self._taken and await self._source.at_end()

    async def stop(self) -> None:
        self._taken.clear()
        await self._source.stop()
