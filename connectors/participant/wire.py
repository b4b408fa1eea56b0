"""Commands and replies as records: CloudEvents in binary mode, and what the participant needs beside the body.

A command's body is JSON. Its headers name the command, the key of the effect, what it undoes, who asks (the epoch), and
under which key and on which topic the answer is awaited. A reply is a message, as `amends.messages` carries it.
"""

from dataclasses import dataclass
from typing import Final, cast

import msgspec

from amends.coordinator.ports.bus import Outgoing
from amends.schemas.canonical import encode, sha256_hex
from amends.schemas.headers import source_of
from amends.schemas.incoming import TEXT_CHARACTERS_MAX, text_fault
from amends.schemas.instants import Instant, text_of
from amends.schemas.message import Answer, Message
from amends.schemas.record import Record

COMMAND_BYTES_MAX: Final = 900_000
"""Of a command's body: with its headers it stays below what a topic takes by default."""
REPLY_BYTES_MAX: Final = 900_000
_NULL: Final = b"null"


class NoCommand(Exception):
    """The record is no command: nothing says which effect it is about, or who waits for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a coordinator asks of a participant."""

    name: str
    body: bytes
    """JSON text."""
    key: str
    """The idempotency key: the same for as long as the effect may have happened."""
    undoes: str | None
    """The key of what it undoes; None for what is no undo."""
    epoch: int
    """Of the coordinator that asks: one with a lower epoch than was seen for a key has been replaced."""
    correlation: str
    reply_topic: str
    saga_id: str
    namespace: str
    saga: str
    attempt: int
    traceparent: str | None = None


def command_record(command: Command, *, topic: str, participant: str, at: Instant) -> Outgoing:
    """The record of a command. All commands of a run have one key, so that one undo never overtakes what it undoes."""
    texts = {
        "ce_specversion": "1.0",
        "ce_id": f"{command.key}:{command.attempt}",
        "ce_source": source_of(command.namespace, command.saga),
        "ce_type": f"{participant}.{command.name}",
        "ce_time": text_of(at),
        "ce_subject": command.saga_id,
        "content-type": "application/json",
        "idempotency-key": command.key,
        "amends-command": command.name,
        "amends-direction": "forward" if command.undoes is None else "undo",
        "amends-undoes": command.undoes,
        "amends-epoch": str(command.epoch),
        "amends-correlation": command.correlation,
        "amends-reply-topic": command.reply_topic,
        "amends-saga-id": command.saga_id,
        "amends-namespace": command.namespace,
        "amends-saga": command.saga,
        "amends-attempt": str(command.attempt),
        "traceparent": command.traceparent,
    }
    headers = tuple((name, text.encode()) for name, text in texts.items() if text is not None)
    return Outgoing(topic=topic, key=command.saga_id.encode(), value=command.body, headers=headers)


def read_command(record: Record) -> Command:
    """Raises `NoCommand`."""
    if record.unreadable is not None:
        raise NoCommand(record.unreadable)
    if len(record.value or b"") > COMMAND_BYTES_MAX:
        raise NoCommand(f"its body has {len(record.value or b'')} bytes, {COMMAND_BYTES_MAX} are allowed")
    undoes = _text(record, "amends-undoes", required=False)
    epoch, attempt = _number(record, "amends-epoch"), _number(record, "amends-attempt")
    return Command(
        name=_required(record, "amends-command"),
        body=record.value or _NULL,
        key=_required(record, "idempotency-key"),
        undoes=undoes,
        epoch=epoch,
        correlation=_required(record, "amends-correlation"),
        reply_topic=_required(record, "amends-reply-topic"),
        saga_id=_text(record, "amends-saga-id", required=False) or "",
        namespace=_text(record, "amends-namespace", required=False) or "default",
        saga=_text(record, "amends-saga", required=False) or "",
        attempt=attempt,
        traceparent=_text(record, "traceparent", required=False),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a participant answers. The same reply, sent again, has the same id."""

    key: str
    correlation: str
    command: str
    answer: Answer
    reason: str | None = None
    external_id: str | None = None
    body: bytes = _NULL

    def message_id(self, participant: str) -> str:
        """A reply that comes twice is one message; one that is awaited under another key, or of another's, is not."""
        return f"reply:{sha256_hex(encode([participant, self.key, self.correlation]))}"


def reply_record(reply: Reply, *, topic: str, participant: str, at: Instant, traceparent: str | None) -> Outgoing:
    """The record of a reply: a message for what is pending."""
    message = Message(
        message_id=reply.message_id(participant),
        correlation_key=reply.correlation,
        type=f"{participant}.{reply.command}"[:TEXT_CHARACTERS_MAX],
        answer=reply.answer,
        reason=reply.reason,
        external_id=reply.external_id,
        body=msgspec.Raw(reply.body),
        sent_at=text_of(at),
    )
    texts = {
        "ce_specversion": "1.0",
        "ce_id": message.message_id,
        "ce_source": f"amends-participant://{participant}",
        "ce_type": f"{participant}.{reply.command}.{reply.answer}",
        "ce_time": message.sent_at,
        "content-type": "application/json",
        "traceparent": traceparent,
    }
    headers = tuple((name, text.encode()) for name, text in texts.items() if text is not None)
    return Outgoing(topic=topic, key=reply.correlation.encode(), value=msgspec.json.encode(message), headers=headers)


def _required(record: Record, name: str) -> str:
    return cast("str", _text(record, name, required=True))


def _text(record: Record, name: str, *, required: bool) -> str | None:
    value = record.header(name)
    if value is None and not required:
        return None
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        raise NoCommand(f"its header {name} is no UTF-8") from None
    fault = text_fault(text)
    if fault is not None:
        raise NoCommand(f"its header {name} {fault}")
    return text


def _number(record: Record, name: str) -> int:
    text = _required(record, name)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004  beyond it a BIGINT ends
        raise NoCommand(f"its header {name} is no whole number")
    return int(text)
