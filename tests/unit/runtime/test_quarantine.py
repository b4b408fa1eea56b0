"""A run that cannot be folded or carried on is marked and left alone; the others go on (rule 19)."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.testing.world import Clock, World
from amends.schemas.ids import SagaId
from amends.testing import ok
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
