"""Trigger records, as contract section 3 says: every encoding, every reason, in its order."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, field_validator

from amends.schemas.avro.codec import write_confluent, write_datum, write_single_object, writer_schema
from amends.schemas.decoding import Writers, confluent_id_of
from amends.schemas.record import Record
from amends.schemas.trigger import Acceptor, TopicSpec, read
from tests.unit.schemas.triggers import (
    ACCEPTOR,
    AVRO,
    AVRO_SPEC,
    BODY,
    CE_HEADERS,
    EVENT,
    OTHER_AVRO,
    REGISTRY_SPEC,
    SPEC,
    STRUCTURED,
    TRACE,
    VALIDATE,
    accepted,
    record,
    rejected,
)


@pytest.mark.parametrize(
    ("rec", "spec", "encoding"),
    [
        pytest.param(record(BODY), SPEC, "json", id="plain JSON without content type"),
        pytest.param(record(BODY, **{"content-type": "application/json; charset=utf-8"}), SPEC, "json", id="JSON"),
        pytest.param(record(BODY, **{"Content-Type": "application/vnd.shop+json"}), SPEC, "json", id="a JSON subtype"),
        pytest.param(record(BODY, **CE_HEADERS), SPEC, "json", id="CloudEvents binary, JSON"),
        pytest.param(record(EVENT | {"data": BODY}, **STRUCTURED), SPEC, "json", id="CloudEvents structured"),
        pytest.param(
            record(EVENT | {"data_base64": b64encode(json.dumps(BODY).encode()).decode()}, **STRUCTURED),
            SPEC,
            "json",
            id="CloudEvents structured, data in base64",
        ),
        pytest.param(record(write_single_object(AVRO, BODY)), AVRO_SPEC, "avro", id="Avro single object"),
        pytest.param(
            record(write_single_object(AVRO, BODY), **{"content-type": "application/avro"}),
            AVRO_SPEC,
            "avro",
            id="Avro single object with content type",
        ),
        pytest.param(
            record(write_single_object(AVRO, BODY), **CE_HEADERS, **{"content-type": "application/avro"}),
            AVRO_SPEC,
            "avro",
            id="CloudEvents binary, Avro",
        ),
        pytest.param(record(write_confluent(AVRO, 7, BODY)), REGISTRY_SPEC, "avro-confluent", id="Confluent"),
        pytest.param(
            record(write_confluent(AVRO, 9, BODY)), AVRO_SPEC, "avro-confluent", id="Confluent, the listed schema fits"
        ),
        pytest.param(
            record(write_confluent(AVRO, 9, BODY), **{"content-type": "application/octet-stream"}),
            TopicSpec(topic="refunds", acceptors=[ACCEPTOR], writers=Writers(exported=[AVRO])),
            "avro-confluent",
            id="Confluent, the model's schema fits",
        ),
        pytest.param(
            record(b"\x00\x00\x00\x00\x08" + json.dumps(BODY).encode()),
            REGISTRY_SPEC,
            "json-confluent",
            id="Confluent, a JSON Schema",
        ),
        pytest.param(
            record(
                EVENT
                | {
                    "datacontenttype": "avro/binary",
                    "data_base64": b64encode(write_single_object(AVRO, BODY)).decode(),
                },
                **STRUCTURED,
            ),
            AVRO_SPEC,
            "avro",
            id="CloudEvents structured, Avro in base64",
        ),
    ],
)
def test_one_request_is_the_same_however_it_is_encoded(rec: Record, spec: TopicSpec, encoding: str) -> None:
    answer = accepted(rec, spec)
    plain = accepted(record(BODY))
    assert answer.encoding == encoding
    assert (answer.idempotency_key, answer.business_key) == ("R-77", "A-12")
    assert answer.payload == b'{"order":"A-12","request":"R-77"}'
    assert (answer.request_digest, answer.payload_digest) == (plain.request_digest, plain.payload_digest)


TEXT_PLAIN = {"content-type": "text/plain"}
BAD = [
    # record, topic, reason, path, a part of the detail
    pytest.param(record(b"x" * 1_000_001), SPEC, "too_large", "", "1000001 bytes, sha256:", id="too large"),
    pytest.param(record(None), SPEC, "undecodable", "", "no value", id="a tombstone"),
    pytest.param(record(b""), SPEC, "undecodable", "", "no value", id="an empty value"),
    pytest.param(record(b"{"), SPEC, "undecodable", "", "at byte 1", id="half a JSON object"),
    pytest.param(record([BODY]), SPEC, "undecodable", "", "an object", id="a JSON array"),
    pytest.param(record(7), SPEC, "undecodable", "", "not a number", id="a JSON number"),
    pytest.param(record(b'{"order":{"a":1,"a":1}}'), SPEC, "undecodable", "order.a", "twice", id="a duplicate key"),
    pytest.param(record(b'{"order":NaN}'), SPEC, "undecodable", "", "NaN", id="NaN"),
    pytest.param(record(b'{"a":' * 100_000), SPEC, "undecodable", "", "deeper than 64", id="100,000 levels"),
    pytest.param(record(b'{"order":"\\ud800"}'), SPEC, "undecodable", "order", "surrogate", id="a lone surrogate"),
    pytest.param(record(BODY, **TEXT_PLAIN), SPEC, "undecodable", "content-type", "text/plain", id="a content type"),
    pytest.param(record(BODY, **{"content-type": b"\xff"}), SPEC, "undecodable", "content-type", "UTF-8", id="garbled"),
    pytest.param(
        record(BODY, **{"content-type": "application/json;charset=latin-1"}),
        SPEC,
        "undecodable",
        "content-type",
        "latin-1",
        id="another charset",
    ),
    pytest.param(
        record(BODY, **{"content-type": "application/cloudevents-batch+json"}),
        SPEC,
        "undecodable",
        "content-type",
        "batch",
        id="a batch of events",
    ),
    pytest.param(
        record(BODY, **{"content-type": "application/avro"}), AVRO_SPEC, "undecodable", "", "C3 01", id="Avro, bare"
    ),
    pytest.param(
        record(write_single_object(AVRO, BODY), **{"content-type": "application/json"}),
        AVRO_SPEC,
        "undecodable",
        "",
        "not UTF-8",
        id="Avro that says JSON",
    ),
    pytest.param(record(b"\xc3\x01\x00"), AVRO_SPEC, "undecodable", "", "head", id="half a single-object head"),
    pytest.param(record(b"\x00\x01"), AVRO_SPEC, "undecodable", "", "head", id="half a Confluent head"),
    pytest.param(
        record(write_single_object(AVRO, BODY)[:-1]), AVRO_SPEC, "undecodable", "request", "left", id="Avro cut off"
    ),
    pytest.param(
        record(write_single_object(AVRO, BODY) + b"x"), AVRO_SPEC, "undecodable", "", "left over", id="Avro and more"
    ),
    pytest.param(
        record(write_confluent(AVRO, 7, BODY)[:-1]), REGISTRY_SPEC, "undecodable", "request", "", id="cut off"
    ),
    pytest.param(record(EVENT, **STRUCTURED), SPEC, "undecodable", "", "not null", id="an event without data"),
    pytest.param(record([], **STRUCTURED), SPEC, "undecodable", "", "JSON object", id="an event that is an array"),
    pytest.param(
        record(EVENT | {"specversion": "0.3", "data": BODY}, **STRUCTURED),
        SPEC,
        "undecodable",
        "specversion",
        "0.3",
        id="an older CloudEvents",
    ),
    pytest.param(
        record(EVENT | {"id": "", "data": BODY}, **STRUCTURED), SPEC, "undecodable", "id", "needs", id="an empty id"
    ),
    pytest.param(
        record(EVENT | {"source": "a b", "data": BODY}, **STRUCTURED), SPEC, "undecodable", "source", "URI", id="source"
    ),
    pytest.param(
        record(EVENT | {"data_base64": "***"}, **STRUCTURED), SPEC, "undecodable", "data_base64", "base64", id="base64"
    ),
    pytest.param(
        record(EVENT | {"data": "<a/>", "datacontenttype": "text/xml"}, **STRUCTURED),
        SPEC,
        "undecodable",
        "content-type",
        "text/xml",
        id="an event of XML",
    ),
    pytest.param(record(BODY, ce_specversion="1.0"), SPEC, "undecodable", "ce_id", "needs", id="half a binary event"),
    pytest.param(record(BODY, **CE_HEADERS | {"ce_id": b"\xff"}), SPEC, "undecodable", "ce_id", "UTF-8", id="ce_id"),
    pytest.param(
        record(write_single_object(AVRO, BODY)), SPEC, "unknown_schema", "", "fingerprint", id="an unknown fingerprint"
    ),
    pytest.param(record(write_confluent(AVRO, 9, BODY)), SPEC, "unknown_schema", "", "id 9", id="an unknown id"),
    pytest.param(
        record(write_confluent(writer_schema({"type": "fixed", "name": "F", "size": 8}), 9, b"12345678")),
        TopicSpec(
            topic="t",
            acceptors=[ACCEPTOR],
            writers=Writers(listed=[writer_schema({"type": "fixed", "name": "F", "size": 8}), OTHER_AVRO]),
        ),
        "unknown_schema",
        "",
        "several",
        id="an unknown id that two listed schemas fit",
    ),
    pytest.param(record({"order": "A"}), SPEC, "no_key", "request", "nothing names", id="no key"),
    pytest.param(record({"order": "A", "request": ""}), SPEC, "no_key", "request", "", id="an empty key"),
    pytest.param(record({"order": "A", "request": None}), SPEC, "no_key", "request", "", id="a null key"),
    pytest.param(record({"request": 1.5}), SPEC, "invalid", "request", "whole number", id="a fraction as key"),
    pytest.param(record({"request": True}), SPEC, "invalid", "request", "whole number", id="true as key"),
    pytest.param(record({"request": ["a"]}), SPEC, "invalid", "request", "whole number", id="an array as key"),
    pytest.param(record({"request": "a" * 256}), SPEC, "invalid", "request", "255", id="a long key"),
    pytest.param(record({"request": 10**300}), SPEC, "invalid", "request", "255", id="a long number as key"),
    pytest.param(record({"request": "a\x00"}), SPEC, "invalid", "request", "control", id="a NUL in a key"),
    pytest.param(record({"request": "a", "order": {}}), SPEC, "invalid", "order", "", id="an object as business key"),
    pytest.param(
        record(BODY, **{"idempotency-key": b"\xff"}), SPEC, "invalid", "idempotency-key", "UTF-8", id="header"
    ),
    pytest.param(record({"request": "a"}), SPEC, "invalid", "order", "required", id="a field is missing"),
    pytest.param(record({"request": "a", "order": 1.5}), SPEC, "invalid", "order", "", id="two things are wrong"),
    pytest.param(record({"request": "a", "order": "A", "amount": "x"}), SPEC, "invalid", "amount", "", id="not money"),
]


@pytest.mark.parametrize(("rec", "spec", "reason", "path", "detail"), BAD)
def test_a_bad_record_says_why_and_where(rec: Record, spec: TopicSpec, reason: str, path: str, detail: str) -> None:
    answer = rejected(rec, spec)
    assert (answer.reason, answer.path) == (reason, path), answer.detail
    assert detail in answer.detail


@pytest.mark.parametrize(
    ("rec", "key"),
    [
        pytest.param(record(BODY, **CE_HEADERS, **{"idempotency-key": "H-1"}), "H-1", id="the header first"),
        pytest.param(record(BODY, **{"Idempotency-Key": "H-1"}), "H-1", id="the header, however it is spelled"),
        pytest.param(record(BODY, **CE_HEADERS), "R-77", id="then the definition's path"),
        pytest.param(record({"order": "A"}, **CE_HEADERS), "/shop e-1", id="then the CloudEvent's source and id"),
        pytest.param(record(EVENT | {"data": {"order": "A"}}, **STRUCTURED), "/shop e-1", id="of a structured one too"),
        pytest.param(record(BODY, **{"idempotency-key": ""}), "R-77", id="an empty header is none"),
        pytest.param(record({"order": "A", "request": 7}), "7", id="a whole number"),
        pytest.param(record(b'{"order":"A","request":7.0}'), "7", id="a whole number, by value"),
        pytest.param(record({"order": "A", "request": "\u00e9" * 255}), "\u00e9" * 255, id="255 characters"),
    ],
)
def test_the_idempotency_key_names_the_request(rec: Record, key: str) -> None:
    assert accepted(rec).idempotency_key == key


def test_the_last_of_two_headers_counts() -> None:
    headers = (("idempotency-key", b"first"), ("idempotency-key", b"last"))
    rec = Record(topic="refunds", partition=0, offset=0, value=json.dumps(BODY).encode(), headers=headers)
    assert accepted(rec).idempotency_key == "last"


def test_key_paths_go_through_objects() -> None:
    acceptor = Acceptor(saga="s", validate=lambda _: None, idempotency_key="meta.id", business_key="meta.of.order")
    answer = accepted(record({"meta": {"id": "x"}}), TopicSpec(topic="t", acceptors=[acceptor]))
    assert (answer.idempotency_key, answer.business_key) == ("x", None)


def test_a_rejected_model_still_names_its_request() -> None:
    answer = rejected(record({"request": "R-1"}))
    assert (answer.saga, answer.idempotency_key, answer.reason) == ("refund", "R-1", "invalid")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        pytest.param({"amount": 1}, {"amount": 1.0}, True, id="numbers count by value"),
        pytest.param({"amount": 1}, {}, False, id="defaults do not count"),
        pytest.param({"x": 1}, {"x": 2}, False, id="unknown fields count"),
        pytest.param({"sent": 1}, {"sent": 2}, True, id="volatile fields do not count"),
    ],
)
def test_conflicts_are_decided_by_what_the_writer_wrote(
    first: dict[str, Any], second: dict[str, Any], *, same: bool
) -> None:
    acceptor = Acceptor(saga="s", validate=VALIDATE, idempotency_key="request", volatile=["sent"])
    spec = TopicSpec(topic="t", acceptors=[acceptor])
    digests = {accepted(record({**BODY, **more}), spec).request_digest for more in (first, second)}
    assert (len(digests) == 1) is same


NULLABLE_AVRO = writer_schema(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "order", "type": "string"},
            {"name": "request", "type": "string"},
            {"name": "note", "type": ["null", "string"], "default": None},
        ],
    }
)


@pytest.mark.parametrize(
    ("volatile", "more", "same"),
    [
        pytest.param((), {"note": None}, True, id="a null in JSON is the null of Avro"),
        pytest.param((), {}, False, id="a field that JSON leaves out is not the null that Avro must write"),
        pytest.param(("note",), {}, True, id="unless it is volatile"),
    ],
)
def test_what_avro_writes_as_null_json_has_to_write_too(
    volatile: tuple[str, ...], more: dict[str, Any], *, same: bool
) -> None:
    acceptor = Acceptor(saga="s", validate=VALIDATE, idempotency_key="request", volatile=volatile)
    spec = TopicSpec(topic="t", acceptors=[acceptor], writers=Writers(listed=[NULLABLE_AVRO]))
    in_avro = accepted(record(write_single_object(NULLABLE_AVRO, {**BODY, "note": None})), spec)
    in_json = accepted(record({**BODY, **more}), spec)
    assert (in_avro.request_digest == in_json.request_digest) is same


def test_of_a_cloudevent_only_the_data_counts() -> None:
    again = CE_HEADERS | {"ce_id": "e-2", "ce_time": "2026-11-21T14:02:07Z"}
    assert accepted(record(BODY, **CE_HEADERS)).request_digest == accepted(record(BODY, **again)).request_digest


def test_the_payload_keeps_the_volatile_fields() -> None:
    acceptor = Acceptor(saga="s", validate=VALIDATE, idempotency_key="request", volatile=["sent"])
    answer = accepted(record(dict(BODY) | {"sent": 1.50}), TopicSpec(topic="t", acceptors=[acceptor]))
    assert answer.payload == b'{"order":"A-12","request":"R-77","sent":1.5}'
    assert answer.payload_digest != answer.request_digest


def test_events_go_to_the_definition_of_their_type_and_nowhere_else() -> None:
    def acceptor(saga: str, kind: str | None) -> Acceptor:
        return Acceptor(saga=saga, validate=VALIDATE, cloudevents_type=kind)

    spec = TopicSpec(
        topic="shop", acceptors=[acceptor("refund", "refund.requested"), acceptor("order", "order.placed")]
    )
    assert accepted(record(BODY, **CE_HEADERS), spec).saga == "refund"
    assert accepted(record(EVENT | {"type": "order.placed", "data": BODY}, **STRUCTURED), spec).saga == "order"
    for rec in (record(BODY), record(BODY, **CE_HEADERS | {"ce_type": "x"}), record(b"\xc3\x01" + b"0" * 9)):
        answer = rejected(rec, spec)
        assert (answer.reason, answer.saga) == ("no_saga", None)
        assert "order.placed, refund.requested" in answer.detail


def test_every_definition_that_takes_the_record_answers_for_itself() -> None:
    strict = Acceptor(saga="strict", validate=TypeAdapter(dict[str, int]).validate_json, idempotency_key="request")
    small = Acceptor(saga="small", validate=VALIDATE, idempotency_key="request", size_bytes_max=10)
    answers = read(record(BODY), TopicSpec(topic="t", acceptors=[ACCEPTOR, strict, small]))
    assert [answer.saga for answer in answers] == ["refund", "strict", "small"]
    assert [getattr(answer, "reason", "accepted") for answer in answers] == ["accepted", "invalid", "too_large"]


def test_a_record_of_just_the_size_that_is_allowed_is_taken() -> None:
    rec = record(BODY)
    exact = Acceptor(saga="refund", validate=VALIDATE, idempotency_key="request", size_bytes_max=len(rec.value or b""))
    assert accepted(rec, TopicSpec(topic="t", acceptors=[exact])).saga == "refund"


def test_a_record_of_a_topic_without_definitions_has_no_saga() -> None:
    assert rejected(record(BODY), TopicSpec(topic="t", acceptors=[])).reason == "no_saga"


def test_whatever_a_validator_raises_the_record_is_refused() -> None:
    class Odd(BaseModel):
        order: str

        @field_validator("order")
        @classmethod
        def broken(cls, value: str) -> str:
            return {"A-13": value}[value]

    acceptor = Acceptor(saga="odd", validate=TypeAdapter(Odd).validate_json, idempotency_key="request")
    answer = rejected(record(BODY), TopicSpec(topic="t", acceptors=[acceptor]))
    assert (answer.reason, answer.detail) == ("invalid", "a validator raised KeyError: 'A-12'")


class Kind(Enum):
    GOOD = "good"


class Rich(BaseModel):
    at: datetime
    id: UUID
    amount: Decimal
    kind: Kind


def test_avro_logical_types_reach_the_model() -> None:
    def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "logicalType": name, **more}

    types = {
        "at": logical("long", "timestamp-millis"),
        "id": logical("string", "uuid"),
        "amount": logical("bytes", "decimal", precision=9, scale=2),
        "kind": {"type": "enum", "name": "Kind", "symbols": ["good"]},
    }
    schema = writer_schema(
        {"type": "record", "name": "Rich", "fields": [{"name": name, "type": kind} for name, kind in types.items()]}
    )
    seen: list[Rich] = []
    adapter = TypeAdapter(Rich)
    acceptor = Acceptor(saga="s", validate=lambda text: seen.append(adapter.validate_json(text)), idempotency_key="id")
    identity = UUID("8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21")
    at = datetime(2026, 11, 21, 14, 2, 7, 110000, tzinfo=UTC)
    value = {"at": at, "id": identity, "amount": Decimal("12.50"), "kind": "good"}
    spec = TopicSpec(topic="t", acceptors=[acceptor], writers=Writers(listed=[schema]))
    answer = accepted(record(write_single_object(schema, value)), spec)
    assert seen == [Rich(at=at, id=identity, amount=Decimal("12.50"), kind=Kind.GOOD)]
    assert json.loads(answer.payload) == {
        "at": "2026-11-21T14:02:07.110000Z",
        "id": str(identity),
        "amount": "12.50",
        "kind": "good",
    }


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        pytest.param({"traceparent": TRACE}, TRACE, id="the header"),
        pytest.param(CE_HEADERS | {"ce_traceparent": TRACE}, TRACE, id="the CloudEvents extension"),
        pytest.param({"traceparent": "nonsense"}, None, id="a malformed one is dropped"),
        pytest.param({"traceparent": b"\xff"}, None, id="a garbled one is dropped"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_trace_goes_on(headers: dict[str, Any], trace: str | None) -> None:
    assert accepted(record(BODY, **headers)).traceparent == trace


@pytest.mark.parametrize(
    ("rec", "schema_id"),
    [
        pytest.param(record(write_confluent(AVRO, 258, BODY)), 258, id="Confluent wire format"),
        pytest.param(record(write_confluent(AVRO, 258, BODY), **{"content-type": "application/json"}), None, id="JSON"),
        pytest.param(record(write_single_object(AVRO, BODY)), None, id="single object"),
        pytest.param(record(BODY), None, id="JSON text"),
        pytest.param(record(None), None, id="nothing"),
        pytest.param(
            record(EVENT | {"data_base64": b64encode(write_confluent(AVRO, 5, BODY)).decode()}, **STRUCTURED),
            5,
            id="inside a structured event",
        ),
        pytest.param(record(b"{", **STRUCTURED), None, id="a broken event"),
    ],
)
def test_intake_can_tell_which_schema_it_must_fetch_first(rec: Record, schema_id: int | None) -> None:
    assert confluent_id_of(rec) == schema_id


def test_bytes_without_a_head_never_pass_for_avro() -> None:
    assert rejected(record(write_datum(AVRO, BODY)), AVRO_SPEC).reason == "undecodable"
