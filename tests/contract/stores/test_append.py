"""A batch becomes visible whole or not at all, behind the compare-and-set of each of its shards."""

import threading
from collections.abc import Callable

import msgspec
import pytest

from amends.coordinator.errors import Fenced, RunExists
from amends.coordinator.ports.rows import Batch, RunRow
from amends.coordinator.ports.store import Store
from amends.schemas.events import Digest
from tests.contract.stores.builders import Owner, change, duplicate, entry, letter, message, origin, part, run, saga_id

BLOB = Digest("sha256:blob")


def everything(store: Store) -> list[object]:
    """What a batch can change, as a reader sees it."""
    return [
        store.shards(),
        [store.entries_from(shard.shard, after=0, limit=1_000) for shard in store.shards()],
        store.runs(limit=1_000),
        [store.inbox(shard.shard) for shard in store.shards()],
        store.dead_letters(),
        store.blob(BLOB),
    ]


def test_what_was_appended_is_read_back_by_run_and_by_shard(store: Store) -> None:
    owner = Owner(store)
    owner.append(owner.part(0, [("a", 1), ("b", 1)], started=[run("a", offset=7), run("b")]))
    owner.append(owner.part(0, [("a", 2)], changed=[change("a", status="completed", version=2, ended_at=9)]))
    assert store.entries_of(saga_id("a")) == [entry("a", 1, position=1), entry("a", 2, position=3)]
    assert store.entries_of(saga_id("a"), after=1) == [entry("a", 2, position=3)]
    assert store.entries_of(saga_id("a"), limit=1) == [entry("a", 1, position=1)]
    assert store.entries_of(saga_id("nobody")) == []
    assert [row.position for row in store.entries_from(0, after=0, limit=10)] == [1, 2, 3]
    assert store.entries_from(0, after=1, limit=1) == [entry("b", 1, position=2)]
    assert store.entries_from(0, after=3, limit=10) == []
    assert store.run(saga_id("a")) == run(
        "a", offset=7, status="completed", version=2, ended_at=9, updated_at=change("a").updated_at, next_due_at=None
    )
    assert store.run(saga_id("b")) == run("b")


def test_bytes_come_back_as_they_were(store: Store) -> None:
    owner = Owner(store)
    data = bytes(range(256)) * 2_000
    entries = (entry("a", 1, position=1, data=data),)
    owner.append(owner.part(0, started=[run("a")], entries=entries), blobs=((BLOB, data),))
    assert store.entries_of(saga_id("a"))[0].data == data
    assert store.blob(BLOB) == data
    assert store.blob(Digest("sha256:other")) is None


def test_an_append_moves_its_shard_and_no_other(store: Store) -> None:
    owner = Owner(store)
    owner.append(owner.part(1, [("a", 1), ("a", 2)], started=[run("a", shard=1)]))
    assert [(row.position, row.head) for row in store.shards()] == [(0, ""), (2, "head-2"), (0, "")]


def test_one_batch_appends_to_several_shards(store: Store) -> None:
    owner = Owner(store)
    owner.append(*(owner.part(shard, [(shard, 1)], started=[run(shard, shard=shard)]) for shard in (2, 0, 1)))
    assert [store.entries_from(shard, after=0, limit=9) for shard in range(3)] == [
        [entry(shard, 1, position=1, shard=shard)] for shard in range(3)
    ]


def test_a_batch_without_entries_still_changes_runs_and_inbox(store: Store) -> None:
    owner = Owner(store)
    owner.start("a")
    store.put_inbox([message("m")])
    owner.append(owner.part(0, changed=[change("a", version=1, quarantined=True)], inbox_done=["m"]))
    found = store.run(saga_id("a"))
    assert found is not None
    assert found.quarantined
    assert store.inbox(0) == []
    assert store.shards()[0].position == 1


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"epoch": 0}, id="an older epoch"),
        pytest.param({"epoch": 99}, id="an epoch that never was"),
        pytest.param({"position": 0, "entries": (entry("x", 1, position=1),)}, id="an older position"),
        pytest.param({"position": 5, "entries": (entry("x", 1, position=6),)}, id="a position ahead"),
    ],
)
def test_whoever_is_fenced_changes_nothing(store: Store, wrong: dict[str, object]) -> None:
    owner = Owner(store)
    owner.start("a")
    store.put_inbox([message("m")])
    before = everything(store)
    fenced = owner.part(0, [("x", 1)], started=[run("x")], changed=[change("a")], inbox_done=["m"], **wrong)
    with pytest.raises(Fenced) as raised:
        owner.append(
            owner.part(1, [("y", 1)], started=[run("y", shard=1)]),
            fenced,
            inbox=(message("n"),),
            dead_letters=(letter(1),),
            duplicates=(duplicate("a", 99),),
            blobs=((BLOB, b"x"),),
        )
    assert raised.value.shards == (0,)
    assert everything(store) == before


def test_every_fenced_shard_is_named(store: Store) -> None:
    owner = Owner(store)
    with pytest.raises(Fenced) as raised:
        owner.append(*(owner.part(shard, epoch=0) for shard in (0, 2)), owner.part(1))
    assert sorted(raised.value.shards) == [0, 2]


def test_a_new_owner_fences_the_former_one(store: Store) -> None:
    former = Owner(store, "worker-1")
    former.start("a")
    store.release("worker", "worker-1", [0], clean=False)
    newer = Owner(store, "worker-2")
    with pytest.raises(Fenced):
        former.append(former.part(0, [("a", 2)], changed=[change("a")]))
    newer.append(newer.part(0, [("a", 2)], changed=[change("a")]))
    assert [row.version for row in store.entries_of(saga_id("a"))] == [1, 2]


def test_a_run_that_exists_rolls_the_whole_batch_back_and_is_named(store: Store) -> None:
    owner = Owner(store)
    owner.start("a", "b", shard=0)
    before = everything(store)
    with pytest.raises(RunExists) as raised:
        owner.append(
            owner.part(1, [("a", 1), ("c", 1)], started=[run("c", shard=1), run("a", shard=1)]),
            owner.part(2, [("b", 1)], started=[run("b", shard=2)]),
            inbox=(message("n"),),
            dead_letters=(letter(1),),
            blobs=((BLOB, b"x"),),
        )
    assert sorted(raised.value.saga_ids) == sorted([saga_id("a"), saga_id("b")])
    assert everything(store) == before
    owner.append(owner.part(1, [("c", 1)], started=[run("c", shard=1)]))
    assert store.entries_of(saga_id("c")) == [entry("c", 1, position=1, shard=1)]
    owner.append(owner.part(0, [("a", 2)]))
    assert [each.version for each in store.entries_of(saga_id("a"))] == [1, 2]


def test_of_two_owners_who_start_the_same_run_at_once_one_is_told(opened: Callable[..., Store]) -> None:
    store = opened()
    owners = [Owner(store, f"worker-{number}", limit=1) for number in range(3)]
    won: list[int] = []
    told: list[RunExists] = []
    gate = threading.Barrier(len(owners))

    def race(owner: Owner) -> None:
        shard = next(iter(owner.leases))
        for number in range(20):
            gate.wait()
            names = [f"{number}-{step}" for step in range(4)]
            names = names if shard % 2 else names[::-1]
            try:
                owner.append(
                    owner.part(shard, [(name, 1) for name in names], started=[run(name, shard=shard) for name in names])
                )
                won.append(number)
            except RunExists as race_lost:
                told.append(race_lost)

    threads = [threading.Thread(target=race, args=(owner,)) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(20))
    assert [len(race_lost.saga_ids) for race_lost in told] == [4] * 40
    assert len(store.runs(limit=1_000)) == 80
    assert sum(row.position for row in store.shards()) == 80


def test_a_store_that_is_opened_anew_changes_the_runs_that_it_finds(opened: Callable[..., Store]) -> None:
    former = opened()
    Owner(former).start("a", "b")
    former.release("worker", "worker-1", [0, 1, 2], clean=True)
    former.close()
    store = opened()
    owner = Owner(store)
    owner.append(owner.part(0, changed=[change("a", version=1)]))
    owner.append(owner.part(0, [("b", 2)], changed=[change("b"), change("a", version=1, status="waiting")]))
    found = [store.run(saga_id(name)) for name in "ab"]
    assert [(row.version, row.status) for row in found if row is not None] == [(1, "waiting"), (2, "running")]


def test_each_field_of_a_change_reaches_the_runs_row_also_alone(store: Store) -> None:
    owner = Owner(store)
    owner.start("a")
    now = change("a", version=1)
    alone: list[tuple[str, object]] = [
        ("status", "waiting"),
        ("cause", "failed"),
        ("version", 2),
        ("updated_at", 7),
        ("next_due_at", 9),
        ("waiting_for", "refund.pay"),
        ("waiting_for", "refund.notify"),
        ("quarantined", True),
        ("ended_at", 8),
    ]
    back = [(field, getattr(now, field)) for field, _ in reversed(alone)]
    for field, value in alone + back:
        now = msgspec.structs.replace(now, **{field: value})
        owner.append(owner.part(0, changed=[now]))
        found = store.run(now.saga_id)
        assert [getattr(found, name) for name in now.__struct_fields__] == list(msgspec.structs.astuple(now))


def test_a_run_started_and_changed_in_one_batch_is_as_the_change_says(store: Store) -> None:
    owner = Owner(store)
    owner.append(
        owner.part(
            0,
            [("a", 1), ("a", 2)],
            started=[run("a", offset=1)],
            changed=[change("a", status="waiting", waiting_for="x"), change("a", status="completed", version=3)],
        )
    )
    found = store.run(saga_id("a"))
    assert found is not None
    assert (found.status, found.version, found.waiting_for, found.origins) == ("completed", 3, None, (origin(1),))


def test_an_inbox_row_goes_with_the_append_that_it_caused(store: Store) -> None:
    owner = Owner(store)
    store.put_inbox([message("m1"), message("m2"), message("m3", shard=1)])
    owner.append(owner.part(0, [("a", 1)], started=[run("a")], inbox_done=["m1"]), inbox=(message("handed", shard=1),))
    assert [row.message_id for row in store.inbox(0)] == ["m2"]
    assert [row.message_id for row in store.inbox(1)] == ["m3", "handed"]


def test_a_batch_of_nothing_but_rare_things_needs_no_shard(store: Store) -> None:
    store.append(
        Batch(dead_letters=(letter(1),), blobs=((BLOB, b"x"), (BLOB, b"x")), inbox=(message("m"), message("m")))
    )
    assert store.blob(BLOB) == b"x"
    assert len(store.inbox(0)) == 1
    assert len(store.dead_letters()) == 1


def test_positions_stay_gapless_and_readers_never_skip_while_many_append(store: Store) -> None:
    owners = [Owner(store, f"worker-{number}", limit=1) for number in range(3)]
    batches, size = 15, 4
    done = threading.Event()
    seen: dict[int, list[int]] = {shard: [] for shard in range(3)}

    def write(owner: Owner) -> None:
        shard = next(iter(owner.leases))
        for batch in range(batches):
            names = [f"{shard}-{batch}-{number}" for number in range(size)]
            owner.append(
                owner.part(shard, [(name, 1) for name in names], started=[run(name, shard=shard) for name in names])
            )

    def tail() -> None:
        finished = False
        while not finished:
            finished = done.is_set()
            for shard, positions in seen.items():
                after = positions[-1] if positions else 0
                positions += [row.position for row in store.entries_from(shard, after=after, limit=7)]
                finished = finished and len(positions) == batches * size

    reader = threading.Thread(target=tail)
    reader.start()
    writers = [threading.Thread(target=write, args=(owner,)) for owner in owners]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join(20)
    assert seen == {shard: list(range(1, batches * size + 1)) for shard in range(3)}


def test_a_shard_that_does_not_exist_is_fenced(store: Store) -> None:
    lease = Owner(store).leases[0]
    with pytest.raises(Fenced):
        store.append(Batch(appends=(part(lease, [("a", 1)], shard=77, entries=()),)))


def test_the_runs_row_keeps_every_field(store: Store) -> None:
    row = RunRow(
        saga_id=saga_id("full"),
        shard=2,
        namespace="n",
        saga="s",
        definition_version=2**31,
        definition_hash="h",
        idempotency_key="ключ 鍵 \U0001f511",
        business_key="b",
        generation=3,
        request_digest=Digest("sha256:x"),
        status="parked",
        cause="deadline",
        version=2**40,
        started_at=1,
        updated_at=2,
        ended_at=3,
        next_due_at=4,
        waiting_for="a person",
        quarantined=True,
        duplicates=2,
        origins=(origin(1), origin(2, topic="другой", partition=2**20)),
    )
    owner = Owner(store)
    owner.append(owner.part(2, [("full", 1)], started=[row]))
    assert store.run(row.saga_id) == row
