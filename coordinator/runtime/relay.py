"""The relay: publishes the log to the bus, shard by shard, by position; gapless, resumable, and never in anyone's way.

A position moves after its records are acknowledged. What is published twice after a crash carries the same ids, and
consumers keep the highest version of each run, so a duplicate or a late arrival does no harm (rule 20).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import (
    AmendsError,
    BusUnavailable,
    Fenced,
    RecordRefused,
    RecordTooLarge,
    StoreUnavailable,
    UsageError,
)
from amends.coordinator.ports.bus import Sink
from amends.coordinator.ports.rows import Lease, RelayWait
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.publishing import Publication, Publishing
from amends.coordinator.runtime.checkpoints import Checkpoints
from amends.coordinator.runtime.relay_batches import DEAD_LETTERS, Batch, Batches
from amends.coordinator.runtime.relay_holds import Holds, wait_s
from amends.coordinator.runtime.relay_leases import RelayLeases

LOOK_FIRST_S: Final = 0.001
LOOK_LAST_S: Final = 0.02
"""After something was published more is likely to come: the store is looked at soon, then ever more rarely."""
DEAD_LETTERS_SHARD: Final = 0
"""Who relays this shard relays the dead letters too."""

log = logging.getLogger("amends.relay")


@dataclass(slots=True, kw_only=True)
class Relay:
    """Runs until `stop`. Waits with backoff, 0.1 to 5 s, while the store or the bus is away, and says so in the log.

    Where a topic refuses a record for good, its shard (or the dead letters) stands still there, so that nothing is
    missing behind it, and all others go on; log and `amends store status` say what is waited for.
    `lag` is the number of entries not yet published in the shards that this relay holds; `published` the number of
    records acknowledged since the start, repeated ones included.
    """

    store: Store
    sink: Sink
    publishing: Publishing
    leases: RelayLeases
    checkpoints: Checkpoints | None = None
    """Signs the heads of the shards that this relay holds, where there is a key."""
    lag: int = 0
    published: int = 0

    _batches: Batches = field(init=False)
    _holds: Holds = field(default_factory=Holds)
    _positions: dict[tuple[int, int], int] = field(default_factory=dict)
    """How far each shard is published, by shard and epoch."""
    _mark: object = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    _why: str = ""
    """What everything waits for."""

    def __post_init__(self) -> None:
        self._batches = Batches(store=self.store, publishing=self.publishing)

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
        beside = [asyncio.create_task(self.leases.keep())]
        if self.checkpoints is not None:
            beside.append(asyncio.create_task(self.checkpoints.run()))
        look_s = LOOK_FIRST_S
        try:
            while not self._stopping.is_set():
                for task in beside:
                    if task.done():
                        task.result()  # Raises: it ends only by what no waiting mends.
                try:
                    if await self._turn():
                        look_s = LOOK_FIRST_S
                    else:
                        await self._pause(look_s)
                        look_s = min(LOOK_LAST_S, look_s * 2)
                    self._back()
                except Fenced as fenced:
                    self.leases.lost(fenced.shards)
                except (BusUnavailable, StoreUnavailable, UsageError) as error:
                    await self._wait_after(error)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            if self.checkpoints is not None:
                await self.checkpoints.last()

    def _nothing_left(self) -> bool:
        if any(row.position > self.store.relay_position(row.shard) for row in self.store.shards()):
            return False
        return self.store.dead_letters_relayed() >= self.store.dead_letters_count()

    async def _turn(self) -> bool:
        """Publish one batch of every lane that can go on; say whether there was anything."""
        batches = await asyncio.to_thread(self._read)
        free = [batch for batch in batches if batch.lane not in self._holds]
        try:
            await self._publish([publication for batch in free for publication in batch.publications])
        except RecordRefused:
            batches = free + [batch for batch in batches if batch.lane in self._holds]
        else:
            await asyncio.to_thread(self._move, free)
            batches = [batch for batch in batches if batch.lane in self._holds]
        for batch in batches:  # Each for itself: those that are held up, or all where one of them is to be found.
            await self._publish_alone(batch)
        return bool(batches or free)

    async def _publish_alone(self, batch: Batch) -> None:
        """Publish a lane up to the record that its topic refuses, if there is one, and hold it there."""
        while batch.parts:
            try:
                await self._publish(batch.publications)
            except RecordRefused as refused:
                batch, position = batch.cut(refused.index)
                await self._hold(batch.lane, position, refused)
            else:
                await asyncio.to_thread(self._move, [batch])
                return

    async def _hold(self, lane: int, position: int, refused: RecordRefused) -> None:
        if self._holds.hold(lane, position, refused):
            await asyncio.to_thread(self._tell, lane, position, refused.why)

    def _tell(self, lane: int, position: int, why: str) -> None:
        shard = None if lane == DEAD_LETTERS else lane
        self.store.relay_waits_at(RelayWait(shard=shard, position=position, why=why, since=self.store.now()))

    def _read(self) -> list[Batch]:
        """Read what comes next in each lane; nothing if the store is as it was when there was nothing. In a thread."""
        mark, due = self.store.change_mark(), self._holds.due
        if mark == self._mark and not due and not self._gained():
            return []
        heads = {row.shard: row.position for row in self.store.shards()}
        held = self.leases.held
        self._holds.keep({*held, *((DEAD_LETTERS,) if DEAD_LETTERS_SHARD in held else ())})
        behind = {lease: heads[shard] - self._position(lease) for shard, lease in held.items()}
        self.lag = sum(behind.values())
        batches = [
            self._batches.of_shard(lease, after=self._position(lease), single=lease.shard in self._holds)
            for lease, count in behind.items()
            if count > 0 and (lease.shard in due or lease.shard not in self._holds)
        ]
        if DEAD_LETTERS_SHARD in held and (DEAD_LETTERS in due or DEAD_LETTERS not in self._holds):
            batches.append(self._batches.of_dead_letters(single=DEAD_LETTERS in self._holds))
        batches = [batch for batch in batches if batch.parts]
        self._mark = None if batches else mark
        return batches

    def _gained(self) -> bool:
        return any((shard, lease.epoch) not in self._positions for shard, lease in self.leases.held.items())

    def _position(self, lease: Lease) -> int:
        return self._positions.setdefault((lease.shard, lease.epoch), lease.position)

    async def _publish(self, publications: Sequence[Publication]) -> None:
        """Publish all, the smaller form of those that a topic refuses for their size."""
        records = [publication.record for publication in publications]
        while records:
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

    def _move(self, batches: Sequence[Batch]) -> None:
        """Move every position that can be moved; the shards we are fenced out of are raised together. In a thread."""
        fenced: list[int] = []
        for batch in batches:
            lease = batch.lease
            try:
                if lease is None:
                    self.store.dead_letters_move(batch.position)
                else:
                    self.store.relayed(lease.shard, epoch=lease.epoch, position=batch.position)
                    self._positions[lease.shard, lease.epoch] = batch.position
            except Fenced as error:
                fenced += error.shards
            else:
                self._holds.passed(batch.lane, batch.position)
            self._batches.published(batch)
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
        seconds, self._failures = wait_s(self._failures), self._failures + 1
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _back(self) -> None:
        if self._failures:
            self._failures, self._why = 0, ""
            log.info("relay_goes_on", extra={"lag": self.lag})
