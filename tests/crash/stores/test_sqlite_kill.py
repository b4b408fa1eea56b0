"""kill -9 at every statement of an append, and at any moment: a batch is there whole or not, the next owner goes on."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import Owner, message
from tests.servers.tools import CHECKOUT

APPEND_AND_DIE = """
import os, signal, sys
from pathlib import Path
from amends.connectors.stores import open_store
from amends.connectors.stores.sqlite import connections
from amends.coordinator.ports.rows import Batch
from tests.contract.stores.builders import *

path, deadly = Path(sys.argv[1]), int(sys.argv[2])
store = open_store(f"sqlite:///{path}", data_dir=path.parent, shards=2)
owner = Owner(store, f"process-{deadly}")
seen = 0

def count(statement):
    global seen
    seen += 1
    if seen == deadly:
        print(statement.split()[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

store._writer._connection.set_trace_callback(count)
owner.append(
    owner.part(0, [("old", 2), ("new", 1)], started=[run("new", offset=9)],
               changed=[change("old", status="completed")], inbox_done=["m"]),
    owner.part(1, [("other", 1)], started=[run("other", shard=1)]),
    inbox=(message("handed", shard=1),), dead_letters=(letter(1),), duplicates=(duplicate("old", 50),),
    blobs=(("sha256:b", b"blob"),),
)
print("appended", seen, flush=True)
"""

APPEND_FOR_EVER = """
import sys
from pathlib import Path
from amends.connectors.stores import open_store
from tests.contract.stores.builders import *

path, name = Path(sys.argv[1]), sys.argv[2]
store = open_store(f"sqlite:///{path}", data_dir=path.parent)
owner = Owner(store, name)
number = 0
while True:
    names = [f"{name}-{number}-{step}" for step in range(5)]
    owner.append(owner.part(0, [(each, 1) for each in names], started=[run(each) for each in names]))
    number += 1
    print(owner.leases[0].position, flush=True)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one open run and one message, its owner gone in order."""
    path = tmp_path / "amends.db"
    store = open_store(f"sqlite:///{path}", data_dir=tmp_path, shards=2)
    Owner(store).start("old")
    store.put_inbox([message("m")])
    store.release("worker", "worker-1", [0, 1], clean=True)
    store.close()
    return path


def all_of_it(store: Store) -> list[object]:
    return [
        [(row.position, row.head) for row in store.shards()],
        [[(row.saga_id, row.version) for row in store.entries_from(shard, after=0, limit=99)] for shard in (0, 1)],
        [(row.saga_id, row.status, row.duplicates) for row in store.runs()],
        [[row.message_id for row in store.inbox(shard)] for shard in (0, 1)],
        len(store.dead_letters()),
        [len(store.runs_by_origin("billing.refunds", 0, offset)) for offset in (9, 50)],
    ]


def look(path: Path) -> list[object]:
    store = open_store(f"sqlite:///{path}", data_dir=path.parent, read_only=True)
    found = all_of_it(store)
    store.close()
    return found


@pytest.mark.timeout(180)
def test_killed_before_any_statement_of_an_append_leaves_nothing_of_it(path: Path) -> None:
    before = look(path)
    killed_at: list[str] = []
    while True:
        said, _ = (child := start(APPEND_AND_DIE, path, len(killed_at) + 1)).communicate(timeout=50)
        if child.returncode == 0:
            break
        assert child.returncode == -9
        killed_at.append(said.strip())
        assert look(path) == before
    assert killed_at[:2] == ["BEGIN", "UPDATE"]
    assert killed_at[-1] == "COMMIT"
    assert len(killed_at) > 15
    assert look(path) != before
    store = open_store(f"sqlite:///{path}", data_dir=path.parent)
    leases = store.claim("worker", "next", lease_ms=1, limit=9)
    assert [(lease.epoch, lease.position, lease.clean) for lease in leases] == [
        (1 + len(killed_at) + 2, 3, False),
        (1 + len(killed_at) + 2, 1, False),
    ]
    store.close()


@pytest.mark.timeout(180)
def test_killed_at_any_moment_every_batch_that_was_acknowledged_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "amends.db"
    chance = random.Random(7)
    epochs = 0
    acknowledged = 0
    for life in range(12):
        with start(APPEND_FOR_EVER, path, f"life-{life}") as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 40)):
                acknowledged = int(child.stdout.readline())
            child.kill()
            acknowledged = max([acknowledged, *map(int, child.stdout)])
        store = open_store(f"sqlite:///{path}", data_dir=tmp_path, read_only=True)
        positions = [row.position for row in store.entries_from(0, after=0, limit=100_000)]
        (shard,) = store.shards()
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) == shard.position == len(store.runs(limit=100_000))
        assert len(positions) % 5 == 0
        assert acknowledged <= len(positions) <= acknowledged + 5
        assert shard.epoch > epochs
        epochs, acknowledged = shard.epoch, len(positions)
        store.close()
    assert acknowledged > 100
