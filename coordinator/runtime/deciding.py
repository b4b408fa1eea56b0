"""What one batch is filled with: whatever waits to be decided, as much of it as the batch holds.

Replies, timers and wishes come first, then what begins runs, as far as more may be in flight.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import Recovered, RerunWished, Start, Tick
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.runtime.batching import Decided, Decision, OpenBatch, OwnedShard
from amends.coordinator.runtime.carrying_out import CarryingOut
from amends.coordinator.runtime.delivering import Delivering, told_late, with_nothing
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.inbound import Arrived, Inbound, Item
from amends.coordinator.runtime.intake import LEFT, Intake, Taken, undecided
from amends.coordinator.runtime.loading import Loading, Unreadable
from amends.coordinator.runtime.quarantine import Quarantine
from amends.coordinator.runtime.resuming import Resuming
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.sealed_items import sealed_item
from amends.coordinator.runtime.timers import Timers
from amends.coordinator.runtime.wishing import Wishing
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, SECOND, Instant

STORE_PAUSE_US = 250 * MILLISECOND
_BEGINNING: Final = (Start, RerunWished)
"""Messages that begin runs."""

log = logging.getLogger("amends.engine")


@dataclass(slots=True, kw_only=True)
class Deciding:
    """Shares the engine's runs, shards and timers; what waits is its own."""

    runs: dict[SagaId, Run]
    shards: dict[int, OwnedShard]
    timers: Timers
    dispatch: Dispatch
    intake: Intake
    loading: Loading
    quarantine: Quarantine
    resuming: Resuming
    wishing: Wishing
    delivering: Delivering
    carrying_out: CarryingOut
    in_flight_max: int
    build: str
    messages: deque[Item] = field(default_factory=deque)
    """Replies, timers and wishes."""
    starts: deque[Item | Arrived] = field(default_factory=deque)
    """What begins runs."""
    _paused_until: Instant = 0

    @property
    def backlog(self) -> int:
        """Trigger records that were not decided yet, and starts that were wished for."""
        return sum(len(start.records) if isinstance(start, Arrived) else 1 for start in self.starts)

    def offer(self, offered: Item | Arrived) -> None:
        """Have it decided after what waits already."""
        if isinstance(offered, Arrived) or isinstance(offered.message, _BEGINNING):
            self.starts.append(offered)
        else:
            self.messages.append(offered)

    def offer_again(self, causes: Sequence[Inbound]) -> None:
        """Have what a failed batch was made from decided before all that waits, in its former order."""
        for cause in reversed(causes):
            if isinstance(cause, Arrived) or (isinstance(cause, Item) and isinstance(cause.message, _BEGINNING)):
                self.starts.appendleft(cause)
            elif isinstance(cause, Item):
                self.messages.appendleft(cause)

    def next_batch(self, former: OpenBatch | None, now: Instant) -> OpenBatch | None:
        """Decide as much as one batch holds, never waiting to fill it. `former` is the one that is being written."""
        if now < self._paused_until or not self._has_more:
            return None
        batch = OpenBatch(ended_before=former.ended if former is not None else 0)
        try:
            self._fill(batch, now)
        except StoreUnavailable as error:
            log.warning("store_unavailable", extra={"why": error.why})
            self._paused_until = now + STORE_PAUSE_US
            self.timers.set(self._paused_until, "due", SagaId(""))
        return None if batch.empty and not batch.consumed else batch

    @property
    def _has_more(self) -> bool:
        """Whether there is anything to put into a batch."""
        return bool(self.messages or self.starts) or self.resuming.has_more or self.quarantine.has_more

    def _fill(self, batch: OpenBatch, now: Instant) -> None:
        self.messages.extendleft(reversed(self.resuming.next_items()))  # What a stop cut off is known before a wish.
        held: list[Item] = []
        try:
            self._fill_with_messages(batch, held, now)
        finally:
            self.messages.extendleft(reversed(held))
        while self.starts and not batch.full and self._admits(batch):
            self._decide_start(batch, self.starts.popleft(), now)
        self.quarantine.mark(batch, self.shards)

    def _fill_with_messages(self, batch: OpenBatch, held: list[Item], now: Instant) -> None:
        """In rounds: all are decided, then all appended. Code that is run again and again runs faster than in turns."""
        while self.messages and not batch.full:
            decisions: dict[SagaId, Decision] = {}
            try:
                self._decide_round(batch, decisions, held, now)
            finally:
                for decision in decisions.values():
                    self._append(batch, decision, now)

    def _decide_round(
        self, batch: OpenBatch, decisions: dict[SagaId, Decision], held: list[Item], now: Instant
    ) -> None:
        """As many messages as the batch has room for, and of each run one: its next is decided on what comes of it."""
        room, room_bytes = batch.room
        while self.messages and len(decisions) < room and room_bytes > 0:
            if self.messages[0].saga_id in decisions:
                return
            item = self.messages.popleft()
            alone = self.resuming.alone
            if alone is not None and item.saga_id != alone:
                held.append(item)  # Nothing else is dispatched beside a suspect (rule 19).
                continue
            try:
                decision = self._decide_item(batch, item, now)
            except StoreUnavailable:
                self.messages.appendleft(item)
                raise
            if decision is not None:
                decisions[item.saga_id] = decision
                room_bytes -= item.size_bytes

    def _admits(self, batch: OpenBatch) -> bool:
        return self._room(batch) > 0 and not self.dispatch.stopped and not self.resuming.busy

    def _room(self, batch: OpenBatch) -> int:
        """How many more runs may be in flight. Those that end with a batch on its way give up their places."""
        ended = batch.ended_before + batch.ended
        return self.in_flight_max - len(self.runs) + len(self.carrying_out.resting) + ended

    def _decide_item(self, batch: OpenBatch, item: Item, now: Instant) -> Decision | None:
        if not self.wishing.holds(item):
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
            self.wishing.passed_over(item)
            return None  # Not ours: its owner hears of it through the inbox, or by recovery.
        if self.quarantine.shard_of(item.saga_id) is not None:
            return None  # A wish stays in the inbox, for an owner that can read the run.
        if isinstance(item.message, Tick) and run is not None:
            item = self._with_what_is_met(run, item, now)
        batch.causes.append(item)
        if run is None:
            self.delivering.give_back(batch, shard, item)
            self._finished_with(batch, shard, item)
            return None
        if item.brought is not None:
            return self._decide_message(batch, run, shard, item, now)
        return self._decide(batch, run, shard, item, now)

    def _with_what_is_met(self, run: Run, item: Item, now: Instant) -> Item:
        """The tick, with the waits that a message is on its way to; they are looked after should it turn out none."""
        met = self.delivering.in_time(run, now) if run.plan.waits else ()
        if not met:
            return item
        self.timers.set(now + SECOND, "due", run.saga_id)
        return item.with_message(Tick(met=met))

    def _decide_message(
        self, batch: OpenBatch, run: Run, shard: OwnedShard, item: Item, now: Instant
    ) -> Decision | None:
        brought = self.delivering.bring(batch, run, shard, item, now)
        if brought is not None:
            return told_late(self._decide(batch, run, shard, brought, now))
        self._finished_with(batch, shard, item)
        self.carrying_out.leave_if_over(run, now)
        return None

    def _looked_up(self, item: Item) -> tuple[Run | None, int | None]:
        """The run of an item that is not in memory, and the shard that answers for it."""
        held = self.quarantine.shard_of(item.saga_id)
        if held is None:
            match self.carrying_out.shelf.take(item.saga_id) or self.loading.load(item.saga_id):
                case Unreadable(shard=held, error=error):
                    self.quarantine.hold(item.saga_id, held, None, error)
                case run if run is not None:
                    self.runs[item.saga_id] = run
                    run.timer_due = self.carrying_out.awake(run.saga_id)
                    return run, run.shard
        return None, held if held is not None else item.shard

    def _decide(
        self, batch: OpenBatch, run: Run, shard: OwnedShard, item: Item, now: Instant, *, taken: Taken | None = None
    ) -> Decision | None:
        """What is to be appended, if anything is. `taken` is what the item was made of, where it begins the run."""
        if run.seal is not None:
            item = sealed_item(item, run.seal)
        run.payloads.update(item.payloads)
        before = run.state if run.state.version else None
        try:
            events, state = decide(run.plan, before, item.message, now, run.payload)
        except Exception as error:  # noqa: BLE001  as in `_append`
            decision = Decision(run=run, shard=shard, item=item, taken=taken, events=(), state=run.state)
            self._undecidable(batch, decision, now, error)
            return None
        if run.plan.waits:
            item = with_nothing(run, item, events)
        if events:
            return Decision(run=run, shard=shard, item=item, taken=taken, events=events, state=state)
        self._finished_with(batch, shard, item)
        self._nothing_new(batch, run, shard, item, now)
        return None

    def _append(self, batch: OpenBatch, decision: Decision, now: Instant) -> None:
        try:
            batch.append(decision, now=now, build=self.build)
        except Exception as error:  # noqa: BLE001  a run that cannot be decided must not delay the others (rule 19)
            self._undecidable(batch, decision, now, error)
            return
        self._finished_with(batch, decision.shard, decision.item)
        decision.run.uncommitted += 1

    def _undecidable(self, batch: OpenBatch, decision: Decision, now: Instant, error: Exception) -> None:
        run, taken = decision.run, decision.taken
        self.carrying_out.set_apart(run, error)
        if not run.state.version:
            self._finished_with(batch, decision.shard, decision.item)
        if taken is not None:
            batch.dismiss(run.saga_id)
            if (letter := undecided(taken, now, error)) is not None:
                batch.refuse(letter)

    def _nothing_new(self, batch: OpenBatch, run: Run, shard: OwnedShard, item: Item, now: Instant) -> None:
        """The message changed nothing; see that the run is still looked after."""
        if isinstance(item.message, Recovered):
            batch.tell(shard, run, now)
            self.resuming.over(run.saga_id)
            self.carrying_out.carry_out(Decided.of(run, now), now)
        elif isinstance(item.message, Tick):
            run.due = next_due(run.plan, run.state)  # It was due to begin what there was no room for, and all had room.
            self.carrying_out.set_timer(run)
            self.timers.set(now + SECOND, "due", run.saga_id)
        self.carrying_out.leave_if_over(run, now)

    def _finished_with(self, batch: OpenBatch, shard: OwnedShard, item: Item) -> None:
        if item.inbox_id is not None:
            batch.inbox_done(shard, item.inbox_id)

    def _decide_start(self, batch: OpenBatch, start: Item | Arrived, now: Instant) -> None:
        if isinstance(start, Arrived):
            self._decide_records(batch, start, now)
        else:
            self._decide_wish(batch, start, now)

    def _decide_records(self, batch: OpenBatch, arrived: Arrived, now: Instant) -> None:
        """As many of them as there is room for; the rest waits where they waited."""
        room, room_bytes = batch.room
        records, rest = arrived.cut(records_max=min(self._room(batch), room), bytes_max=room_bytes)
        if rest:
            self.starts.appendleft(Arrived(records=rest))
        try:
            self._admit_all(batch, self.intake.take(records, self.runs, now), now)
        except StoreUnavailable:
            self.starts.appendleft(Arrived(records=records))
            raise
        batch.causes.append(Arrived(records=records))
        for record in records:
            batch.consumed[record.topic, record.partition] = record.offset + 1

    def _decide_wish(self, batch: OpenBatch, wish: Item, now: Instant) -> None:
        """A start from the inbox, or a rerun."""
        shard = self.shards.get(-1 if wish.shard is None else wish.shard)
        if shard is None or not self.wishing.holds(wish):
            self.wishing.passed_over(wish)
            return
        try:
            taken = self.intake.take_wish(wish, self.runs, now)
        except StoreUnavailable:
            self.starts.appendleft(wish)
            raise
        if taken is LEFT:
            return
        batch.causes.append(wish)
        decision = self._admitted(batch, taken, shard, now)
        if decision is not None:
            self._append(batch, decision, now)
        if taken.start is None:
            self._finished_with(batch, shard, wish)

    def _admit_all(self, batch: OpenBatch, arrived: Iterable[Taken], now: Instant) -> None:
        """In a round, as messages are."""
        decisions: list[Decision] = []
        beginning: Counter[int] = Counter()
        try:
            for taken in arrived:
                shard = self._least_loaded(beginning) if taken.start is not None else None
                decision = self._admitted(batch, taken, shard, now)
                if decision is not None:
                    decisions.append(decision)
                    beginning[decision.run.shard] += 1
        finally:
            for decision in decisions:
                self._append(batch, decision, now)

    def _admitted(self, batch: OpenBatch, taken: Taken, shard: OwnedShard | None, now: Instant) -> Decision | None:
        if taken.dead_letter is not None:
            batch.refuse(taken.dead_letter)
        if taken.duplicate is not None:
            batch.duplicates.append(taken.duplicate)
        if taken.start is None:
            return None
        start = taken.start.message
        assert isinstance(start, Start), "what is admitted is a start"
        if shard is None:
            batch.handed_on.append(self.intake.hand_on(taken.start))
            return None
        run = self.loading.fresh(start, shard.shard)
        run.seal = taken.seal
        self.runs[run.saga_id] = run
        item = taken.start.with_message(replace(start, shard=shard.shard))
        return self._decide(batch, run, shard, item, now, taken=taken)

    def _least_loaded(self, beginning: Mapping[int, int]) -> OwnedShard | None:
        """`beginning` says how many runs begin in a shard beside those that it knows of."""
        usable = [shard for shard in self.shards.values() if not shard.yielding]
        return min(usable, key=lambda shard: shard.open_runs + beginning[shard.shard], default=None)
