"""A worker's and a relay's life: opened with patience, stopped by a signal, left in order."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import MsgspecError

from amends.coordinator import bootstrap
from amends.coordinator.cli.apps import loaded_app
from amends.coordinator.cli.call import Call
from amends.coordinator.cli.logs import set_level
from amends.coordinator.cli.relaying import local_checkpoints_of, relay_of
from amends.coordinator.cli.unfinished import list_open, tell_of_unfinished
from amends.coordinator.config import Settings
from amends.coordinator.definition.loading import App
from amends.coordinator.errors import BusUnavailable, StoreUnavailable
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.checkpoints import LocalCheckpoints
from amends.coordinator.runtime.relay import Relay
from amends.coordinator.runtime.schema_source import SchemaSource
from amends.coordinator.runtime.worker import Worker, WorkerSettings
from amends.coordinator.runtime.writers import writers_by_topic
from amends.schemas import wishes
from amends.schemas.outcome import OUTCOMES

if TYPE_CHECKING:
    from amends.coordinator.bootstrap import SchemaRegistry

T = TypeVar("T")

log = logging.getLogger("amends.worker")

WAIT_FIRST_S: Final = 0.2
WAIT_LAST_S: Final = 5.0
LINGER_S: Final = 1.0
"""After an orderly stop, how long threads of handlers that do not return may hold the process up."""
STOP_WITHIN_S: Final = 4.5
"""After a signal the process ends, even if a store or a broker that stands still keeps it from giving back leases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asked for."""

    app: str | None
    relay: bool
    strict: bool
    allow_missing: bool
    until_idle: bool = False
    show: bool = False


async def serve(call: Call, wanted: Wanted) -> int:
    """Run a worker until it is stopped or idle; 0, or 130 after Ctrl-C."""
    settings = call.settings
    set_level(settings.log)
    app = loaded_app(wanted.app, settings)
    stopping = _Stopping()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_patiently_opened(settings, stopping))
        if store is None:
            return stopping.code
        registry = await _registry(settings, stack)
        worker = _worker(settings, app, store, registry, wanted, stack)
        relay: Relay | LocalCheckpoints | None = None
        for line in await _patiently(lambda: asyncio.to_thread(worker.check), stopping) or ():
            log.warning("handler_missing", extra={"run": line})
        if settings.kafka is not None and (wanted.relay or bootstrap.only_sqlite(settings)):
            relay = relay_of(settings, store, await _schema_ids(settings, registry, stopping))
            worker.appended = relay.wake
        elif settings.kafka is None and settings.checkpoint_key is not None:
            relay = local_checkpoints_of(settings, store)
        log.info("worker_started", extra={"sagas": [f"{saga.name} v{saga.version}" for saga in app.current]})
        await _run(worker, relay, stopping, until_idle=wanted.until_idle, show=_shown(call, store, wanted))
        log.info("worker_stopped", extra={})
        if wanted.until_idle and not stopping.asked:
            await asyncio.to_thread(list_open, store)
    return _leave(stopping.code)


async def serve_relay(call: Call) -> int:
    """Run a relay until it is stopped."""
    settings = call.settings
    set_level(settings.log)
    stopping = _Stopping()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_patiently_opened(settings, stopping))
        if store is None:
            return stopping.code
        registry = await _registry(settings, stack)
        relay = relay_of(settings, store, await _schema_ids(settings, registry, stopping))
        log.info("relay_started", extra={"bus": settings.bus})
        stopping.then(relay.stop)
        await relay.run()
        log.info("relay_stopped", extra={"published": relay.published})
    return _leave(stopping.code)


class _Stopping:
    """SIGTERM and Ctrl-C, as one event and an exit code. A second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.code = 0
        self._then: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, 0)
        loop.add_signal_handler(signal.SIGINT, self._stop, 130)

    @property
    def asked(self) -> bool:
        return self.event.is_set()

    def then(self, stop: Callable[[], None]) -> None:
        """Call this when a stop is asked for."""
        self._then.append(stop)
        if self.asked:
            stop()

    def _stop(self, code: int) -> None:
        if self.asked and code:
            os._exit(code)
        if not self.asked:
            _ends_within(STOP_WITHIN_S, code)
        self.code = code
        self.event.set()
        for stop in self._then:
            stop()


async def _run(
    worker: Worker,
    relay: Relay | LocalCheckpoints | None,
    stopping: _Stopping,
    *,
    until_idle: bool,
    show: Callable[[], Coroutine[None, None, None]] | None,
) -> None:
    """The worker to its end, the relay for as long and a moment longer."""
    stopping.then(worker.stop)

    async def all_published() -> bool:
        nothing_wished = await asyncio.to_thread(_nothing_wished, worker)
        return nothing_wished and (not isinstance(relay, Relay) or await relay.caught_up())

    async with asyncio.TaskGroup() as group:
        beside: list[asyncio.Task[None]] = [group.create_task(show())] if show is not None else []
        if until_idle:
            beside.append(group.create_task(tell_of_unfinished(worker.store)))
        relaying = group.create_task(relay.run()) if relay is not None else None
        try:
            await worker.run(until_idle=all_published if until_idle else None)
        finally:
            for task in beside:
                task.cancel()
            if relay is not None:
                relay.stop()
        if relaying is not None:
            await asyncio.wait([relaying], timeout=LINGER_S)
            relaying.cancel()


def _worker(  # noqa: PLR0917  what a worker is made of
    settings: Settings,
    app: App,
    store: Store,
    registry: "SchemaRegistry | None",
    wanted: Wanted,
    stack: AsyncExitStack,
) -> Worker:
    reader = store
    if store.kind == "postgresql":
        reader = bootstrap.open_store(settings)
        stack.callback(reader.close)
    source, wake = bootstrap.open_worker_source(settings, reader)
    if registry is not None:
        source = SchemaSource(source, registry.fetch)
    return Worker(
        store=store,
        reader=reader,
        source=source,
        sagas=app.sagas,
        settings=WorkerSettings(
            namespace=settings.namespace,
            build=settings.build or app.build,
            in_flight_max=settings.in_flight,
            lease_ms=settings.lease_ms,
            strict=wanted.strict,
            allow_missing=wanted.allow_missing,
            messages_topic=bootstrap.own_topics(settings).messages,
            messages_kept_ms=settings.messages_kept_ms,
        ),
        clock=bootstrap.worker_clock(),
        writers=writers_by_topic(app.sagas, registry.known if registry is not None else None),
        wake_source=wake,
        commands=lambda: bootstrap.open_sink(settings, store),
    )


@asynccontextmanager
async def _patiently_opened(settings: Settings, stopping: _Stopping) -> AsyncIterator[Store | None]:
    """The store, waited for while it is away; None if a stop was asked for meanwhile."""
    store = await _patiently(lambda: asyncio.to_thread(bootstrap.open_store, settings), stopping)
    try:
        if store is not None:
            bootstrap.claim_coordinator(store)
        yield store
    finally:
        if store is not None:
            await asyncio.to_thread(store.close)


async def _patiently(ask: Callable[[], Awaitable[T]], stopping: _Stopping) -> T | None:
    """Ask until it answers, with doubling waits; None if a stop was asked for meanwhile."""
    wait_s = WAIT_FIRST_S
    while not stopping.asked:
        try:
            return await ask()
        except (StoreUnavailable, BusUnavailable) as error:
            log.warning("waiting", extra={"why": f"{error.code}: {error}", "again_in_s": wait_s})
        try:
            async with asyncio.timeout(wait_s):
                await stopping.event.wait()
        except TimeoutError:
            wait_s = min(WAIT_LAST_S, wait_s * 2)
    return None


async def _registry(settings: Settings, stack: AsyncExitStack) -> "SchemaRegistry | None":
    registry = bootstrap.open_registry(settings)
    return await stack.enter_async_context(registry) if registry is not None else None


async def _schema_ids(settings: Settings, registry: "SchemaRegistry | None", stopping: _Stopping) -> dict[str, int]:
    """The registry's ids of the schemas we publish with."""
    if registry is None or settings.topic_format != "avro":
        return {}
    topic = bootstrap.own_topics(settings).outcomes
    found = await _patiently(lambda: registry.register(topic, OUTCOMES.avro), stopping)
    return {} if found is None else {OUTCOMES.name: found}


def _shown(call: Call, store: Store, wanted: Wanted) -> Callable[[], Coroutine[None, None, None]] | None:
    if not wanted.show:
        return None
    from amends.coordinator.cli.endings import show_endings

    return lambda: show_endings(call, store)


def _nothing_wished(worker: Worker) -> bool:
    store, served = worker.store, {saga.name for saga in worker.sagas}
    return not any(_is_heard(store, row, served) for shard in store.shards() for row in store.inbox(shard.shard))


def _is_heard(store: Store, row: InboxRow, served: Collection[str]) -> bool:
    """Whether this worker takes the wish.

    It leaves to others what it cannot read, what is about a quarantined run, and what begins a run of a saga that is
    not in its APP.
    """
    try:
        wish = wishes.read(row.body)
    except MsgspecError:
        return False
    if isinstance(wish, wishes.Start):
        return wish.saga in served
    run = store.run(wish.saga_id)
    if isinstance(wish, wishes.Rerun) and run is not None:
        return run.saga in served
    return run is None or not run.quarantined


def _leave(code: int) -> int:
    """A handler's thread that never returns must not hold the process up."""
    sys.stdout.flush()
    _ends_within(LINGER_S, code)
    return code


def _ends_within(seconds: float, code: int) -> None:
    """What was not given back runs out, and what was not committed is done again: as after a crash."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
