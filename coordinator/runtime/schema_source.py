"""A source whose records come with their registered schemas known, so that reading them never waits.

A partition whose next record names a schema that the registry does not give just now waits; others go on. The source
beneath is polled all the while, so that its group does not lose us.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import BusUnavailable, UsageError
from amends.coordinator.ports.bus import Source
from amends.coordinator.runtime.patience import Patience
from amends.schemas.decoding import confluent_id_of
from amends.schemas.record import Record

HELD_MAX: Final = 2_000
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""So much is held; then nothing more is taken, of any partition, until the registry answers."""
ASKED_AT_ONCE: Final = 8
LOOK_S: Final = 0.005

log = logging.getLogger("amends.registry")


class SchemaSource:
    """Implements `Source` over another one. `fetch` raises while the registry is away or refuses us: it is asked again.

    Even a refused login is waited for: somebody may be changing the password just now.
    """

    def __init__(self, source: Source, fetch: Callable[[int], Awaitable[object]]) -> None:
        self._source = source
        self._fetch = fetch
        self._held = _Held()
        self._answered: set[int] = set()
        self._asking: asyncio.Task[None] | None = None
        self._patience = Patience("schema_registry", log)

    async def start(self, topics: Sequence[str]) -> None:
        await self._source.start(topics)

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        until = time.monotonic() + timeout_s
        if not records_max or not self._held.is_ready(self._answered):
            room = min(records_max, self._held.room)
            self._held.add(await self._source.poll(records_max=room, timeout_s=timeout_s))
            await self._ask(until)
        records = self._held.take(records_max, self._answered)
        self._answered &= self._held.schema_ids
        return records

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        await self._source.commit(next_offsets)

    async def at_end(self) -> bool:
        return not self._held.count and await self._source.at_end()

    async def stop(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        self._held = _Held()
        await self._source.stop()

    async def _ask(self, until: float) -> None:
        """See that the registry is being asked for what is missing; wait for its answer if there is nothing else."""
        if self._asking is None and self._missing:
            self._asking = asyncio.create_task(self._ask_for_missing())
        if self._asking is not None:
            left_s = 0 if self._held.is_ready(self._answered) else until - time.monotonic()
            await asyncio.wait({self._asking}, timeout=max(LOOK_S, left_s))
            if self._asking.done():
                asking, self._asking = self._asking, None
                asking.result()

    @property
    def _missing(self) -> set[int]:
        return self._held.schema_ids - self._answered

    async def _ask_for_missing(self) -> None:
        """Ask until every schema that is wanted is given, or known to be nobody's."""
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)
        while missing := self._missing:
            errors = await asyncio.gather(*(self._answer(schema_id, at_once) for schema_id in sorted(missing)))
            error = next((error for error in errors if error is not None), None)
            if error is None:
                self._patience.over()
            else:
                await self._patience.wait(error)

    async def _answer(self, schema_id: int, at_once: asyncio.Semaphore) -> BusUnavailable | UsageError | None:
        """Ask for one; what kept it from being answered."""
        async with at_once:
            try:
                await self._fetch(schema_id)
            except (BusUnavailable, UsageError) as error:
                return error
        self._answered.add(schema_id)
        return None


@dataclass(slots=True)
class _Held:
    """Records that were taken and not handed out yet, by partition, each with the schema that must be known first."""

    count: int = 0
    size_bytes: int = 0
    _queues: dict[tuple[str, int], deque[tuple[Record, int | None]]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more may be taken."""
        return 0 if self.size_bytes >= HELD_BYTES_MAX else max(0, HELD_MAX - self.count)

    @property
    def schema_ids(self) -> set[int]:
        """Every schema that is waited for."""
        return {schema_id for queue in self._queues.values() for _, schema_id in queue if schema_id is not None}

    def is_ready(self, answered: Collection[int]) -> bool:
        """Whether some partition need not wait."""
        return any(queue[0][1] is None or queue[0][1] in answered for queue in self._queues.values())

    def add(self, records: Sequence[Record]) -> None:
        """A group that was joined anew hands out again what is still here; it is not kept twice."""
        for record in records:
            queue = self._queues.setdefault((record.topic, record.partition), deque())
            if queue and queue[0][0].offset <= record.offset <= queue[-1][0].offset:
                continue
            queue.append((record, confluent_id_of(record)))
            self.count += 1
            self.size_bytes += len(record.value or b"")

    def take(self, records_max: int, answered: Collection[int]) -> list[Record]:
        """In order per partition, up to the first record whose schema is not known yet."""
        taken: list[Record] = []
        for queue in self._queues.values():
            while queue and len(taken) < records_max and (queue[0][1] is None or queue[0][1] in answered):
                taken.append(queue.popleft()[0])
        self._queues = {place: queue for place, queue in self._queues.items() if queue}
        self.count -= len(taken)
        self.size_bytes -= sum(len(record.value or b"") for record in taken)
        return taken
