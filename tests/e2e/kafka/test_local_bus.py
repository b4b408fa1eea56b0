"""Local topics on PostgreSQL, shared by two workers: one reads them, by lease; when it dies the other one does."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.e2e.kafka.installation import LEDGER, Installation, done, publish, statuses, wait_for

RUNS = 40


@pytest.fixture
def local(postgres: str, tmp_path: Path) -> Installation:
    """Give one on PostgreSQL with its local bus."""
    books = tmp_path / "books"
    books.mkdir()
    made = Installation(folder=tmp_path, store=postgres, bus="local", prefix="", more={"LEDGER": str(books)})
    made.run("store", "migrate")
    return made


@pytest.mark.timeout(240)
def test_local_topics_are_read_by_one_worker_at_a_time_and_by_the_other_when_it_dies(local: Installation) -> None:
    with ExitStack() as stack:
        names, owners = ["first", "second"], []
        workers = {name: stack.enter_context(local.started(name, "worker", LEDGER)) for name in names}
        for name in names:
            wait_for(lambda name=name: "shards_gained" in local.log_of(name), f"{name} works")  # type: ignore[misc]
        for turn in range(3):
            publish(local, [order(turn, number) for number in range(RUNS)])
            wait_for(lambda turn=turn: statuses(local) == {"completed": RUNS * (turn + 1)}, "all runs end")  # type: ignore[misc]
            owners.append(reader(local))
            if turn == 1:
                workers["first"].kill()
                workers["first"].wait(10)
    assert owners[0] == owners[1] is not None, "who has the lease keeps it"
    assert set(done(local).values()) == {1}
    assert len(done(local)) == 3 * 3 * RUNS


def order(turn: int, number: int) -> dict[str, object]:
    return {"id": f"{turn}-{number}", "slow_ms": 5}


def reader(local: Installation) -> str | None:
    """Who holds the lease of the local bus."""
    with psycopg.connect(local.store) as database:
        row = database.execute("SELECT owner FROM leases WHERE role = 'bus' AND owner IS NOT NULL").fetchone()
    return None if row is None else str(row[0])
