"""After the commit: the handlers that a decision wants are begun, those it does not want any more are stopped.

So are the timers of a run set here, and here they come up: what they mean for `decide` goes back as messages.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from amends.coordinator.core.commands import Command
from amends.coordinator.core.messages import Tick
from amends.coordinator.core.waiting import rests
from amends.coordinator.runtime.batching import Decided, OwnedShard
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.loading import waits_for_handler
from amends.coordinator.runtime.quarantine import Quarantine
from amends.coordinator.runtime.resuming import Resuming
from amends.coordinator.runtime.runs import Identity, Run, identity_of
from amends.coordinator.runtime.shelf import Shelf
from amends.coordinator.runtime.timers import Timer, Timers
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, Instant

GRACE_US = 250 * MILLISECOND
"""How long a handler that was told to stop may take before its attempt counts as still running."""


@dataclass(slots=True, kw_only=True)
class CarryingOut:
    """Shares the engine's runs and shards."""

    runs: dict[SagaId, Run]
    shards: dict[int, OwnedShard]
    dispatch: Dispatch
    timers: Timers
    quarantine: Quarantine
    resuming: Resuming
    resting: set[SagaId] = field(default_factory=set)
    """Runs in memory that wait for a handler's arrival: they take no place in flight."""
    asleep: dict[SagaId, tuple[Instant, int]] = field(default_factory=dict)
    """Runs that are not in memory and wait: when each is due, and its shard."""
    shelf: Shelf = field(default_factory=Shelf)
    turning_back: set[SagaId] = field(default_factory=set)
    """Those among them that are being undone, and wait for a participant's answer: they are not over."""
    lingering: set[SagaId] = field(default_factory=set)
    """Runs that have ended or parked, and stay in memory for a handler that does not return."""

    def carry_out(self, decided: Decided, now: Instant) -> None:
        """Start what is wanted and not running; stop what runs and is not wanted any more."""
        run = decided.run
        begin = self.dispatch.reconcile(run, decided.commands)
        if run.uncommitted:  # The next batch has heard replies by now: what they answer is not begun a second time.
            wanted = {identity_of(command) for command in Decided.of(run, now).commands}
            begin = {identity: command for identity, command in begin.items() if identity in wanted}
        self._start(run, begin, now)
        self.set_timer(run)
        self.leave_if_over(run, now)

    def set_timer(self, run: Run) -> None:
        """Have the run looked at when it is due."""
        if run.due is not None and run.due != run.timer_due:
            run.timer_due = run.due
            self.timers.set(run.due, "due", run.saga_id)

    def leave_if_over(self, run: Run, now: Instant) -> None:
        """One that has ended, parked or sleeps leaves memory; one that waits for a handler takes no place in flight."""
        if self.runs.get(run.saga_id) is not run:
            return
        self.resting.discard(run.saga_id)
        self.lingering.discard(run.saga_id)
        if run.uncommitted or run.put_off:
            return
        over = run.state.closed or run.state.status == "parked"
        if run.running:
            self.lingering.update({run.saga_id} if over else ())
        elif over:
            self.sleeps(run)  # One that has ended may still be read back, long after.
            del self.runs[run.saga_id]
        elif waits_for_handler(run, now):
            self.resting.add(run.saga_id)
        elif not _is_due(run, now) and self.sleeps(run):
            del self.runs[run.saga_id]
            self.shelf.put(run)

    def sleeps(self, run: Run) -> bool:
        """Whether a run only waits, for a message, an instant or its locks: it needs no memory but for its timer."""
        if run.state.status != "queued" and not rests(run.plan, run.state):
            return False
        if run.state.status == "compensating":
            self.turning_back.add(run.saga_id)
        self.set_timer(run)
        self.asleep[run.saga_id] = (run.due or 0, run.shard)
        return True

    def awake(self, saga_id: SagaId) -> Instant | None:
        """The run is in memory again; the instant for which it has a timer."""
        due, _ = self.asleep.pop(saga_id, (None, 0))
        self.turning_back.discard(saga_id)
        return due

    def forget_asleep(self, shards: Collection[int]) -> None:
        """The shards are not ours any more."""
        self.shelf.forget(shards)
        for saga_id in [saga_id for saga_id, (_, shard) in self.asleep.items() if shard in shards]:
            del self.asleep[saga_id]
            self.turning_back.discard(saga_id)

    def forget(self, run: Run) -> None:
        """Stop what runs for it, and drop it from memory."""
        self.dispatch.abandon(run)
        self.resting.discard(run.saga_id)
        self.lingering.discard(run.saga_id)
        del self.runs[run.saga_id]

    def set_apart(self, run: Run, error: Exception) -> None:
        """Leave a run that cannot be decided or carried out to itself: it must not delay the others (rule 19)."""
        if run.state.version:
            self.quarantine.hold(run.saga_id, run.shard, run, error)
        self.resuming.over(run.saga_id)
        self.forget(run)

    def come_up(self, timer: Timer, now: Instant) -> Item | None:
        """What the core is to be told now that this timer has come up, if anything."""
        run, identity = self.runs.get(timer.saga_id), timer.identity
        if run is None:
            return self._wakes(timer)
        if timer.kind == "due" and run.due is not None and run.due <= now:
            return Item(saga_id=run.saga_id, message=Tick(), cause="timer", causation_id=f"due:{timer.due}")
        if identity is None:
            return None
        if timer.kind == "timeout" and identity in run.running:
            answers_soon = self.dispatch.stop(run, identity, why="timeout")
            self.timers.set(now + (GRACE_US if answers_soon else 0), "overdue", run.saga_id, identity)
        elif timer.kind == "overdue" and identity in run.running:
            return self.dispatch.overdue(run, identity)
        elif timer.kind == "ask" and identity in run.put_off:
            self._start(run, {identity: run.put_off.pop(identity)}, now)
        return None

    def _wakes(self, timer: Timer) -> Item | None:
        """A run that is not in memory is told as well, if it has slept until now: it is loaded to hear of it."""
        due, shard = self.asleep.get(timer.saga_id, (None, 0))
        if timer.kind != "due" or due != timer.due:
            return None
        return Item(saga_id=timer.saga_id, message=Tick(), cause="timer", causation_id=f"due:{timer.due}", shard=shard)

    def tidy(self) -> None:
        """Drop timers that mean nothing any more, now and then."""
        self.timers.tidy(self._is_current)

    def _start(self, run: Run, commands: Mapping[Identity, Command], now: Instant) -> None:
        if run.shard not in self.shards or self.shards[run.shard].yielding:
            return
        try:
            for identity, command in commands.items():
                for due, kind, about in self.dispatch.start(run, identity, command, now):
                    self.timers.set(due, kind, run.saga_id, about)
        except Exception as error:  # noqa: BLE001  a value that is gone, say
            self.set_apart(run, error)

    def _is_current(self, timer: Timer) -> bool:
        run = self.runs.get(timer.saga_id)
        if run is None:
            asleep = self.asleep.get(timer.saga_id)
            return timer.kind == "alone" or (asleep is not None and asleep[0] == timer.due)
        if timer.identity is None:
            return timer.kind == "alone" or (run.due is not None and run.due <= timer.due)
        return timer.identity in run.running or timer.identity in run.put_off


def _is_due(run: Run, now: Instant) -> bool:
    """Whether it is about to be decided on again."""
    return run.due is not None and run.due <= now
