"""`Service`: a participant in a process of its own, without a coordinator.

Commands are read from a topic, carried out in the service's own database, each at most once, and answered after that
transaction's commit. A crash at any moment loses nothing: commands are read again, replies are sent again.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from amends.connectors.participant.handlers import Handler
from amends.connectors.participant.inbox import CommandInbox
from amends.connectors.participant.ledger import DueReply
from amends.connectors.participant.wire import NoCommand, read_command, reply_record
from amends.connectors.promises import malformed
from amends.coordinator import bootstrap, config
from amends.coordinator.config import Settings
from amends.coordinator.errors import BusUnavailable, RecordRefused, StoreUnavailable
from amends.coordinator.ports.bus import Sink, Source
from amends.coordinator.runtime.patience import Patience
from amends.schemas.incoming import text_fault
from amends.schemas.record import Record

log = logging.getLogger("amends.participant")

COMMANDS_MAX: Final = 100
"""Taken from the topic at once."""
POLL_S: Final = 0.25
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


class Service:
    """A participant that is commanded over the bus; declare its handlers, then `run` it.

    `commands` is the topic it reads, `replies` the one, or those, that it may answer on: a command that wants its
    answer elsewhere is not carried out. `database` is its own: `sqlite:///FILE` or `postgresql://…`, where a table
    `amends_commands` stands beside its own tables. Any number of processes may run one service on PostgreSQL.
    """

    def __init__(self, name: str, *, commands: str, replies: str | Collection[str], database: str) -> None:
        topics = frozenset({replies} if isinstance(replies, str) else replies)
        for what, text in (("name", name), ("commands", commands), *(("replies", each) for each in topics or {""})):
            fault = text_fault(text)
            if fault is not None:
                raise malformed(str(name), f"its {what} {fault}", do="mend the declaration")
        self.name = name
        self.commands = commands
        self.replies = topics
        self._database = database
        self._handlers: dict[str, Handler] = {}
        self._stopping = asyncio.Event()

    def on(self, command: str, *, external_id: str | None = None) -> Callable[[F], F]:
        """Declare what carries a command out: `def book(tx: Transaction, order: Order) -> Booking`.

        All it does with `tx` is one transaction with what is remembered of the command, committed when it returns.
        It raises `StepRefused` or `StepUnavailable` for what did not happen; so does any other exception, which is
        `unavailable`. For a command that undoes, it is called only where there is something to undo, and
        `tx.step_result(Booking)` is what was kept then. `external_id` is the result's field that names the effect.
        Raises `UsageError` (AM2005).
        """

        def declare(function: F) -> F:
            fault = text_fault(command)
            if fault is not None:
                raise malformed(self.name, f"a command's name {fault}", do="give it one that can be sent")
            if command in self._handlers:
                raise malformed(self.name, f"{command!r} has a second handler", do="keep one of them")
            self._handlers[command] = Handler.of(self.name, command, function, external_id)
            return function

        return declare

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What carries its commands out, by command."""
        return self._handlers

    @property
    def is_postgres(self) -> bool:
        """Whether its database is PostgreSQL."""
        return self._database.startswith(("postgresql:", "postgres:"))

    def run(self, settings: Settings | None = None) -> None:
        """Serve until SIGTERM or Ctrl-C; the bus is that of the settings (`AMENDS_BUS`, `AMENDS_DATA` …)."""
        asyncio.run(self.serve(settings))

    def stop(self) -> None:
        """End `serve` in order: what is under way is finished and answered."""
        self._stopping.set()

    async def serve(self, settings: Settings | None = None) -> None:
        """Serve until `stop`, SIGTERM or Ctrl-C. Raises `UsageError` for what will not get better by waiting."""
        found = settings or config.load().settings
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        # Where a loop hears no signals (beside the main thread, or on Windows) only `stop` ends it in order.
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
        inbox = CommandInbox(self.name, self._database, self._handlers)
        async with bootstrap.participant_bus(found, self.name) as (source, sink):
            try:
                await self._serve(source, sink, inbox)
            finally:
                await asyncio.shield(asyncio.to_thread(inbox.close))

    async def _serve(self, source: Source, sink: Sink, inbox: CommandInbox) -> None:
        log.info("participant_started", extra={"participant": self.name, "commands": self.commands})
        bus = Patience("bus", log)
        started = False
        done: dict[tuple[str, int], int] = {}
        while not self._stopping.is_set():
            try:
                if not started:
                    await sink.start()
                    await source.start([self.commands])
                    started = True
                await self._answer(sink, inbox)
                for record in await source.poll(records_max=COMMANDS_MAX, timeout_s=POLL_S):
                    if not await self._take(record, inbox):
                        break
                    done[record.topic, record.partition] = record.offset + 1
                await self._answer(sink, inbox)
                if done:
                    await source.commit(done)
                    done.clear()
                bus.over()
            except BusUnavailable as error:
                await bus.wait(error)
        log.info("participant_stopped", extra={"participant": self.name})

    async def _take(self, record: Record, inbox: CommandInbox) -> bool:
        """Whether it was carried out, or is none: not where a stop came first."""
        if self._stopping.is_set():
            return False
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        try:
            command = read_command(record)
        except NoCommand as error:
            log.warning("command_unusable", extra={**place, "why": str(error)})
            return True
        if command.reply_topic not in self.replies:
            log.warning("command_unusable", extra={**place, "why": f"it wants its answer on {command.reply_topic}"})
            return True
        verdict = await self._patiently(inbox.take, command)
        log.debug("command_taken", extra={"command": command.name, "key": command.key, "verdict": verdict})
        return verdict is not None

    async def _answer(self, sink: Sink, inbox: CommandInbox) -> None:
        """Publish what is due, and remember that it was; a crash in between sends it twice, under one id."""
        while due := await self._patiently(inbox.due):
            at = bootstrap.worker_clock()()
            records = [
                reply_record(each.reply, topic=each.topic, participant=self.name, at=at, traceparent=each.traceparent)
                for each in due
            ]
            try:
                await sink.publish(records)
            except RecordRefused as error:
                await self._one_by_one(sink, due, error)
            await self._patiently(inbox.sent, due)

    async def _patiently(self, ask: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R | None:
        """Ask the database, in a thread, until it answers; None if a stop was asked for meanwhile."""
        patience = Patience("database", log)
        while True:
            try:
                found = await asyncio.to_thread(ask, *arguments, **options)
            except StoreUnavailable as error:
                if self._stopping.is_set():
                    return None
                await patience.wait(error)
            else:
                patience.over()
                return found

    async def _one_by_one(self, sink: Sink, due: list[DueReply], error: RecordRefused) -> None:
        """A reply that its topic will never take must not keep the others back; whoever waits for it times out."""
        log.info("replies_sent_alone", extra={"why": str(error)})
        for each in due:
            record = reply_record(
                each.reply,
                topic=each.topic,
                participant=self.name,
                at=bootstrap.worker_clock()(),
                traceparent=each.traceparent,
            )
            try:
                await sink.publish([record])
            except RecordRefused as refused:
                log.warning("reply_refused", extra={"key": each.reply.key, "topic": each.topic, "why": str(refused)})
