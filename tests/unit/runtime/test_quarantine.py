"""A run that cannot be folded or carried on is marked and left alone; the others go on (rule 19)."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amends.connectors.stores import open_store
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.rows import InboxRow, RunRow
from amends.coordinator.runtime.inbound import Lost
from amends.coordinator.runtime.keyring import Keyring
from amends.coordinator.runtime.loading import Loading
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND
from amends.testing import fails, late, ok
from tests.unit.runtime.sagas import Done, order_saga

Damage = tuple[str, str]
"""What ruins the run, and what mends it."""

LARGE, DONE = ok(Done(key="k" * 100_000)), ok(Done(key="k"))
GARBAGE: Damage = (
    "UPDATE events SET state = CAST('#' || CAST(state AS TEXT) AS BLOB) WHERE originator_id = ?",
    "UPDATE events SET state = CAST(substr(CAST(state AS TEXT), 2) AS BLOB) WHERE originator_id = ?",
)
GONE: Damage = (
    "UPDATE blobs SET digest = 'gone ' || digest WHERE ? = ?1",
    "UPDATE blobs SET digest = substr(digest, 6) WHERE ? = ?1",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The SQLite file of the world's store."""
    return tmp_path / "amends.db"


@pytest.fixture
def damage(file: Path) -> Callable[[str, SagaId], None]:
    """Change the store behind the coordinator's back."""

    def change(statement: str, saga_id: SagaId) -> None:
        with closing(sqlite3.connect(file, timeout=10)) as rival, rival:
            assert rival.execute(statement, (saga_id,)).rowcount > 0

    return change


def crash(installation: World) -> None:
    """The worker dies, and with it the lock by which it holds a SQLite store."""
    (shard,) = installation.store.shards()
    assert shard.owner is not None
    installation.store.release("worker", shard.owner, [shard.shard], clean=False)
    installation.crash()


def test_a_shard_that_goes_takes_its_ruined_runs_along(file: Path, damage: Callable[[str, SagaId], None]) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{file}", data_dir=file.parent, clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"b": late(Done(key="k"), after="50s")})
    installation.publish({"id": "A-1"})
    installation.run(until=clock.now + SECOND)
    damage(GARBAGE[0], store.runs()[0].saga_id)
    crash(installation)
    installation._arrived.append(Lost(shards=[0]))
    installation.run()
    assert [row.quarantined for row in store.runs()] == [False]
    assert installation.engine.idle


@pytest.mark.parametrize("done", [GARBAGE, GONE], ids=["an entry is garbage", "a large value is gone"])
def test_a_ruined_run_is_quarantined_and_goes_on_when_it_is_mended(
    file: Path, damage: Callable[[str, SagaId], None], done: Damage
) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{file}", data_dir=file.parent, clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"a": [LARGE, DONE]})
    installation.publish({"id": "A-1"})
    while len(store.entries_from(0, after=0, limit=10)) < 2:
        installation._turn()
    (ruined,) = store.runs()

    damage(done[0], ruined.saga_id)
    crash(installation)
    installation.publish({"id": "A-2"})
    installation.run()
    row = store.run(ruined.saga_id)
    assert row is not None
    assert (row.status, row.quarantined, row.version) == ("running", True, len(store.entries_of(ruined.saga_id)))
    assert len(store.runs(status="completed", limit=10)) == 1
    assert installation.engine.idle

    damage(done[1], ruined.saga_id)
    crash(installation)
    installation.run()
    assert [(run.status, run.quarantined) for run in store.runs(limit=10)] == [("completed", False)] * 2


@pytest.mark.parametrize("done", [GARBAGE, GONE], ids=["an entry is garbage", "a large value is gone"])
def test_a_wish_about_a_ruined_run_is_kept_until_somebody_can_hear_it(
    file: Path, damage: Callable[[str, SagaId], None], done: Damage
) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{file}", data_dir=file.parent, clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"a": LARGE, "b": late(Done(key="k"), after="50s")})
    installation.publish({"id": "A-1"})
    installation.run(until=clock.now + SECOND)
    (ruined,) = store.runs()
    damage(done[0], ruined.saga_id)
    crash(installation)
    body = wishes.write(wishes.Cancel(actor="eva", saga_id=ruined.saga_id, reason="ordered twice"))
    wish = InboxRow(shard=ruined.shard, message_id="w-1", body=body)
    store.put_inbox([wish])
    for _ in range(3):
        installation.take_inbox()
        installation.run(until=clock.now + SECOND)
    assert store.inbox(ruined.shard) == [wish]
    row = store.run(ruined.saga_id)
    assert row is not None
    assert (row.quarantined, row.version) == (True, len(store.entries_of(ruined.saga_id)))
    assert installation.engine.idle

    damage(done[1], ruined.saga_id)
    crash(installation)
    installation._turn()
    installation.take_inbox()
    installation.run()
    assert store.inbox(ruined.shard) == []
    (ended,) = store.runs()
    assert (ended.status, ended.cause, ended.quarantined) == ("compensated", "cancelled", False)


def test_a_mended_run_is_not_called_quarantined_although_nothing_is_appended_to_it(
    file: Path, damage: Callable[[str, SagaId], None]
) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{file}", data_dir=file.parent, clock=clock)
    installation = World(store, order_saga(), clock=clock, replies={"c": fails(), "b.undo": fails()})
    installation.publish({"id": "A-1"})
    installation.run()
    (parked,) = store.runs()
    assert parked.status == "parked"
    for what, quarantined in zip(GARBAGE, (True, False), strict=True):
        damage(what, parked.saga_id)
        crash(installation)
        installation.run()
        row = store.run(parked.saga_id)
        assert row is not None
        assert (row.quarantined, row.version, row.status) == (quarantined, parked.version, "parked")


def test_a_shard_that_is_gained_reads_its_own_rows_and_no_others() -> None:
    asked: list[tuple[SagaId, ...]] = []

    class Listening(MemoryStore):
        def runs(self, **_: Any) -> Any:
            raise AssertionError("a list of all shards' runs is asked for")

        def runs_open(self, **_: Any) -> Any:
            raise AssertionError("a list of all shards' runs is asked for")

        def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
            asked.append(tuple(saga_ids))
            return super().runs_by_id(saga_ids)

    clock = Clock()
    store = Listening(clock=clock)
    store.migrate(shards=2)
    installation = World(store, order_saga(), clock=clock, replies={"b": late(Done(key="k"), after="500s")})
    for number in range(1_200):
        installation.publish({"id": f"A-{number}"})
    installation.engine._deciding.in_flight_max = 2_000
    installation.run(until=clock.now + SECOND)
    asked.clear()
    loading = Loading(store=store, catalogue=installation.engine.catalogue, keyring=Keyring(store=store))
    runs = list(loading.open_runs(0))
    assert len(runs) == store.load()[0] == 600
    assert [len(page) for page in asked] == [500, 100]
    assert {run.saga_id for run in runs} == {saga_id for page in asked for saga_id in page}
