"""A worker that is fenced out of a shard it still has a lease of leases it anew and goes on."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from amends.connectors.local.source import LocalSource
from amends.connectors.stores import open_store
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.definition.loading import load_app
from amends.coordinator.ports.rows import LocalRecord
from amends.coordinator.runtime.worker import Worker, WorkerSettings
from tests.integration.runtime.ledger_app import effects

APP = Path(__file__).with_name("ledger_app.py")


@pytest.mark.timeout(60)
async def test_a_fenced_worker_leases_anew_and_finishes_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    monkeypatch.setenv("LEDGER", str(ledger))
    file = tmp_path / "amends.db"
    store = open_store(f"sqlite:///{file}", data_dir=tmp_path)
    source = LocalSource(store, group="amends.default")
    worker = Worker(
        store=store,
        reader=store,
        source=source,
        sagas=load_app(str(APP)).sagas,
        settings=WorkerSettings(),
        clock=wall_clock,
        wake_source=source.wake,
    )
    worker.check()
    values = [json.dumps({"id": f"A-{number}", "slow_ms": 20}).encode() for number in range(40)]
    store.publish([LocalRecord(topic="ledger.orders", key=None, value=value, headers=(), at=0) for value in values])

    async def raise_the_epoch() -> None:
        while len(effects(ledger)) < 20:  # noqa: ASYNC110  files make no events
            await asyncio.sleep(0.01)
        with closing(sqlite3.connect(file, timeout=10)) as rival, rival:
            rival.execute("UPDATE shards SET epoch = epoch + 1")

    rival = asyncio.create_task(raise_the_epoch())

    async def closed() -> bool:
        return len(store.runs(status="completed", limit=50)) == 40

    await worker.run(until_idle=closed)
    await rival
    assert set(effects(ledger).values()) == {1}
    assert {lease.epoch for lease in store.shards()} != {1}
