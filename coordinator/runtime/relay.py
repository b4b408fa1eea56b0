"""The relay: publishes the log to the bus, shard by shard, by position; gapless, resumable, and never in anyone's way.

A position moves after its records are acknowledged. What is published twice after a crash carries the same ids, and
consumers keep the highest version of each run, so a duplicate or a late arrival does no harm (rule 20).
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import AmendsError, BusUnavailable, Fenced, RecordTooLarge, StoreUnavailable, UsageError
from amends.coordinator.ports.bus import Sink
from amends.coordinator.ports.rows import Lease, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.publishing import Publication, Publishing
from amends.coordinator.runtime.relay_leases import RelayLeases
from amends.schemas.ids import SagaId

LOOK_FIRST_S: Final = 0.001
LOOK_LAST_S: Final = 0.02
"""After something was published more is likely to come: the store is looked at soon, then ever more rarely."""
BATCH_BYTES: Final = 4 * 1024 * 1024
ENTRIES_FIRST: Final = 100
ENTRIES_MAX: Final = 1_000
DEAD_LETTERS_MAX: Final = 20
DEAD_LETTERS_SHARD: Final = 0
"""Who relays this shard relays the dead letters too."""

FIRST_WAIT_S: Final = 0.1
LAST_WAIT_S: Final = 5.0

log = logging.getLogger("amends.relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What is published next of one shard, or of the dead letters (no lease), whose position is their number."""

    lease: Lease | None
    position: int
    publications: tuple[Publication, ...]
    ended: tuple[SagaId, ...] = ()


@dataclass(slots=True, kw_only=True)
class Relay:
    """Runs until `stop`. Waits with backoff, 0.1 to 5 s, while the store or the bus is away, and says so in the log.

    `lag` is the number of entries not yet published in the shards that this relay holds; `published` the number of
    records acknowledged since the start, repeated ones included.
    """

    store: Store
    sink: Sink
    publishing: Publishing
    leases: RelayLeases
    lag: int = 0
    published: int = 0

    _histories: Histories = field(init=False)
    _positions: dict[tuple[int, int], int] = field(default_factory=dict)
    """How far each shard is published, by shard and epoch."""
    _entries_max: dict[int, int] = field(default_factory=dict)
    _mark: object = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    _why: str = ""
    """What is waited for."""

    def __post_init__(self) -> None:
        self._histories = Histories(self.store)

    async def run(self) -> None:
        """Publish until stopped. Raises `UsageError` where the bus cannot be used at all: login, missing topics."""
        try:
            if await self._started():
                await self._publish_on()
        finally:
            await self.sink.stop()
            await self.leases.give_back()

    def stop(self) -> None:
        """Stop after what is being published."""
        self._stopping.set()
        self._woken.set()

    def wake(self) -> None:
        """Look at once: this process has appended something. Call it on the relay's loop."""
        self._woken.set()

    async def caught_up(self) -> bool:
        """Whether everything that is in the store now has been published, by whichever relay."""
        return await asyncio.to_thread(self._nothing_left)

    async def _started(self) -> bool:
        while not self._stopping.is_set():
            try:
                await self.sink.start()
                await asyncio.to_thread(self.leases.turn)
            except (BusUnavailable, StoreUnavailable) as error:
                await self._wait_after(error)
            else:
                return True
        return False

    async def _publish_on(self) -> None:
        keeping = asyncio.create_task(self.leases.keep())
        look_s = LOOK_FIRST_S
        try:
            while not self._stopping.is_set():
                if keeping.done():
                    keeping.result()  # Raises: it ends only by what no waiting mends.
                try:
                    if await self._turn():
                        look_s = LOOK_FIRST_S
                    else:
                        await self._pause(look_s)
                        look_s = min(LOOK_LAST_S, look_s * 2)
                    self._back()
                except Fenced as fenced:
                    self.leases.lost(fenced.shards)
                except (BusUnavailable, StoreUnavailable, RecordTooLarge, UsageError) as error:
                    await self._wait_after(error)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def _nothing_left(self) -> bool:
        if any(row.position > self.store.relay_position(row.shard) for row in self.store.shards()):
            return False
        return not self.store.dead_letters(after=self.store.dead_letters_relayed(), limit=1)

    async def _turn(self) -> bool:
        """Publish one batch of every shard held, together; say whether there was anything."""
        batches = await asyncio.to_thread(self._read)
        if not batches:
            return False
        await self._publish([publication for batch in batches for publication in batch.publications])
        await asyncio.to_thread(self._move, batches)
        return True

    def _read(self) -> list[_Batch]:
        """Read what comes next in each shard; nothing if the store is as it was when there was nothing. In a thread."""
        mark = self.store.change_mark()
        if mark == self._mark and not self._gained():
            return []
        heads = {row.shard: row.position for row in self.store.shards()}
        behind = {lease: heads[shard] - self._position(lease) for shard, lease in self.leases.held.items()}
        self.lag = sum(behind.values())
        batches = [self._entries(lease) for lease, count in behind.items() if count > 0]
        if any(lease.shard == DEAD_LETTERS_SHARD for lease in behind):
            batches += self._dead_letters()
        self._mark = None if batches else mark
        return batches

    def _gained(self) -> bool:
        return any((shard, lease.epoch) not in self._positions for shard, lease in self.leases.held.items())

    def _position(self, lease: Lease) -> int:
        return self._positions.setdefault((lease.shard, lease.epoch), lease.position)

    def _entries(self, lease: Lease) -> _Batch:
        limit = self._entries_max.get(lease.shard, ENTRIES_FIRST)
        entries = self.store.entries_from(lease.shard, after=self._position(lease), limit=limit)
        self._entries_max[lease.shard] = _next_limit(entries)
        publications: list[Publication] = []
        ended: list[SagaId] = []
        for entry in entries:
            self._histories.saw(entry)
            publications.append(self.publishing.audit(entry))
            outcome = self.publishing.ending(entry, self._histories, self.store.blob)
            if outcome is not None:
                publications.append(outcome)
                ended.append(entry.saga_id)
        position = entries[-1].position if entries else self._position(lease)
        return _Batch(lease=lease, position=position, publications=tuple(publications), ended=tuple(ended))

    def _dead_letters(self) -> list[_Batch]:
        rows = self.store.dead_letters(after=self.store.dead_letters_relayed(), limit=DEAD_LETTERS_MAX)
        if not rows:
            return []
        publications = tuple(self.publishing.dead_letter(row) for row in rows)
        return [_Batch(lease=None, position=rows[-1].n, publications=publications)]

    async def _publish(self, publications: Sequence[Publication]) -> None:
        """Publish all, the smaller form of those that a topic refuses for their size."""
        records = [publication.record for publication in publications]
        while True:
            try:
                await self.sink.publish(records)
            except RecordTooLarge as error:
                smaller = publications[error.index].smaller
                if smaller is None or records[error.index] is smaller:
                    raise
                log.warning("record_published_smaller", extra={"topic": error.topic, "size_bytes": error.size_bytes})
                records[error.index] = smaller
            else:
                self.published += len(records)
                return

    def _move(self, batches: Sequence[_Batch]) -> None:
        """Move every position that can be moved; the shards we are fenced out of are raised together. In a thread."""
        fenced: list[int] = []
        for batch in batches:
            lease = batch.lease
            if lease is None:
                self.store.dead_letters_move(batch.position)
                continue
            try:
                self.store.relayed(lease.shard, epoch=lease.epoch, position=batch.position)
            except Fenced as error:
                fenced += error.shards
            else:
                self._positions[lease.shard, lease.epoch] = batch.position
            for saga_id in batch.ended:
                self._histories.forget(saga_id)
        if fenced:
            raise Fenced(fenced)

    async def _pause(self, within_s: float) -> None:
        """Wait for a wake-up, or until it is time to look again."""
        try:
            async with asyncio.timeout(within_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _wait_after(self, error: AmendsError) -> None:
        if error.why != self._why:
            self._why = error.why
            log.warning("relay_waits", extra={"why": error.why, "lag": self.lag})
        wait_s = min(LAST_WAIT_S, FIRST_WAIT_S * 2**self._failures) * random.uniform(0.5, 1)  # noqa: S311  no secret
        self._failures = min(self._failures + 1, 10)
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _back(self) -> None:
        if self._failures:
            self._failures, self._why = 0, ""
            log.info("relay_goes_on", extra={"lag": self.lag})


def _next_limit(entries: Sequence[StoredEntry]) -> int:
    """How many entries of this size make a batch of the right number of bytes."""
    if not entries:
        return ENTRIES_FIRST
    size_bytes = sum(len(entry.data) for entry in entries)
    return max(1, min(ENTRIES_MAX, BATCH_BYTES * len(entries) // size_bytes))
