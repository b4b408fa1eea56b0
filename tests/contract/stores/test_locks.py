"""Locks on every store (rule 16): never two holders, first come first served, nobody in a circle, nothing lost."""

import random
from typing import Final

import msgspec
import pytest

from amends.coordinator.errors import Fenced, RunExists
from amends.coordinator.ports.rows import Batch, InboxRow, Lease, LockRow, LocksLeft, LocksWanted
from amends.coordinator.ports.store import Store
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from tests.contract.stores.builders import LEASE_MS, part, run, saga_id

Changes = list[LocksWanted | LocksLeft]


def wanted(number: int, *keys: str, shard: int = 0, at: int = 1_000) -> LocksWanted:
    return LocksWanted(saga_id=saga_id(number), shard=shard, keys=tuple(sorted(keys)), at=at + number)


def left(number: int, *keys: str, at: int = 2_000) -> LocksLeft:
    return LocksLeft(saga_id=saga_id(number), keys=keys or None, at=at + number)


def change(store: Store, *changes: LocksWanted | LocksLeft) -> None:
    """In one transaction of their own; whose shards it moves does not matter here."""
    store.append(Batch(locks=changes))


def holders(store: Store) -> dict[str, SagaId]:
    held = [row for row in store.locks() if row.held_since is not None]
    found = {row.key: row.saga_id for row in held}
    assert len(found) == len(held), "a key has two holders"
    return found


def waiting(store: Store, key: str) -> list[SagaId]:
    return [row.saga_id for row in store.locks(key=key) if row.held_since is None]


def told(store: Store) -> list[SagaId]:
    """Who was told, in the order in which they were, whatever their shards."""
    rows = [row for shard in store.shards() for row in store.inbox(shard.shard)]
    grants = [wishes.read(row.body) for row in rows]
    return [wish.saga_id for wish in grants if isinstance(wish, wishes.Grant)]


def test_a_free_lock_is_held_by_who_comes_first_and_the_run_is_told_in_its_shard(store: Store) -> None:
    change(store, wanted(1, "order:1", shard=2))
    assert store.locks() == [
        LockRow(key="order:1", saga_id=saga_id(1), shard=2, place=1, since=1_001, held_since=1_001)
    ]
    (row,) = store.inbox(2)
    assert row == InboxRow(
        shard=2,
        message_id=f"locks:{saga_id(1)}",
        body=wishes.write(wishes.Grant(actor="amends", saga_id=saga_id(1))),
    )


def test_who_comes_later_waits_in_the_order_of_arrival(store: Store) -> None:
    change(store, wanted(1, "order:1"))
    change(store, wanted(3, "order:1"))
    change(store, wanted(2, "order:1"))
    assert (holders(store), waiting(store, "order:1")) == ({"order:1": saga_id(1)}, [saga_id(3), saga_id(2)])
    assert told(store) == [saga_id(1)]


def test_the_first_who_waits_holds_it_from_the_release_on(store: Store) -> None:
    change(store, wanted(1, "order:1"), wanted(2, "order:1", shard=1))
    change(store, left(1))
    assert holders(store) == {"order:1": saga_id(2)}
    assert [wishes.read(row.body) for row in store.inbox(1)] == [wishes.Grant(actor="amends", saga_id=saga_id(2))]
    assert store.locks()[0].held_since == 2_001


def test_two_that_begin_in_one_batch_never_hold_the_same_key(store: Store) -> None:
    change(store, wanted(1, "order:1"), wanted(2, "order:1"))
    assert (holders(store), told(store)) == ({"order:1": saga_id(1)}, [saga_id(1)])


def test_all_are_taken_or_none(store: Store) -> None:
    change(store, wanted(1, "order:1"), wanted(2, "order:1", "customer:7"))
    assert holders(store) == {"order:1": saga_id(1)}
    change(store, left(1))
    assert holders(store) == {"order:1": saga_id(2), "customer:7": saga_id(2)}


def test_nobody_overtakes_who_waits_for_another_lock_as_well(store: Store) -> None:
    change(store, wanted(1, "a"), wanted(2, "a", "b"), wanted(3, "b"))
    assert told(store) == [saga_id(1)]
    change(store, left(1))
    assert holders(store) == {"a": saga_id(2), "b": saga_id(2)}
    change(store, left(2))
    assert holders(store) == {"b": saga_id(3)}


def test_who_gives_up_waiting_makes_room_for_those_behind(store: Store) -> None:
    change(store, wanted(1, "a"), wanted(2, "a", "b"), wanted(3, "b"))
    change(store, left(2))
    assert holders(store) == {"a": saga_id(1), "b": saga_id(3)}


def test_one_lock_of_several_can_be_taken_away(store: Store) -> None:
    change(store, wanted(1, "a", "b"), wanted(2, "a"), wanted(3, "b"))
    change(store, left(1, "a"))
    assert (holders(store), waiting(store, "b")) == ({"a": saga_id(2), "b": saga_id(1)}, [saga_id(3)])


def test_who_leaves_twice_or_was_never_there_changes_nothing(store: Store) -> None:
    change(store, wanted(1, "a"), wanted(2, "a"))
    change(store, left(1), left(1), left(9))
    assert (holders(store), told(store)) == ({"a": saga_id(2)}, [saga_id(1), saga_id(2)])


def test_a_row_of_a_run_shows_who_stands_before_it(store: Store) -> None:
    change(store, wanted(1, "a"), wanted(2, "a", "b"), wanted(3, "c"))
    assert {(row.key, row.saga_id) for row in store.locks(saga_id=saga_id(2))} == {
        ("a", saga_id(1)),
        ("a", saga_id(2)),
        ("b", saga_id(2)),
    }


def owned(store: Store) -> Lease:
    (lease,) = store.claim("worker", "owner", lease_ms=LEASE_MS, limit=1)
    return lease


def test_a_fenced_append_takes_no_lock_and_frees_none(store: Store) -> None:
    change(store, wanted(1, "a"), wanted(2, "a"))
    lease = owned(store)
    stale = part(lease, [("x", 1)], started=[run("x")], epoch=lease.epoch - 1)
    with pytest.raises(Fenced):
        store.append(Batch(appends=(stale,), locks=(left(1), wanted(3, "b"))))
    assert (holders(store), told(store)) == ({"a": saga_id(1)}, [saga_id(1)])


def test_nor_does_one_that_lost_the_race_for_a_run(store: Store) -> None:
    lease = owned(store)
    began = part(lease, [("x", 1)], started=[run("x")])
    store.append(Batch(appends=(began,), locks=(wanted(1, "a"),)))
    again = part(msgspec.structs.replace(lease, position=1, head="head-1"), [("x", 1)], started=[run("x")])
    with pytest.raises(RunExists):
        store.append(Batch(appends=(again,), locks=(wanted(2, "b"), left(1))))
    assert (holders(store), told(store)) == ({"a": saga_id(1)}, [saga_id(1)])


KEYS: Final = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(12))
def test_however_runs_come_and_go_each_begins_in_its_turn_and_alone(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    open_runs: dict[SagaId, frozenset[str]] = {}
    began: list[SagaId] = []
    for number in range(1, 40):
        changes: Changes = []
        for _ in range(chance.randint(1, 3)):
            over = [each for each in open_runs if each in began]
            if over and chance.random() < 0.5:
                gone = chance.choice(over)
                del open_runs[gone]
                changes.append(LocksLeft(saga_id=gone, keys=None, at=number))
            else:
                new = saga_id(1_000 * number + len(changes))
                keys = frozenset(chance.sample(KEYS, chance.randint(1, 3)))
                open_runs[new] = keys
                changes.append(LocksWanted(saga_id=new, shard=0, keys=tuple(sorted(keys)), at=number))
        change(store, *changes)
        began = told(store)
        _check(store, open_runs, began)
    while open_runs:
        began = told(store)
        over = [each for each in open_runs if each in began]
        assert over, "everybody waits for somebody"
        gone = over[0]
        del open_runs[gone]
        change(store, LocksLeft(saga_id=gone, keys=None, at=99))
    assert store.locks() == []
    assert len(told(store)) == len(set(told(store)))


def _check(store: Store, open_runs: dict[SagaId, frozenset[str]], began: list[SagaId]) -> None:
    held = holders(store)
    for each, keys in open_runs.items():
        assert (each in began) == all(held.get(key) == each for key in keys), "who holds all its locks begins, no other"
    for key in KEYS:
        row = store.locks(key=key)
        assert [each.place for each in row] == sorted(each.place for each in row)
        assert [each for each in row if each.held_since is not None] in ([], row[:1]), "the holder is the first"
