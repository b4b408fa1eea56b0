"""The engine beside a store that is slow or away: nothing is begun twice, and nothing that was taken is lost."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from amends import Context, Saga, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import Fenced, RunExists, StoreUnavailable
from amends.coordinator.ports.rows import Batch, InboxRow, StoredEntry
from amends.coordinator.runtime.answers import returned
from amends.coordinator.runtime.batching import OpenBatch
from amends.coordinator.runtime.inbound import AppendFailed, Committed, Gained, Lost, StopWished, Waiting, Yielding
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.chain import next_head
from amends.schemas.entry import decode
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND, text_of
from amends.testing import fails, late, ok, times_out
from tests.unit.runtime.sagas import Done, Order, order_saga, wish_to_start

DONE = ok(Done(key="k"))


class Store(MemoryStore):
    """Away for as long as `away` says."""

    away = False

    def runs_by_id(self, saga_ids: Any) -> Any:
        self._ask()
        return super().runs_by_id(saga_ids)

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        self._ask()
        return super().entries_of(saga_id, after=after, limit=limit)

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        self._ask()
        return super().open_entries(shard)

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable("AM4001", "the store is away", do="wait")


class Slow:
    """A writer whose commits are told of when the test says so, or fail for `error`."""

    error: Exception | None = None

    def __init__(self, installation: World) -> None:
        self._world = installation
        self._written: list[OpenBatch] = []

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> None:
        del at_once
        if self.error is None:
            self._world.store.append(rows)
        self._written.append(batch)

    def tell(self) -> None:
        """Let the engine know of what is committed, or failed."""
        error, self.error = self.error, None
        self._world._arrived += [
            Committed(batch=batch) if error is None else AppendFailed(batch=batch, error=error)
            for batch in self._written
        ]
        self._written.clear()
        self._world._turn()


def installed(saga: Saga[Order], **replies: Reply | list[Reply]) -> tuple[World, Store]:
    clock = Clock()
    store = Store(clock=clock)
    store.migrate(shards=1)
    return World(store, saga, clock=clock, replies=replies), store


def parallel_saga() -> Saga[Order]:
    """`left` beside `right`; nothing can be said of either that is in doubt."""
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(unsafe="a test")
    async def left(ctx: Context, trigger: Order) -> Done: ...  # type: ignore[empty-body]

    @left.undo(verify="reply")
    async def undo_left(ctx: Context, done: Done | None = left.maybe) -> None: ...

    @saga.action(unsafe="a test")
    async def right(ctx: Context, trigger: Order) -> Done: ...  # type: ignore[empty-body]

    @right.undo(verify="reply")
    async def undo_right(ctx: Context, done: Done | None = right.maybe) -> None: ...

    return saga


def cancel(installation: World, message_id: str = "w-1") -> InboxRow:
    """A wish to cancel the one run, left in the inbox."""
    (row,) = installation.store.runs()
    body = wishes.write(wishes.Cancel(actor="eva", saga_id=row.saga_id, reason="no"))
    wish = InboxRow(shard=row.shard, message_id=message_id, body=body)
    installation.store.put_inbox([wish])
    return wish


def test_a_reply_that_is_heard_while_a_batch_is_written_does_not_begin_its_step_again() -> None:
    answer = Done(key="k")
    installation, store = installed(parallel_saga(), left=late(answer, after="1s"), right=late(answer, after="2s"))
    slow = installation.engine.writer = Slow(installation)
    installation.publish({"id": "A-1"})
    installation._turn()
    slow.tell()
    for _ in range(2):  # The first reply is being written when the second one comes.
        installation.clock.now += SECOND
        installation._turn()
    slow.tell()
    assert [name for name, _ in installation.script.calls] == ["left", "right"]
    slow.tell()
    assert store.runs()[0].status == "completed"


def test_a_step_whose_reply_is_in_a_batch_that_was_taken_back_does_not_begin_again() -> None:
    answer = Done(key="k")
    installation, store = installed(parallel_saga(), left=late(answer, after="1s"), right=late(answer, after="1s"))
    slow = installation.engine.writer = Slow(installation)
    installation.publish({"id": "A-1"})
    installation._turn()
    slow.tell()
    slow.error = RunExists([])
    installation.publish({"id": "A-2"})
    installation._turn()
    installation.clock.now += SECOND
    installation.script.come_up()
    left, right = installation.script.arrived
    installation.script.arrived.clear()
    body = wishes.write(wishes.Kill(actor="eva", saga_id=SagaId("another run"), reason="no"))
    between = Waiting(rows=[InboxRow(shard=0, message_id="w-1", body=body)])
    installation.engine.work_off([left, between, right], installation.clock.now)  # They are one batch.
    store.away = True
    slow.tell()  # It is taken back with the one before it, and now only the first of them can be decided.
    slow.tell()
    assert [name for name, _ in installation.script.calls] == ["left", "right"]


def test_a_batch_that_was_taken_back_leaves_no_trace_in_the_head_of_its_shard() -> None:
    installation, store = installed(order_saga())
    slow = installation.engine.writer = Slow(installation)
    slow.error = RunExists([])
    installation.publish({"id": "A-1"})
    installation._turn()
    for _ in range(12):
        slow.tell()
    assert store.runs()[0].status == "completed"
    head = ""
    for entry in store.entries_from(0, after=0, limit=100):
        head = next_head(head, decode(entry.data).hash)
    assert store.shards()[0].head == head


def test_a_step_committed_before_its_shard_went_and_came_back_does_not_begin_beside_its_successor() -> None:
    installation, store = installed(order_saga(), a=times_out())
    slow = installation.engine.writer = Slow(installation)
    installation.publish({"id": "A-1"})
    installation._turn()
    (shard,) = store.shards()
    assert shard.owner is not None
    store.release("worker", shard.owner, [0], clean=False)
    leases = store.claim("worker", "again", lease_ms=10_000, limit=1)
    installation._arrived += [Lost(shards=[0]), Gained(leases=leases)]
    installation._turn()
    for _ in range(2):  # Now it hears of the first commit, and then of its own.
        slow.tell()
    assert [name for name, _ in installation.script.calls] == ["a"]


def test_a_shard_that_is_being_given_back_begins_nothing_more() -> None:
    installation, store = installed(order_saga(), a=late(Done(key="k"), after="1s"))
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now)
    installation._arrived.append(Yielding(shards=[0]))
    installation.run(until=installation.clock.now + 2 * SECOND)
    assert [name for name, _ in installation.script.calls] == ["a"]
    (shard,) = store.shards()
    assert shard.owner is not None
    store.release("worker", shard.owner, [0], clean=True)
    leases = store.claim("worker", "again", lease_ms=10_000, limit=1)
    installation._arrived += [Lost(shards=[0]), Gained(leases=leases)]
    installation.run()
    assert [name for name, _ in installation.script.calls] == ["a", "b", "c"]


def test_a_worker_that_stops_begins_nothing_more() -> None:
    installation, _ = installed(order_saga(), a=late(Done(key="k"), after="1s"))
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now)
    installation._arrived.append(StopWished())
    installation.run(until=installation.clock.now + 2 * SECOND)
    assert [name for name, _ in installation.script.calls] == ["a"]


def test_a_worker_whose_shards_have_gone_is_idle_whatever_still_runs_for_them() -> None:
    installation, _ = installed(order_saga(), a=late(Done(key="k"), after="1s"))
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now)
    assert not installation.engine.idle
    installation._arrived.append(Lost(shards=[0]))
    installation._turn()
    assert installation.engine.idle


def test_a_worker_is_idle_though_what_a_killed_run_had_begun_never_returns() -> None:
    installation, store = installed(parallel_saga(), left=late(Done(key="k"), after="10h"))
    installation.publish({"id": "A-1"})
    installation._turn()
    installation._turn()
    body = wishes.write(wishes.Kill(actor="eva", saga_id=store.runs()[0].saga_id, reason="no"))
    store.put_inbox([InboxRow(shard=0, message_id="w-1", body=body)])
    installation.take_inbox()
    for _ in range(3):
        installation._turn()
    assert store.runs()[0].status == "killed"
    assert (installation.engine.idle, installation.engine.quiet) == (True, False)


def test_a_worker_without_a_shard_hands_a_record_on_for_each_saga_that_takes_it() -> None:
    clock = Clock()
    store = Store(clock=clock)
    store.migrate(shards=1)
    invoice = Saga("invoice", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @invoice.read
    async def look(ctx: Context) -> None: ...

    installation = World(store, order_saga(), invoice, clock=clock)
    installation._turn()
    (shard,) = store.shards()
    assert shard.owner is not None
    installation._arrived.append(Lost(shards=[0]))
    installation.publish({"id": "A-1"})
    installation._turn()
    store.release("worker", shard.owner, [0], clean=True)
    leases = store.claim("worker", "again", lease_ms=10_000, limit=1)
    installation._arrived.append(Gained(leases=leases))
    installation._turn()
    installation.take_inbox()
    installation.run()
    assert sorted((row.saga, row.status) for row in store.runs()) == [("invoice", "completed"), ("order", "completed")]


def test_a_clock_that_is_turned_back_turns_no_run_back() -> None:
    installation, store = installed(order_saga(), a=late(Done(key="k"), after="1s"))
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now)
    began, installation.clock.now = installation.clock.now, installation.clock.now - 3_600 * SECOND
    work, _ = installation.script._later.pop()[2:]
    installation.offer(returned(work, Done(key="k")))
    installation._turn()
    entries = [decode(entry.data) for entry in store.entries_of(store.runs()[0].saga_id)]
    assert len(entries) > 1
    assert {entry.at for entry in entries} == {text_of(began)}


def test_while_a_suspect_is_alone_nothing_is_started_but_that_lasts_seconds_only() -> None:
    installation, store = installed(order_saga(), a=[times_out(), times_out(), times_out(), DONE])
    installation.publish({"id": "A-1"})
    for _ in range(2):
        for _ in range(3):
            installation._turn()
        installation.crash()
    installation.publish({"id": "A-2"})
    installation.run(until=installation.clock.now + SECOND)
    assert [row.idempotency_key for row in store.runs()] == ["A-1"]
    installation.run(until=installation.clock.now + 2 * SECOND)
    assert {row.idempotency_key for row in store.runs()} == {"A-1", "A-2"}
    installation.run()
    assert {row.idempotency_key: row.status for row in store.runs()} == {"A-1": "completed", "A-2": "completed"}


def test_a_wish_to_start_is_not_lost_while_the_store_is_away() -> None:
    installation, store = installed(order_saga())
    store.put_inbox([wish_to_start("A-1")])
    installation._turn()
    installation.take_inbox()
    store.away = True
    installation._turn()
    store.away = False
    installation.run(until=installation.clock.now + SECOND)
    assert [row.status for row in store.runs()] == ["completed"]


def test_what_waits_behind_a_suspect_is_not_lost_while_the_store_is_away() -> None:
    installation, store = installed(order_saga(), a=times_out())
    installation.publish({"id": "A-1"})
    for _ in range(3):
        installation._turn()
    installation.crash()
    for _ in range(3):
        installation._turn()
    installation.crash()
    installation._turn()
    assert installation.engine._resuming.alone == store.runs()[0].saga_id
    other = SagaId("another run")
    body = wishes.write(wishes.Cancel(actor="eva", saga_id=other, reason="no"))
    wish = InboxRow(shard=0, message_id="w-0", body=body)
    store.put_inbox([wish])
    cancelled = cancel(installation)
    installation.engine.runs.clear()  # It is read anew, which the store prevents.
    store.away = True
    installation.engine.work_off([Waiting(rows=[wish, cancelled])], installation.clock.now)
    assert [item.inbox_id for item in installation.engine._deciding.messages] == ["w-0", "w-1"]


def test_a_wish_that_came_when_its_shard_had_gone_is_heard_when_the_shard_is_back() -> None:
    installation, store = installed(order_saga(), a=times_out())
    installation.publish({"id": "A-1"})
    for _ in range(3):
        installation._turn()
    wish = cancel(installation)
    engine, now = installation.engine, installation.clock.now
    engine.work_off([Lost(shards=[0])], now)
    engine.work_off([Waiting(rows=[wish])], now)
    (shard,) = store.shards()
    assert shard.owner is not None
    store.release("worker", shard.owner, [0], clean=True)
    installation._arrived.append(Gained(leases=store.claim("worker", "again", lease_ms=10_000, limit=1)))
    installation._turn()
    installation.take_inbox()
    installation.run()
    assert store.inbox(0) == []
    assert store.runs()[0].cause == "cancelled"


def parked(undo_calls: int) -> tuple[World, Store, InboxRow]:
    """A run whose undo of `a` is down so many times, and a person's wish to try it again."""
    installation, store = installed(order_saga(idempotent=False), c=fails())
    installation.script.replies["a.undo"] = deque([*[fails("down")] * undo_calls, ok()])
    installation.publish({"id": "A-1"})
    installation.run()
    (row,) = store.runs()
    assert row.status == "parked"
    body = wishes.write(
        wishes.Resolve(actor="eva", saga_id=row.saga_id, step="a", resolution="retry", reason="it is up", evidence=None)
    )
    wish = InboxRow(shard=row.shard, message_id="w-1", body=body)
    store.put_inbox([wish])
    return installation, store, wish


def undone(installation: World) -> int:
    """How often the undo of `a` was called."""
    return sum(name == "a.undo" for name, _ in installation.script.calls)


def test_a_decision_is_taken_once_though_it_was_read_again_before_it_was_deleted() -> None:
    installation, store, wish = parked(undo_calls=2)
    late_reading = Waiting(rows=[wish], moment=installation.engine.inbox_moment)
    installation.take_inbox()
    installation.run()
    assert (store.runs()[0].status, undone(installation)) == ("parked", 2)
    installation._arrived.append(late_reading)
    installation.run()
    assert (store.runs()[0].status, undone(installation)) == ("parked", 2)


def test_a_decision_is_taken_once_though_nobody_could_find_out_whether_it_was_committed() -> None:
    installation, store, _ = parked(undo_calls=3)
    slow = installation.engine.writer = Slow(installation)
    installation.take_inbox()
    installation._turn()  # It is committed now, and the store cannot say so: fenced is the safe answer.
    (shard,) = store.shards()
    assert shard.owner is not None
    store.release("worker", shard.owner, [0], clean=False)
    leases = store.claim("worker", "again", lease_ms=10_000, limit=1)
    failed = AppendFailed(batch=slow._written.pop(), error=Fenced([0]))
    store.away = True
    installation.engine.work_off([failed], installation.clock.now)  # What is offered again waits for the store.
    store.away = False
    installation.engine.work_off([Gained(leases=leases)], installation.clock.now)
    for _ in range(8):
        installation.clock.now += SECOND
        installation._turn()
        slow.tell()
        installation.take_inbox()
    taken = [entry for entry in store.entries_of(store.runs()[0].saga_id) if b'"w-1"' in entry.data]
    assert len(taken) == 1


def test_an_inbox_row_that_cannot_be_read_stays_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    installation, store = installed(order_saga(), a=times_out())
    installation.publish({"id": "A-1"})
    for _ in range(3):
        installation._turn()
    store.put_inbox([InboxRow(shard=0, message_id="w-0", body=b'{"wish": "of a newer version"}')])
    cancel(installation)
    installation.take_inbox()
    installation.run()
    assert [row.message_id for row in store.inbox(0)] == ["w-0"]
    assert store.runs()[0].cause == "cancelled"
    assert [record.msg for record in caplog.records if record.name == "amends.inbox"] == ["inbox_row_unreadable"]


def test_a_shard_whose_runs_cannot_be_read_is_leased_anew() -> None:
    installation, store = installed(order_saga())
    asked: list[tuple[int, ...]] = []
    installation.engine.fenced = asked.append
    installation.publish({"id": "A-1"})
    store.away = True
    installation._turn()
    assert asked == [(0,)]
    assert installation.engine.shards == {}


def test_a_run_of_several_pages_is_folded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amends.coordinator.runtime.loading.PAGE", 2)
    installation, store = installed(order_saga(), c=fails())
    installation.script.replies["a.undo"] = deque([fails("down"), ok()])
    installation.publish({"id": "A-1"})
    installation.run()
    (row,) = store.runs()
    assert (row.status, row.version > 4) == ("parked", True)
    body = wishes.write(
        wishes.Resolve(
            actor="eva", saga_id=row.saga_id, step="a", resolution="retry", reason="it is up again", evidence=None
        )
    )
    store.put_inbox([InboxRow(shard=0, message_id="w-1", body=body)])
    installation.take_inbox()
    installation.run()
    assert store.runs()[0].status == "compensated"
