"""What stays of entries that have moved to an archive, on every store."""

import pytest
from pydantic import BaseModel

from amends import Context, Pending, Saga, Topic
from amends.coordinator.errors import Conflict
from amends.coordinator.ports.rows import ArchivedRow, InboxRow, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.instants import SECOND
from tests.contract.stores.builders import T0, Owner, change, entry, saga_id


def stub(moved: StoredEntry) -> tuple[ArchivedRow, StoredEntry]:
    kept = ArchivedRow(
        saga_id=moved.saga_id,
        version=moved.version,
        shard=moved.shard,
        position=moved.position,
        hash=f"hash-{moved.position}",
        archive="archive-1.amends",
    )
    return kept, moved


@pytest.fixture
def owner(store: Store) -> Owner:
    """Runs a and c have ended, b goes on; their entries stand between each other."""
    owner = Owner(store)
    owner.start("a", "b", "c")
    ended = [change(name, status="completed", ended_at=T0 + at) for name, at in (("c", 5), ("a", 9))]
    owner.append(owner.part(0, [("c", 2), ("b", 2), ("a", 2)], changed=ended))
    return owner


def test_runs_that_ended_before_an_instant_are_archivable_the_first_ended_first(owner: Owner) -> None:
    def ids(before: int, limit: int = 9) -> list[str]:
        return [row.saga_id for row in owner.store.archivable(before, limit=limit)]

    assert ids(T0 + 5) == []
    assert ids(T0 + 6) == [saga_id("c")]
    assert ids(T0 + 10) == [saga_id("c"), saga_id("a")]
    assert ids(T0 + 10, limit=1) == [saga_id("c")]


def test_what_was_archived_leaves_the_log_and_its_place_and_hash_stay(owner: Owner) -> None:
    store = owner.store
    row = store.run(saga_id("c"))
    moved = [stub(each) for each in store.entries_of(saga_id("c"))]
    store.archive(moved)

    assert store.entries_of(saga_id("c")) == []
    assert [each.position for each in store.entries_from(0, after=0, limit=9)] == [1, 2, 5, 6]
    assert [each.position for each in store.entries_from(0, after=3, limit=1)] == [5]
    assert store.archived(0, after=0, limit=9) == store.archived_of(saga_id("c")) == [kept for kept, _ in moved]
    assert [kept.position for kept in store.archived(0, after=3, limit=9)] == [4]
    assert store.archived(1, after=0, limit=9) == store.archived_of(saga_id("a")) == []
    assert store.run(saga_id("c")) == row, "the index of runs stays"
    assert [each.saga_id for each in store.archivable(T0 + 10, limit=9)] == [saga_id("a")]
    owner.append(owner.part(0, [("b", 3)]))
    assert [each.version for each in store.entries_of(saga_id("b"))] == [1, 2, 3]


def test_what_is_not_in_the_log_as_it_was_archived_stays_with_all_that_goes_with_it(owner: Owner) -> None:
    store = owner.store
    first, second = store.entries_of(saga_id("c"))
    other = entry("c", 2, position=second.position, data=b"{}")

    with pytest.raises(Conflict) as refused:
        store.archive([stub(first), stub(other)])

    assert refused.value.code == "AM0341"
    assert store.entries_of(saga_id("c")) == [first, second]
    assert store.archived_of(saga_id("c")) == []


class Order(BaseModel):
    """A trigger."""

    id: str


def ended_without_an_answer(store: Store) -> World:
    """A run whose step is still pending, and that a person has killed an hour ago."""
    saga = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, pending_within="10m")
    async def charge(ctx: Context) -> int | Pending:
        return Pending(correlation="C-1")

    @charge.undo(verify="reply")
    async def refund(ctx: Context) -> None: ...

    installation = World(store, saga, clock=Clock())
    installation.publish(Order(id="R-1"))
    installation.run(until=installation.clock.now)
    (row,) = store.runs(limit=2)
    wish = wishes.write(wishes.Kill(actor="kim", saga_id=row.saga_id, reason="no"))
    store.put_inbox([InboxRow(shard=row.shard, message_id="kill", body=wish)])
    installation.take_inbox()
    installation.run(until=installation.clock.now + 3_600 * SECOND)
    return installation


def archive_it(store: Store) -> None:
    (row,) = store.runs(limit=2)
    store.archive([stub(each) for each in store.entries_of(row.saga_id)])


def test_what_was_archived_listens_for_no_answer(store: Store) -> None:
    installation = ended_without_an_answer(store)
    assert len(store.awaited()) == 1
    archive_it(store)
    assert store.awaited() == []
    installation.send("answer", "C-1", 5, answer="succeeded")
    (message,) = store.messages()
    assert message.taken_by is None


def test_an_answer_that_was_brought_to_what_is_archived_meanwhile_is_not_lost(store: Store) -> None:
    installation = ended_without_an_answer(store)
    installation.send("answer", "C-1", 5, answer="succeeded")
    archive_it(store)
    installation.run()
    (message,) = store.messages()
    assert (message.taken_by, message.body) == (None, "5")
    assert [row for shard in installation.engine.shards for row in store.inbox(shard)] == []
