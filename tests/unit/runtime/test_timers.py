"""Timers: what has lost its meaning is dropped now and then; what a run still waits for never is."""

from amends import Context, Saga, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.runtime.timers import TIDY_FROM
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND
from amends.testing import ok, times_out
from tests.unit.runtime.sagas import Done, Order, order_saga


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


def test_a_run_that_is_killed_while_a_question_is_put_off_leaves_the_memory() -> None:
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, unsafe="a test")
    async def a(ctx: Context, trigger: Order) -> Done: ...  # type: ignore[empty-body]

    @a.undo(verify="reply")
    async def undo_a(ctx: Context, done: Done | None = a.maybe) -> None: ...

    @a.verify
    async def is_done(done: Done = a.result) -> bool: ...  # type: ignore[empty-body]

    clock = Clock()
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    installation = World(store, saga, clock=clock, replies={"a": ok(Done(key="k")), "a.verify": ok(value=False)})
    installation.publish({"id": "1"})
    installation.run(until=clock.now)
    (run,) = installation.engine.runs.values()
    assert run.put_off, "else nothing was put off, and this proves nothing"
    body = wishes.write(wishes.Kill(actor="eva", saga_id=run.saga_id, reason="no"))
    store.put_inbox([InboxRow(shard=0, message_id="w-1", body=body)])
    installation.take_inbox()
    installation.run(until=clock.now)
    assert store.runs()[0].status == "killed"
    assert not run.put_off
    assert installation.engine.runs == {}
