"""A COMMIT whose reply is lost: the store finds out what became of the batch, whatever that is, and says only that."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from amends.connectors.stores import open_store
from amends.connectors.stores.postgres import ghost, writer
from amends.connectors.stores.postgres.ghost import Verdict
from amends.coordinator.errors import Fenced, StoreUnavailable
from amends.coordinator.ports.rows import Batch, Lease, ShardAppend
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import (
    LEASE_MS,
    Owner,
    change,
    duplicate,
    letter,
    local,
    message,
    part,
    run,
    saga_id,
)
from tests.integration.stores.proxy import Commit, Proxy
from tests.servers.postgres import PostgresServer, new_database
from tests.servers.waiting import wait_until


@pytest.fixture
def proxy(postgres: str) -> Iterator[Proxy]:
    with Proxy(postgres) as between:
        yield between


@pytest.fixture
def direct(postgres: str, tmp_path: Path) -> Iterator[Store]:
    """The store as others see it, not by way of the proxy."""
    store = open_store(postgres, data_dir=tmp_path, shards=2)
    yield store
    store.close()


@pytest.fixture
def owner(direct: Store, proxy: Proxy, tmp_path: Path) -> Iterator[Owner]:
    """An owner of both shards, by way of the proxy, with one open run."""
    store = open_store(proxy.url, data_dir=tmp_path)
    owner = Owner(store)
    owner.start("old")
    yield owner
    store.close()


def append(owner: Owner, **rest: object) -> None:
    owner.append(
        owner.part(0, [("old", 2), ("new", 1)], started=[run("new")], changed=[change("old", status="completed")]),
        owner.part(1, [("other", 1)], started=[run("other", shard=1)]),
        **rest,
    )


def there(store: Store) -> list[list[int]]:
    return [[row.position for row in store.entries_from(shard, after=0, limit=99)] for shard in (0, 1)]


BEFORE = [[1], []]
AFTER = [[1, 2, 3], [1]]


def committed_but_not_told(commit: Commit) -> None:
    commit.deliver()
    commit.lose_client()


def never_arrived(commit: Commit) -> None:
    commit.lose_server()
    commit.lose_client()


@pytest.mark.parametrize(
    "fate", [pytest.param(committed_but_not_told, id="committed"), pytest.param(never_arrived, id="never arrived")]
)
def test_whatever_became_of_the_commit_the_batch_is_there_exactly_once(
    owner: Owner, proxy: Proxy, direct: Store, fate: Callable[[Commit], None]
) -> None:
    proxy.fates = [fate]
    append(owner, dead_letters=(letter(1),), duplicates=(duplicate("old", 9),), inbox=(message("m", shard=1),))
    assert there(direct) == AFTER
    assert [row.n for row in direct.dead_letters()] == [1]
    assert len(direct.inbox(1)) == 1
    found = direct.run(saga_id("old"))
    assert found is not None
    assert (found.status, found.duplicates) == ("completed", 1)
    append_more = owner.part(0, [("new", 2)], changed=[change("new")])
    owner.append(append_more)
    assert there(direct) == [[1, 2, 3, 4], [1]]


def test_several_lost_replies_in_a_row_still_lead_to_one_batch(owner: Owner, proxy: Proxy, direct: Store) -> None:
    proxy.fates = [never_arrived, never_arrived, committed_but_not_told]
    append(owner)
    assert there(direct) == AFTER
    assert proxy.fates == []


@pytest.mark.parametrize(
    "arrives", [pytest.param(True, id="and then commits"), pytest.param(False, id="and then dies")]
)
def test_a_ghost_is_waited_for(owner: Owner, proxy: Proxy, direct: Store, postgres: str, *, arrives: bool) -> None:
    let_go = threading.Event()

    def linger(commit: Commit) -> None:
        commit.lose_client()
        let_go.wait(20)
        if arrives:
            commit.deliver()
        else:
            commit.lose_server()

    proxy.fates = [linger]
    appending = threading.Thread(target=append, args=(owner,))
    with psycopg.connect(postgres, autocommit=True) as watch:
        appending.start()
        wait_until(lambda: waiting_for_a_lock(watch), within_s=20, what="the row of the shard is asked for")
        assert there(direct) == BEFORE
        let_go.set()
        appending.join(20)
    assert there(direct) == AFTER


@pytest.mark.parametrize(
    ("arrives", "expected"),
    [
        pytest.param(True, AFTER, id="and it had been committed"),
        pytest.param(False, BEFORE, id="and it never arrived"),
    ],
)
def test_who_was_taken_over_meanwhile_is_fenced(
    owner: Owner, proxy: Proxy, direct: Store, *, arrives: bool, expected: list[list[int]]
) -> None:
    taken: list[Lease] = []

    def take_over(commit: Commit) -> None:
        commit.deliver() if arrives else commit.lose_server()
        wait_until(lambda: there(direct) == expected, within_s=20, what="the server has decided")
        direct.release("worker", owner.name, [0], clean=False)
        taken.extend(direct.claim("worker", "newer", lease_ms=LEASE_MS, limit=1))
        commit.lose_client()

    proxy.fates = [take_over]
    with pytest.raises(Fenced) as fenced:
        append(owner)
    assert [lease.shard for lease in taken] == [0]
    assert 0 in fenced.value.shards
    assert there(direct) == expected


@pytest.mark.parametrize(
    "fate", [pytest.param(committed_but_not_told, id="committed"), pytest.param(never_arrived, id="never arrived")]
)
def test_a_batch_that_moves_no_shard_counts_once(
    owner: Owner, proxy: Proxy, direct: Store, fate: Callable[[Commit], None]
) -> None:
    proxy.fates = [fate]
    rare = {"dead_letters": (letter(1),), "duplicates": (duplicate("old", 9),), "inbox": (message("m", shard=1),)}
    owner.append(**rare)
    proxy.fates = [fate]
    owner.append(owner.part(0, changed=[change("old", version=1, quarantined=True)], inbox_done=["m"]))
    found = direct.run(saga_id("old"))
    assert found is not None
    assert (found.duplicates, found.quarantined) == (1, True)
    assert len(direct.dead_letters()) == 1
    assert direct.inbox(1) == []
    assert there(direct) == BEFORE


def test_records_are_published_once_or_not_at_all(proxy: Proxy, direct: Store, tmp_path: Path) -> None:
    store = open_store(proxy.url, data_dir=tmp_path)
    proxy.fates = [committed_but_not_told]
    assert store.publish([local("t", b"1")]) == [0]
    proxy.fates = [never_arrived]
    with pytest.raises(StoreUnavailable):
        store.publish([local("t", b"2")])
    assert store.publish([local("t", b"3")]) == [1]
    assert [row.value for row in direct.records("t", after=-1, limit=9)] == [b"1", b"3"]
    store.close()


def test_a_connection_that_breaks_before_the_commit_leaves_nothing(
    owner: Owner, proxy: Proxy, direct: Store, postgres: str
) -> None:
    """The row of the shard is held, so the append waits on the server; there it is cut off."""
    raised: list[BaseException] = []

    def try_it() -> None:
        try:
            append(owner)
        except StoreUnavailable as error:
            raised.append(error)

    with psycopg.connect(postgres) as holder:
        holder.execute("SELECT * FROM amends.shards FOR UPDATE")
        appending = threading.Thread(target=try_it)
        appending.start()
        with psycopg.connect(postgres, autocommit=True) as watch:
            wait_until(lambda: waiting_for_a_lock(watch), within_s=20, what="the append waits")
        proxy.cut()
        appending.join(20)
    assert len(raised) == 1
    assert there(direct) == BEFORE
    append(owner)
    assert there(direct) == AFTER


@pytest.mark.timeout(120)
def test_a_server_that_is_gone_after_the_commit_is_waited_for(own_postgres: PostgresServer, tmp_path: Path) -> None:
    with new_database(own_postgres.url) as url, Proxy(url) as proxy:
        store = open_store(proxy.url, data_dir=tmp_path, shards=1)
        owner = Owner(store)
        gone = threading.Event()

        def lose_everything(commit: Commit) -> None:
            commit.deliver()
            own_postgres.kill()
            commit.lose_client()
            gone.set()

        proxy.fates = [lose_everything]
        failures: list[BaseException] = []

        def try_it() -> None:
            try:
                owner.start("a")
            except StoreUnavailable as error:
                failures.append(error)

        appending = threading.Thread(target=try_it)
        appending.start()
        assert gone.wait(20)
        own_postgres.start()
        appending.join(60)
        assert failures == []
        assert [row.position for row in store.entries_from(0, after=0, limit=9)] == [1]
        store.close()


def test_who_never_learns_what_became_of_a_commit_is_fenced(
    owner: Owner, proxy: Proxy, direct: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RESOLVE_S", 0.3)
    monkeypatch.setattr(ghost, "read", refuse)
    proxy.fates = [committed_but_not_told]
    with pytest.raises(Fenced) as fenced:
        append(owner)
    assert sorted(fenced.value.shards) == [0, 1]
    assert there(direct) == AFTER


def test_an_append_sent_again_after_it_was_committed_is_not_fenced(owner: Owner, direct: Store) -> None:
    again = owner.part(0, [("old", 2)], changed=[change("old")])
    owner.append(again)
    owner.store.append(Batch(appends=(again,)))
    assert there(direct) == [[1, 2], []]


def refuse(*_: object) -> ghost.Found:
    raise psycopg.OperationalError("nobody answers")


def waiting_for_a_lock(watch: psycopg.Connection[tuple[int]]) -> bool:
    found = watch.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return found is not None and found[0] > 0


def lease(shard: int) -> Lease:
    return Lease(shard=shard, epoch=3, position=10, head="before", clean=True)


MOVING = part(lease(0), [("a", 1), ("a", 2)], head="after")
OTHER = part(lease(1), [("b", 1)], head="other")
STILL = part(lease(0))


@pytest.mark.parametrize(
    ("appends", "found", "expected"),
    [
        pytest.param((MOVING,), {0: (3, 12, "after")}, Verdict.DONE, id="at our epoch, position and head it is there"),
        pytest.param((MOVING,), {0: (3, 10, "before")}, Verdict.NOT_DONE, id="where it was, it is not there"),
        pytest.param((MOVING,), {0: (4, 12, "after")}, Fenced, id="a newer epoch fences, whatever else"),
        pytest.param((MOVING,), {0: (3, 12, "another")}, Fenced, id="another head is another's"),
        pytest.param((MOVING,), {0: (3, 11, "after")}, Fenced, id="another position is another's"),
        pytest.param((MOVING,), {}, Fenced, id="a shard that is gone"),
        pytest.param((MOVING, OTHER), {0: (3, 12, "after"), 1: (3, 11, "other")}, Verdict.DONE, id="both there"),
        pytest.param(
            (MOVING, OTHER), {0: (3, 10, "before"), 1: (3, 10, "before")}, Verdict.NOT_DONE, id="neither there"
        ),
        pytest.param((MOVING, OTHER), {0: (3, 12, "after"), 1: (4, 11, "other")}, Fenced, id="one is taken over"),
        pytest.param((STILL,), {0: (3, 10, "before")}, Verdict.NOT_TO_SEE, id="what moves nothing cannot be seen"),
        pytest.param(
            (STILL, OTHER), {0: (3, 10, "before"), 1: (3, 11, "other")}, Verdict.DONE, id="one that moves tells"
        ),
        pytest.param((), {}, Verdict.NOT_TO_SEE, id="no shard at all"),
    ],
)
def test_judge(appends: tuple[ShardAppend, ...], found: ghost.Found, expected: Verdict | type[Fenced]) -> None:
    if isinstance(expected, Verdict):
        assert ghost.judge(appends, found) is expected
        return
    with pytest.raises(Fenced):
        ghost.judge(appends, found)
