"""What stays of entries that have moved to an archive, on every store."""

import pytest

from amends.coordinator.errors import Conflict
from amends.coordinator.ports.rows import ArchivedRow, StoredEntry
from amends.coordinator.ports.store import Store
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
