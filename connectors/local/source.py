"""Trigger topics that are tables in the store, with one reader per group."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from amends.coordinator.errors import BusUnavailable, StoreUnavailable
from amends.coordinator.ports.rows import LocalRecord
from amends.coordinator.ports.store import EMBEDDED, LocalTopics
from amends.schemas.instants import MILLISECOND
from amends.schemas.record import Record

LOOK_S = 0.25
"""The store is looked at so often even when nobody calls `wake`."""

COMMIT_S = 0.1
"""How long a committed offset may wait to be written: a write for each batch would cost as much as the batch."""

P = ParamSpec("P")
R = TypeVar("R")


class LocalSource:
    """Implements `Source`. Reads a topic in order from where its group stands; the partition is always 0.

    Committed offsets are written 0.1 s later, together, and at stop. What a crash leaves unwritten is handed out
    again, and recognized. A store that may keep its caller waiting is called in a thread; where it is away,
    `BusUnavailable` is raised, and the next call goes on from the same place.
    """

    def __init__(self, topics: LocalTopics, *, group: str) -> None:
        self._store = topics
        self._group = group
        self._next: dict[str, int] = {}
        self._first = 0
        self._unwritten: dict[str, int] = {}
        self._write_at = 0.0
        self._published = asyncio.Event()
        self._more = True
        """Whether there may be records that nobody tells of: the last reading was cut off, by its limit or a fault."""

    async def start(self, topics: Sequence[str]) -> None:
        self._next = {topic: await self._read(self._store.consumed, self._group, topic) for topic in topics}

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            if not (self._more and records_max and self._next) and not self._published.is_set():
                await self._wait(min(max(0.0, deadline - time.monotonic()), LOOK_S))
            self._published.clear()
            await self._write_offsets(at_once=False)  # First: what was taken must reach the caller.
            records = await self._records(records_max) if records_max and self._next else []
            if records or time.monotonic() >= deadline:
                return records

    def wake(self) -> None:
        """Say that something was published: by this process, or by another as the store's change mark shows.

        Call it on the loop that polls.
        """
        self._published.set()

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        if not self._unwritten:
            self._write_at = time.monotonic() + COMMIT_S
        for (topic, _), offset in next_offsets.items():
            self._unwritten[topic] = max(offset, self._unwritten.get(topic, 0))
        await self._write_offsets(at_once=False)

    async def at_end(self) -> bool:
        return await self._read(self._nothing_left)

    async def stop(self) -> None:
        await self._write_offsets(at_once=True)
        self._next = {}

    async def _records(self, records_max: int) -> list[Record]:
        self._more = True  # Should the store go away now.
        records = await self._read(self._taken, records_max)
        self._more = len(records) == records_max
        return records

    async def _read(self, ask: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        if self._store.kind not in EMBEDDED:
            return await _asked(ask, *arguments, **options)
        with _told():
            return ask(*arguments, **options)

    def _taken(self, records_max: int) -> list[Record]:
        """Take from each topic in turn, beginning with another one every time, so that none starves the rest."""
        topics = list(self._next)
        self._first = (self._first + 1) % len(topics)
        taken: list[Record] = []
        ends: dict[str, int] = {}
        for topic in topics[self._first :] + topics[: self._first]:
            rows = self._store.records(topic, after=self._next[topic] - 1, limit=records_max - len(taken))
            if rows:
                ends[topic] = rows[-1].offset + 1
                taken += map(record_of, rows)
            if len(taken) >= records_max:
                break
        self._next.update(ends)  # Last: a store that goes away meanwhile takes no record along.
        return taken

    def _nothing_left(self) -> bool:
        return not any(self._store.records(topic, after=offset - 1, limit=1) for topic, offset in self._next.items())

    async def _write_offsets(self, *, at_once: bool) -> None:
        if not self._unwritten or (not at_once and time.monotonic() < self._write_at):
            return
        positions, self._unwritten = self._unwritten, {}
        try:
            await _asked(self._store.consume, self._group, positions)
        except BaseException:
            self._unwritten = {**positions, **self._unwritten}
            raise

    async def _wait(self, within_s: float) -> None:
        if self._unwritten:
            within_s = min(within_s, max(0.0, self._write_at - time.monotonic()))
        try:
            async with asyncio.timeout(within_s):
                await self._published.wait()
        except TimeoutError:
            return


def record_of(row: LocalRecord) -> Record:
    """Give a local record as every bus does."""
    return Record(
        topic=row.topic,
        partition=0,
        offset=row.offset,
        key=row.key,
        value=row.value,
        headers=row.headers,
        timestamp_ms=row.at // MILLISECOND,
    )


async def _asked(ask: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    with _told():
        return await asyncio.to_thread(ask, *arguments, **options)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        raise BusUnavailable(error.code, error.what, do=error.do) from error
