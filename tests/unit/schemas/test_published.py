"""Records of our own topics: both forms hold the same, and an independent reader needs only the exported schema."""

import io
import json
from typing import Any

import avro.io
import avro.schema
import msgspec
import pytest

from amends.schemas.avro.codec import is_confluent, is_single_object
from amends.schemas.events import Failure
from amends.schemas.message import MESSAGES, Message
from amends.schemas.outcome import OUTCOMES, Exposure, Outcome, Undone
from amends.schemas.published import Published
from amends.schemas.review import DECISIONS, REVIEWS, Decision, Review, signed_bytes
from amends.schemas.undecodable import Undecodable

AT = "2026-11-21T14:02:07.110000Z"
SAGA_ID = "8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21"
OUTCOME = Outcome(
    outcome_id="0b3f8a44-1111-5d5a-9a37-0c4f3b1d7e21",
    supersedes=None,
    saga_id=SAGA_ID,
    namespace="default",
    saga="refund",
    definition_version=3,
    definition_hash="sha256:00",
    idempotency_key="R-77",
    business_key="A-12",
    generation=0,
    status="compensated",
    cause="failed",
    started_at=AT,
    ended_at="2026-11-21T14:02:13.510000Z",
    result=msgspec.Raw(b'{"refunded":12.50}'),
    failure=Failure(step="notify", attempt=3, kind="unavailable", message="mail 503"),
    undone=(Undone(step="restock", verified_by="readback"), Undone(step="charge", verified_by="person")),
    exposure=(Exposure(step="mail", since=AT, why="killed"),),
    cost_usd="0.00",
    evidence=("a.4.0",),
    log_version=9,
    log_hash="ff",
)
BARE = msgspec.structs.replace(OUTCOME, result=msgspec.Raw(b"null"), failure=None, undone=(), exposure=(), cause=None)
REVIEW = Review(
    review_id=SAGA_ID,
    saga_id=SAGA_ID,
    namespace="default",
    saga="refund",
    definition_version=3,
    definition_hash="sha256:00",
    business_key="A-12",
    step="pay",
    action="pay 12 EUR",
    arguments=msgspec.Raw(b'{"amount":"12.00"}'),
    digest="sha256:01",
    requested_by="refund v3",
    requested_at=AT,
    expires_at=AT,
    on_timeout="reject",
)
DECISION = Decision(
    review_id=SAGA_ID,
    saga_id=SAGA_ID,
    digest="sha256:01",
    verdict="approve",
    expires_at=AT,
    reviewer="ada",
    reason=None,
    decided_at=AT,
    key_id="k1",
    signature=b"\x00\xff",
)
MESSAGE = Message(
    message_id="m-1",
    correlation_key="c-1",
    type="shipped",
    answer="succeeded",
    reason=None,
    external_id="ship_9",
    body=msgspec.Raw(b"[1,2]"),
    sent_at=AT,
)
RECORDS = [
    pytest.param(OUTCOMES, OUTCOME, id="outcome"),
    pytest.param(OUTCOMES, BARE, id="outcome with nothing optional"),
    pytest.param(REVIEWS, REVIEW, id="review"),
    pytest.param(DECISIONS, DECISION, id="decision"),
    pytest.param(MESSAGES, MESSAGE, id="message"),
]


@pytest.mark.parametrize(("kind", "record"), RECORDS)
def test_both_forms_give_the_record_back(kind: Published[Any], record: Any) -> None:
    assert kind.of_json(kind.to_json(record)) == record
    assert kind.of_avro(kind.to_avro(record)) == record


@pytest.mark.parametrize(("kind", "record"), RECORDS)
def test_class_and_schema_have_the_same_fields_in_the_same_order(kind: Published[Any], record: Any) -> None:
    assert [field["name"] for field in kind.avro.schema["fields"]] == list(record.__struct_fields__)
    assert sorted(json.loads(kind.to_json(record))) == sorted(record.__struct_fields__)


def test_an_independent_avro_reader_needs_only_the_schema() -> None:
    data = OUTCOMES.to_avro(OUTCOME)
    assert is_single_object(data)
    schema = avro.schema.parse(json.dumps(_plain(OUTCOMES)))
    decoder = avro.io.BinaryDecoder(io.BytesIO(data[10:]))
    read: Any = avro.io.DatumReader(schema).read(decoder)
    assert (read["status"], read["undone"][0]["step"], json.loads(read["result"])) == (
        "compensated",
        "restock",
        {"refunded": 12.5},
    )
    assert read["started_at"].isoformat() == "2026-11-21T14:02:07.110000+00:00"


def test_with_a_registry_the_confluent_format_is_written() -> None:
    data = OUTCOMES.to_avro(OUTCOME, schema_id=7)
    assert is_confluent(data)
    assert data[1:5] == b"\x00\x00\x00\x07"
    assert OUTCOMES.of_value(OUTCOMES.avro.read(data, 5)) == OUTCOME


def test_json_holds_the_result_as_a_value() -> None:
    assert json.loads(OUTCOMES.to_json(OUTCOME))["result"] == {"refunded": 12.5}
    assert json.loads(OUTCOMES.to_json(BARE))["result"] is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('1,"type":"forged"', id="a text that breaks out of its field"),
        pytest.param("{", id="half a value"),
        pytest.param('{"a":1,"a":2}', id="a duplicate key"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_json_text_in_avro_must_be_one_value(body: str) -> None:
    with pytest.raises(Undecodable):
        MESSAGES.of_avro(MESSAGES.to_avro(msgspec.structs.replace(MESSAGE, body=msgspec.Raw(body.encode()))))


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        pytest.param(b"{}", "missing required field", id="nothing in it"),
        pytest.param(b"[1]", "array", id="an array"),
        pytest.param(b"\xff", "decision", id="no JSON"),
        pytest.param(b"[" * 100_000, "decision", id="100,000 brackets"),
    ],
)
def test_other_json_is_no_record(data: bytes, detail: str) -> None:
    with pytest.raises(Undecodable, match=detail):
        DECISIONS.of_json(data)


def test_a_reviewer_signs_id_digest_verdict_and_expiry() -> None:
    assert signed_bytes(DECISION) == f'["{SAGA_ID}","sha256:01","approve","{AT}"]'.encode()


def _plain(kind: Published[Any]) -> Any:
    """The schema without fastavro's own marks, as it is exported."""
    return {name: value for name, value in kind.avro.schema.items() if not name.startswith("__")}
