"""Reading a record of the messages topic: in Avro or JSON, whole or not at all."""

import re
from typing import Final, Literal

import msgspec

from amends.schemas import decoding, plain_json, strict_json
from amends.schemas.keys import has_controls
from amends.schemas.message import MESSAGES, Answer
from amends.schemas.record import Record
from amends.schemas.undecodable import Undecodable

MESSAGE_BYTES_MAX: Final = 1_000_000
TEXT_CHARACTERS_MAX: Final = 255
_ANSWERS: Final[tuple[Answer, ...]] = ("succeeded", "refused", "unavailable", "unknown")
_HALF_PAIR: Final = re.compile(r"[\ud800-\udfff]")
_WRITERS: Final = decoding.Writers(ours=(MESSAGES.avro,))


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it came in. `body` is JSON text."""

    message_id: str
    correlation_key: str
    type: str
    answer: Answer | None
    reason: str | None
    external_id: str | None
    body: str


class NoMessage(Exception):
    """The record is no message; `reason` is the dead letter's, `path` leads to what is wrong."""

    def __init__(
        self, reason: Literal["too_large", "undecodable", "unknown_schema", "invalid"], detail: str, path: str | None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.path = path


def read(record: Record, writers: decoding.Writers = _WRITERS) -> Incoming:
    """Read a record. Without an id of its own a message is named after its place, without a key it has the record's.

    Raises `NoMessage`.
    """
    if record.unreadable is not None:
        raise NoMessage("undecodable", record.unreadable, None)
    size_bytes = len(record.value or b"")
    if size_bytes > MESSAGE_BYTES_MAX:
        raise NoMessage("too_large", f"{size_bytes} bytes, {MESSAGE_BYTES_MAX} are allowed", None)
    try:
        decoded = decoding.decode(record, writers)
    except Undecodable as error:
        raise NoMessage("undecodable", str(error), error.path or None) from None
    except decoding.UnknownSchema as error:
        raise NoMessage("unknown_schema", str(error), None) from None
    data = decoded.data if decoded is not None else None
    if decoded is None or not isinstance(data, dict):
        raise NoMessage("invalid", "a message is an object with type, correlation_key and body", None)
    return _incoming(record, data, in_json=decoded.encoding.startswith("json"))


def text_fault(text: object) -> str | None:
    """What keeps a text from being an id, a key or a type."""
    return _told_fault(text) or ("holds a control character" if has_controls(str(text)) else None)


def _incoming(record: Record, data: dict[str, object], *, in_json: bool) -> Incoming:
    key = data.get("correlation_key")
    if key is None and record.key is not None:
        key = record.key.decode(errors="replace")
    message_id = data.get("message_id") or f"{record.topic}:{record.partition}:{record.offset}"
    answer = data.get("answer")
    if answer is not None and answer not in _ANSWERS:
        raise NoMessage("invalid", f"its answer is none of {', '.join(_ANSWERS)}", "answer")
    body = data.get("body")
    return Incoming(
        message_id=_required("message_id", message_id),
        correlation_key=_required("correlation_key", str(key) if type(key) is int else key),
        type=_required("type", data.get("type")),
        answer=next((each for each in _ANSWERS if each == answer), None),
        reason=_optional("reason", data.get("reason")),
        external_id=_optional("external_id", data.get("external_id")),
        body=plain_json.encode(body).decode() if in_json else _text_of_json(body),
    )


def _text_of_json(body: object) -> str:
    """In Avro the content is JSON text already; it is trusted to be one value only after it was read as one."""
    if body is None:
        return "null"
    try:
        return plain_json.encode(strict_json.decode(str(body).encode())).decode()
    except Undecodable as error:
        raise NoMessage("undecodable", f"its body is no JSON: {error}", "body") from None


def _required(name: str, text: object) -> str:
    return _sound(name, text, text_fault(text))


def _optional(name: str, text: object) -> str | None:
    """What a participant tells may have several lines."""
    return None if text is None else _sound(name, text, _told_fault(text))


def _sound(name: str, text: object, fault: str | None) -> str:
    if fault is not None:
        raise NoMessage("invalid", f"its {name} {fault}", name)
    assert isinstance(text, str), "else it has a fault"
    return text


def _told_fault(text: object) -> str | None:
    if not isinstance(text, str):
        return "is no text"
    if not 0 < len(text) <= TEXT_CHARACTERS_MAX:
        return f"has {len(text)} characters, not 1 to {TEXT_CHARACTERS_MAX}"
    if not text.isascii() and _HALF_PAIR.search(text):
        return "holds half of a surrogate pair"
    return "holds a NUL" if "\0" in text else None
