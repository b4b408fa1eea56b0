"""Leases of a worker and of a relay: none is held by nobody, and none is kept in silence by a thread that has ended."""

from collections.abc import Sequence

import pytest

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.store import Kind, Role
from amends.coordinator.runtime.inbound import Gained, Inbound, Lost, Yielding
from amends.coordinator.runtime.ownership import Ownership
from amends.coordinator.runtime.relay_leases import RelayLeases
from amends.coordinator.testing.clock import Clock
from amends.schemas.instants import SECOND
from tests.servers.waiting import wait_until

LEASE_MS = 10_000
SHARDS = 2


class Store(MemoryStore):
    """Goes away during the next release, if `away`; `error` is what the next heartbeat raises."""

    away = False
    error: Exception | None = None
    renews = True

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:
        if not self.renews:
            self.away = True
            raise StoreUnavailable("AM0301", "the store is away", do="wait")
        return super().renew(role, owner, lease_ms=lease_ms)

    def release(self, role: Role, owner: str, shards: Sequence[int], *, clean: bool) -> None:
        if self.away:
            self.away = False
            raise StoreUnavailable("AM0301", "the store is away", do="wait")
        super().release(role, owner, shards, clean=clean)

    def beat(self, worker: str, *, lease_ms: int, role: Role = "worker") -> int:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().beat(worker, lease_ms=lease_ms, role=role)


class Shared(Store):
    """One that workers share, as far as a worker can tell. To renew leases takes it a while."""

    kind: Kind = "postgresql"
    seconds = 0.0

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:
        self.seconds += 2.0
        return super().renew(role, owner, lease_ms=lease_ms)


@pytest.fixture
def store() -> Store:
    made = Store(clock=Clock())
    made.migrate(shards=SHARDS)
    return made


@pytest.fixture
def told() -> list[Inbound]:
    return []


@pytest.fixture
def broken() -> list[BaseException]:
    return []


def ownership_of(store: Store, told: list[Inbound], broken: list[BaseException]) -> Ownership:
    return Ownership(
        store=store,
        worker="w1",
        lease_ms=LEASE_MS,
        clock=store.now,
        tell=told.append,
        busy=lambda _shard: False,
        broken=broken.append,
    )


@pytest.fixture
def ownership(store: Store, told: list[Inbound], broken: list[BaseException]) -> Ownership:
    return ownership_of(store, told, broken)


@pytest.fixture
def shared() -> Shared:
    made = Shared(clock=Clock())
    made.migrate(shards=SHARDS)
    return made


@pytest.fixture
def sharing(shared: Shared, told: list[Inbound], broken: list[BaseException]) -> Ownership:
    made = ownership_of(shared, told, broken)
    made.busy = lambda shard: shard == 1
    made.monotonic = lambda: shared.seconds
    made.sleep = lambda seconds: setattr(shared, "seconds", shared.seconds + seconds)
    return made


def test_what_is_left_of_a_lease_counts_from_before_it_was_renewed_and_ends_before_the_lease_does(
    sharing: Ownership,
) -> None:
    sharing.turn()
    sharing.turn()
    assert sharing.left_s(1, 1) == LEASE_MS / 1000 * 0.8 - 2.0


@pytest.mark.parametrize("off", [SECOND + 1, -SECOND - 1])
def test_a_worker_whose_clock_is_off_leases_nothing_and_is_not_counted(
    shared: Shared, sharing: Ownership, told: list[Inbound], caplog: pytest.LogCaptureFixture, off: int
) -> None:
    sharing.clock = lambda: shared.now() + off
    sharing.turn()
    assert told == []
    assert vars(caplog.records[0])["skew_ms"] == -off // 1000
    assert shared.beat("w2", lease_ms=LEASE_MS) == 1
    shared.retire("w2")
    sharing.clock = lambda: shared.now() + SECOND
    sharing.turn()
    assert [type(each) for each in told] == [Gained]


def test_a_worker_whose_clock_goes_wrong_leaves_its_shards_to_the_others(
    shared: Shared, sharing: Ownership, told: list[Inbound]
) -> None:
    sharing.turn()
    sharing.clock = lambda: shared.now() - 2 * SECOND
    for _ in range(2):
        sharing.turn()
        assert [type(each) for each in told] == [Gained, Yielding, Lost]
        assert [row.owner for row in shared.shards()] == [None, None]
        assert shared.beat("w2", lease_ms=LEASE_MS) == 1


def test_a_store_that_takes_its_time_to_tell_the_time_makes_no_clock_wrong(
    shared: Shared, sharing: Ownership, told: list[Inbound]
) -> None:
    moments = [shared.now() - 5 * SECOND, shared.now() + 5 * SECOND]
    sharing.clock = lambda: moments.pop(0)
    sharing.turn()
    assert [type(each) for each in told] == [Gained]


def test_leases_that_ran_out_while_the_store_was_away_are_left(
    shared: Shared, sharing: Ownership, told: list[Inbound]
) -> None:
    sharing.turn()
    for seconds, so_far in ((10.0, [Gained]), (10.1, [Gained, Lost])):
        shared.seconds = seconds
        shared.error = StoreUnavailable("AM0301", "the store is away", do="wait")
        assert not sharing.round()
        assert [type(each) for each in told] == so_far


def test_a_shard_too_many_is_given_back_as_not_left_in_order_if_something_runs_there_to_the_end(
    shared: Shared, sharing: Ownership, told: list[Inbound]
) -> None:
    sharing.turn()
    shared.beat("w2", lease_ms=LEASE_MS)
    sharing.turn()
    assert [type(each) for each in told] == [Gained, Yielding, Lost]
    assert [(row.owner, row.clean) for row in shared.shards()] == [("w1", False), (None, False)]


def test_a_shard_is_leased_anew_though_the_store_went_away_while_it_was_given_up(
    store: Store, ownership: Ownership, told: list[Inbound]
) -> None:
    ownership.turn()
    ownership.give_up([1])
    store.away = True
    with pytest.raises(StoreUnavailable):
        ownership.turn()
    ownership.turn()
    assert [(type(each), ownership.epoch_of(1)) for each in told] == [(Gained, 2), (Lost, 2), (Gained, 2)]
    assert [row.epoch for row in store.shards()] == [1, 2]


def test_a_shard_that_went_to_another_while_leases_are_renewed_is_not_ours_for_a_moment(
    store: Store, ownership: Ownership
) -> None:
    ownership.turn()
    store.release("worker", "w1", [1], clean=False)
    store.claim("worker", "w2", lease_ms=LEASE_MS, limit=1)
    ownership._renew()
    assert ownership.epoch_of(0) == 1
    assert ownership.epoch_of(1) == 0


def test_an_attempt_of_a_former_lease_may_not_send_though_its_worker_has_the_shard_again(ownership: Ownership) -> None:
    ownership.turn()
    ownership.give_up([1])
    ownership.turn()
    assert (ownership.left_s(1, 1), ownership.left_s(1, 2) > 0) == (0.0, True)


def test_whoever_is_alone_takes_every_shard_though_another_has_just_died(store: Store, ownership: Ownership) -> None:
    store.beat("w0", lease_ms=LEASE_MS)
    ownership.turn()
    assert [row.owner for row in store.shards()] == ["w1"] * SHARDS


def test_whoever_is_alone_keeps_its_shards_while_the_store_is_away(
    store: Store, ownership: Ownership, told: list[Inbound]
) -> None:
    ownership.turn()
    ownership._renewed_at -= LEASE_MS
    store.error = StoreUnavailable("AM0301", "the store is away", do="wait")
    assert not ownership.round()
    assert [type(each) for each in told] == [Gained]


def test_what_was_told_to_yield_is_left_though_the_store_goes_away(
    store: Store, ownership: Ownership, told: list[Inbound]
) -> None:
    ownership.turn()
    ownership.busy = lambda _shard: True
    ownership.sleep = lambda _seconds: None
    ownership._renewed_at -= LEASE_MS
    store.renews = False
    with pytest.raises(StoreUnavailable):
        ownership._give_back([1])
    assert [type(each) for each in told] == [Gained, Yielding, Lost]


def test_a_worker_that_stops_waits_no_longer_for_what_runs_in_a_shard_too_many(
    shared: Shared, sharing: Ownership, told: list[Inbound]
) -> None:
    slept: list[float] = []

    def stop_meanwhile(seconds: float) -> None:
        slept.append(seconds)
        sharing._closing = True

    sharing.turn()
    shared.beat("w2", lease_ms=LEASE_MS)
    sharing.sleep = stop_meanwhile
    sharing.turn()
    assert len(slept) == 1
    assert [type(each) for each in told] == [Gained, Yielding, Lost]
    assert [row.owner for row in shared.shards()] == ["w1", None]


def test_a_lease_thread_that_cannot_go_on_says_so(
    store: Store, ownership: Ownership, broken: list[BaseException]
) -> None:
    store.error = bug = ValueError("a bug of ours")
    ownership.give_up([])
    ownership._run()
    assert broken == [bug]


def test_a_worker_that_starts_while_the_store_goes_away_has_its_shards_when_it_is_back(
    store: Store, ownership: Ownership, told: list[Inbound]
) -> None:
    store.error = StoreUnavailable("AM0301", "the store is away", do="wait")
    ownership.begin()
    wait_until(lambda: bool(told), within_s=5, what="the shards are leased")
    ownership.close(clean=True)
    assert isinstance(told[0], Gained)


def test_a_relay_gives_back_what_it_claimed_without_hearing_of_it(store: Store) -> None:
    leases = RelayLeases(store=store, relay="r1", lease_ms=LEASE_MS)
    store.claim("relay", "r1", lease_ms=LEASE_MS, limit=1)
    leases.turn()
    assert {shard: lease.epoch for shard, lease in leases.held.items()} == {0: 2, 1: 1}
