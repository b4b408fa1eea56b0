"""Two workers share one PostgreSQL; one is killed or frozen in the middle. Everything ends, nothing happens twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import CLOSED, LocalRecord
from amends.coordinator.ports.store import Store
from tests.integration.runtime.ledger_app import effects

HERE = Path(__file__).parent
RUNS = 200
PATIENCE_S = 60.0


@contextmanager
def worker(url: str, folder: Path, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker process; killed at the end if it is still there."""
    environment = {**os.environ, "LEDGER": str(folder / "ledger")}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "worker_process.py"), url, str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(10)


def publish(store: Store, count: int) -> None:
    """Orders of which every fifth is refused at its third step."""
    store.publish(
        [
            LocalRecord(
                topic="ledger.orders",
                key=None,
                value=json.dumps(
                    {"id": f"A-{number}", "slow_ms": 15, "refuse": "third" if number % 5 == 0 else ""}
                ).encode(),
                headers=(),
                at=0,
            )
            for number in range(count)
        ]
    )


def wait_for(what: Callable[[], bool], why: str) -> None:
    """Look until it is so. Fails after a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {why}"
        time.sleep(0.05)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_is_lost_loses_its_shards_and_nothing_else(postgres: str, tmp_path: Path, fate: int) -> None:
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    store = open_store(postgres, data_dir=tmp_path, shards=16)
    with worker(postgres, tmp_path, "doomed") as doomed, worker(postgres, tmp_path, "heir"):

        def owners() -> set[str | None]:
            return {shard.owner for shard in store.shards()}

        wait_for(lambda: None not in owners() and len(owners()) == 2, "both workers own shards")
        publish(store, RUNS)
        wait_for(lambda: len(effects(ledger)) > RUNS, "the runs are half way")
        doomed.send_signal(fate)
        wait_for(
            lambda: sum(row.status in CLOSED for row in store.runs(limit=RUNS + 1)) == RUNS,
            "every run has ended",
        )
        if fate == signal.SIGSTOP:
            doomed.send_signal(signal.SIGCONT)
            wait_for(lambda: len(owners()) == 2, "the worker that was frozen has shards again")
    rows = store.runs(limit=RUNS + 1)
    assert {row.status for row in rows} == {"completed", "compensated"}
    assert sum(row.status == "compensated" for row in rows) == RUNS // 5
    assert set(effects(ledger).values()) == {1}
