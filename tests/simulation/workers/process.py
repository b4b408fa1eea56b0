"""One simulated worker: the real engine and leases, put together as `Worker` does, with a writer that takes its time.

It lives on the events of its installation: turns of the engine, rounds of the leases, looks at inbox and topic.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.engine import Engine, EngineSettings
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
)
from amends.coordinator.runtime.ownership import Ownership
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from tests.simulation.checker import InvariantBroken
from tests.simulation.simulation import Faults
from tests.simulation.workers.calls import Calls
from tests.simulation.workers.connection import Connection
from tests.simulation.workers.judge import Judge
from tests.simulation.workers.topic import NAMESPACE
from tests.simulation.workers.troubles import Fired
from tests.simulation.workers.writer import SlowWriter
from tests.simulation.world import Verdict

if TYPE_CHECKING:
    from tests.simulation.workers.installation import Installation

LEASE_MS = 10_000
HANDLERS_MAY_TAKE_US = 3 * SECOND


class Died(BaseException):
    """The worker was killed in the middle of a round of its leases."""


class Process:
    """Nothing of it happens while it is frozen, or once it is dead."""

    def __init__(self, installation: "Installation", name: str, saga: ClosedSaga, faults: Faults) -> None:
        self._installation = installation
        self.name = name
        self.alive = True
        self.stopping = False
        self.frozen_until: Instant = 0
        self.random: Random = installation.random
        self.judge: Judge = installation.judge
        self.fired: Fired = installation.weather.fired
        self.large = installation.weather.troubles.large
        self.store = Connection(installation.store, weather=installation.weather, judge=installation.judge)
        self.consumed: dict[tuple[str, int], int] = {}
        self._arrived: deque[Inbound] = deque()
        self._turn_at: Instant | None = None
        self._in_round = False
        self._mark: object = None
        self.writer = SlowWriter(owner=self, store=self.store, weather=installation.weather)
        self.ownership = Ownership(
            store=self.store,
            worker=name,
            lease_ms=LEASE_MS,
            clock=installation.clock,
            tell=self.put,
            busy=lambda shard: any(run.shard == shard and run.running for run in self.engine.runs.values()),
            broken=self._broken,
            monotonic=lambda: installation.clock.now / SECOND,
            sleep=self._sleep,
        )
        self.whole = saga is installation.saga
        """Whether it has all handlers."""
        catalogue = Catalogue(sagas=(saga,), stored=installation.store.definition)
        self.engine = Engine(
            store=self.store,
            writer=self.writer,
            catalogue=catalogue,
            dispatch=Dispatch(
                catalogue=catalogue,
                hands=Calls(self, faults),
                clock=installation.clock,
                epoch_of=lambda shard: self.engine.shards[shard].epoch,
                lease_left_s=self.ownership.left_s,
            ),
            settings=EngineSettings(namespace=NAMESPACE, build=name, in_flight_max=self.random.choice((2, 256))),
            consumed=self.consumed.update,
            fenced=self._give_up,
        )
        for happening in (self._round, self._look, self._poll):
            self.after(self.random.randrange(1, 500) * MILLISECOND, happening)

    @property
    def now(self) -> Instant:
        return self._installation.clock.now

    def after(self, microseconds: int, happening: Callable[[], None]) -> None:
        """Let this happen to the worker, if it still lives and is not frozen then."""
        self._installation.at(self.now + microseconds, happening, process=self)

    def outside(self, at: Instant, happening: Callable[[], None]) -> None:
        """Let this happen in the world, whatever becomes of the worker."""
        self._installation.at(at, happening)

    def answer(self, key: str, verdict: Verdict, path: str) -> None:
        """Have a participant answer for what is pending."""
        self._installation.answer(key, verdict, path)

    def put(self, inbound: Inbound) -> None:
        """Into the engine's queue."""
        self._arrived.append(inbound)
        late = self.random.random() < 0.1
        self._turn_by(self.now + self.random.randrange(300 * MILLISECOND if late else 2 * MILLISECOND))

    def breaks(self, rule: str, why: str) -> None:
        self.judge.require(False, rule, f"{self.name}: {why}")  # noqa: FBT003

    def killed_by(self, saga_id: SagaId) -> bool:
        """Whether the handler that begins is one that ends the process."""
        weather, judge = self._installation.weather, self.judge
        if weather.calm or weather.poison == 0 or saga_id != min(judge.runs):
            return False
        weather.poison -= 1
        self.fired["a handler killed its worker"] += 1
        self._installation.kill(self)
        return True

    def die(self) -> None:
        """Killed: what was being appended may still get there."""
        self.alive = False
        rows = self.writer.rows
        if rows is not None and self.random.random() < 0.5:
            self.fired["a worker died before its append, which came later"] += 1
            self.outside(self.now + self.random.randrange(15_000) * MILLISECOND, lambda: self.store.land_unheard(rows))
        elif self.writer.writing is not None:
            self.fired["a worker died between an append and its answer"] += 1

    def stop(self) -> None:
        """As `Worker` does it: nothing new, a bounded time for handlers, then the shards are given back."""
        self.stopping = True
        self.put(StopWished())
        until = self.now + HANDLERS_MAY_TAKE_US

        def quiet() -> None:
            if not self.engine.quiet and self.now < until:
                self.after(20 * MILLISECOND, quiet)
                return
            self.ownership.close(clean=True)
            self._commit()
            self.fired["a worker stopped in order"] += 1
            self.die()

        self.after(20 * MILLISECOND, quiet)

    # Turns of the engine

    def _turn_by(self, at: Instant) -> None:
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self._installation.at(at, lambda: self._turn(at), process=self)

    def _turn(self, at: Instant) -> None:
        if self._turn_at != at:
            return  # An earlier one has taken its place.
        self._turn_at = None
        count = len(self._arrived)
        if count > 1 and self.random.random() < 0.5:
            count = self.random.randrange(1, count + 1)
        taken = [self._arrived.popleft() for _ in range(count)]
        self._note(taken)
        resuming = self.engine._resuming
        try:
            self.engine.work_off(taken, self.now)
        except InvariantBroken:
            raise
        except Exception as error:
            raise InvariantBroken(f"L4: the engine of {self.name} broke: {error!r}") from error
        self._note_prepared()
        self.fired["a suspect was resumed alone"] += resuming.alone is not None
        if self.engine.quiet and self.random.random() < 0.05:
            for run in self.engine.runs.values():
                shard = self.engine.shards.get(run.shard)
                if shard is not None:
                    self.judge.remembers(run, shard.epoch)
        due = self.engine.next_due()
        if self._arrived:
            self._turn_by(self.now + self.random.randrange(MILLISECOND))
        elif due is not None:
            self._turn_by(max(due, self.now + 1))

    def _note(self, taken: list[Inbound]) -> None:
        """Count the meetings that the story is about."""
        writing, prepared = self.engine._writing is not None, self.engine._prepared is not None
        for inbound in taken:
            match inbound:
                case Item() if writing and inbound.cause == "reply":
                    self.fired["a reply was heard while a batch was written"] += 1
                case Committed():
                    writing = False
                case AppendFailed() if prepared:
                    self.fired["a batch failed while another was prepared"] += 1
                case Lost() if writing and prepared:
                    self.fired["a shard was lost while a batch was written and another prepared"] += 1
                case Lost() if writing:
                    self.fired["a shard was lost while a batch was written"] += 1
                case Gained() if writing:
                    self.fired["a shard was gained while a batch was written"] += 1

    def _note_prepared(self) -> None:
        if self.engine._writing is not None and self.engine._prepared is not None:
            self.fired["another batch was prepared while one was written"] += 1
            self.fired["a start was handed on"] += bool(self.engine._prepared.handed_on)
        elif self.engine._writing is not None:
            self.fired["a start was handed on"] += bool(self.engine._writing.handed_on)

    # Leases

    def _give_up(self, shards: tuple[int, ...]) -> None:
        self.ownership.give_up(shards)
        self.after(self.random.randrange(50) * MILLISECOND, self._soon)

    def _soon(self) -> None:
        """A round out of its turn; one that finds the store away is repeated, as `Ownership._keep` does."""
        if not self._one_round() and self.ownership.alone:
            self.after(LEASE_MS * MILLISECOND // 3, self._soon)

    def _round(self) -> None:
        done = self._one_round()
        if not (self.ownership.alone and done):
            self.after(LEASE_MS * MILLISECOND // 3, self._round)

    def _one_round(self) -> bool:
        """Whether the store was there."""
        if self.stopping or self._in_round:
            return True
        self._in_round = True
        try:
            done = self.ownership.round()
        except Died:
            return True
        except InvariantBroken:
            raise
        except Exception as error:
            raise InvariantBroken(f"L4: the leases of {self.name} broke: {error!r}") from error
        finally:
            self._in_round = False
        if self.ownership._fenced:
            self.after(self.random.randrange(50) * MILLISECOND, self._soon)
        return done

    def _sleep(self, seconds: float) -> None:
        """The lease thread sleeps; everything else goes on meanwhile."""
        self._installation.go_on(until=max(self.now + round(seconds * SECOND), self.frozen_until))
        if not self.alive:
            raise Died

    def _broken(self, error: BaseException) -> None:
        raise InvariantBroken(f"L4: the leases of {self.name} broke: {error!r}") from error

    # Inbox and topic

    def _look(self) -> None:
        """As `Worker._look`: the store is asked for rows when it, or what is owned, has changed."""
        if self.stopping:
            return
        found: list[Waiting] = []
        try:
            moment = self.engine.inbox_moment
            latest = (self.store.change_mark(), moment, frozenset(self.engine.shards))
            if latest != self._mark:
                rows = [self.store.inbox(shard) for shard in list(self.engine.shards)]
                found = [Waiting(rows=each, moment=moment) for each in rows if each]
                self._mark = latest
        except StoreUnavailable:
            self._looked(found)
            return
        slow = self.random.random() < 0.4
        self.after(self.random.randrange(3 * SECOND) if slow else 0, lambda: self._looked(found))

    def _looked(self, found: list[Waiting]) -> None:
        """What was read comes to the engine, perhaps late."""
        for waiting in found:
            self.put(waiting)
        self.after(self.random.randrange(100, 1_500) * MILLISECOND, self._look)

    def _poll(self) -> None:
        if self.stopping:
            return
        self.after(self.random.randrange(50, 700) * MILLISECOND, self._poll)
        self.take_records()
        self._commit()

    def take_records(self) -> None:
        """What stands in the partitions that it reads, as far as a poll brings it."""
        for partition in self._installation.topic.partitions:
            if partition.reader is self and partition.position < len(partition.records):
                count = self.random.randrange(1, 4)
                taken = partition.records[partition.position : partition.position + count]
                partition.position += len(taken)
                self.put(Arrived(records=[each.record for each in taken]))

    def _commit(self) -> None:
        for (_, number), offset in self.consumed.items():
            partition = self._installation.topic.partitions[number]
            self.judge.accounted_for(number, offset)
            if partition.reader is self:
                partition.committed = max(partition.committed, offset)
        self.consumed.clear()
