"""The same three steps on DBOS, run by an environment of its own: `peer.py URL LEDGER COUNT_ALONE COUNT_TOGETHER`.

Set up in its favor: plain `def` workflows called directly, each of the 64 on a thread of its own (that was faster here
than `async def`, and than a queue, which adds an insert and a poll); on SQLite a write-ahead log with every commit
synced, as Amends has it, instead of the slower rollback journal that it would take by itself, and the pool that was
fastest of 1, 2, 5, 20 and 64 connections.
"""

import itertools
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa  # type: ignore[import-not-found,unused-ignore]  # in the environment of the peer only
from dbos import DBOS, SetWorkflowID  # type: ignore[import-not-found,unused-ignore]

from benchmarks.ledger import STEPS, Ledger
from benchmarks.phases import IN_FLIGHT, WARM_UP, Phase, keys_of, tell

Workflow = Callable[[str], object]


def main() -> None:
    url, ledger, alone, together = sys.argv[1:]
    config: dict[str, object] = {"name": "bench", "system_database_url": url, "log_level": "ERROR"}
    if url.startswith("sqlite"):
        config["system_database_engine"] = synced_sqlite(url)
    DBOS(config=config)
    workflow = order(Ledger(Path(ledger)))
    DBOS.launch()
    run(workflow, "warm", IN_FLIGHT, WARM_UP)
    tell(run(workflow, "alone", 1, int(alone)))
    tell(run(workflow, "together", IN_FLIGHT, int(together)))
    DBOS.destroy()


def synced_sqlite(url: str) -> object:
    engine = sa.create_engine(url, pool_size=2, max_overflow=0, pool_timeout=60)

    def connected(connection: Any, _: object) -> None:  # noqa: ANN401
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", connected)
    return engine


def order(ledger: Ledger) -> Workflow:
    def perform(key: str, step: str) -> dict[str, str]:
        ledger.performed(key, step)
        return {"key": key}

    step = DBOS.step()(perform)

    def bench_order(key: str) -> dict[str, str]:
        passed = {"key": key}
        for name in STEPS:
            passed = step(passed["key"], name)
        return passed

    workflow: Workflow = DBOS.workflow()(bench_order)
    return workflow


def run(workflow: Workflow, name: str, in_flight: int, count: int) -> Phase:
    keys = keys_of(name, count)
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(in_flight) as pool:
        latencies = list(pool.map(performed, itertools.repeat(workflow), keys))
    return Phase.of(name, latencies_s=latencies, elapsed_s=time.perf_counter() - began, cpu_s=time.process_time() - cpu)


def performed(workflow: Workflow, key: str) -> float:
    began = time.perf_counter()
    with SetWorkflowID(key):
        workflow(key)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
