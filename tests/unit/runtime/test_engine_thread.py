"""Whose turn it is: the engine's own thread's, or, where a turn is short, that of whoever brings a reply."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from amends.connectors.stores.clock import wall_clock
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.failures import StepUnavailable
from amends.coordinator.ports.rows import Batch
from amends.coordinator.ports.store import Kind
from amends.coordinator.runtime import engine_thread
from amends.coordinator.runtime.answers import raised, returned
from amends.coordinator.runtime.batching import OpenBatch
from amends.coordinator.runtime.engine import FEW_RUNS
from amends.coordinator.runtime.engine_thread import EngineThread
from amends.coordinator.runtime.inbound import Arrived, Committed
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.instants import SECOND
from amends.schemas.record import Record
from tests.servers.waiting import wait_until
from tests.unit.runtime.sagas import Done, order_saga

SOON_S: Final = 5.0
ENGINE: Final = "amends-engine"


class Store(MemoryStore):
    """Notes which thread appends, and may keep it waiting."""

    def __init__(self, *, kind: Kind = "memory") -> None:
        super().__init__(clock=wall_clock)
        self.kind = kind
        self.appended_by: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def append(self, batch: Batch) -> None:
        self.appended_by.append(threading.current_thread().name)
        assert self.may_go_on.wait(SOON_S), "the test lets it go on"
        super().append(batch)


class AtOnce:
    """A writer that appends where it is asked to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> Committed:
        del at_once
        self._store.append(rows)
        return Committed(batch=batch)


class Keeping:
    """Takes works and calls nobody."""

    behind = False

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.error: Exception | None = None

    def submit(self, works: list[Work]) -> None:
        self.works += works

    def stop(self, work: Work) -> bool:
        return False

    def look_after(self) -> None:
        if self.error is not None:
            raise self.error


class Turning:
    """An engine's thread that turns, on a store of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.migrate(shards=1)
        world = World(store, order_saga(), clock=Clock(now=wall_clock()))
        self.hands = Keeping()
        self.failures: list[BaseException] = []
        self.engine = world.engine
        self.engine.writer = AtOnce(store)
        self.engine.dispatch.hands, self.engine.dispatch.clock = self.hands, wall_clock
        self.thread = EngineThread(wall_clock, self.failures.append)
        for inbound in world._arrived:
            self.thread.leave(inbound)
        self.thread.begin(self.engine)

    def start(self, runs: int) -> list[Work]:
        """Have so many runs ask for their first step; the engine rests then."""
        values = [json.dumps({"id": f"A-{n}"}).encode() for n in range(runs)]
        records = [
            Record(topic="orders", partition=0, offset=offset, value=value) for offset, value in enumerate(values)
        ]
        self.thread.put(Arrived(records=records))
        self.wait_for(lambda: len(self.hands.works) == runs and not self.thread._turning.locked())
        return list(self.hands.works)

    def attend(self, *works: Work) -> None:
        """As a handlers' thread does that has called these."""
        for work in works:
            self.thread.leave(returned(work, Done(key="k")))
        self.thread.attend()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        wait_until(is_so, within_s=SOON_S, what="the engine has turned")


@pytest.fixture
def turning(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Store], Turning]]:
    monkeypatch.setattr(engine_thread, "LOOK_US", 600 * SECOND)  # It turns when it is told to, or by a timer.
    made: list[Turning] = []

    def make(store: Store) -> Turning:
        made.append(Turning(store))
        return made[-1]

    yield make
    for each in made:
        each.store.may_go_on.set()
        each.thread.close(timeout_s=SOON_S)


def test_a_short_turn_is_taken_by_whoever_brings_the_reply(turning: Callable[[Store], Turning]) -> None:
    at = turning(Store())
    (first,) = at.start(1)
    at.attend(first)
    assert at.store.appended_by == [ENGINE, "MainThread"]
    assert [work.attempt.path for work in at.hands.works] == ["a", "b"]


@pytest.mark.parametrize(
    ("runs", "kind"),
    [
        pytest.param(FEW_RUNS + 1, "sqlite", id="with many runs in flight"),
        pytest.param(1, "postgresql", id="on a store that a server may keep waiting"),
    ],
)
def test_a_turn_that_may_be_long_is_left_to_the_engines_own_thread(
    turning: Callable[[Store], Turning], runs: int, kind: Kind
) -> None:
    at = turning(Store(kind=kind))
    at.attend(*at.start(runs))
    at.wait_for(lambda: len(at.hands.works) == 2 * runs)
    assert set(at.store.appended_by) == {ENGINE}


def test_a_turn_is_taken_by_one_thread_at_a_time(turning: Callable[[Store], Turning]) -> None:
    at = turning(Store())
    first, second = at.start(2)
    at.store.may_go_on.clear()
    other = threading.Thread(target=at.attend, args=[first], name="other")
    other.start()
    at.wait_for(lambda: at.store.appended_by[-1] == "other")
    at.attend(second)
    assert at.store.appended_by[-1] == "other"
    at.store.may_go_on.set()
    other.join(SOON_S)
    at.wait_for(lambda: len(at.hands.works) == 4)
    assert at.store.appended_by[-2:] == ["other", ENGINE]


def test_what_a_turn_makes_due_comes_up_in_time_whoever_took_it(turning: Callable[[Store], Turning]) -> None:
    """The engine's thread waits for what was due before; it is told of anything earlier."""
    at = turning(Store())
    (first,) = at.start(1)
    at.thread.leave(raised(first, StepUnavailable("not now", retry_after=0.05)))
    at.thread.attend()
    assert at.store.appended_by == [ENGINE, "MainThread"]
    at.wait_for(lambda: len(at.hands.works) == 2)
    assert [(work.attempt.path, work.attempt.number) for work in at.hands.works] == [("a", 1), ("a", 2)]


def test_nobody_takes_a_turn_once_the_engine_is_closed(turning: Callable[[Store], Turning]) -> None:
    at = turning(Store())
    (first,) = at.start(1)
    at.thread.close(timeout_s=SOON_S)
    at.attend(first)
    assert at.store.appended_by == [ENGINE]


def test_the_engine_is_not_closed_before_a_turn_that_somebody_takes_is_over(
    turning: Callable[[Store], Turning],
) -> None:
    at = turning(Store())
    (first,) = at.start(1)
    at.store.may_go_on.clear()
    other = threading.Thread(target=at.attend, args=[first], name="other")
    other.start()
    at.wait_for(lambda: at.store.appended_by[-1] == "other")
    closing = threading.Thread(target=at.thread.close, kwargs={"timeout_s": SOON_S})
    closing.start()
    at.wait_for(at.thread._closing.is_set)
    assert closing.is_alive()
    at.store.may_go_on.set()
    closing.join(SOON_S)
    assert not closing.is_alive()
    assert [work.attempt.path for work in at.hands.works] == ["a", "b"]


def test_what_a_turn_leaves_because_it_is_too_much_for_one_is_taken_by_the_next(
    turning: Callable[[Store], Turning], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_thread, "TAKE_MAX", 1)
    at = turning(Store())
    works = at.start(2)
    monkeypatch.setattr(
        engine_thread, "LOOK_US", SECOND
    )  # Nothing is due so soon; for longer the thread waits already.
    at.attend(*works)
    assert at.store.appended_by[-1] == "MainThread"
    at.wait_for(lambda: len(at.hands.works) == 4)


def test_an_engine_that_breaks_in_somebody_elses_turn_says_so_once_and_turns_no_more(
    turning: Callable[[Store], Turning],
) -> None:
    at = turning(Store())
    first, second = at.start(2)
    at.hands.error = error = RuntimeError("a fault of ours")
    at.attend(first)
    at.attend(second)
    assert at.failures == [error]
    assert at.store.appended_by == [ENGINE, "MainThread"]
