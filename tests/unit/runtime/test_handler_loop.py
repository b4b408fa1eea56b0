"""What is handed to a loop of handlers, and is not wanted any more before its turn comes."""

from amends import Context, Saga, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.messages import Failed, Replied
from amends.coordinator.runtime.handler_loop import HandlerLoop
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from tests.servers.waiting import wait_until
from tests.unit.runtime.sagas import Order


class Keeping:
    """Takes works and calls nobody."""

    behind = False

    def __init__(self) -> None:
        self.works: list[Work] = []

    def submit(self, works: list[Work]) -> None:
        self.works += works

    def stop(self, work: Work) -> bool:
        return False

    def look_after(self) -> None: ...


class Heard:
    """Where replies go."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def put(self, item: Item) -> None:
        self.items.append(item)

    def leave(self, item: Item) -> None:
        self.items.append(item)

    def ring(self) -> None: ...

    def attend(self) -> None: ...


def test_a_handler_that_is_told_to_stop_before_its_turn_is_not_called() -> None:
    called: list[str] = []
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True)
    async def a(ctx: Context, trigger: Order) -> None:
        called.append(trigger.id)

    @a.undo(verify="reply")
    async def undo_a(ctx: Context) -> None: ...

    clock = Clock()
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    installation = World(store, saga, clock=clock)
    installation.engine.dispatch.hands = keeping = Keeping()
    for order in ("A-1", "A-2"):
        installation.publish({"id": order})
    for _ in range(3):
        installation._turn()
    lost, wanted = keeping.works
    lost.stopping = "another worker owns the run"
    heard = Heard()
    loop = HandlerLoop(heard, name="handlers of a test")
    try:
        loop.submit([lost, wanted])
        wait_until(lambda: len(heard.items) == 2, within_s=5, what="both are answered")
    finally:
        loop.close(timeout_s=5)
    assert called == ["A-2"]
    (told,) = (item.message for item in heard.items if item.saga_id == lost.saga_id)
    assert isinstance(told, Replied)
    assert isinstance(told.answer, Failed)
    assert (told.answer.kind, told.answer.retriable) == ("withdrawn", True)
