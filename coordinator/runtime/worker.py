"""A worker: engine, writer, handlers, leases and intake, put together and taken down in order."""

import asyncio
import gc
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import uuid4

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.commanded import replies_topics
from amends.coordinator.errors import AmendsError, BusUnavailable, StoreUnavailable, UsageError
from amends.coordinator.ports.bus import Sink, Source
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.catalogue import Catalogue, one_hash_per_version
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.engine import Engine, EngineSettings
from amends.coordinator.runtime.engine_thread import EngineThread
from amends.coordinator.runtime.hands import HandlerThreads
from amends.coordinator.runtime.inbound import Arrived, StopWished, Waiting
from amends.coordinator.runtime.keyring import require_master
from amends.coordinator.runtime.message_intake import MessageIntake
from amends.coordinator.runtime.ownership import Ownership
from amends.coordinator.runtime.patience import Patience
from amends.coordinator.runtime.writer import WriterThread
from amends.schemas.decoding import Writers
from amends.schemas.instants import Instant
from amends.schemas.message import MESSAGES
from amends.schemas.record import Record

POLL_RECORDS_MAX = 500
BACKLOG_MAX = 2_000
POLL_S = 0.25
BUS_STEADY_S = 2.0
"""A bus that was away is back when it has worked for so long."""
LOOK_S = 0.02
SWEEP_S = 60.0
"""How often the store is asked whether another process has changed it."""
INBOX_ROWS = 1_000
INBOX_ROWS_MAX = 50_000
"""Beyond those that the engine has, so many rows are read at once; and never more of a shard than this in all."""
HANDLERS_MAY_TAKE_S = 3.0
YOUNG_OBJECTS_MAX = 20_000
"""So many are made before any is looked through: a batch makes thousands, nearly all of which go with it."""

log = logging.getLogger("amends.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told. `strict` refuses a changed graph under an old version (all but `dev` do)."""

    namespace: str = "default"
    build: str = ""
    in_flight_max: int = 256
    lease_ms: int = 10_000
    strict: bool = True
    allow_missing: bool = False
    messages_topic: str = "amends.messages"
    messages_kept_ms: int = 604_800_000


@dataclass(slots=True, kw_only=True)
class Worker:
    """Runs until `stop` is called. The store is open and, with SQLite, its coordinator lock is held by the caller."""

    store: Store
    reader: Store
    """A second opening of the same store for what the engine reads, if the store wants one."""
    source: Source
    sagas: tuple[ClosedSaga, ...]
    settings: WorkerSettings
    clock: Callable[[], Instant]
    writers: Callable[[str], Writers] = lambda _topic: Writers()
    wake_source: Callable[[], None] | None = None
    """Tells a local source that something may have been published."""
    commands: Callable[[], Sink] | None = None
    """Opens the bus for commands to participants, which handlers publish from their own loop."""
    appended: Callable[[], None] | None = None
    """Called on the worker's loop after each commit: a relay in the same process need not look for it."""

    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: BaseException | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _reading: bool = False
    """Whether the trigger topics have been opened."""
    _keeping: bool = False
    """Whether messages were taken from the bus that the store does not have yet."""
    _accounted: deque[dict[tuple[str, int], int]] = field(default_factory=deque)
    """Offsets from the engine: nobody is woken for them, as they are committed after the next poll."""
    _consumed: dict[tuple[str, int], int] = field(default_factory=dict)
    _thread: EngineThread = field(init=False)
    _hands: HandlerThreads = field(init=False)
    _writer: WriterThread = field(init=False)
    _ownership: Ownership = field(init=False)
    _engine: Engine = field(init=False)
    _messages: MessageIntake = field(init=False)

    async def run(self, *, until_idle: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Work until stopped, or until `until_idle` says, on top of the engine's own idleness, that all is done.

        Raises what broke the engine.
        """
        self._loop = asyncio.get_running_loop()
        self._put_together()
        gc.freeze()  # What is loaded by now stays, and is not looked through again and again for what may be freed.
        gc.set_threshold(YOUNG_OBJECTS_MAX)
        try:
            await asyncio.to_thread(self._ownership.begin)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in (self._intake(), self._look(), self._sweep())]
                if until_idle is not None:
                    tasks.append(group.create_task(self._stop_when_idle(until_idle)))
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            await self._take_down()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop in order: no new work, a bounded time for handlers, everything known is committed."""
        self._stopping.set()

    def check(self) -> list[str]:
        """Open runs whose next handler is missing here, as lines; also refuses a changed graph. Stores definitions."""
        catalogue = Catalogue(sagas=self.sagas, stored=self.reader.definition, writers=self.writers)
        self._refuse_other_graphs()
        if any(saga.form.subject is not None for saga in self.sagas):
            require_master(self.reader)
        for row in catalogue.rows(self.clock()):
            self.store.put_definition(row)
        self._refuse_other_graphs()  # Again: another worker may have stored its own at the same moment.
        lines = []
        for run in self.reader.runs_open():
            known = catalogue.by_hash(run.definition_hash)
            missing = known.plan.missing if known is not None else frozenset({"its whole definition"})
            if missing:
                lines.append(f"{run.saga_id} {run.saga} v{run.definition_version} lacks {', '.join(sorted(missing))}")
        if lines and not self.settings.allow_missing:
            raise UsageError(
                "AM3002",
                f"{len(lines)} open {'run needs' if len(lines) == 1 else 'runs need'} handlers that APP does not have: "
                f"{lines[0]}" + (" …" if len(lines) > 1 else ""),
                do="start the version that has them, or pass --allow-missing to let these runs wait",
            )
        return lines

    def _refuse_other_graphs(self) -> None:
        if self.settings.strict:
            one_hash_per_version(self.sagas, self.store.definitions())

    @property
    def idle(self) -> bool:
        """Whether the engine has nothing to do and has taken everything it was offered."""
        return self._thread.idle

    def _put_together(self) -> None:
        catalogue = Catalogue(sagas=self.sagas, stored=self.reader.definition, writers=self.writers)
        self._thread = EngineThread(self.clock, self._broken)
        self._hands = HandlerThreads(replies=self._thread)
        self._writer = WriterThread(self.store, self._thread.put, self._on_committed)
        self._ownership = Ownership(
            store=self.store,
            worker=f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}",
            lease_ms=self.settings.lease_ms,
            clock=self.clock,
            tell=self._thread.put,
            busy=self._busy,
            broken=self._broken,
        )
        self._engine = Engine(
            store=self.reader,
            writer=self._writer,
            catalogue=catalogue,
            dispatch=Dispatch(
                catalogue=catalogue,
                hands=self._hands,
                clock=self.clock,
                epoch_of=lambda shard: self._engine.shards[shard].epoch,
                lease_left_s=self._ownership.left_s,
                commands=self.commands,
            ),
            settings=EngineSettings(
                namespace=self.settings.namespace,
                build=self.settings.build,
                in_flight_max=self.settings.in_flight_max,
            ),
            consumed=self._accounted.append,
            fenced=self._ownership.give_up,
        )
        self._messages = MessageIntake(
            store=self.store,
            clock=self.clock,
            kept_ms=self.settings.messages_kept_ms,
            writers=replace(self.writers(self.settings.messages_topic), ours=(MESSAGES.avro,)),
        )
        self._thread.begin(self._engine)

    def _busy(self, shard: int) -> bool:
        """Whether attempts of the shard are under way; a guess between two turns of the engine is good enough."""
        return any(run.shard == shard and run.running for run in list(self._engine.runs.values()))

    async def _intake(self) -> None:
        """Bring trigger records to the engine, never more than it can hold, and messages to the store."""
        topics = sorted({saga.form.trigger.topic for saga in self.sagas} | self._message_topics)
        patience = Patience("bus", log, steady_s=BUS_STEADY_S)
        while True:
            try:
                if not self._reading:
                    await self.source.start(topics)
                    self._reading = True
                room = BACKLOG_MAX - self._thread.backlog
                records = await self.source.poll(records_max=min(POLL_RECORDS_MAX, max(0, room)), timeout_s=POLL_S)
                if self._message_topics:
                    records = await self._keep_messages(records)
                if records:
                    self._thread.put(Arrived(records=records))
                await self._commit()
                patience.over()
            except BusUnavailable as error:
                await patience.wait(error)
            except UsageError as error:
                self._broken(error)
                return

    @property
    def _message_topics(self) -> frozenset[str]:
        """The topic of messages, if any saga of the app waits for one, and those of its participants' replies."""
        awaits = any(step.wait is not None or step.may_pend for saga in self.sagas for step in saga.form.every_step())
        return replies_topics(self.sagas) | frozenset({self.settings.messages_topic} if awaits else ())

    async def _keep_messages(self, records: list[Record]) -> list[Record]:
        """Put messages into the store, and have their offsets committed after that; the other records."""
        messages = [record for record in records if record.topic in self._message_topics]
        if messages:
            self._keeping = True
            patience = Patience("store", log)
            while self._keeping:
                try:
                    await asyncio.to_thread(self._messages.take, messages)
                    self._keeping = False
                except StoreUnavailable as error:
                    await patience.wait(error)
            for record in messages:
                self._consumed[record.topic, record.partition] = record.offset + 1
        return [record for record in records if record.topic not in self._message_topics]

    async def _sweep(self) -> None:
        """Now and then forget messages whose time is over."""
        while self._message_topics:
            with suppress(StoreUnavailable):
                await asyncio.to_thread(self._messages.sweep)
            await asyncio.sleep(SWEEP_S)

    def _on_committed(self) -> None:
        """From the writer's thread, or whichever has the engine's turn."""
        if self.appended is not None:
            self._tell(self.appended)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the worker's loop call this, from any thread; a thread that outlives the loop finds nobody."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *arguments)

    async def _commit(self) -> None:
        while self._accounted:
            self._consumed |= self._accounted.popleft()
        if self._consumed:
            offsets, self._consumed = self._consumed, {}
            try:
                await self.source.commit(offsets)
            except BusUnavailable:
                self._consumed = {**offsets, **self._consumed}
                raise

    async def _look(self) -> None:
        """Look for what other processes put into the store: inbox rows, local records."""
        mark: object = None
        patience = Patience("store", log)
        while True:
            try:
                moment = self._engine.inbox_moment
                latest = (await self._mark(), moment, frozenset(self._engine.shards))  # Rows may wait for a new shard.
                if latest != mark:
                    if self.wake_source is not None:
                        self.wake_source()
                    mark = latest if await self._take_inbox(moment) else None
                patience.over()
            except StoreUnavailable as error:
                await patience.wait(error)
            except UsageError as error:
                self._broken(error)
                return
            await asyncio.sleep(LOOK_S)

    async def _mark(self) -> object:
        if self._ownership.alone:
            return self.reader.change_mark()  # It takes microseconds. A server may stand still, which must not hold us.
        return await asyncio.to_thread(self.reader.change_mark)

    async def _take_inbox(self, moment: int) -> bool:
        """Whether that is all that waits there. What the engine has and leaves there must not hide what came later."""
        limit = min(INBOX_ROWS + self._engine.inbox_held, INBOX_ROWS_MAX)
        complete = True
        for shard in list(self._engine.shards):
            read = partial(self.reader.inbox, shard, limit=limit)
            rows = read() if self._ownership.alone else await asyncio.to_thread(read)
            complete = complete and (len(rows) < limit or limit == INBOX_ROWS_MAX)
            if rows:
                self._thread.put(Waiting(rows=rows, moment=moment))
        return complete

    async def _stop_when_idle(self, also: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                if (
                    self._reading
                    and self.idle
                    and not self._keeping
                    and await self.source.at_end()
                    and await also()
                    and self.idle
                ):
                    self.stop()
                    return
            except AmendsError as error:
                log.debug("not_idle", extra={"why": str(error)})
            await asyncio.sleep(LOOK_S)

    def _broken(self, error: BaseException) -> None:
        self._failure = error
        self._tell(self._stopping.set)

    async def _take_down(self) -> None:
        """In order: nothing new, handlers end or are left in doubt, replies are committed, shards are given back."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HANDLERS_MAY_TAKE_S
        self._thread.put(StopWished())
        while self._failure is None and loop.time() < until and not self._thread.quiet:  # noqa: ASYNC110  the engine's thread knows no event of ours
            await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(self._thread.close, timeout_s=0.5)
        await asyncio.to_thread(self._writer.close, timeout_s=0.5)
        try:
            async with asyncio.timeout(1.0):
                await self._commit()
                await self.source.stop()
        except (AmendsError, TimeoutError) as error:
            log.warning("source_not_stopped", extra={"why": str(error) or "no answer within 1 s"})
        await asyncio.to_thread(self._hands.close, timeout_s=0.5)
        await asyncio.to_thread(self._ownership.close, clean=self._failure is None)
