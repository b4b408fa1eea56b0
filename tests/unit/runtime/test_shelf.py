"""Runs that sleep are kept as they are for a while, and never longer than they are ours, or bigger than the bound."""

from pydantic import BaseModel

from amends import Saga, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.ports.rows import StoredEntry
from amends.coordinator.runtime.inbound import Gained, Lost
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.shelf import Shelf
from amends.coordinator.sealing.keys import KEY_BYTES, Seal, SubjectKey
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import LEASE_MS, World
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND
from tests.unit.runtime.sagas import order_saga

_CLOSED = order_saga().close()
PLAN = Plan(form=_CLOSED.form, hash=_CLOSED.hash)


class Order(BaseModel):
    id: str


class Call(BaseModel):
    number: int


class CountingStore(MemoryStore):
    """Counts how often the log of a run is read."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.reads = 0

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        self.reads += 1
        return super().entries_of(saga_id, after=after, limit=limit)


def calls() -> Saga[Order]:
    """Waits for three calls, one after the other."""
    saga = Saga("calls", trigger=Topic("orders", Order, idempotency_key="id"), deadline="1d")
    first = saga.wait("first", Call, correlation=saga.trigger.id, timeout="1h")
    second = saga.wait("second", Call, correlation=saga.trigger.id, timeout="1h", after=first)
    saga.wait("third", Call, correlation=saga.trigger.id, timeout="1h", after=second)
    return saga


def waiting() -> tuple[CountingStore, World]:
    clock = Clock()
    store = CountingStore(clock)
    store.migrate(shards=1)
    place = World(store, calls(), clock=clock)
    place.publish({"id": "A"})
    place.run()
    return store, place


def call(place: World, number: int) -> None:
    place.send("Call", "A", Call(number=number))
    place.run()


def asleep(saga_id: str, *, size_bytes: int = 0, shard: int = 0, seal: Seal | None = None) -> Run:
    state = State(namespace="test", saga_id=SagaId(saga_id), saga="order", definition_version=1, definition_hash="")
    payloads = {Digest("sha256:x"): b"x" * size_bytes}
    return Run(saga_id=state.saga_id, shard=shard, plan=PLAN, state=state, payloads=payloads, seal=seal)


def test_messages_to_a_run_that_waits_do_not_read_its_log_again() -> None:
    store, place = waiting()
    reads = store.reads
    for number in range(3):
        call(place, number)
    assert [row.status for row in store.runs()] == ["completed"]
    assert store.reads == reads


def test_a_run_that_others_went_on_with_is_read_anew() -> None:
    store, place = waiting()
    place.engine.work_off([Lost(shards=(0,))], place.clock.now)
    others = World(store, calls(), clock=place.clock)
    call(others, 0)
    place.clock.now += 2 * LEASE_MS * MILLISECOND
    leases = store.claim("worker", "again", lease_ms=LEASE_MS, limit=1)
    place.engine.work_off([Gained(leases=leases)], place.clock.now)
    for number in (1, 2):
        call(place, number)
    assert [(row.status, row.version) for row in store.runs()] == [("completed", 4)]


def test_what_was_put_away_last_is_kept_longest_and_no_more_than_there_is_room_for() -> None:
    shelf = Shelf(room_bytes=25)
    for number in range(3):
        shelf.put(asleep(f"run-{number}", size_bytes=10))
    assert shelf.take(SagaId("run-0")) is None
    assert [run and run.saga_id for run in map(shelf.take, map(SagaId, ("run-1", "run-2")))] == ["run-1", "run-2"]
    assert shelf.room_bytes == 25


def test_a_run_too_large_for_the_shelf_is_not_kept() -> None:
    shelf = Shelf(room_bytes=25)
    shelf.put(asleep("large", size_bytes=26))
    assert shelf.take(SagaId("large")) is None
    assert shelf.room_bytes == 25


def test_a_run_is_taken_once() -> None:
    shelf = Shelf()
    run = asleep("run")
    shelf.put(run)
    assert shelf.take(run.saga_id) is run
    assert shelf.take(run.saga_id) is None


def test_runs_of_shards_that_are_not_ours_are_forgotten_and_no_others() -> None:
    shelf = Shelf()
    for shard in range(3):
        shelf.put(asleep(f"run-{shard}", shard=shard))
    shelf.forget({0, 2})
    assert [shelf.take(SagaId(f"run-{shard}")) is not None for shard in range(3)] == [False, True, False]


def test_a_sealed_run_is_not_kept_for_its_key_may_be_erased_meanwhile() -> None:
    shelf = Shelf()
    shelf.put(asleep("run", seal=Seal(SubjectKey("key", bytes(KEY_BYTES)))))
    assert shelf.take(SagaId("run")) is None
