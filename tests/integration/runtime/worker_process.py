"""A worker on a store that is given by URL, reading local topics: `python worker_process.py URL DATA`."""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from uuid import uuid4

from amends.connectors.local.source import LocalSource
from amends.connectors.stores import open_store
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.definition.loading import load_app
from amends.coordinator.runtime.leased_source import LeasedSource
from amends.coordinator.runtime.worker import Worker, WorkerSettings

LEASE_MS = 1_500


async def main(url: str, data: str) -> None:
    """Work until SIGTERM."""
    store = open_store(url, data_dir=Path(data), shards=16)
    reader = open_store(url, data_dir=Path(data), shards=16)
    local = LocalSource(reader, group="amends.default")
    source = LeasedSource(local, store, owner=uuid4().hex, lease_ms=LEASE_MS)
    app = load_app(str(Path(__file__).with_name("ledger_app.py")))
    worker = Worker(
        store=store,
        reader=reader,
        source=source,
        sagas=app.sagas,
        settings=WorkerSettings(lease_ms=LEASE_MS),
        clock=wall_clock,
        wake_source=local.wake,
    )
    worker.check()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


logging.basicConfig(level="INFO")
asyncio.run(main(*sys.argv[1:]))
