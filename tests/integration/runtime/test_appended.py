"""Whoever relays in the worker's own process is told of each commit, on the loop where it waits."""

import asyncio
import threading
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.connectors.stores.sqlite import SqliteStore
from amends.coordinator.ports.rows import Batch, LocalRecord
from tests.integration.runtime.workers import worker_on
from tests.unit.runtime.sagas import order_saga

WITHIN_S = 10


class Lagging(SqliteStore):
    """Its first append lasts until the gate opens."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.appending, self.gate = threading.Event(), threading.Event()

    def append(self, batch: Batch) -> None:
        self.appending.set()
        assert self.gate.wait(WITHIN_S)
        super().append(batch)


def test_a_commit_that_comes_after_the_worker_has_gone_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Lagging(tmp_path / "amends.db")
    store.migrate(shards=1)
    store.publish([LocalRecord(topic="orders", key=None, value=b'{"id":"1"}', headers=(), at=0)])
    worker = worker_on(store, order_saga())
    worker.appended = lambda: None
    worker.check()

    async def stopped_in_the_middle() -> None:
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await asyncio.to_thread(store.appending.wait, WITHIN_S)
            worker.stop()

    asyncio.run(stopped_in_the_middle())
    (engine,) = [thread for thread in threading.enumerate() if thread.name == "amends-engine"]
    store.gate.set()
    engine.join(WITHIN_S)
    assert store.shards()[0].position == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    store.close()


async def test_a_relay_in_the_worker_s_process_is_woken_by_each_commit(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'amends.db'}", data_dir=tmp_path)
    store.publish([LocalRecord(topic="orders", key=None, value=b'{"id":"1"}', headers=(), at=0)])
    told: list[tuple[int, int]] = []
    worker = worker_on(store, order_saga())
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
