"""What our records say about themselves, and what dead letters say about their death."""

import hashlib
import struct
from typing import get_args

import pytest

from amends.schemas.cloudevents import Event, binary_event
from amends.schemas.dead_letter import KEPT_BYTES_MAX, DeadLetter, Reason, dead_letter_headers, kept
from amends.schemas.headers import entry_headers, record_headers, source_of
from amends.schemas.ids import SagaId
from amends.schemas.outcome import OUTCOMES
from amends.schemas.record import Record

AT = "2026-11-21T14:02:07.110000Z"
SAGA_ID = SagaId("8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUIRED = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_subject",
    "ce_dataschema",
    "content-type",
    "amends-saga-id",
    "amends-version",
]


def test_an_outcome_carries_all_headers_of_the_contract_and_is_a_cloudevent() -> None:
    headers = record_headers(
        OUTCOMES,
        "avro",
        event_id="o-1",
        namespace="default",
        saga="refund",
        saga_id=SAGA_ID,
        version=9,
        at=AT,
        traceparent=TRACE,
    )
    assert [name for name, _ in headers] == [*REQUIRED, "traceparent"]
    texts = {name: value.decode() for name, value in headers}
    assert texts["ce_dataschema"] == f"amends:outcome/avro/{OUTCOMES.avro.fingerprint[::-1].hex()}"
    assert (texts["content-type"], texts["ce_subject"], texts["amends-version"]) == ("application/avro", SAGA_ID, "9")
    event = binary_event(Record(topic="amends.outcomes", partition=0, offset=0, headers=headers))
    assert event == Event(id="o-1", source="amends://default/refund", type="amends.outcome")


def test_an_audit_record_is_named_by_run_and_version() -> None:
    headers = dict(entry_headers(namespace="default", saga="refund", saga_id=SAGA_ID, version=4, at=AT))
    assert list(headers) == REQUIRED
    assert headers["ce_id"] == f"{SAGA_ID}:4".encode()
    assert headers["content-type"] == b"application/json"


def test_any_names_make_a_source_without_white_space() -> None:
    assert source_of("a b/c", "\u00e9") == "amends://a%20b%2Fc/%C3%A9"


LETTER = DeadLetter(
    n=5,
    topic="refunds",
    partition=3,
    offset=118,
    timestamp_ms=1_763_700_000_000,
    reason="undecodable",
    detail="not JSON at byte 7",
    path="lines.0",
    saga="refund",
    saga_id=None,
    size_bytes=12,
    sha256=None,
    namespace="default",
    group="amends.default",
    at=AT,
)


def test_a_dead_letter_speaks_both_dialects() -> None:
    headers = dict(dead_letter_headers((("x", b"1"),), LETTER))
    assert headers == {
        "x": b"1",
        "ce_specversion": b"1.0",
        "ce_id": b"refunds:3:118:refund",
        "ce_source": b"amends://default/refund",
        "ce_type": b"amends.dead-letter",
        "ce_time": AT.encode(),
        "amends-reason": b"undecodable",
        "amends-detail": b"not JSON at byte 7",
        "amends-path": b"lines.0",
        "amends-saga": b"refund",
        "amends-dead-letter": b"5",
        "kafka_dlt-original-topic": b"refunds",
        "kafka_dlt-original-partition": struct.pack(">i", 3),
        "kafka_dlt-original-offset": struct.pack(">q", 118),
        "kafka_dlt-original-timestamp": struct.pack(">q", 1_763_700_000_000),
        "kafka_dlt-original-timestamp-type": b"CreateTime",
        "kafka_dlt-original-consumer-group": b"amends.default",
        "kafka_dlt-exception-fqcn": b"amends.dead_letter.undecodable",
        "kafka_dlt-exception-message": b"not JSON at byte 7",
        "__connect.errors.topic": b"refunds",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"118",
        "__connect.errors.connector.name": b"amends.default",
        "__connect.errors.task.id": b"0",
        "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.class.name": b"amends.intake",
        "__connect.errors.exception.class.name": b"amends.dead_letter.undecodable",
        "__connect.errors.exception.message": b"not JSON at byte 7",
    }


def test_the_original_headers_stand_first_and_in_order() -> None:
    original = (("b", b"2"), ("a", b"1"), ("b", b"3"))
    assert dead_letter_headers(original, LETTER)[:3] == original


def test_a_second_death_replaces_the_words_of_the_first() -> None:
    once = dead_letter_headers((("x", b"1"),), LETTER)
    assert sorted(dead_letter_headers(once, LETTER)) == sorted(once)


def test_an_original_cloudevent_stays_the_event_it_was() -> None:
    original = (("ce_specversion", b"1.0"), ("ce_id", b"e-1"), ("ce_type", b"t"), ("ce_source", b"/s"))
    headers = dead_letter_headers(original, LETTER)
    assert [header for header in headers if header[0].startswith("ce_")] == list(original)


@pytest.mark.parametrize("reason", [reason for part in get_args(Reason) for reason in get_args(part)])
def test_every_reason_has_a_stage(reason: Reason) -> None:
    letter = DeadLetter(**{name: getattr(LETTER, name) for name in LETTER.__struct_fields__} | {"reason": reason})
    assert dict(dead_letter_headers((), letter))["__connect.errors.stage"]


def test_of_a_record_that_was_too_large_the_beginning_is_kept_and_the_digest_of_all() -> None:
    value = b"x" * (KEPT_BYTES_MAX + 1)
    part = kept(value, "too_large")
    assert (part.value, part.size_bytes) == (b"x" * 65_536, 65_537)
    assert part.sha256 == hashlib.sha256(value).hexdigest()


@pytest.mark.parametrize("value", [None, b"", b"{", b"x" * KEPT_BYTES_MAX], ids=["none", "empty", "some", "64 kB"])
def test_other_values_are_kept_whole(value: bytes | None) -> None:
    part = kept(value, "too_large")
    assert (part.value, part.size_bytes, part.sha256) == (value, len(value or b""), None)
    assert kept(b"y" * 100_000, "undecodable").value == b"y" * 100_000
