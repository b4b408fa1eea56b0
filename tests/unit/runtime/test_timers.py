"""Timers: what has lost its meaning is dropped now and then; what a run still waits for never is."""

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.runtime.timers import TIDY_FROM
from amends.coordinator.testing.world import Clock, World
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND
from amends.testing import times_out
from tests.unit.runtime.sagas import order_saga


def test_a_look_that_was_put_off_is_kept_when_the_heap_is_tidied() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    installation = World(store, order_saga(), clock=clock, replies={"a": times_out()})
    installation.publish({"id": "1"})
    installation.run(until=clock.now)
    engine = installation.engine
    (run,) = engine.runs.values()
    assert run.due is not None
    engine.timers.set(again_at := run.due + SECOND, "due", run.saga_id)
    for number in range(TIDY_FROM):
        engine.timers.set(clock.now + SECOND * number + 1, "due", SagaId(f"over-{number}"))
    engine.work_off([], clock.now)
    assert len(engine.timers) < TIDY_FROM, "else nothing was tidied, and this proves nothing"
    assert again_at in {timer.due for timer in engine.timers.come_up(again_at)}
