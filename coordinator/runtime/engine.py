"""The engine: one thread, batch at a time (design, section 2).

    take what arrived ► decide, folding in memory ► append ► on its commit, dispatch what it asked for

Memory is at most one batch ahead of the store, and effects are never ahead of it. The engine neither waits nor reads a
clock: `work_off` is given what has arrived and the time, so that a test can drive it step by step.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import ReadBack, Recovered, Replied, Start, Tick
from amends.coordinator.errors import Fenced, RunExists, StoreUnavailable
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import EMBEDDED, Store
from amends.coordinator.runtime.batching import (
    BATCH_BYTES_MAX,
    DECISIONS_MAX,
    Decided,
    Decision,
    OwnedShard,
    Pending,
    Writer,
)
from amends.coordinator.runtime.carrying_out import CarryingOut
from amends.coordinator.runtime.catalogue import Catalogue
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
from amends.coordinator.runtime.intake import Intake, Taken, undecided
from amends.coordinator.runtime.loading import Loading, Unreadable
from amends.coordinator.runtime.quarantine import Quarantine
from amends.coordinator.runtime.resuming import ALONE_US, Resuming
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.timers import Timers
from amends.coordinator.runtime.wishing import Wishing
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, SECOND, Instant

STORE_PAUSE_US = 250 * MILLISECOND
FEW_RUNS = 4
"""With so few runs there is nothing to decide meanwhile: a commit is waited for where it stands, two threads less."""

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
    intake: Intake = field(init=False)
    _loading: Loading = field(init=False)
    _quarantine: Quarantine = field(init=False)
    _resuming: Resuming = field(init=False)
    _messages: deque[Item] = field(default_factory=deque)
    _starts: deque[Item | Arrived] = field(default_factory=deque)
    _carrying_out: CarryingOut = field(init=False)
    _wishing: Wishing = field(init=False)
    _writing: Pending | None = None
    _prepared: Pending | None = None
    _stopping: bool = False
    _paused_until: Instant = 0

    def __post_init__(self) -> None:
        self.intake = Intake(store=self.store, catalogue=self.catalogue, namespace=self.settings.namespace)
        self._wishing = Wishing(namespace=self.settings.namespace)
        self._loading = Loading(store=self.store, catalogue=self.catalogue)
        self._quarantine = Quarantine(store=self.store)
        self._resuming = Resuming(loading=self._loading, quarantine=self._quarantine)
        self._carrying_out = CarryingOut(
            runs=self.runs, shards=self.shards, dispatch=self.dispatch, timers=self.timers, set_apart=self._set_apart
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
                self._messages.append(item)
        while True:
            self._prepared = self._prepared or self._prepare(now)
            if self._prepared is None or self._writing is not None:
                break
            pending, self._prepared = self._prepared, None
            self._write(pending, now)
            self.dispatch.flush()
        self.dispatch.flush()
        self._carrying_out.tidy()

    def next_due(self) -> Instant | None:
        """When to look again if nothing arrives."""
        return self.timers.next_due()

    @property
    def backlog(self) -> int:
        """Trigger records taken from the bus and not decided yet."""
        return sum(len(start.records) if isinstance(start, Arrived) else 1 for start in self._starts)

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
            and not self._starts
            and not self._resuming.busy
            and len(resting) + len(lingering) == len(self.runs)
        )

    @property
    def _undecided(self) -> bool:
        return bool(self._messages) or self._writing is not None or self._prepared is not None

    # -- taking

    def _take(self, inbound: Inbound, now: Instant) -> None:
        match inbound:
            case Item():
                self._offer(inbound)
            case Arrived():
                self._starts.append(inbound)
            case Waiting(rows=rows, moment=moment):
                for item in self._wishing.take(rows, moment):
                    self._offer(item)
            case Committed(pending=pending):
                self._committed(pending, now)
            case AppendFailed(pending=pending, error=error):
                self._failed(pending, error)
            case Gained() | Yielding() | Lost():
                self._own(inbound)
            case StopWished():
                self._stopping = True
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
            shard.open_runs = self._resuming.begin(lease, self.runs)
        except StoreUnavailable as error:
            log.warning("shard_not_loaded", extra={"shard": lease.shard, "why": error.why})
            self._drop([lease.shard])
            self.fenced((lease.shard,))  # It is leased anew once the store is there.

    def _offer(self, item: Item) -> None:
        if isinstance(item.message, Start):
            self._starts.append(item)
        else:
            self._messages.append(item)

    # -- deciding

    def _prepare(self, now: Instant) -> Pending | None:
        """Decide as much as one batch holds: replies and timers first, then new starts; never wait to fill it."""
        if now < self._paused_until or not self._has_more:
            return None
        pending = Pending()
        try:
            self._fill(pending, now)
        except StoreUnavailable as error:
            log.warning("store_unavailable", extra={"why": error.why})
            self._paused_until = now + STORE_PAUSE_US
            self.timers.set(self._paused_until, "due", SagaId(""))
        return None if pending.empty and not pending.consumed else pending

    @property
    def _has_more(self) -> bool:
        """Whether there is anything to put into a batch."""
        return bool(self._messages or self._starts) or self._resuming.has_more or self._quarantine.has_more

    def _fill(self, pending: Pending, now: Instant) -> None:
        self._messages.extendleft(reversed(self._resuming.next_items()))  # What a stop cut off is known before a wish.
        held: list[Item] = []
        try:
            self._fill_with_messages(pending, held, now)
        finally:
            self._messages.extendleft(reversed(held))
        while self._starts and not pending.full and self._admits(pending):
            self._decide_start(pending, self._starts.popleft(), now)
        self._quarantine.mark(pending, self.shards)

    def _fill_with_messages(self, pending: Pending, held: list[Item], now: Instant) -> None:
        """In rounds: all are decided, then all appended. Code that is run again and again runs faster than in turns."""
        while self._messages and not pending.full:
            decisions: dict[SagaId, Decision] = {}
            try:
                self._decide_round(pending, decisions, held, now)
            finally:
                for decision in decisions.values():
                    self._append(pending, decision, now)

    def _decide_round(
        self, pending: Pending, decisions: dict[SagaId, Decision], held: list[Item], now: Instant
    ) -> None:
        """As many messages as the batch has room for, and of each run one: its next is decided on what comes of it."""
        room, room_bytes = DECISIONS_MAX - pending.count, BATCH_BYTES_MAX - pending.size_bytes
        while self._messages and len(decisions) < room and room_bytes > 0:
            if self._messages[0].saga_id in decisions:
                return
            item = self._messages.popleft()
            alone = self._resuming.alone
            if alone is not None and item.saga_id != alone:
                held.append(item)  # Nothing else is dispatched beside a suspect (rule 19).
                continue
            try:
                decision = self._decide_item(pending, item, now)
            except StoreUnavailable:
                self._messages.appendleft(item)
                raise
            if decision is not None:
                decisions[item.saga_id] = decision
                room_bytes -= item.size_bytes

    def _admits(self, pending: Pending) -> bool:
        return self._room(pending) > 0 and not self._stopping and not self._resuming.busy

    def _room(self, pending: Pending) -> int:
        """How many more runs may be in flight. Those that end with a batch on its way give up their places."""
        ended = pending.ended + (self._writing.ended if self._writing is not None else 0)
        return self.settings.in_flight_max - len(self.runs) + len(self._carrying_out.resting) + ended

    def _decide_item(self, pending: Pending, item: Item, now: Instant) -> Decision | None:
        if not self._wishing.holds(item):
            return None
        run = self.runs.get(item.saga_id)
        self.dispatch.heard(run, item.saga_id, item.message)
        number = run.shard if run is not None else None
        if run is None:
            run, number = self._looked_up(item)
        shard = self.shards.get(number) if number is not None else None
        if shard is None:
            if run is not None:
                del self.runs[run.saga_id]
            self._wishing.passed_over(item)
            return None  # Not ours: its owner hears of it through the inbox, or by recovery.
        if self._quarantine.shard_of(item.saga_id) is not None:
            return None  # A wish stays in the inbox, for an owner that can read the run.
        pending.causes.append(item)
        if run is None:
            self._finished_with(pending, shard, item)
            return None
        return self._decide(pending, run, shard, item, now)

    def _looked_up(self, item: Item) -> tuple[Run | None, int | None]:
        """The run of an item that is not in memory, and the shard that answers for it."""
        held = self._quarantine.shard_of(item.saga_id)
        if held is None:
            match self._loading.load(item.saga_id):
                case Unreadable(shard=held, error=error):
                    self._quarantine.hold(item.saga_id, held, None, error)
                case run if run is not None:
                    self.runs[item.saga_id] = run
                    return run, run.shard
        return None, held if held is not None else item.shard

    def _decide(
        self, pending: Pending, run: Run, shard: OwnedShard, item: Item, now: Instant, *, taken: Taken | None = None
    ) -> Decision | None:
        """What is to be appended, if anything is. `taken` is what the item was made of, where it begins the run."""
        run.payloads.update(item.payloads)
        before = run.state if run.state.version else None
        try:
            events, state = decide(run.plan, before, item.message, now, run.payload)
        except Exception as error:  # noqa: BLE001  as in `_append`
            decision = Decision(run=run, shard=shard, item=item, taken=taken, events=(), state=run.state)
            self._undecidable(pending, decision, now, error)
            return None
        if events:
            return Decision(run=run, shard=shard, item=item, taken=taken, events=events, state=state)
        self._finished_with(pending, shard, item)
        self._nothing_new(pending, run, shard, item, now)
        return None

    def _append(self, pending: Pending, decision: Decision, now: Instant) -> None:
        try:
            pending.append(decision, now=now, build=self.settings.build)
        except Exception as error:  # noqa: BLE001  a run that cannot be decided must not delay the others (rule 19)
            self._undecidable(pending, decision, now, error)
            return
        self._finished_with(pending, decision.shard, decision.item)
        decision.run.uncommitted += 1

    def _undecidable(self, pending: Pending, decision: Decision, now: Instant, error: Exception) -> None:
        run, taken = decision.run, decision.taken
        self._set_apart(run, error)
        if not run.state.version:
            self._finished_with(pending, decision.shard, decision.item)
        if taken is not None:
            pending.dismiss(run.saga_id)
            if (letter := undecided(taken, now, error)) is not None:
                pending.refuse(letter)

    def _set_apart(self, run: Run, error: Exception) -> None:
        if run.state.version:
            self._quarantine.hold(run.saga_id, run.shard, run, error)
        self._resuming.over(run.saga_id)
        self._carrying_out.forget(run)

    def _nothing_new(self, pending: Pending, run: Run, shard: OwnedShard, item: Item, now: Instant) -> None:
        """The message changed nothing; see that the run is still looked after."""
        if isinstance(item.message, Recovered):
            pending.tell(shard, run, now)
            self._resuming.over(run.saga_id)
            self._carrying_out.carry_out(Decided.of(run, now), now)
        elif isinstance(item.message, Tick):
            self.timers.set(now + SECOND, "due", run.saga_id)
        self._carrying_out.leave_if_over(run, now)

    def _finished_with(self, pending: Pending, shard: OwnedShard, item: Item) -> None:
        if item.inbox_id is not None:
            pending.inbox_done(shard, item.inbox_id)

    def _decide_start(self, pending: Pending, start: Item | Arrived, now: Instant) -> None:
        if isinstance(start, Arrived):
            room = min(self._room(pending), DECISIONS_MAX - pending.count)
            records, rest = start.cut(records_max=room, bytes_max=BATCH_BYTES_MAX - pending.size_bytes)
            if rest:
                self._starts.appendleft(Arrived(records=rest))
            try:
                self._admit_all(pending, self.intake.take(records, self.runs, now), now)
            except StoreUnavailable:
                self._starts.appendleft(Arrived(records=records))
                raise
            pending.causes.append(Arrived(records=records))
            for record in records:
                pending.consumed[record.topic, record.partition] = record.offset + 1
            return
        shard = self.shards.get(-1 if start.shard is None else start.shard)
        if shard is None or not self._wishing.holds(start):
            self._wishing.passed_over(start)
            return
        try:
            taken = self.intake.take_wish(start, self.runs, now)
        except StoreUnavailable:
            self._starts.appendleft(start)
            raise
        pending.causes.append(start)
        decision = self._admitted(pending, taken, shard, now)
        if decision is not None:
            self._append(pending, decision, now)
        if taken.start is None:
            self._finished_with(pending, shard, start)

    def _admit_all(self, pending: Pending, arrived: Iterable[Taken], now: Instant) -> None:
        """In a round, as messages are."""
        decisions: list[Decision] = []
        beginning: Counter[int] = Counter()
        try:
            for taken in arrived:
                shard = self._least_loaded(beginning) if taken.start is not None else None
                decision = self._admitted(pending, taken, shard, now)
                if decision is not None:
                    decisions.append(decision)
                    beginning[decision.run.shard] += 1
        finally:
            for decision in decisions:
                self._append(pending, decision, now)

    def _admitted(self, pending: Pending, taken: Taken, shard: OwnedShard | None, now: Instant) -> Decision | None:
        if taken.dead_letter is not None:
            pending.refuse(taken.dead_letter)
        if taken.duplicate is not None:
            pending.duplicates.append(taken.duplicate)
        if taken.start is None:
            return None
        start = taken.start.message
        assert isinstance(start, Start), "what is admitted is a start"
        if shard is None:
            load = self.store.load()
            pending.handed_on.append(self.intake.hand_on(taken.start, min(load, key=load.__getitem__)))
            return None
        run = self._loading.fresh(start, shard.shard)
        self.runs[run.saga_id] = run
        item = taken.start.with_message(replace(start, shard=shard.shard))
        return self._decide(pending, run, shard, item, now, taken=taken)

    def _least_loaded(self, beginning: Mapping[int, int]) -> OwnedShard | None:
        """`beginning` says how many runs begin in a shard beside those that it knows of."""
        usable = [shard for shard in self.shards.values() if not shard.yielding]
        return min(usable, key=lambda shard: shard.open_runs + beginning[shard.shard], default=None)

    # -- writing

    def _write(self, pending: Pending, now: Instant) -> None:
        if pending.empty:
            self.consumed(pending.consumed)
            return
        self._writing = pending
        answer = self.writer.write(pending, pending.rows(), at_once=len(self.runs) <= FEW_RUNS)
        if answer is not None:
            self._take(answer, now)

    def _committed(self, pending: Pending, now: Instant) -> None:
        self._writing = None
        self._quarantine.marked(pending)
        for decided in pending.decided:
            decided.run.uncommitted -= 1
        for decided in {decided.run.saga_id: decided for decided in pending.decided}.values():
            if self.runs.get(decided.run.saga_id) is decided.run:
                self._carrying_out.carry_out(decided, now)
        for cause in pending.causes:
            if isinstance(cause, Item):
                self._settled_alone(cause, now)
                self._wishing.done(cause)
        if pending.consumed:
            self.consumed(pending.consumed)

    def _settled_alone(self, cause: Item, now: Instant) -> None:
        """A suspect that answered is harmless; one that was just let loose gets its time by itself."""
        if cause.saga_id != self._resuming.alone:
            return
        run = self.runs.get(cause.saga_id)
        if isinstance(cause.message, Replied | ReadBack) or run is None or not run.running:
            self._resuming.over(cause.saga_id)
        elif isinstance(cause.message, Recovered):
            self.timers.set(now + ALONE_US, "alone", cause.saga_id)

    def _failed(self, pending: Pending, error: Exception) -> None:
        """Take memory back to what the store has, then offer the same messages again."""
        if isinstance(error, StoreUnavailable):
            return  # We are being closed while the store is away; whoever comes next resumes from what it has.
        causes = [*pending.causes, *(self._prepared.causes if self._prepared is not None else [])]
        for failed in (self._prepared, pending):
            if failed is not None:
                failed.take_back(self.runs)
        self._writing = self._prepared = None
        if isinstance(error, Fenced):
            self._drop(error.shards)
            self.fenced(error.shards)
        elif not isinstance(error, RunExists):
            raise error
        self._offer_again(causes)

    def _offer_again(self, causes: list[Inbound]) -> None:
        for cause in reversed(causes):
            if isinstance(cause, Arrived) or (isinstance(cause, Item) and isinstance(cause.message, Start)):
                self._starts.appendleft(cause)
            elif isinstance(cause, Item):
                self._messages.appendleft(cause)

    def _drop(self, shards: Iterable[int]) -> None:
        """Forget shards that somebody else owns: their runs, and what was running for them."""
        gone = set(shards)
        self._wishing.forget(gone)
        for shard in gone:
            self.shards.pop(shard, None)
            self._resuming.forget(shard, self.runs)
        self._quarantine.forget(gone)
        for run in [run for run in self.runs.values() if run.shard in gone]:
            self._carrying_out.forget(run)
