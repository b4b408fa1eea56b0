"""Where writer schemas come from, and that a request has one digest in every encoding."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from amends.schemas.avro.codec import BadSchema, write_confluent, write_single_object, writer_schema
from amends.schemas.decoding import Decoded, Writers, decode
from amends.schemas.export import avro_file
from amends.schemas.outcome import OUTCOMES
from amends.schemas.payload_digest import digest_of
from amends.schemas.record import Record
from amends.schemas.trigger import Accepted, Acceptor, TopicSpec, read
from amends.schemas.writers import exported_schema, writers_of
from tests.unit.schemas.test_published import OUTCOME


class Line(BaseModel):
    sku: str
    count: int


class Order(BaseModel):
    request: str
    ratio: float
    express: bool = False
    note: str | None = None
    lines: list[Line] = []
    tags: dict[str, float] = {}


MODEL = TypeAdapter(Order)
EXPORTED = exported_schema(MODEL)
assert EXPORTED is not None
OLD = writer_schema({"type": "record", "name": "Old", "fields": [{"name": "request", "type": "string"}]})
ORDER: dict[str, Any] = {
    "request": "R-1",
    "ratio": 0.5,
    "express": True,
    "note": None,
    "lines": [{"sku": "a", "count": 2}],
    "tags": {},
}


def decoded(value: bytes, writers: Writers) -> Decoded:
    found = decode(Record(topic="t", partition=0, offset=0, value=value), writers)
    assert found is not None
    return found


def test_files_models_and_our_own_topics_are_known_by_fingerprint() -> None:
    writers = writers_of(files={"old.avsc": avro_file(OLD.schema)}, models=[MODEL])
    assert EXPORTED is not None
    assert decoded(write_single_object(OLD, {"request": "R"}), writers).data == {"request": "R"}
    assert decoded(write_single_object(EXPORTED, ORDER), writers).data == {**ORDER, "ratio": Decimal("0.5")}
    assert isinstance(outcome := decoded(OUTCOMES.to_avro(OUTCOME), writers).data, dict)
    assert outcome["status"] == "compensated"


def test_a_saga_may_be_triggered_by_outcomes() -> None:
    class Ended(BaseModel):
        outcome_id: str
        saga: str

    acceptor = Acceptor(saga="audit", validate=TypeAdapter(Ended).validate_json, idempotency_key="outcome_id")
    spec = TopicSpec(topic="amends.outcomes", acceptors=[acceptor], writers=writers_of(files={}, models=[]))
    (answer,) = read(Record(topic="amends.outcomes", partition=0, offset=0, value=OUTCOMES.to_avro(OUTCOME)), spec)
    assert isinstance(answer, Accepted)
    assert answer.idempotency_key == OUTCOME.outcome_id


def test_what_is_listed_goes_before_what_is_exported() -> None:
    twin = writer_schema({"type": "record", "name": "Twin", "fields": [{"name": "id", "type": "string"}]})
    writers = Writers(listed=[twin], exported=[OLD])
    assert decoded(write_confluent(OLD, 1, {"request": "R"}), writers).data == {"id": "R"}


def test_a_model_that_avro_cannot_express_adds_nothing() -> None:
    class Loose(BaseModel):
        anything: Any

    writers = writers_of(files={}, models=[TypeAdapter(Loose), MODEL])
    assert list(writers.exported) == [EXPORTED]


def test_a_bad_file_is_named() -> None:
    with pytest.raises(BadSchema, match=r"^orders\.avsc: not an Avro schema"):
        writers_of(files={"orders.avsc": "{"}, models=[])


texts = st.text(max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
orders = st.fixed_dictionaries(
    {
        "request": texts,
        "ratio": numbers,
        "express": st.booleans(),
        "note": st.none() | texts,
        "lines": st.lists(st.fixed_dictionaries({"sku": texts, "count": st.integers(-(2**63), 2**63 - 1)}), max_size=3),
        "tags": st.dictionaries(texts, numbers, max_size=3),
    }
)


@given(orders)
def test_a_request_has_one_digest_in_every_encoding(order: dict[str, Any]) -> None:
    assert EXPORTED is not None
    writers = Writers(exported=[EXPORTED])
    encodings = [
        json.dumps(order).encode(),
        json.dumps(order, indent=1, ensure_ascii=False, sort_keys=True).encode(),
        write_single_object(EXPORTED, order),
        write_confluent(EXPORTED, 5, order),
    ]
    assert len({digest_of(decoded(value, writers).data) for value in encodings}) == 1
