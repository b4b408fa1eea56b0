"""The index of runs: look-ups, filters, paging, duplicates."""

import pytest

from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import Store
from amends.schemas.ids import SagaId
from tests.contract.stores.builders import T0, Owner, change, duplicate, origin, run, saga_id


def ids(rows: list[RunRow]) -> list[SagaId]:
    return [row.saga_id for row in rows]


@pytest.fixture
def shop(store: Store) -> Store:
    """Nine runs of two sagas, a second apart, in several states and shards."""
    owner = Owner(store)
    statuses = [
        "running",
        "waiting",
        "parked",
        "completed",
        "compensating",
        "compensated",
        "killed",
        "queued",
        "completed",
    ]
    for number, status in enumerate(statuses):
        row = run(
            number,
            shard=number % 3,
            offset=number,
            status=status,
            saga="ship" if number % 2 else "refund",
            business_key=f"order-{number // 3}",
            started_at=T0 + number // 2 * 1_000_000,
        )
        owner.append(owner.part(number % 3, [(number, 1)], started=[row]))
    return store


def newest(*numbers: int) -> list[SagaId]:
    return sorted((saga_id(number) for number in numbers), key=lambda found: (started[found], found), reverse=True)


started = {saga_id(number): T0 + number // 2 * 1_000_000 for number in range(9)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, range(9), id="all"),
        pytest.param({"status": "completed"}, (3, 8), id="by status"),
        pytest.param({"status": "parked"}, (2,), id="by a rare status"),
        pytest.param({"status": "unheard of"}, (), id="by a status nobody has"),
        pytest.param({"saga": "ship"}, (1, 3, 5, 7), id="by saga"),
        pytest.param({"key": "R-4"}, (4,), id="by idempotency key"),
        pytest.param({"key": "order-1"}, (3, 4, 5), id="by business key"),
        pytest.param({"key": "order"}, (), id="a key is not a prefix"),
        pytest.param({"since": T0 + 2_000_000}, (4, 5, 6, 7, 8), id="since an instant, included"),
        pytest.param({"status": "completed", "saga": "refund", "key": "order-2", "since": T0}, (8,), id="all at once"),
        pytest.param({"status": "completed", "saga": "ship", "key": "order-2"}, (), id="all at once, none fits"),
    ],
)
def test_runs_are_listed_newest_first(shop: Store, asked: dict[str, object], expected: tuple[int, ...]) -> None:
    assert ids(shop.runs(**asked)) == newest(*expected)  # type: ignore[arg-type]


def test_paging_meets_every_run_once_also_where_runs_began_together(shop: Store) -> None:
    seen: list[SagaId] = []
    page = shop.runs(limit=2)
    while page:
        seen += ids(page)
        page = shop.runs(limit=2, before=(page[-1].started_at, page[-1].saga_id))
    assert seen == newest(*range(9))


def test_open_runs_are_those_that_may_still_move(shop: Store) -> None:
    assert ids(shop.runs_open()) == newest(0, 1, 2, 4, 7)
    assert ids(shop.runs_open(limit=2)) == newest(0, 1, 2, 4, 7)[:2]
    assert shop.load() == {0: 1, 1: 3, 2: 1}
    counted = [(each.saga, each.status, each.quarantined, each.runs) for each in shop.open_counted()]
    assert counted == [
        ("refund", "compensating", False, 1),
        ("refund", "parked", False, 1),
        ("refund", "running", False, 1),
        ("ship", "queued", False, 1),
        ("ship", "waiting", False, 1),
    ]


def test_open_runs_are_counted_by_definition_and_status_and_quarantined_ones_apart(store: Store) -> None:
    owner = Owner(store)
    rows = [run(number, definition_version=version) for number, version in enumerate((10, 9, 9, 9, 9))]
    rows[3] = run(3, definition_version=9, definition_hash="another")
    owner.append(owner.part(0, [(number, 1) for number in range(5)], started=rows))
    changes = [change(2, status="parked", quarantined=True), change(4, status="completed")]
    owner.append(owner.part(0, [(2, 2), (4, 2)], changed=changes))
    assert [
        (each.definition_version, each.definition_hash, each.status, each.quarantined, each.runs)
        for each in store.open_counted()
    ] == [
        (9, "another", "running", False, 1),
        (9, "sha256:d", "parked", True, 1),
        (9, "sha256:d", "running", False, 1),
        (10, "sha256:d", "running", False, 1),
    ]


def test_a_run_that_ends_leaves_the_load_and_one_that_is_resumed_comes_back(store: Store) -> None:
    owner = Owner(store)
    owner.start("a", "b")
    owner.append(owner.part(0, [("a", 2)], changed=[change("a", status="compensated")]))
    assert store.load() == {0: 1, 1: 0, 2: 0}
    assert ids(store.runs_open()) == [saga_id("b")]


def test_open_entries_are_those_of_open_runs_by_run_then_version(store: Store) -> None:
    owner = Owner(store)
    owner.start("a", "b", "c")
    owner.start("elsewhere", shard=1)
    owner.append(owner.part(0, [("c", 2), ("b", 2), ("a", 2), ("c", 3)], changed=[change("b", status="completed")]))
    found = [(row.saga_id, row.version) for row in store.open_entries(0)]
    assert found == sorted(
        (saga_id(name), version) for name, version in [("a", 1), ("a", 2), ("c", 1), ("c", 2), ("c", 3)]
    )
    assert list(store.open_entries(2)) == []


def test_reading_open_entries_may_be_given_up_halfway(store: Store) -> None:
    owner = Owner(store)
    owner.start(*range(30))
    for _ in range(20):
        entries = store.open_entries(0)
        next(entries)
        del entries
    owner.append(owner.part(0, [(0, 2)], changed=[change(0)]))
    assert len(list(store.open_entries(0))) == 31


def test_look_ups_by_id_give_those_that_exist(shop: Store) -> None:
    asked = [saga_id(3), saga_id("nobody"), saga_id(5), saga_id(3)]
    assert shop.runs_by_id(asked) == {saga_id(number): shop.run(saga_id(number)) for number in (3, 5)}
    assert shop.runs_by_id([]) == {}
    assert len(shop.runs_by_id([saga_id(number) for number in range(5_000)])) == 9
    assert shop.run(saga_id("nobody")) is None


def test_a_prefix_finds_what_begins_with_it_and_tells_when_there_are_several(shop: Store) -> None:
    wanted = saga_id(4)
    assert ids(shop.runs_by_prefix(wanted[:12])) == [wanted]
    assert ids(shop.runs_by_prefix(wanted)) == [wanted]
    assert ids(shop.runs_by_prefix("", limit=4)) == sorted(saga_id(number) for number in range(9))[:4]
    assert shop.runs_by_prefix(wanted[:8] + "%") == []
    assert shop.runs_by_prefix("zzzzzzzz") == []


def test_a_key_finds_every_generation_newest_first(store: Store) -> None:
    owner = Owner(store)
    rows = [run(f"g{number}", idempotency_key="R-1", generation=number) for number in (1, 0, 2)]
    rows.append(run("other saga", idempotency_key="R-1", saga="ship"))
    owner.append(owner.part(0, [(name, 1) for name in ("g1", "g0", "g2", "other saga")], started=rows))
    assert ids(store.runs_by_key("refund", "R-1")) == [saga_id("g2"), saga_id("g1"), saga_id("g0")]
    assert store.runs_by_key("refund", "R-2") == []


def test_a_duplicate_is_counted_once_per_place_and_its_first_places_are_kept(store: Store) -> None:
    owner = Owner(store)
    owner.start("a", "b")
    again = [duplicate("a", offset) for offset in (10, 11, 10, 0)]  # 10 twice; 0 is the trigger's own place
    owner.append(duplicates=tuple(again))
    owner.append(duplicates=(duplicate("a", 11), *(duplicate("a", offset) for offset in range(12, 20))))
    found = store.run(saga_id("a"))
    assert found is not None
    assert found.duplicates == 10
    assert found.origins == tuple(origin(offset) for offset in (0, 10, 11, 12, 13))
    assert store.run(saga_id("b")) == run("b", offset=1)


def test_a_duplicate_may_be_counted_beside_anything_else_and_on_a_run_of_another_owner(store: Store) -> None:
    one, two = Owner(store, "worker-1", limit=1), Owner(store, "worker-2", limit=1)
    one.start("a", shard=0)
    two.append(two.part(1, [("b", 1)], started=[run("b", shard=1)]), duplicates=(duplicate("a", 5), duplicate("b", 6)))
    one.append(one.part(0, [("a", 2)], changed=[change("a", status="completed")]), duplicates=(duplicate("b", 7),))
    found = store.runs_by_id([saga_id("a"), saga_id("b")])
    assert [found[saga_id(name)].duplicates for name in ("a", "b")] == [1, 2]
    assert found[saga_id("a")].status == "completed"


def test_a_duplicate_of_a_run_that_does_not_exist_is_nothing(store: Store) -> None:
    owner = Owner(store)
    owner.append(duplicates=(duplicate("nobody", 5),))
    assert store.run(saga_id("nobody")) is None
    assert store.runs_by_origin("billing.refunds", 0, 5) == []


def test_a_record_finds_the_run_it_started_and_the_run_it_repeated(store: Store) -> None:
    owner = Owner(store)
    owner.start("a", "b")
    owner.append(duplicates=(duplicate("a", 7), duplicate("b", 7)))
    assert ids(store.runs_by_origin("billing.refunds", 0, 0)) == [saga_id("a")]
    assert sorted(ids(store.runs_by_origin("billing.refunds", 0, 7))) == sorted([saga_id("a"), saga_id("b")])
    assert store.runs_by_origin("billing.refunds", 1, 0) == []
    assert store.runs_by_origin("other", 0, 0) == []
