"""Records of the messages topic: read whole in JSON and Avro, or refused with a reason and a path."""

import json
from typing import Any

import msgspec
import pytest

from amends.schemas.incoming import MESSAGE_BYTES_MAX, Incoming, NoMessage, read
from amends.schemas.message import MESSAGES, Message
from amends.schemas.record import Record

FULL: dict[str, Any] = {
    "message_id": "m-1",
    "correlation_key": "A-12",
    "type": "Arrival",
    "answer": "refused",
    "reason": "no room",
    "external_id": "x-1",
    "body": {"pallets": 3},
    "sent_at": "2026-11-21T14:02:07.110000Z",
}
READ = Incoming(
    message_id="m-1",
    correlation_key="A-12",
    type="Arrival",
    answer="refused",
    reason="no room",
    external_id="x-1",
    body='{"pallets":3}',
)


def record(value: object, *, key: bytes | None = None, **more: Any) -> Record:
    data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Record(topic="amends.messages", partition=2, offset=7, key=key, value=data, **more)


def test_a_message_in_avro_is_the_same_as_in_json() -> None:
    message = Message(**{**FULL, "body": msgspec.Raw(b'{"pallets": 3}')})
    assert read(record(MESSAGES.to_avro(message))) == read(record(FULL)) == READ


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        pytest.param({"type": "T", "correlation_key": "K"}, None, ("amends.messages:2:7", "K", "null"), id="its place"),
        pytest.param({"type": "T", "body": "text"}, b"A-1", ("amends.messages:2:7", "A-1", '"text"'), id="its key"),
        pytest.param(
            {"type": "T", "correlation_key": 12, "message_id": "m"}, b"x", ("m", "12", "null"), id="an integer as key"
        ),
        pytest.param(
            {"type": "T", "correlation_key": "K", "message_id": "m", "body": "[1]"},
            None,
            ("m", "K", '"[1]"'),
            id="text that looks like JSON stays text",
        ),
    ],
)
def test_what_is_left_out_is_found_elsewhere(value: Any, key: bytes | None, expected: tuple[str, str, str]) -> None:
    found = read(record(value, key=key))
    assert (found.message_id, found.correlation_key, found.body) == expected


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        pytest.param(None, "undecodable", None, id="no value"),
        pytest.param(b"{", "undecodable", None, id="no JSON"),
        pytest.param(b'{"type":"T","correlation_key":"K","body":NaN}', "undecodable", None, id="not a number"),
        pytest.param(b"\xc3\x01" + bytes(8), "unknown_schema", None, id="a schema nobody knows"),
        pytest.param(b" " * (MESSAGE_BYTES_MAX + 1), "too_large", None, id="too large"),
        pytest.param([], "invalid", None, id="no object"),
        pytest.param({"type": "T"}, "invalid", "correlation_key", id="no key"),
        pytest.param({"correlation_key": "K"}, "invalid", "type", id="no type"),
        pytest.param({"type": "T", "correlation_key": True}, "invalid", "correlation_key", id="a key that is true"),
        pytest.param({"type": "T", "correlation_key": "x" * 256}, "invalid", "correlation_key", id="a long key"),
        pytest.param({"type": "a\0b", "correlation_key": "K"}, "invalid", "type", id="a NUL"),
        pytest.param(
            {"type": "T", "correlation_key": "A\x1b[2J"}, "invalid", "correlation_key", id="a key that clears"
        ),
        pytest.param(
            {"type": "T", "correlation_key": "K", "reason": "a\0b"}, "invalid", "reason", id="a reason with a NUL"
        ),
        pytest.param({"type": "", "correlation_key": "K"}, "invalid", "type", id="an empty type"),
        pytest.param(
            {"type": "T", "correlation_key": "K", "message_id": 3}, "invalid", "message_id", id="a number as id"
        ),
        pytest.param(
            {"type": "T", "correlation_key": "K", "answer": "maybe"}, "invalid", "answer", id="another answer"
        ),
        pytest.param(
            {"type": "T", "correlation_key": "K", "reason": {}}, "invalid", "reason", id="a reason of objects"
        ),
    ],
)
def test_what_is_no_message_says_why_and_where(value: Any, reason: str, path: str | None) -> None:
    with pytest.raises(NoMessage) as refused:
        read(record(value))
    assert (refused.value.reason, refused.value.path) == (reason, path)


def test_a_reason_may_have_several_lines() -> None:
    assert read(record({**FULL, "reason": "no room\nnor staff"})).reason == "no room\nnor staff"


def test_what_the_bus_could_not_hand_over_is_undecodable() -> None:
    with pytest.raises(NoMessage) as refused:
        read(record(None, unreadable="the batch is broken"))
    assert (refused.value.reason, str(refused.value)) == ("undecodable", "the batch is broken")
