"""`Participant`: a service that takes commands from a topic and answers later, on another.

A command is published in the name of an attempt: under its key, within its time and its lease, leaving evidence.
That it was published is all the attempt learns; what comes of it is pending until the reply comes.
"""

import asyncio
from typing import Final

from pydantic_core import PydanticSerializationError

from amends.connectors.participant.wire import COMMAND_BYTES_MAX, Command, command_record
from amends.connectors.promises import malformed, promise
from amends.connectors.sending import claim, effect_key, key_of_part, release, verdict
from amends.connectors.values import json_of
from amends.coordinator.attempt import Attempt, current_attempt
from amends.coordinator.context import Context
from amends.coordinator.definition.durations import Duration
from amends.coordinator.errors import AmendsError, RecordRefused
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.loop_resources import hold
from amends.coordinator.pending import Pending
from amends.coordinator.ports.bus import Outgoing, Sink
from amends.schemas.incoming import text_fault

TIMEOUT_S: Final = 10.0
NAME_CHARACTERS_MAX: Final = 100
"""Its answers are awaited under its name, the key and the attempt: two participants may be asked under one key."""


class Participant:
    """A participant behind two topics; declare it once and send it commands from handlers.

    `amends.participant` is a kit to write one with. By default it is believed to do what the kit does: the same key
    never acts twice (`idempotent`, for ever or within `"24h"`), and an undo that comes first makes it refuse the late
    command (`tombstones`). `settle_s`: the longest a published command may still take effect. `timeout_s`: how long the
    bus may take to acknowledge one.
    """

    def __init__(
        self,
        name: str,
        *,
        commands: str,
        replies: str,
        idempotent: bool | str = True,
        tombstones: bool = True,
        settle_s: float = 60.0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        for what, text in (("name", name), ("commands", commands), ("replies", replies)):
            fault = text_fault(text)
            if fault is not None:
                raise malformed(str(name), f"its {what} {fault}", do="mend the declaration")
        if len(name) > NAME_CHARACTERS_MAX:
            what = f"its name has {len(name)} characters, {NAME_CHARACTERS_MAX} are allowed"
            raise malformed(f"{name[:NAME_CHARACTERS_MAX]}…", what, do="mend the declaration")
        if commands == replies:
            raise malformed(name, "its commands and its replies are one topic", do="give each a topic of its own")
        if timeout_s <= 0:
            raise malformed(name, "a limit is not positive", do="mend the declaration")
        self.name = name
        self.commands = commands
        self.replies = replies
        self.certainty = promise(name=name, idempotent=idempotent, tombstones=tombstones, settle_s=settle_s)
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"Participant({self.name!r})"

    async def send(
        self,
        ctx: Context,
        command: str,
        body: object = None,
        *,
        timeout: Duration | None = None,
        part: str | None = None,
    ) -> Pending:
        """Publish a command and return what its answer is awaited as: `return await shipping.send(ctx, "book", …)`.

        In an undo the command says what it undoes. `timeout` is the answer's. `part` names one of several commands of a
        step; only the last one's answer can be returned.

        Raises what is known: `StepRefused` or `StepUnavailable` where nothing was published, else `StepUnknown`.
        """
        attempt = current_attempt(self.name)
        key = effect_key(attempt, part)
        correlation = f"{self.name}:{key}" if self.certainty.deduplicates else f"{self.name}:{key}:{attempt.number}"
        record = self._record(attempt, ctx, command, body, key=key, correlation=correlation, part=part)
        try:
            attempt.before_send(tool=self.name, action=command, resource=self.commands, acts=True)
        except (StepRefused, StepUnavailable) as failure:
            raise verdict(attempt, failure) from failure
        claimed = claim(attempt, self.name, key, hash((command, record.value)))
        status = "lost"  # whatever ends this: what came of it is not known
        try:
            await self._publish(attempt, record)
            status = "published"
        except (StepRefused, StepUnavailable) as failure:
            status = failure.kind
            if claimed:
                release(attempt, self.name, key)
            raise verdict(attempt, failure) from failure
        finally:
            attempt.record(tool=self.name, action=command, resource=self.commands, status=status)
        return Pending(correlation=correlation, timeout=timeout)

    def _record(
        self,
        attempt: Attempt,
        ctx: Context,
        command: str,
        body: object,
        *,
        key: str,
        correlation: str,
        part: str | None,
    ) -> Outgoing:
        fault = text_fault(command)
        if fault is not None:
            raise verdict(attempt, StepRefused(f"{self.name}: a command's name {fault}", kind="invalid_request"))
        try:
            value = json_of(body)
        except (PydanticSerializationError, ValueError, RecursionError):
            why = f"{self.name}: {command} was not sent: a {type(body).__name__} cannot be written as JSON"
            raise verdict(attempt, StepRefused(why, kind="invalid_request")) from None  # the cause may hold the payload
        if len(value) > COMMAND_BYTES_MAX:
            why = f"{self.name}: {command} was not sent: it is {len(value)} bytes, {COMMAND_BYTES_MAX} are allowed"
            raise verdict(attempt, StepRefused(why, kind="invalid_request"))
        undoing = attempt.undoing
        return command_record(
            Command(
                name=command,
                body=value,
                key=key,
                undoes=None if undoing is None else key_of_part(undoing.idempotency_key, part),
                epoch=attempt.epoch,
                correlation=correlation,
                reply_topic=self.replies,
                saga_id=ctx.saga_id,
                namespace=ctx.namespace,
                saga=ctx.saga,
                attempt=attempt.number,
                traceparent=attempt.traceparent,
            ),
            topic=self.commands,
            participant=self.name,
            at=attempt.clock(),
        )

    async def _publish(self, attempt: Attempt, record: Outgoing) -> None:
        sink = await self._connected(attempt)
        attempt.before_send(tool=self.name, action="publish", resource=self.commands, acts=True)  # connecting took time
        try:
            async with asyncio.timeout(max(0.001, min(self._timeout_s, attempt.time_left_s()))):
                await sink.publish([record])
        except RecordRefused as error:
            raise StepRefused(f"{self.name}: nothing was published: {error.line()}") from error
        except TimeoutError as error:
            raise StepUnknown(f"{self.name}: the bus did not acknowledge the command in time") from error
        except AmendsError as error:
            raise StepUnknown(f"{self.name}: whether the command was published is not known: {error.line()}") from error

    async def _connected(self, attempt: Attempt) -> Sink:
        opened = attempt.commands
        if opened is None:
            raise StepUnavailable(f"{self.name}: there is no bus here; nothing was published")
        sink = hold(("commands", id(opened)), opened, _stop)
        try:
            async with asyncio.timeout(max(0.001, min(self._timeout_s, attempt.time_left_s()))):
                await sink.start()
        except (AmendsError, TimeoutError) as error:
            why = error.line() if isinstance(error, AmendsError) else "the bus did not answer in time"
            raise StepUnavailable(f"{self.name}: nothing was published: {why}") from error
        return sink


async def _stop(sink: Sink) -> None:
    await sink.stop()
