"""A batch is decided in rounds: what was decided is appended, in bounds, whatever becomes of the rest of its round."""

from typing import Final

import pytest

from amends import Saga, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.messages import Tick
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Batch, StoredEntry
from amends.coordinator.runtime.batching import BATCH_BYTES_MAX, DECISIONS_MAX
from amends.coordinator.runtime.inbound import Arrived, Inbound, Item
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND, instant_of
from amends.schemas.record import Record
from amends.testing import late
from tests.unit.runtime.sagas import Done, Order, order_saga, wish_to_start

DAY: Final = 24 * 3600 * SECOND
OF_NOBODY: Final = SagaId("nobody")


class Store(MemoryStore):
    """Notes how many entries each batch has, and is away for whoever asks for a run."""

    away = False

    def __init__(self, *, clock: Clock, shards: int = 1) -> None:
        super().__init__(clock=clock)
        self.batches: list[int] = []
        self.migrate(shards=shards)

    def append(self, batch: Batch) -> None:
        self.batches.append(sum(len(part.entries) for part in batch.appends))
        super().append(batch)
        assert all(self.run(duplicate.saga_id) for duplicate in batch.duplicates), "counted on a run"

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        if self.away:
            raise StoreUnavailable("AM0301", "the store is away", do="wait")
        return super().entries_of(saga_id, after=after, limit=limit)


def parallel_saga() -> Saga[Order]:
    """`left` beside `right`, so that a run hears of two replies at once."""
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.read
    async def left(trigger: Order) -> Done: ...  # type: ignore[empty-body]

    @saga.read
    async def right(trigger: Order) -> Done: ...  # type: ignore[empty-body]

    return saga


def records(*keys: str) -> Arrived:
    """One poll."""
    values = [f'{{"id": "{key}"}}'.encode() for key in keys]
    return Arrived(records=[Record(topic="orders", partition=0, offset=n, value=v) for n, v in enumerate(values)])


def replied(installation: World, runs: int) -> list[Inbound]:
    """What so many runs hear at once of their first steps, which take a second."""
    for number in range(runs):
        installation.publish({"id": f"A-{number}"})
    installation.run(until=installation.clock.now + SECOND // 2)
    installation.clock.now += SECOND
    installation.script.come_up()
    heard, installation.script.arrived = installation.script.arrived, []
    return heard


@pytest.mark.parametrize(
    ("saga", "names", "size_bytes", "runs", "batches"),
    [
        pytest.param(order_saga(), ("a",), 1, 150, [DECISIONS_MAX, 22], id="so many decisions, in one round"),
        pytest.param(
            parallel_saga(), ("left", "right"), 1, 70, [DECISIONS_MAX, 12], id="so many decisions, in several rounds"
        ),
        pytest.param(order_saga(), ("a",), BATCH_BYTES_MAX * 2 // 5, 5, [3, 2], id="so many bytes, in one round"),
        pytest.param(
            parallel_saga(), ("left", "right"), BATCH_BYTES_MAX * 3 // 5, 2, [2, 2], id="so many bytes, in two rounds"
        ),
    ],
)
def test_a_batch_of_replies_is_bounded(
    saga: Saga[Order], names: tuple[str, ...], size_bytes: int, runs: int, batches: list[int]
) -> None:
    clock = Clock()
    store = Store(clock=clock)
    installation = World(
        store, saga, clock=clock, replies=dict.fromkeys(names, late(Done(key="k" * size_bytes), after="1s"))
    )
    heard = replied(installation, runs)
    store.batches.clear()
    installation.engine.work_off(heard, clock.now)
    while installation._arrived:
        installation._turn()
    assert store.batches[: len(batches)] == batches


def test_what_was_decided_before_the_store_went_away_is_appended_and_the_rest_is_decided_when_it_is_back() -> None:
    clock = Clock()
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"a": late(Done(key="k"), after="1s")})
    first, second, third = replied(installation, 3)
    of_nobody = Item(saga_id=OF_NOBODY, message=Tick(), cause="timer", causation_id=None)
    store.away = True
    store.batches.clear()
    installation.engine.work_off([first, second, of_nobody, third], clock.now)
    assert store.batches == [2]
    store.away = False
    installation.run()
    assert [row.status for row in store.runs()] == ["completed"] * 3


def test_runs_that_begin_in_one_poll_are_spread_over_the_shards() -> None:
    clock = Clock()
    store = Store(clock=clock, shards=3)
    installation = World(store, order_saga(), clock=clock, replies={"a": late(Done(key="k"), after="1s")})
    for keys in (("A", "B", "C", "D"), ("E", "F")):
        installation._arrived.append(records(*keys))
        installation._turn()
    assert store.load() == {0: 2, 1: 2, 2: 2}


def test_a_request_that_is_repeated_in_the_poll_that_begins_its_run_is_counted_on_it() -> None:
    clock = Clock()
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock)
    other = Record(topic="orders", partition=0, offset=3, value=b'{"id": "A", "amount": 2}')
    installation._arrived.append(Arrived(records=[*records("A", "A", "B").records, other]))
    installation.run()
    a, b = sorted(store.runs(), key=lambda row: row.idempotency_key)
    assert [origin.offset for origin in a.origins] == [0, 1]
    assert [origin.offset for origin in b.origins] == [2]
    assert [(row.reason, row.saga_id) for row in store.dead_letters()] == [("conflict", a.saga_id)]


def unwritable(installation: World) -> None:
    """From now on no entry can be made of a decision: the environment gave the build bytes that are no text."""
    installation.engine._deciding.build = "\udcff"


def test_a_run_that_cannot_be_begun_is_a_dead_letter_and_what_repeats_its_request_counts_on_nothing() -> None:
    """That no entry can be made of a decision shows once the poll that repeats the request is looked through."""
    clock = Clock()
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock)
    installation.publish({"id": "before"})
    installation.run()
    unwritable(installation)
    before = Record(topic="orders", partition=0, offset=9, value=b'{"id": "before"}')
    installation._arrived.append(Arrived(records=[*records("A", "A", "B").records, before]))
    installation.run()
    (run,) = store.runs()
    assert [origin.offset for origin in run.origins] == [0, 9]
    assert [(row.offset, row.reason) for row in store.dead_letters()] == [(0, "invalid"), (2, "invalid")]
    assert installation.engine.idle


def test_a_run_that_cannot_be_decided_is_a_dead_letter_and_so_is_what_repeats_its_request() -> None:
    clock = Clock(now=instant_of("9999-12-31T00:00:00Z") + DAY)
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock)
    installation._arrived.append(records("A", "A"))
    installation._turn()
    assert store.runs() == []
    assert [(row.offset, row.reason) for row in store.dead_letters()] == [(0, "invalid"), (1, "invalid")]


def test_a_wish_for_a_run_that_cannot_be_begun_does_not_stay_in_the_inbox() -> None:
    clock = Clock()
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock)
    store.put_inbox([wish_to_start("A")])
    unwritable(installation)
    installation._turn()
    installation.take_inbox()
    installation.run()
    assert store.inbox(0) == []
    assert store.runs() == []


def test_a_run_of_whose_decision_no_entry_can_be_made_is_quarantined() -> None:
    clock = Clock()
    store = Store(clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"a": late(Done(key="k"), after="1s")})
    heard = replied(installation, 2)
    unwritable(installation)
    installation.engine.work_off(heard, clock.now)
    installation.run()
    assert [row.quarantined for row in store.runs()] == [True, True]
    assert installation.engine.idle
