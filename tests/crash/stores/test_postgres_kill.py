"""kill -9 between update and COMMIT, and at any moment: a batch is there whole or not, and the next owner goes on."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import Batch, Lease
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import LEASE_MS, Owner, change, part, run, saga_id
from tests.integration.stores.proxy import Commit, Proxy
from tests.servers.tools import CHECKOUT
from tests.servers.waiting import wait_until

START = """
import sys
from pathlib import Path
from amends.connectors.stores import open_store
from tests.contract.stores import builders
from tests.contract.stores.builders import *
builders.LEASE_MS = 300
store = open_store(sys.argv[1], data_dir=Path("."), shards=1)
owner = Owner(store, sys.argv[2])
print(owner.leases[0].position, flush=True)
"""
APPEND_ONCE = (
    START
    + """
sys.stdin.readline()
owner.append(owner.part(0, [("old", 2), ("new", 1)], started=[run("new")], changed=[change("old", status="completed")]))
print("appended", flush=True)
"""
)
APPEND_FOR_EVER = (
    START
    + """
number = 0
while True:
    names = [f"{sys.argv[2]}-{number}-{step}" for step in range(5)]
    owner.append(owner.part(0, [(each, 1) for each in names], started=[run(each) for each in names]))
    number += 1
    print(owner.leases[0].position, flush=True)
"""
)


@pytest.fixture
def store(postgres: str, tmp_path: Path) -> Iterator[Store]:
    store = open_store(postgres, data_dir=tmp_path, shards=1)
    yield store
    store.close()


def child(program: str, url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, url, name],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def taken_over(store: Store, owner: str) -> Lease:
    """Wait for the end of the dead owner's lease."""
    taken: list[Lease] = []

    def take() -> bool:
        taken.extend(store.claim("worker", owner, lease_ms=LEASE_MS, limit=1))
        return bool(taken)

    wait_until(take, within_s=10, what="the lease is over")
    return taken[0]


def test_killed_between_the_update_and_the_commit_leaves_nothing_and_the_next_owner_goes_on(
    store: Store, postgres: str
) -> None:
    first = Owner(store, "first")
    first.start("old")
    store.release("worker", "first", [0], clean=True)
    killed: list[int] = []

    with Proxy(postgres) as proxy, child(APPEND_ONCE, proxy.url, "doomed") as doomed:
        assert doomed.stdout is not None
        assert doomed.stdin is not None
        assert doomed.stdout.readline() == "1\n"

        def kill(commit: Commit) -> None:
            assert store.entries_from(0, after=0, limit=9)[1:] == []  # written and not yet committed
            os.kill(doomed.pid, signal.SIGKILL)
            killed.append(doomed.wait(10))
            commit.lose_server()
            commit.lose_client()

        proxy.fates = [kill]
        doomed.stdin.write("go\n")
        doomed.stdin.flush()
        assert doomed.wait(30) == -9
        assert doomed.stdout.read() == ""
    assert killed == [-9]
    lease = taken_over(store, "next")
    assert (lease.epoch, lease.position, lease.head, lease.clean) == (3, 1, "head-1", False)
    assert [(row.saga_id, row.status) for row in store.runs()] == [(saga_id("old"), "running")]
    owner = Owner(store, "next", limit=0)
    owner.leases[0] = lease
    owner.append(owner.part(0, [("old", 2), ("new", 1)], started=[run("new")], changed=[change("old")]))
    assert [row.position for row in store.entries_from(0, after=0, limit=9)] == [1, 2, 3]


@pytest.mark.timeout(180)
def test_killed_at_any_moment_every_batch_that_was_acknowledged_is_there_whole(store: Store, postgres: str) -> None:
    chance = random.Random(11)
    acknowledged = 0
    for life in range(8):
        with child(APPEND_FOR_EVER, postgres, f"life-{life}") as living:
            assert living.stdout is not None
            for _ in range(chance.randrange(2, 40)):
                acknowledged = int(living.stdout.readline())
            living.kill()
            acknowledged = max([acknowledged, *map(int, living.stdout)])
        lease = taken_over(store, "between")
        store.release("worker", "between", [0], clean=True)
        positions = [row.position for row in store.entries_from(0, after=0, limit=100_000)]
        assert positions == list(range(1, lease.position + 1))
        assert len(positions) == len(store.runs(limit=100_000))
        assert len(positions) % 5 == 0
        assert acknowledged <= len(positions) <= acknowledged + 5
        assert lease.epoch == 2 * life + 2
        acknowledged = len(positions)
    assert acknowledged > 100


@pytest.mark.timeout(60)
def test_a_stopped_worker_that_goes_on_after_it_was_taken_over_is_fenced(store: Store, postgres: str) -> None:
    with child(APPEND_ONCE, postgres, "stopped") as stopped:
        assert stopped.stdout is not None
        assert stopped.stdin is not None
        stopped.stdout.readline()
        os.kill(stopped.pid, signal.SIGSTOP)
        stopped.stdin.write("go\n")
        stopped.stdin.flush()
        lease = taken_over(store, "next")
        os.kill(stopped.pid, signal.SIGCONT)
        said, complained = stopped.communicate(timeout=30)
        assert said == ""
        assert complained.splitlines()[-1] == "amends.coordinator.errors.Fenced: fenced out of shards (0,)"
    assert store.entries_from(0, after=0, limit=9) == []
    store.append(Batch(appends=(part(lease, [("a", 1)], started=[run("a")]),)))
    assert [row.position for row in store.entries_from(0, after=0, limit=9)] == [1]
