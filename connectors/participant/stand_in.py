"""`ParticipantStandIn`: the participant itself, run by the kit of `amends.participant` in a database for tests.

    from harbor import service

    ParticipantStandIn(harbor, service, script="CREATE TABLE berths (container TEXT, crane INTEGER)")

Its handlers are the service's own. A participant that is written in another language is stood in for by handlers that
are declared here:

    shipping_here = ParticipantStandIn(shipping, script="CREATE TABLE slots (sku TEXT)")

    @shipping_here.on("book")
    def book(tx: Transaction, order: Order) -> Booking: ...
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from amends.connectors.participant.connector import Participant
from amends.connectors.participant.handlers import Handler
from amends.connectors.participant.inbox import CommandInbox
from amends.connectors.participant.ledger import Verdict, Worked
from amends.connectors.participant.service import F, Service
from amends.connectors.participant.wire import Command, read_command, reply_record
from amends.connectors.sql.sessions import Fault, Trouble
from amends.connectors.sql.stand_in import world_of
from amends.coordinator.definition.form import Certainty
from amends.coordinator.definition.handler import told
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.testing.stand_in import StandIn
from amends.schemas.instants import Instant
from amends.schemas.record import Record


class ParticipantStandIn(StandIn):
    """Stands in for a `Participant`. `script` makes its database, as that of a `SqlStandIn`; so `database`, `without`.

    `service` is the participant as it was written with `amends.participant`; nothing of its own database is touched.
    Without one, `on` declares what carries commands out. As far as the connector promises it, a key acts once and an
    undo that comes first makes it refuse the late command; as far as it does not, it is not done here either.

    Raises `UsageError` (AM5105) for a service that is behind other topics.
    """

    def __init__(
        self,
        connector: Participant,
        service: Service | None = None,
        *,
        script: str | Path,
        without: tuple[str, ...] = (),
        database: str | None = None,
    ) -> None:
        self._world = world_of(
            connector.name,
            script=script,
            without=without,
            database=database,
            postgres=service is not None and service.is_postgres,
        )
        super().__init__(connector, begin=self._fresh, snapshot=self._world.snapshot, end=self._world.end)
        self.commands = connector.commands
        self._certainty = connector.certainty
        self._given = service is not None
        self._service = service or Service(
            connector.name, commands=connector.commands, replies=connector.replies, database="sqlite:///rehearsed.db"
        )
        self.url = ""
        """Of its database, while a scenario is played: for what reads there without a command."""
        self._refuse_other_topics(connector)

    def on(self, command: str, *, external_id: str | None = None) -> Callable[[F], F]:
        """Declare what carries a command out, as `Service.on` does. Raises `UsageError` (AM5105, AM2005)."""
        if self._given:
            raise _malformed(self.name, "it has the handlers of its service", do="declare the handler there")
        return self._service.on(command, external_id=external_id)

    def carries_out(self, command: str) -> Callable[..., object] | None:
        """The handler of a command."""
        handler = self._service.handlers.get(command)
        return None if handler is None else handler.function

    def take(self, record: Record, *, at: Instant, failing: Exception | None) -> Sequence[Outgoing]:
        """Carry out a command; the replies that are due. Raises `UsageError` (AM5103) where a handler is broken."""
        command = read_command(record)
        handlers = self._service.handlers
        self._refuse_unfit(handlers.get(command.name), command)
        if failing is not None:
            handlers = {name: _failing(handler, failing) for name, handler in handlers.items()}
        inbox = _RehearsedInbox(self.name, self.url, handlers, promised=self._certainty)
        try:
            inbox.take(command)
            if inbox.broken is not None:
                raise self._broken(command, inbox.broken) from inbox.broken
            due = inbox.due()
            inbox.sent(due)
        finally:
            inbox.close()
        return [
            reply_record(
                each.reply, topic=each.topic, participant=self._service.name, at=at, traceparent=each.traceparent
            )
            for each in due
        ]

    def _fresh(self) -> None:
        self.url = self._world.begin()

    def _refuse_other_topics(self, connector: Participant) -> None:
        service = self._service
        if service.commands != connector.commands or connector.replies not in service.replies:
            what = f"its service reads {service.commands!r} and answers on {', '.join(sorted(service.replies))!r}"
            do = f"let both have the topics of the connector: {connector.commands!r} and {connector.replies!r}"
            raise _malformed(self.name, what, do=do)

    def _refuse_unfit(self, handler: Handler | None, command: Command) -> None:
        """In earnest it would be refused, each time: that is for whoever writes saga and service, not for an undo."""
        if handler is None:
            known = ", ".join(sorted(self._service.handlers)) or "none"
            what = f"the participant {self.name!r} was sent {command.name!r}; of commands it has {known}"
            raise UsageError("AM5103", what, do="name the command alike on both sides")
        try:
            handler.body.validate_json(command.body)
        except ValidationError as error:
            what = f"the participant {self.name!r} was sent {command.name!r} with what it does not take: {told(error)}"
            raise UsageError("AM5103", what, do="send what the handler of the command takes") from error

    def _broken(self, command: Command, error: BaseException) -> UsageError:
        what = f"the participant {self.name!r}: its handler of {command.name!r} raised {type(error).__name__}: {error}"
        return UsageError("AM5103", what, do="mend it, or the script of its stand-in")


class _RehearsedInbox(CommandInbox):
    """A participant's inbox that remembers no more than is promised, and tells what its handlers raise."""

    def __init__(self, name: str, url: str, handlers: Mapping[str, Handler], *, promised: Certainty) -> None:
        super().__init__(name, url, handlers)
        self._promised = promised
        self.broken: BaseException | None = None

    def take(self, command: Command) -> Verdict:
        if not self._promised.deduplicates:
            self._run("DELETE FROM amends_commands WHERE key = ? AND state <> 'tombstone'", command.key)
        verdict = super().take(command)
        if not self._promised.tombstones:
            self._run("DELETE FROM amends_commands WHERE state = 'tombstone'")
        return verdict

    def failed(self, command: Command, error: BaseException, fault: Fault | None) -> Worked:
        if fault is None or fault.trouble is not Trouble.REFUSED:
            self.broken = error
        return super().failed(command, error, fault)

    def _run(self, statement: str, *params: str) -> None:
        self._in_transaction(lambda session: session.run(statement, params))


def _failing(handler: Handler, error: Exception) -> Handler:
    def fail(*_: object) -> NoReturn:
        raise error

    return replace(handler, function=fail)


def _malformed(name: str, what: str, *, do: str) -> UsageError:
    return UsageError("AM5105", f"the stand-in for {name!r} cannot be used: {what}", do=do)
