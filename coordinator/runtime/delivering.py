"""Messages from outside, brought to the runs that wait for them: read as what is awaited, or kept for others."""

import logging
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from msgspec.structs import replace
from pydantic import ValidationError

from amends.coordinator.core.messages import Delivered, Done, Ended, Failed, Said, Unknown
from amends.coordinator.core.pending import takes_answer
from amends.coordinator.core.repeating import STEPS_MAX
from amends.coordinator.core.waiting import NOTHING, NOTHING_DIGEST, overdue_waits, takes
from amends.coordinator.definition.handler import Handler, told
from amends.coordinator.ports.rows import ANSWER, DeadLetterRow, MessageRow, nobody_waited
from amends.coordinator.ports.store import Store
from amends.coordinator.redaction import redact, redact_json
from amends.coordinator.runtime.batching import Decision, OpenBatch, OwnedShard
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.run_rows import awaited_row
from amends.coordinator.runtime.runs import Run
from amends.schemas.canonical import digest
from amends.schemas.events import Digest, Event, LateReplyRecorded, StepSucceeded
from amends.schemas.instants import Instant, text_of
from amends.schemas.message import Answer as Verdict
from amends.schemas.message import Message
from amends.schemas.wishes import Deliver

log = logging.getLogger("amends.messages")

INBOX_MAX: Final = 1_000
JSON_HEADERS = (("content-type", b"application/json"),)


class _Unusable(ValueError):
    """The message's content is not what the step waits for."""

    def __init__(self, why: str, path: str | None = None) -> None:
        super().__init__(why)
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """Looks at a message before it is decided on."""

    catalogue: Catalogue
    store: Store

    def in_time(self, run: Run, now: Instant) -> tuple[str, ...]:
        """Waits whose time is over and that have been met all the same: their message is on its way from the inbox.

        A message that meets a wait turns the row with which it listens into one of the inbox. While the worker was
        away, or busy, nobody gave them up, so what came meanwhile has come in time.
        """
        overdue = overdue_waits(run.state, now)
        if not overdue:
            return ()
        unmet = {row.path for row in self.store.awaited(saga_id=run.saga_id, limit=STEPS_MAX)}
        met = [path for path in overdue if path not in unmet]
        if not met:
            return ()
        coming = [row.message_id for row in self.store.inbox(run.shard, limit=INBOX_MAX)]
        if len(coming) == INBOX_MAX:
            return tuple(met)  # It may be among those behind; each is looked after again soon.
        return tuple(path for path in met if any(each.endswith(f":{run.saga_id}:{path}") for each in coming))

    def bring(self, batch: OpenBatch, run: Run, shard: OwnedShard, item: Item, now: Instant) -> Item | None:
        """The item with its content as the step's result is written; None where the run does not take it.

        One that is not what it seemed becomes a dead letter, and the wait goes on; one that nobody waits for any more
        is given back.
        """
        wish, message = item.brought, item.message
        assert wish is not None, "a message says what it was"
        assert isinstance(message, Delivered), "what is brought is a message"
        if wish.answer is not None:
            return self._answer(batch, run, shard, item)
        if not takes(run.state, message.path, message.correlation, message.message_type):
            batch.give_back(shard, _message(wish))
            return None
        try:
            body = self._read(run, wish)
        except _Unusable as error:
            log.warning("message_unusable", extra={"saga_id": run.saga_id, "message_id": wish.message_id})
            batch.refuse(_letter(run, wish, error, now))
            batch.wait_on(shard, wish.message_id, awaited_row(run, message.path, wish.correlation_key, wish.type))
            return None
        key = digest(body)
        return replace(item, message=replace(message, body=key), payloads={key: body})

    @staticmethod
    def give_back(batch: OpenBatch, shard: OwnedShard, item: Item) -> None:
        """Its run is not here any more: others may have it, else it becomes a dead letter in its time."""
        if item.brought is not None:
            batch.give_back(shard, _message(item.brought))

    def _answer(self, batch: OpenBatch, run: Run, shard: OwnedShard, item: Item) -> Item | None:
        """The item with what the message says, as a handler's reply would say it."""
        wish, message = item.brought, item.message
        assert wish is not None, "a message says what it was"
        assert isinstance(message, Delivered), "what is brought is a message"
        if not takes_answer(run.state, message.path, message.direction, message.correlation):
            batch.give_back(shard, _message(wish))
            return None
        payloads: dict[Digest, bytes] = {}
        raw = redact_json(wish.body.encode())
        body = digest(raw) if len(raw) <= run.plan.form.payload_bytes_max else None
        if body is not None:
            payloads[body] = raw
        said = self._said(run, message, wish, payloads)
        if isinstance(said.answer, Unknown):
            batch.listen_again(shard, awaited_row(run, wish.path, wish.correlation_key, ANSWER))
        return replace(item, message=replace(message, body=body, answer=said), payloads=payloads)

    def _said(self, run: Run, message: Delivered, wish: Deliver, payloads: dict[Digest, bytes]) -> Said:
        reason = redact(wish.reason or f"the participant said no more than {wish.answer}")
        external_id = None if wish.external_id is None else redact(wish.external_id)
        match cast("Verdict", wish.answer):  # it was read from such a record
            case "succeeded":
                return Said(verdict="succeeded", answer=self._result(run, message, wish, external_id, payloads))
            case "refused":
                return Said(verdict="refused", answer=Failed(kind="refused", message=reason, retriable=False))
            case "unavailable":
                return Said(verdict="unavailable", answer=Failed(kind="unavailable", message=reason, retriable=True))
            case "unknown":
                return Said(verdict="unknown", answer=Unknown(kind="in_doubt", message=reason))

    def _result(
        self, run: Run, message: Delivered, wish: Deliver, external_id: str | None, payloads: dict[Digest, bytes]
    ) -> Done | Ended:
        """The action's result; one that it cannot be says that the participant has acted, and not what it did."""
        if message.direction == "undo":
            return Done(result=None, external_id=external_id)
        try:
            result = self._read(run, wish)
        except _Unusable as error:
            at = f" at {error.path}" if error.path else ""
            return Ended(kind="invalid_result", message=redact(f"its answer is no result{at}: {error}"))
        payloads[digest(result)] = result
        return Done(result=digest(result), external_id=external_id)

    def _read(self, run: Run, wish: Deliver) -> bytes:
        """The content as JSON text, with what its model fills in.

        Where the app has no such model any more it stays as it came: whoever takes it reads it as what it needs.
        """
        limit = run.plan.form.payload_bytes_max
        if len(wish.body.encode()) > limit:
            raise _Unusable(f"its content is {len(wish.body.encode())} bytes, {limit} are allowed")
        known = self.catalogue.by_hash(run.plan.hash)
        plan = run.plan.of(run.state)
        handler = known.handlers.get(plan.steps[wish.path].handler.name) if known is not None else None
        return redact_json(wish.body.encode() if handler is None else _as_declared(handler, wish.body))


def with_nothing(run: Run, item: Item, events: tuple[Event, ...]) -> Item:
    """The item with the result of a wait for an instant, where one has ended: no message has brought that."""
    ended = any(isinstance(event, StepSucceeded) and event.result == NOTHING_DIGEST for event in events)
    if not ended or NOTHING_DIGEST in item.payloads:
        return item
    run.payloads[NOTHING_DIGEST] = NOTHING
    return replace(item, payloads={**item.payloads, NOTHING_DIGEST: NOTHING})


def told_late(decision: Decision | None) -> Decision | None:
    """The decision; where an answer came too late for the run to act on it, people are told."""
    for event in decision.events if decision is not None else ():
        if isinstance(event, LateReplyRecorded) and decision is not None:
            facts = {"saga_id": decision.run.saga_id, "step": event.path, "direction": event.direction}
            log.warning("late_reply", extra={**facts, "answer": event.answer})
    return decision


def record_of(row: MessageRow | Deliver) -> bytes:
    """The message as a record of its topic, in JSON."""
    message = Message(
        message_id=row.message_id,
        correlation_key=row.correlation_key,
        type=row.type,
        answer=cast("Verdict | None", row.answer),  # it was read from such a record
        reason=row.reason,
        external_id=row.external_id,
        body=msgspec.Raw(row.body.encode()),
        sent_at=text_of(row.received_at),
    )
    return msgspec.json.encode(message)


def unclaimed(row: MessageRow) -> DeadLetterRow:
    """The dead letter of a message that nobody waited for, for as long as it was kept."""
    detail = nobody_waited(row.awaited_as, row.correlation_key)
    return _dead_letter(row, reason="unclaimed", detail=detail, at=row.expires_at)


def _as_declared(handler: Handler, body: str) -> bytes:
    adapter = handler.result
    assert adapter is not None, "a wait for a message has a model"
    try:
        return adapter.serializer.to_json(adapter.validator.validate_json(body), by_alias=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise _Unusable(told(error).removeprefix(f"{path}: "), path or None) from None
    except Exception as error:  # noqa: BLE001  validators and serializers are the user's
        raise _Unusable(f"{type(error).__name__} while it was read") from None


def _message(wish: Deliver) -> MessageRow:
    values = {name: getattr(wish, name) for name in MessageRow.__struct_fields__ if name != "taken_by"}
    return MessageRow(**values, taken_by=wish.saga_id)


def _letter(run: Run, wish: Deliver, error: _Unusable, now: Instant) -> DeadLetterRow:
    detail = f"message {wish.message_id} for step {wish.path}: {error}"
    letter = _dead_letter(wish, reason="invalid", detail=detail, at=now)
    return replace(letter, path=error.path, saga=run.state.saga, saga_id=run.saga_id)


def _dead_letter(row: MessageRow | Deliver, *, reason: str, detail: str, at: Instant) -> DeadLetterRow:
    value = record_of(row)
    return DeadLetterRow(
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        key=row.correlation_key.encode(),
        value=value,
        headers=JSON_HEADERS,
        idempotency_key=row.message_id,
        saga=None,
        reason=reason,
        detail=detail,
        path=None,
        saga_id=None,
        size_bytes=len(value),
        at=at,
    )
