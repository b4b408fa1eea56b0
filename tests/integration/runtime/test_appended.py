"""Whoever relays in the worker's own process is told of each commit, on the loop where it waits."""

import asyncio
import threading
from pathlib import Path

from amends.connectors.local.source import LocalSource
from amends.connectors.stores import open_store
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.ports.rows import LocalRecord
from amends.coordinator.runtime.worker import Worker, WorkerSettings
from tests.unit.runtime.sagas import order_saga

WITHIN_S = 10


async def test_a_relay_in_the_worker_s_process_is_woken_by_each_commit(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'amends.db'}", data_dir=tmp_path)
    store.publish([LocalRecord(topic="orders", key=None, value=b'{"id":"1"}', headers=(), at=0)])
    told: list[tuple[int, int]] = []
    worker = Worker(
        store=store,
        reader=store,
        source=LocalSource(store, group="amends.default"),
        sagas=(order_saga().close(),),
        settings=WorkerSettings(),
        clock=wall_clock,
    )
    worker.appended = lambda: told.append((threading.get_ident(), store.shards()[0].position))
    worker.check()

    async def completed() -> bool:
        return [row.status for row in store.runs()] == ["completed"]

    async with asyncio.timeout(WITHIN_S):
        await worker.run(until_idle=completed)
    store.close()
    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert len(told) >= 4, "a start and three replies, each committed by itself"
    assert told[-1][1] == 4, "the last one was told of too"
