"""A dead letter as it is published: the original record, and why, in the words of both common dialects.

Spring for Apache Kafka (`kafka_dlt-*`, `KafkaHeaders`): numbers as big-endian int and long. Kafka Connect
(`__connect.errors.*`, KIP-298, `DeadLetterQueueReporter`): everything as text. Tools that read either find it here.
"""

import hashlib
import struct
from typing import Final, Literal

import msgspec

from amends.schemas.headers import DEAD_LETTER_TYPE, source_of
from amends.schemas.record import Headers
from amends.schemas.trigger import Reason as TriggerReason

Reason = TriggerReason | Literal["conflict", "unclaimed"]

KEPT_BYTES_MAX: Final = 64 * 1024
"""What is kept of a record that was too large."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an original value: all of it, or the beginning with the length and digest of the whole."""

    value: bytes | None
    size_bytes: int
    sha256: str | None
    """Hex digest of the whole value where only its beginning is kept."""


def kept(value: bytes | None, reason: Reason) -> Kept:
    """Keep a value whole, but of one that was too large 64 kB, its length and its SHA-256."""
    size_bytes = len(value or b"")
    if value is None or reason != "too_large" or size_bytes <= KEPT_BYTES_MAX:
        return Kept(value=value, size_bytes=size_bytes, sha256=None)
    return Kept(value=value[:KEPT_BYTES_MAX], size_bytes=size_bytes, sha256=hashlib.sha256(value).hexdigest())


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Why the record at this place became a dead letter. `at` is RFC 3339."""

    n: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    reason: Reason
    detail: str
    path: str | None
    saga: str | None
    saga_id: str | None
    size_bytes: int
    sha256: str | None
    namespace: str
    group: str
    at: str


_LONG: Final = struct.Struct(">q")
_INT: Final = struct.Struct(">i")

_CONNECT: Final = "__connect.errors."
_SPRING: Final = "kafka_dlt-"
_OURS: Final = ("amends-reason", "amends-detail", "amends-path", "amends-saga", "amends-saga-id", "amends-dead-letter")
_TRUNCATED: Final = ("amends-original-size", "amends-original-sha256")

_STAGES: Final[dict[Reason, str]] = {
    "too_large": "KAFKA_CONSUME",
    "undecodable": "VALUE_CONVERTER",
    "unknown_schema": "VALUE_CONVERTER",
    "no_key": "TASK_PUT",
    "invalid": "TASK_PUT",
    "no_saga": "TASK_PUT",
    "conflict": "TASK_PUT",
    "unclaimed": "TASK_PUT",
}


def dead_letter_headers(original: Headers, letter: DeadLetter) -> Headers:
    """Give the original headers and ours, which stand last and so count. Those of an earlier death are left out.

    An original that was a CloudEvent keeps its own `ce_*` headers; any other gets ones that name the dead letter.
    """
    died_before = any(name == "amends-reason" for name, _ in original)
    named = [(name, value) for name, value in original if not (died_before and _is_ours(name))]
    if not any(name.lower() == "ce_specversion" for name, _ in named):
        named += _cloudevent(letter)
    return (*named, *_amends(letter), *_spring(letter), *_kafka_connect(letter))


def _is_ours(name: str) -> bool:
    return name.startswith((_SPRING, _CONNECT)) or name in _OURS or name in _TRUNCATED


def _amends(letter: DeadLetter) -> Headers:
    texts = [("amends-reason", letter.reason), ("amends-detail", letter.detail), ("amends-dead-letter", str(letter.n))]
    optional = [("amends-path", letter.path), ("amends-saga", letter.saga), ("amends-saga-id", letter.saga_id)]
    if letter.sha256 is not None:
        optional += [("amends-original-size", str(letter.size_bytes)), ("amends-original-sha256", letter.sha256)]
    texts += [(name, text) for name, text in optional if text]
    return tuple((name, text.encode()) for name, text in texts)


def _spring(letter: DeadLetter) -> Headers:
    headers = [
        ("original-topic", letter.topic.encode()),
        ("original-partition", _INT.pack(letter.partition)),
        ("original-offset", _LONG.pack(letter.offset)),
        ("original-consumer-group", letter.group.encode()),
        ("exception-fqcn", _exception(letter).encode()),
        ("exception-message", letter.detail.encode()),
    ]
    if letter.timestamp_ms is not None:
        headers += [
            ("original-timestamp", _LONG.pack(letter.timestamp_ms)),
            ("original-timestamp-type", b"CreateTime"),
        ]
    return tuple((_SPRING + name, value) for name, value in headers)


def _kafka_connect(letter: DeadLetter) -> Headers:
    texts = [
        ("topic", letter.topic),
        ("partition", str(letter.partition)),
        ("offset", str(letter.offset)),
        ("connector.name", letter.group),
        ("task.id", "0"),
        ("stage", _STAGES[letter.reason]),
        ("class.name", "amends.intake"),
        ("exception.class.name", _exception(letter)),
        ("exception.message", letter.detail),
    ]
    return tuple((_CONNECT + name, text.encode()) for name, text in texts)


def _exception(letter: DeadLetter) -> str:
    return f"amends.dead_letter.{letter.reason}"


def _cloudevent(letter: DeadLetter) -> list[tuple[str, bytes]]:
    texts = [
        ("ce_specversion", "1.0"),
        ("ce_id", f"{letter.topic}:{letter.partition}:{letter.offset}:{letter.saga or ''}"),
        ("ce_source", source_of(letter.namespace, letter.saga or "")),
        ("ce_type", DEAD_LETTER_TYPE),
        ("ce_time", letter.at),
    ]
    if letter.saga_id is not None:
        texts.append(("ce_subject", letter.saga_id))
    return [(name, text.encode()) for name, text in texts]
