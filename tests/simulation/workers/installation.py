"""Several workers on one store and one topic, in bad weather that ends: then everything must come to its end."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.plan import plan_of
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.ports.rows import DefinitionRow
from amends.coordinator.testing.clock import Clock
from amends.schemas.canonical import encode
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from tests.simulation.checker import InvariantBroken
from tests.simulation.random_definitions import random_saga
from tests.simulation.simulation import Faults
from tests.simulation.workers.closing import closed, lacking
from tests.simulation.workers.connection import Weather
from tests.simulation.workers.judge import Judge
from tests.simulation.workers.people import People
from tests.simulation.workers.process import LEASE_MS, Process
from tests.simulation.workers.senders import Senders
from tests.simulation.workers.topic import Partition, Topic
from tests.simulation.workers.troubles import Troubles, drawn
from tests.simulation.world import Verdict

EVENTS_MAX: Final = 60_000
STORM_US: Final = 40 * SECOND
"""How long the bad weather lasts."""

Happening = Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Installation:
    """Everything random comes from `random`, so a seed is a story."""

    random: Random
    saga: ClosedSaga
    faults: Faults
    clock: Clock
    store: MemoryStore
    topic: Topic
    weather: Weather
    judge: Judge
    people: People = field(init=False)
    senders: Senders = field(init=False)
    processes: list[Process] = field(default_factory=list)
    _heap: list[tuple[Instant, Instant, int, Happening, Process | None]] = field(default_factory=list)
    """By the instant at which it comes, then by that at which it was to come before its worker froze."""
    _numbers: "count[int]" = field(default_factory=count)
    _names: "count[int]" = field(default_factory=lambda: count(1))
    _events: int = 0
    _over: bool = False

    @classmethod
    def of(cls, random: Random, faults: Faults, troubles: Troubles | None = None) -> "Installation":
        """A saga, its store and topic, and one to three workers that have just begun."""
        form, clock = random_saga(random), Clock()
        saga, store = closed(form), MemoryStore(clock=clock)
        store.migrate(shards=random.choice((1, 2, 4)))
        row = DefinitionRow(
            hash=saga.hash, name=saga.name, version=saga.version, body=encode(saga.stored), stored_at=clock.now
        )
        store.put_definition(row)
        topic = Topic(form=form, random=random, partitions=[Partition() for _ in range(random.randrange(1, 4))])
        troubles = troubles or drawn(random)
        embedded = random.random() < 0.2
        weather = Weather(random=random, troubles=troubles, fired=Counter(), poison=troubles.poison, embedded=embedded)
        weather.fired["the store was one coordinator's"] += embedded
        judge = Judge(store=store, plan=plan_of(form), topic=topic, clock=clock)
        installation = cls(
            random=random,
            saga=saga,
            faults=faults,
            clock=clock,
            store=store,
            topic=topic,
            weather=weather,
            judge=judge,
        )
        people = installation.people = People(installation=installation)
        installation.senders = Senders(random=random, store=store)
        judge.parked = people.parked
        for _ in range(1 if embedded else random.choice((1, 2, 2, 3))):
            installation.begin()
        installation._plan()
        return installation

    def at(self, at: Instant, happening: Happening, *, process: Process | None = None) -> None:
        """Have this happen then."""
        at = max(at, self.clock.now)
        heapq.heappush(self._heap, (at, at, next(self._numbers), happening, process))

    def to_the_end(self) -> "Counter[str]":
        """Go on until everything has ended; how the runs ended."""
        while not (self.weather.calm and self.judge.over):
            self._next()
        self._over = True
        for process in self.processes:
            process.alive = False
        while self._heap:
            self._next()  # What is on its way to the participants gets there.
        self.judge.finish()
        self.weather.fired["a message was taken"] += len(self.judge.messages.taken)
        self.weather.fired["a message was given back"] += self.judge.messages.given_back
        self.weather.fired["an ended run was read back"] += sum(
            bool(judged.state.verifications) for judged in self.judge.runs.values()
        )
        return Counter(judged.state.status for judged in self.judge.runs.values())

    def answer(self, key: str, verdict: Verdict, path: str) -> None:
        """A participant answers for what is pending, unless nobody is there any more to hear it."""
        if not self._over:
            self.senders.answer(key, verdict, path, self.clock.now)

    def go_on(self, *, until: Instant) -> None:
        """Let everything happen that comes before an instant."""
        while self._heap and self._heap[0][0] <= until:
            self._next()
        self.clock.now = max(self.clock.now, until)

    def begin(self) -> None:
        """A worker more."""
        if self._over:
            return
        if self.weather.embedded and self.living:
            self.at(self.clock.now + SECOND, self.begin)  # The lock is taken.
            return
        saga = self.saga
        if self.weather.percent(self.weather.troubles.missing):
            saga = lacking(saga, self.random)
            self.weather.fired["a worker lacked handlers"] += 1
        self.processes.append(Process(self, f"worker-{next(self._names)}", saga, self.faults))
        self.at(self.clock.now + self.random.randrange(3_000) * MILLISECOND, self._share_out)

    @property
    def living(self) -> list[Process]:
        """The workers that have not died."""
        return [process for process in self.processes if process.alive]

    def _next(self) -> None:
        at, meant_for, number, happening, process = heapq.heappop(self._heap)
        if process is not None and not process.alive:
            return
        self.clock.now = max(self.clock.now, at)
        if process is not None and process.frozen_until > self.clock.now:
            heapq.heappush(self._heap, (process.frozen_until, meant_for, number, happening, process))
            return
        self._events += 1
        if self._events > EVENTS_MAX:
            statuses = Counter(judged.state.status for judged in self.judge.runs.values())
            raise InvariantBroken(f"L1: the story does not end: {dict(statuses)}, inbox {self.store._tables.inbox}")
        happening()

    # What is to happen

    def _plan(self) -> None:
        random, troubles = self.random, self.weather.troubles
        happenings: list[tuple[int, Happening]] = [
            (random.randrange(1, 12), self._publish),
            (troubles.away, self._store_away),
            (troubles.crashes, self._crash),
            (troubles.freezes, self._freeze),
            (troubles.stops, self._stop),
            (troubles.rebalances, self._rebalance),
            (troubles.wishes, self.people.interfere),
        ]
        for times, happening in happenings:
            for _ in range(times):
                self.at(self.clock.now + random.randrange(STORM_US * 3 // 4), happening)
        if Senders.are_needed(self.saga.form):
            for _ in range(random.choice((0, 10, 40))):
                at = self.clock.now + random.randrange(2 * STORM_US)
                self.at(at, lambda: self.senders.send(self.clock.now))
        self.at(self.clock.now + STORM_US, self._calm)

    def _publish(self) -> None:
        for _ in range(self.random.choice((1, 1, 1, 2, 6))):
            self.topic.publish()
        if self.random.random() < 0.8:  # Those who poll have them at once.
            for process in self.living:
                if not process.stopping and process.frozen_until <= self.clock.now:
                    process.take_records()

    def _store_away(self) -> None:
        seconds = self.random.choice((1, 1, 5, 15))
        self.weather.away_until = self.clock.now + self.random.randrange(seconds * SECOND)

    def _crash(self) -> None:
        if self.living:
            self.kill(self.random.choice(self.living))

    def kill(self, process: Process) -> None:
        """It dies where it stands; another one takes its place after a while."""
        process.die()
        self.weather.fired["a worker died"] += 1
        self.at(self.clock.now + self.random.randrange(8_000) * MILLISECOND, self.begin)

    def _freeze(self) -> None:
        if self.living:
            us = self.random.choice((SECOND, 5 * SECOND, 2 * LEASE_MS * MILLISECOND))
            process = self.random.choice(self.living)
            process.frozen_until = max(process.frozen_until, self.clock.now + us)
            self.weather.fired["a worker froze for longer than its lease"] += us > LEASE_MS * MILLISECOND

    def _stop(self) -> None:
        able = [process for process in self.living if not process.stopping]
        if able:
            self.random.choice(able).stop()
            self.at(self.clock.now + self.random.randrange(8_000) * MILLISECOND, self.begin)

    def _rebalance(self) -> None:
        self.weather.fired["partitions were given to other workers"] += 1
        self._share_out()

    def _share_out(self) -> None:
        readers = [process for process in self.living if not process.stopping]
        for partition in self.topic.partitions:
            if readers:
                partition.give_to(self.random.choice(readers))

    def _calm(self) -> None:
        self.weather.calm = True
        for process in self.living:
            if not process.whole and not process.stopping:
                process.stop()
        if not [process for process in self.living if not process.stopping]:
            self.begin()
        since = self.clock.now
        self._share_out_for_good()
        self._see_to_it(since)

    def _share_out_for_good(self) -> None:
        """Partitions of the dead find a reader."""
        if self._over:
            return
        readers = [process for process in self.living if not process.stopping]
        for partition in self.topic.partitions:
            if readers and partition.reader not in readers:
                partition.give_to(self.random.choice(readers))
        self.at(self.clock.now + 5 * SECOND, self._share_out_for_good)

    def _see_to_it(self, since: Instant) -> None:
        if self._over:
            return
        self.judge.moves(since)
        self.at(self.clock.now + 60 * SECOND, lambda: self._see_to_it(since))
