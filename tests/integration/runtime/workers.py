"""A worker in this process, on a store that is also its bus."""

from collections.abc import Callable
from typing import Any

from amends import Saga
from amends.connectors.local.source import LocalSource
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.worker import Worker, WorkerSettings


def worker_on(store: Store, *sagas: Saga[Any], wake_source: Callable[[], None] | None = None) -> Worker:
    """One that runs these; start it with `run`."""
    return Worker(
        store=store,
        reader=store,
        source=LocalSource(store, group="amends.default"),
        sagas=tuple(saga.close() for saga in sagas),
        settings=WorkerSettings(),
        clock=wall_clock,
        wake_source=wake_source,
    )
