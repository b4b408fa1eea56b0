"""The engine: one thread at a time, a batch at a time (design, section 2).

    take what arrived ► decide, folding in memory ► append ► on its commit, dispatch what it asked for

Memory is at most one batch ahead of the store, and effects are never ahead of it. The engine neither waits nor reads a
clock: `work_off` is given what has arrived and the time, so that a test can drive it step by step.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from amends.coordinator.core.messages import ReadBack, Recovered, Replied
from amends.coordinator.errors import Fenced, KeyErased, RunExists, StoreUnavailable
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import EMBEDDED, Store
from amends.coordinator.runtime.batching import OpenBatch, OwnedShard, Writer
from amends.coordinator.runtime.carrying_out import CarryingOut
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.deciding import Deciding
from amends.coordinator.runtime.delivering import Delivering
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.inbound import (
    AppendFailed,
    Arrived,
    Committed,
    Gained,
    Inbound,
    Item,
    Lost,
    StopWished,
    Waiting,
    Wake,
    Yielding,
)
from amends.coordinator.runtime.intake import Intake
from amends.coordinator.runtime.keyring import Keyring
from amends.coordinator.runtime.loading import Loading
from amends.coordinator.runtime.quarantine import Quarantine
from amends.coordinator.runtime.resuming import ALONE_US, Resuming
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.timers import Timers
from amends.coordinator.runtime.wishing import Wishing
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

FEW_RUNS = 4
"""With so few runs there is nothing to decide while a batch is committed: it is waited for where it stands, and whoever
brings a reply may take the turn. Both spare threads that wake each other."""

log = logging.getLogger("amends.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Bounds, and what every entry says of this worker."""

    namespace: str
    build: str
    in_flight_max: int = 256


@dataclass(slots=True, kw_only=True)
class Engine:
    """See the module. Touched by one thread at a time."""

    store: Store
    writer: Writer
    catalogue: Catalogue
    dispatch: Dispatch
    settings: EngineSettings
    consumed: Callable[[dict[tuple[str, int], int]], None]
    """Told which offsets are accounted for."""
    fenced: Callable[[tuple[int, ...]], None]
    """Told which shards are to be leased anew: an append was fenced, or their runs could not be read."""

    shards: dict[int, OwnedShard] = field(default_factory=dict)
    runs: dict[SagaId, Run] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    _keyring: Keyring = field(init=False)
    _quarantine: Quarantine = field(init=False)
    _resuming: Resuming = field(init=False)
    _carrying_out: CarryingOut = field(init=False)
    _wishing: Wishing = field(init=False)
    _deciding: Deciding = field(init=False)
    _writing: OpenBatch | None = None
    _prepared: OpenBatch | None = None

    def __post_init__(self) -> None:
        self._keyring = keyring = Keyring(store=self.store)
        loading = Loading(store=self.store, catalogue=self.catalogue, keyring=keyring)
        intake = Intake(store=self.store, catalogue=self.catalogue, namespace=self.settings.namespace, keyring=keyring)
        self._wishing = Wishing(namespace=self.settings.namespace)
        self._quarantine = Quarantine(store=self.store)
        self._resuming = Resuming(loading=loading, quarantine=self._quarantine)
        self._carrying_out = CarryingOut(
            runs=self.runs,
            shards=self.shards,
            dispatch=self.dispatch,
            timers=self.timers,
            quarantine=self._quarantine,
            resuming=self._resuming,
        )
        self._deciding = Deciding(
            runs=self.runs,
            shards=self.shards,
            timers=self.timers,
            dispatch=self.dispatch,
            intake=intake,
            loading=loading,
            quarantine=self._quarantine,
            resuming=self._resuming,
            wishing=self._wishing,
            delivering=Delivering(catalogue=self.catalogue, store=self.store),
            carrying_out=self._carrying_out,
            in_flight_max=self.settings.in_flight_max,
            build=self.settings.build,
        )

    def work_off(self, arrived: Iterable[Inbound], now: Instant) -> None:
        """Take what has arrived, then do everything that can be done without waiting.

        One batch may be decided while the former is being written; a second one would be too far ahead.
        """
        for inbound in arrived:
            self._take(inbound, now)
        for timer in self.timers.come_up(now):
            if timer.kind == "alone":
                self._resuming.over(timer.saga_id)
            elif (item := self._carrying_out.come_up(timer, now)) is not None:
                self._deciding.offer(item)
        while True:
            self._prepared = self._prepared or self._deciding.next_batch(self._writing, now)
            if self._prepared is None or self._writing is not None:
                break
            batch, self._prepared = self._prepared, None
            self._write(batch, now)
            self.dispatch.flush()
        self.dispatch.flush()
        self._carrying_out.tidy()

    def next_due(self) -> Instant | None:
        """When to look again if nothing arrives."""
        return self.timers.next_due()

    @property
    def backlog(self) -> int:
        """Trigger records taken from the bus and not decided yet."""
        return self._deciding.backlog

    @property
    def inbox_moment(self) -> int:
        """Differs once the inbox is to be read anew; see `Waiting`."""
        return self._wishing.moment

    @property
    def inbox_held(self) -> int:
        """Rows of the inbox that it has taken, or cannot read, and that are still there."""
        return self._wishing.held

    @property
    def short(self) -> bool:
        """Whether a turn takes no time to speak of: it has little to decide, and no server to wait for."""
        return len(self.runs) <= FEW_RUNS and self.store.kind in EMBEDDED

    @property
    def quiet(self) -> bool:
        """Nothing decided, written or running, and no reply to come."""
        return not self._undecided and self.dispatch.under_way == 0

    @property
    def idle(self) -> bool:
        """Nothing to do or to come but for runs that wait for a person or a handler, or are over but for a reply."""
        resting, lingering = self._carrying_out.resting, self._carrying_out.lingering
        return (
            not self._undecided
            and not self._deciding.starts
            and not self._resuming.busy
            and not self._carrying_out.turning_back
            and len(resting) + len(lingering) == len(self.runs)
        )

    @property
    def _undecided(self) -> bool:
        return bool(self._deciding.messages) or self._writing is not None or self._prepared is not None

    # -- taking

    def _take(self, inbound: Inbound, now: Instant) -> None:
        match inbound:
            case Item() | Arrived():
                self._deciding.offer(inbound)
            case Waiting(rows=rows, moment=moment):
                for item in self._wishing.take(rows, moment):
                    self._deciding.offer(item)
            case Committed(batch=batch):
                self._committed(batch, now)
            case AppendFailed(batch=batch, error=error):
                self._failed(batch, error)
            case Gained() | Yielding() | Lost():
                self._own(inbound)
            case StopWished():
                self.dispatch.stop_taking()
            case Wake():
                pass

    def _own(self, change: Gained | Yielding | Lost) -> None:
        """Shards come and go."""
        match change:
            case Gained(leases=leases):
                for lease in leases:
                    self._gain(lease)
            case Yielding(shards=shards):
                for shard in self.shards.keys() & set(shards):
                    self.shards[shard].yielding = True
            case Lost(shards=shards):
                self._drop(shards)

    def _gain(self, lease: Lease) -> None:
        shard = self.shards[lease.shard] = OwnedShard.of(lease)
        try:
            shard.open_runs = self._resuming.begin(lease, self.runs, self._carrying_out.sleeps)
        except StoreUnavailable as error:
            log.warning("shard_not_loaded", extra={"shard": lease.shard, "why": error.why})
            self._drop([lease.shard])
            self.fenced((lease.shard,))  # It is leased anew once the store is there.

    # -- writing

    def _write(self, batch: OpenBatch, now: Instant) -> None:
        if batch.empty:
            self.consumed(batch.consumed)
            return
        self._writing = batch
        answer = self.writer.write(batch, batch.rows(), at_once=len(self.runs) <= FEW_RUNS)
        if answer is not None:
            self._take(answer, now)

    def _committed(self, batch: OpenBatch, now: Instant) -> None:
        self._writing = None
        self._quarantine.marked(batch)
        for decided in batch.decided:
            decided.run.uncommitted -= 1
        for decided in {decided.run.saga_id: decided for decided in batch.decided}.values():
            if self.runs.get(decided.run.saga_id) is decided.run:
                self._carrying_out.carry_out(decided, now)
        for cause in batch.causes:
            if isinstance(cause, Item):
                self._settled_alone(cause, now)
                self._wishing.done(cause)
        if batch.consumed:
            self.consumed(batch.consumed)

    def _settled_alone(self, cause: Item, now: Instant) -> None:
        """A suspect that answered is harmless; one that was just let loose gets its time by itself."""
        if cause.saga_id != self._resuming.alone:
            return
        run = self.runs.get(cause.saga_id)
        if isinstance(cause.message, Replied | ReadBack) or run is None or not run.running:
            self._resuming.over(cause.saga_id)
        elif isinstance(cause.message, Recovered):
            self.timers.set(now + ALONE_US, "alone", cause.saga_id)

    def _failed(self, batch: OpenBatch, error: Exception) -> None:
        """Take memory back to what the store has, then offer the same messages again."""
        if isinstance(error, StoreUnavailable):
            return  # We are being closed while the store is away; whoever comes next resumes from what it has.
        causes = [*batch.causes, *(self._prepared.causes if self._prepared is not None else [])]
        for failed in (self._prepared, batch):
            if failed is not None:
                failed.take_back(self.runs)
        self._writing = self._prepared = None
        if isinstance(error, Fenced):
            self._drop(error.shards)
            self.fenced(error.shards)
        elif isinstance(error, KeyErased):
            self._keyring.forget(error.key_ids)
        elif not isinstance(error, RunExists):
            raise error
        self._deciding.offer_again(causes)

    def _drop(self, shards: Iterable[int]) -> None:
        """Forget shards that somebody else owns: their runs, and what was running for them."""
        gone = set(shards)
        self._wishing.forget(gone)
        for shard in gone:
            self.shards.pop(shard, None)
            self._resuming.forget(shard, self.runs)
        self._quarantine.forget(gone)
        self._carrying_out.forget_asleep(gone)
        for run in [run for run in self.runs.values() if run.shard in gone]:
            self._carrying_out.forget(run)
