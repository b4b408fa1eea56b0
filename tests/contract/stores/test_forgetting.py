"""`dedup_for`: when a request is new again, on every store; and what is never new, however long ago it was."""

from typing import Any

import pytest

from amends import Context, Saga, Topic
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.inbound import Arrived, Waiting
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply, fails, late
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.ids import saga_id_of
from amends.schemas.instants import SECOND
from amends.schemas.record import Record
from tests.contract.stores.builders import Owner, duplicate, letter, origin, run, saga_id
from tests.unit.runtime.sagas import Done, Order

HOUR = 3600 * SECOND
FIRST = {"id": "A-1", "amount": 1}
OTHER = {"id": "A-1", "amount": 2}


def remembering(dedup_for: str | None) -> Saga[Order]:
    """One step; a request is remembered for so long."""
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id", dedup_for=dedup_for))

    @saga.action(idempotent=True)
    async def charge(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @charge.undo(verify="reply")
    async def give_back(ctx: Context, done: Done | None = charge.maybe) -> None: ...

    return saga


def installed(store: Store, dedup_for: str | None = "1h", **replies: Reply) -> World:
    clock = Clock()
    return World(store, remembering(dedup_for), clock=clock, replies=replies)


def published(installation: World, *triggers: dict[str, object]) -> None:
    for trigger in triggers:
        installation.publish(trigger)
    installation.run()


def redelivered(installation: World, offset: int) -> None:
    """The bus hands a record out again."""
    value = installation.store.records("orders", after=offset - 1, limit=1)[0].value
    installation._arrived.append(Arrived(records=[Record(topic="orders", partition=0, offset=offset, value=value)]))
    installation.run()


def generations(store: Store) -> list[tuple[int, str, int]]:
    """Each run of the request, oldest first: generation, status, duplicates."""
    return [(row.generation, row.status, row.duplicates) for row in reversed(store.runs_by_key("order", "A-1"))]


def reasons(store: Store) -> list[tuple[str, str | None]]:
    return [(row.reason, row.saga_id) for row in store.dead_letters()]


@pytest.mark.parametrize(
    ("dedup_for", "later", "second", "expected"),
    [
        pytest.param("1h", HOUR - SECOND, FIRST, [(0, "completed", 1)], id="within the time it is a duplicate"),
        pytest.param("1h", HOUR + SECOND, FIRST, [(0, "completed", 0), (1, "completed", 0)], id="then it is new"),
        pytest.param(
            "1h", HOUR + SECOND, OTHER, [(0, "completed", 0), (1, "completed", 0)], id="as is another payload"
        ),
        pytest.param(None, 1_000 * HOUR, FIRST, [(0, "completed", 1)], id="for ever, unless the saga says otherwise"),
    ],
)
def test_a_request_is_remembered_for_as_long_as_its_saga_says(
    store: Store, dedup_for: str | None, later: int, second: dict[str, object], expected: list[Any]
) -> None:
    installation = installed(store, dedup_for)
    published(installation, FIRST)
    installation.clock.now += later
    published(installation, second)
    assert generations(store) == expected
    assert reasons(store) == []


def test_each_generation_is_a_run_of_its_own_with_its_own_effects(store: Store) -> None:
    installation = installed(store)
    for _ in range(4):
        published(installation, FIRST)
        installation.clock.now += HOUR + SECOND
    rows = list(reversed(store.runs_by_key("order", "A-1")))
    ids = [saga_id_of(namespace="test", saga="order", idempotency_key="A-1", generation=each) for each in range(4)]
    assert [row.saga_id for row in rows] == ids
    assert [row.business_key for row in rows] == ids  # No business key: each run's own id stands for it.
    assert [row.origins for row in rows] == [(origin(each, topic="orders"),) for each in range(4)]
    assert len({bytes(entry.data) for each in ids for entry in store.entries_of(each)}) == 4 * rows[0].version
    assert [called for _, called in installation.script.calls] == ids


def test_in_a_later_generation_a_copy_is_a_duplicate_and_another_payload_a_conflict(store: Store) -> None:
    installation = installed(store)
    published(installation, FIRST)
    installation.clock.now += HOUR + SECOND
    published(installation, OTHER, OTHER, FIRST)  # The first of them is new, and those beside it in its batch are not.
    published(installation, OTHER, FIRST)
    newest = store.runs_by_key("order", "A-1")[0]
    assert generations(store) == [(0, "completed", 0), (1, "completed", 2)]
    assert reasons(store) == [("conflict", newest.saga_id)] * 2


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        pytest.param({"charge": late(Done(key="k"), after="5h")}, "running", id="open"),
        pytest.param({"charge": fails(), "reserve.undo": fails()}, "parked", id="parked"),
    ],
)
def test_a_run_that_has_not_ended_is_never_forgotten(store: Store, replies: dict[str, Reply], status: str) -> None:
    installation = World(store, slow(), clock=Clock(), replies=replies)
    installation.publish(FIRST)
    installation.run(until=installation.clock.now + 2 * HOUR)
    installation.publish(FIRST)
    installation.publish(OTHER)
    installation.run(until=installation.clock.now + SECOND)
    assert generations(store) == [(0, status, 1)]
    assert [reason for reason, _ in reasons(store)] == ["conflict"]


def slow() -> Saga[Order]:
    """A step that may take a day, and one whose failure makes the run turn back and park."""
    topic = Topic("orders", Order, idempotency_key="id", dedup_for="1h")
    saga = Saga("order", version=1, trigger=topic, deadline="2d")

    @saga.action(idempotent=True, timeout="1d")
    async def reserve(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @reserve.undo(verify="reply")
    async def release(ctx: Context, done: Done | None = reserve.maybe) -> None: ...

    @saga.action(idempotent=True, timeout="1d", after=[reserve])
    async def charge(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @charge.undo(verify="reply")
    async def give_back(ctx: Context, done: Done | None = charge.maybe) -> None: ...

    return saga


def test_the_same_record_is_never_a_new_request_whatever_became_of_it(store: Store) -> None:
    installation = installed(store)
    published(
        installation, *[FIRST] * 8, OTHER
    )  # Begun, seven duplicates (past the fifth no origin shows), a conflict.
    before = generations(store), reasons(store)
    assert before[0] == [(0, "completed", 7)]
    installation.clock.now += HOUR + SECOND
    for offset in range(9):
        redelivered(installation, offset)
    assert (generations(store), reasons(store)) == before
    published(installation, FIRST)
    installation.clock.now += HOUR + SECOND
    for offset in range(10):
        redelivered(installation, offset)
    assert generations(store) == [(0, "completed", 7), (1, "completed", 0)]
    assert reasons(store) == before[1]


def test_a_start_from_the_inbox_is_new_again_in_the_same_way(store: Store) -> None:
    installation = installed(store)
    published(installation, FIRST)
    (first,) = store.runs()
    for number, later in enumerate((0, HOUR + SECOND, 0)):
        installation.clock.now += later
        wish = wishes.Start(
            actor="eva",
            saga="order",
            definition_version=1,
            idempotency_key="A-1",
            business_key=first.saga_id,
            generation=0,
            origin=origin(100 + number, topic="orders"),
            trigger='{"id":"A-1","amount":1}',
            request_digest=first.request_digest,
            traceparent=None,
        )
        row = InboxRow(shard=first.shard, message_id=str(number), body=wishes.write(wish))
        installation._arrived.append(Waiting(rows=[row]))
        installation.run()
    assert generations(store) == [(0, "completed", 1), (1, "completed", 1)]


@pytest.fixture
def known(store: Store) -> Store:
    """Three generations of R-1, one of R-2, duplicates and a conflict; the same key elsewhere."""
    owner = Owner(store)
    requests: dict[str, dict[str, Any]] = {
        **{f"g{each}": {"idempotency_key": "R-1", "generation": each} for each in (0, 1, 2)},
        "other key": {"idempotency_key": "R-2"},
        "other saga": {"idempotency_key": "R-1", "generation": 7, "saga": "ship"},
        "other namespace": {"idempotency_key": "R-1", "generation": 9, "namespace": "test"},
    }
    rows = [run(name, offset=offset, **changes) for offset, (name, changes) in enumerate(requests.items())]
    owner.append(owner.part(0, [(name, 1) for name in requests], started=rows))
    owner.append(
        duplicates=tuple(duplicate("g1", offset) for offset in range(10, 20)),
        dead_letters=(
            letter(30, saga="refund", reason="conflict", saga_id=saga_id("g1")),
            letter(31, saga="refund", reason="invalid"),
        ),
    )
    return store


def test_the_newest_generation_of_a_request_is_its_own(known: Store) -> None:
    assert known.generations("default", "refund", ["R-1", "R-2", "R-3"]) == {"R-1": 2, "R-2": 0}
    assert known.generations("test", "refund", ["R-1", "R-2"]) == {"R-1": 9}
    assert known.generations("default", "ship", ["R-1"]) == {"R-1": 7}
    assert known.generations("default", "refund", []) == {}


def test_a_record_is_accounted_for_once_it_began_repeated_or_contradicted_a_run_of_the_saga(known: Store) -> None:
    asked = [origin(offset) for offset in range(40)]
    mine = {*range(4), *range(10, 20), 30}
    assert known.accounted("default", "refund", asked) == {origin(offset) for offset in mine}
    assert known.accounted("default", "ship", asked) == {origin(4)}
    assert known.accounted("test", "refund", asked) == {origin(5)}
    assert known.accounted("default", "refund", [origin(0, partition=1), origin(0, topic="other")]) == set()
    assert known.accounted("default", "refund", []) == set()


def test_every_record_that_repeats_a_request_finds_its_run_and_counts_once(known: Store) -> None:
    owner = Owner(known)
    owner.append(duplicates=tuple(duplicate("g1", offset) for offset in (12, 19, 20, 20)))
    (row,) = known.runs_by_origin("billing.refunds", 0, 19)
    assert (row.saga_id, row.duplicates) == (saga_id("g1"), 11)
    assert row.origins == tuple(origin(offset) for offset in (1, 10, 11, 12, 13))
