"""Runs that lock what their triggers name, on every store: who waits, who begins, and what crashes leave of it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.locking import VALUE_CHARACTERS_MAX, keys_of
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply, fails, late, ok
from amends.coordinator.testing.world import World
from amends.schemas import events as e
from amends.schemas import wishes
from amends.schemas.entry import Entry, decode
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.instants import SECOND, instant_of
from tests.unit.runtime.sagas import Done


class Order(BaseModel):
    """A trigger."""

    id: str
    order: str
    customer: int | None = None


LOCKS: Final = {"order": "order", "customer": "customer"}


def locking(name: str = "order", *, topic: str = "orders", locks: dict[str, str] | None = LOCKS, **options: Any) -> Any:
    """Two steps with undos, under a lock for the order and one for the customer, if there is one."""
    saga = Saga(name, trigger=Topic(topic, Order, idempotency_key="id"), locks=locks, **options)

    @saga.action(idempotent=True)
    async def charge(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @charge.undo(verify="reply")
    async def give_back(ctx: Context, done: Done | None = charge.maybe) -> None: ...

    @saga.action(idempotent=True, after=charge)
    async def ship(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @ship.undo(verify="reply")
    async def take_back(ctx: Context, done: Done | None = ship.maybe) -> None: ...

    return saga


def installed(store: Store, *sagas: Any, **replies: Reply | Sequence[Reply]) -> World:
    return World(store, *(sagas or (locking(),)), clock=Clock(), replies=replies)


def id_of(key: str, saga: str = "order") -> SagaId:
    return saga_id_of(namespace="test", saga=saga, idempotency_key=key)


def publish(installation: World, key: str, order: str = "A-1", *, topic: str | None = None, **more: Any) -> None:
    installation.publish({"id": key, "order": order, **more}, topic=topic)


def statuses(store: Store) -> dict[str, str]:
    return {row.idempotency_key: row.status for row in store.runs()}


def entries(store: Store, key: str, saga: str = "order") -> list[Entry]:
    return [decode(stored.data) for stored in store.entries_of(id_of(key, saga))]


def events(store: Store, key: str) -> list[e.Event]:
    return [event for entry in entries(store, key) for event in entry.events]


def wish(installation: World, key: str, wish: wishes.Wish) -> None:
    row = installation.store.run(id_of(key))
    assert row is not None
    message_id = f"wish-{key}-{row.version}"
    installation.store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
    installation.take_inbox()
    installation.run()


def seconds(installation: World, count: float) -> None:
    installation.run(until=installation.clock.now + int(count * SECOND))


def assert_alone(store: Store) -> None:
    """No run began before it had its locks, and no two had the same one at the same time."""
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for row in store.runs():
        taken, keys = _taken(entries(store, row.idempotency_key, row.saga))
        if taken is not None:
            end = row.ended_at if row.ended_at is not None else 2**62
            for key in keys:
                spans.setdefault(key, []).append((taken, end, row.idempotency_key))
    for key, found in spans.items():
        for (_, end, one), (begin, _, other) in pairwise(sorted(found)):
            assert end <= begin, f"{one} and {other} both held {key}"


def _taken(history: Sequence[Entry]) -> tuple[int | None, tuple[str, ...]]:
    """When a run took its locks, and which."""
    keys: tuple[str, ...] = ()
    taken = None
    for at, event in ((entry.at, event) for entry in history for event in entry.events):
        if isinstance(event, e.LocksRequested):
            keys = event.keys
        elif isinstance(event, e.LocksTaken):
            taken = instant_of(at)
            assert event.keys == keys
        elif isinstance(event, e.StepRequested):
            assert not keys or taken is not None, f"{history[0].saga_id} began before its locks"
    return taken, keys


SLOW: Final = late(Done(key="c"), after="5s")


def test_a_run_whose_locks_are_free_takes_them_and_gives_them_back_with_its_end(store: Store) -> None:
    installation = installed(store)
    publish(installation, "R-1", customer=7)
    installation.run()
    assert statuses(store) == {"R-1": "completed"}
    keys = ("customer:7", "order:A-1")
    assert events(store, "R-1")[1:3] == [e.LocksRequested(keys=keys), e.LocksTaken(keys=keys)]
    assert (store.locks(), [row for shard in store.shards() for row in store.inbox(shard.shard)]) == ([], [])


def test_a_run_without_a_value_to_lock_by_begins_at_once(store: Store) -> None:
    installation = installed(store, locking(locks={"customer": "customer"}))
    publish(installation, "R-1")
    installation.run()
    assert not [event for event in events(store, "R-1") if isinstance(event, e.LocksRequested | e.LocksTaken)]
    assert len(entries(store, "R-1")) == 3


def test_another_run_of_the_same_order_is_queued_until_the_first_has_ended(store: Store) -> None:
    installation = installed(store, charge=SLOW)
    for key in ("R-1", "R-2", "R-3"):
        publish(installation, key)
    publish(installation, "R-4", "A-2")
    seconds(installation, 2)
    assert statuses(store) == {"R-1": "running", "R-2": "queued", "R-3": "queued", "R-4": "running"}
    installation.run()
    assert set(statuses(store).values()) == {"completed"}
    ended = {row.idempotency_key: row.ended_at or 0 for row in store.runs()}
    assert ended["R-1"] < ended["R-2"] < ended["R-3"]
    assert_alone(store)


def test_a_queued_run_takes_no_memory(store: Store) -> None:
    installation = installed(store, charge=late(Done(key="c"), after="5s"))
    for key in ("R-1", "R-2", "R-3"):
        publish(installation, key)
    seconds(installation, 1)
    assert set(installation.engine.runs) == {id_of("R-1")}
    installation.run()
    assert set(statuses(store).values()) == {"completed"}


def test_a_duplicate_of_a_queued_run_is_counted_on_it(store: Store) -> None:
    installation = installed(store, charge=SLOW)
    for key in ("R-1", "R-2", "R-2"):
        publish(installation, key)
    seconds(installation, 2)
    row = store.run(id_of("R-2"))
    assert row is not None
    assert (row.status, row.duplicates) == ("queued", 1)


def test_sagas_share_a_lock_by_its_name(store: Store) -> None:
    refunds = locking("refund", topic="refunds")
    installation = installed(store, locking(), refunds, charge=SLOW)
    publish(installation, "R-1", topic="orders")
    publish(installation, "R-2", topic="refunds")
    seconds(installation, 2)
    assert statuses(store) == {"R-1": "running", "R-2": "queued"}
    installation.run()
    assert statuses(store) == {"R-1": "completed", "R-2": "completed"}
    assert_alone(store)


@pytest.mark.parametrize(
    ("made", "status"),
    [
        pytest.param(wishes.Cancel(actor="kim", saga_id=id_of("R-2"), reason="twice"), "compensated", id="cancelled"),
        pytest.param(wishes.Kill(actor="kim", saga_id=id_of("R-2"), reason="twice"), "killed", id="killed"),
    ],
)
def test_a_queued_run_that_is_stopped_has_done_nothing_and_lets_those_behind_it_pass(
    store: Store, made: wishes.Wish, status: str
) -> None:
    installation = installed(store, charge=SLOW)
    for key in ("R-1", "R-2", "R-3"):
        publish(installation, key)
    seconds(installation, 1)
    wish(installation, "R-2", made)
    assert statuses(store) == {"R-1": "completed", "R-2": status, "R-3": "completed"}
    assert not [event for event in events(store, "R-2") if isinstance(event, e.StepRequested | e.LocksTaken)]
    assert store.locks() == []


def test_the_deadline_counts_while_a_run_is_queued(store: Store) -> None:
    installation = installed(store, locking(deadline="8s"), charge=SLOW)
    for key in ("R-1", "R-2", "R-3"):
        publish(installation, key)
    installation.run()
    rows = {row.idempotency_key: (row.status, row.cause) for row in store.runs()}
    assert rows == {"R-1": ("completed", None), "R-2": ("compensated", "deadline"), "R-3": ("compensated", "deadline")}
    assert [event for event in events(store, "R-3") if isinstance(event, e.StepRequested)] == []
    assert_alone(store)


@pytest.fixture
def parked(store: Store) -> World:
    """R-1 is parked in its undo, R-2 waits for its lock."""
    installation = installed(store, ship=[fails("no truck"), ok(Done(key="s"))], **{"charge.undo": fails("closed")})
    publish(installation, "R-1")
    publish(installation, "R-2")
    installation.run()
    assert statuses(store) == {"R-1": "parked", "R-2": "queued"}
    return installation


def test_a_parked_run_keeps_its_locks(store: Store, parked: World) -> None:
    parked.clock.now += 1_000 * SECOND
    parked.run(until=parked.clock.now)
    assert [(row.saga_id, row.held_since is not None) for row in store.locks()] == [
        (id_of("R-1"), True),
        (id_of("R-2"), False),
    ]


def test_with_the_decision_about_a_parked_run_its_locks_go_on(store: Store, parked: World) -> None:
    skip = wishes.Resolve(
        actor="kim", saga_id=id_of("R-1"), step="charge", resolution="skip", reason="we keep it", evidence=None
    )
    wish(parked, "R-1", skip)
    assert statuses(store) == {"R-1": "compensated", "R-2": "completed"}
    assert_alone(store)


def test_a_person_takes_a_lock_away_from_a_parked_run(store: Store, parked: World) -> None:
    release = wishes.Release(actor="kim", saga_id=id_of("R-1"), key="order:A-1", reason="it will take weeks")
    wish(parked, "R-1", release)
    assert statuses(store) == {"R-1": "parked", "R-2": "completed"}
    last = entries(store, "R-1")[-1]
    assert (last.actor, last.events) == (
        "kim",
        (e.LockReleased(key="order:A-1", reason="it will take weeks"),),
    )
    assert fold(entries(store, "R-1")).status == "parked"
    assert store.locks() == []


@pytest.mark.parametrize("key", ["order:A-2", "customer:7"])
def test_nobody_takes_away_what_a_run_does_not_hold(store: Store, parked: World, key: str) -> None:
    before = store.locks()
    wish(parked, "R-1", wishes.Release(actor="kim", saga_id=id_of("R-1"), key=key, reason="a slip"))
    wish(parked, "R-2", wishes.Release(actor="kim", saga_id=id_of("R-2"), key="order:A-1", reason="a slip"))
    assert store.locks() == before


def dead(installation: World) -> None:
    """The worker is no more, and its leases have run out."""
    store = installation.store
    for row in store.shards():
        if row.owner is not None:
            store.release("worker", row.owner, [row.shard], clean=False)
    installation.crash()


@pytest.mark.parametrize("turns", range(14))
def test_wherever_the_worker_dies_each_run_begins_in_its_turn(store: Store, turns: int) -> None:
    installation = installed(store, charge=late(Done(key="c"), after="1s"))
    for key in ("R-1", "R-2", "R-3"):
        publish(installation, key, customer=7)
        installation._turn()
    for _ in range(turns):
        installation._turn()
        installation._is_granted()
        installation.clock.now += SECOND // 4
    dead(installation)
    installation.run()
    assert set(statuses(store).values()) == {"completed"}
    assert store.locks() == []
    assert_alone(store)
    for key in ("R-1", "R-2", "R-3"):
        taken = [event for event in events(store, key) if isinstance(event, e.LocksTaken)]
        assert len(taken) == 1


def test_queued_runs_take_no_place_in_flight(store: Store) -> None:
    installation = installed(store, ship=fails("no truck"), **{"charge.undo": fails("closed")})
    installation.engine._deciding.in_flight_max = 2
    for number in range(1, 6):
        publish(installation, f"R-{number}")
    publish(installation, "R-9", "A-9")
    installation.run()
    found = statuses(store)
    assert found["R-9"] == "parked", "it had its place"
    assert sorted(found.values()) == ["parked", "parked", "queued", "queued", "queued", "queued"]


@pytest.mark.parametrize(
    ("trigger", "keys"),
    [
        pytest.param({"order": "A-1", "customer": 7}, ("customer:7", "order:A-1"), id="sorted"),
        pytest.param({"order": "A-1", "customer": None}, ("order:A-1",), id="what is null locks nothing"),
        pytest.param({"order": "A-1"}, ("order:A-1",), id="nor does what is absent"),
        pytest.param({"order": "", "customer": 0}, ("customer:0", "order:"), id="empty text and zero are values"),
        pytest.param({"order": "7", "customer": "7"}, ("customer:7", "order:7"), id="names part equal values"),
    ],
)
def test_keys_come_from_the_trigger(trigger: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert keys_of(locking().close().form, trigger) == keys


def test_a_long_value_stands_in_its_key_by_its_digest() -> None:
    form = locking().close().form
    (short,) = keys_of(form, {"order": "x" * VALUE_CHARACTERS_MAX})
    (long,) = keys_of(form, {"order": "x" * (VALUE_CHARACTERS_MAX + 1)})
    assert (len(short), long[:13]) == (VALUE_CHARACTERS_MAX + 6, "order:sha256:")
