"""Ownership: who claims gets an epoch nobody had before; who left in order is told apart from who did not."""

from typing import Literal

import pytest

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.rows import Lease
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import LEASE_MS, Owner, run

ROLES = [pytest.param(role, id=role) for role in ("worker", "relay", "bus")]
Role = Literal["worker", "relay", "bus"]


def claim(store: Store, owner: str, *, role: Role = "worker", limit: int = 100) -> list[Lease]:
    return store.claim(role, owner, lease_ms=LEASE_MS, limit=limit)


def test_a_new_shard_is_claimed_clean_at_its_first_epoch(store: Store) -> None:
    assert claim(store, "w1", limit=2) == [
        Lease(shard=shard, epoch=1, position=0, head="", clean=True) for shard in (0, 1)
    ]
    assert [lease.shard for lease in claim(store, "w2")] == [2]
    assert claim(store, "w3") == []
    assert [(row.owner, row.epoch, row.clean) for row in store.shards()] == [
        ("w1", 1, False),
        ("w1", 1, False),
        ("w2", 1, False),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_owned_is_not_given_away_not_even_to_its_owner(store: Store, role: Role) -> None:
    first = claim(store, "w1", role=role)
    assert len(first) == (1 if role == "bus" else 3)
    assert claim(store, "w2", role=role) == claim(store, "w1", role=role) == []
    assert store.renew(role, "w1", lease_ms=LEASE_MS) == [lease.shard for lease in first]
    assert store.renew(role, "w2", lease_ms=LEASE_MS) == []


@pytest.mark.parametrize("clean", [pytest.param(True, id="in order"), pytest.param(False, id="not in order")])
def test_a_released_shard_is_claimed_with_the_next_epoch_and_how_it_was_left(store: Store, *, clean: bool) -> None:
    owner = Owner(store, "w1")
    owner.append(owner.part(1, [("a", 1)], started=[run("a", shard=1)]))
    store.release("worker", "w1", [1], clean=clean)
    assert store.shards()[1].owner is None
    assert store.renew("worker", "w1", lease_ms=LEASE_MS) == [0, 2]
    assert claim(store, "w2") == [Lease(shard=1, epoch=2, position=1, head="head-1", clean=clean)]


def test_nobody_releases_what_another_owns(store: Store) -> None:
    claim(store, "w1")
    store.release("worker", "w2", [0, 1, 2], clean=True)
    assert [row.owner for row in store.shards()] == ["w1"] * 3
    assert claim(store, "w2") == []


def test_epochs_strictly_rise(store: Store) -> None:
    epochs = []
    for number in range(5):
        epochs += [lease.epoch for lease in claim(store, f"w{number}", limit=1)]
        store.release("worker", f"w{number}", [0], clean=True)
    assert epochs == [1, 2, 3, 4, 5]


def test_roles_do_not_know_of_each_other(store: Store) -> None:
    assert len(claim(store, "w1")) == len(claim(store, "w1", role="relay")) == 3
    store.release("relay", "w1", [0, 1, 2], clean=True)
    assert [row.owner for row in store.shards()] == ["w1"] * 3
    assert [lease.epoch for lease in claim(store, "w2", role="relay")] == [2, 2, 2]


def test_workers_alive_are_counted_by_their_heartbeats(store: Store) -> None:
    assert store.beat("w1", lease_ms=LEASE_MS) == 1
    assert store.beat("w2", lease_ms=LEASE_MS) == 2
    assert store.beat("w1", lease_ms=LEASE_MS) == 2
    store.retire("w2")
    store.retire("w3")
    assert store.beat("w1", lease_ms=LEASE_MS) == 1
    assert store.beat("w1", lease_ms=LEASE_MS, role="relay") == 1
    store.retire("w1", role="relay")
    assert store.beat("w2", lease_ms=LEASE_MS) == 2


def test_a_relay_s_heartbeat_does_not_count_as_a_worker_s(store: Store) -> None:
    assert store.beat("p1", lease_ms=LEASE_MS) == 1
    assert store.beat("p1", lease_ms=LEASE_MS, role="relay") == 1
    assert store.beat("p2", lease_ms=LEASE_MS, role="relay") == 2
    store.retire("p1", role="relay")
    assert store.beat("p1", lease_ms=LEASE_MS) == 1
    assert store.beat("p2", lease_ms=LEASE_MS, role="relay") == 1


def test_a_heartbeat_that_is_over_does_not_count(store: Store) -> None:
    store.beat("dead", lease_ms=-1)
    assert store.beat("w1", lease_ms=LEASE_MS) == 1


def test_the_clock_goes_on(store: Store) -> None:
    before = store.now()
    assert before > 1_700_000_000_000_000
    assert store.now() >= before


def test_a_lease_that_ran_out_is_free_except_where_the_lock_says_that_its_owner_lives(store: Store) -> None:
    claim(store, "w1")
    store.renew("worker", "w1", lease_ms=-1)
    expected = [] if store.kind == "sqlite" else [(shard, 2, False) for shard in range(3)]
    assert [(lease.shard, lease.epoch, lease.clean) for lease in claim(store, "w2")] == expected


def test_the_memory_store_lives_by_the_clock_it_is_given() -> None:
    now = [1_000_000]
    store = MemoryStore(clock=lambda: now[0])
    store.migrate(shards=1)
    assert store.now() == 1_000_000
    assert len(store.claim("worker", "w1", lease_ms=10, limit=1)) == 1
    now[0] += 9_999
    assert store.claim("worker", "w2", lease_ms=10, limit=1) == []
    now[0] += 1
    assert [lease.epoch for lease in store.claim("worker", "w2", lease_ms=10, limit=1)] == [2]
