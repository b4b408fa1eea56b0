"""Trigger records for tests: orders in every encoding, and what a definition expects of them."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, TypeAdapter

from amends.schemas.avro.codec import writer_schema
from amends.schemas.decoding import Writers
from amends.schemas.record import Record
from amends.schemas.trigger import Accepted, Acceptor, Rejected, TopicSpec, read


class Order(BaseModel):
    order: str
    amount: Decimal = Decimal(1)
    request: str | int | None = None


VALIDATE = TypeAdapter(Order).validate_json
ACCEPTOR = Acceptor(saga="refund", validate=VALIDATE, idempotency_key="request", business_key="order")
SPEC = TopicSpec(topic="refunds", acceptors=[ACCEPTOR])

BODY: Mapping[str, Any] = {"order": "A-12", "request": "R-77"}
AVRO = writer_schema(
    {
        "type": "record",
        "name": "Order",
        "fields": [{"name": "order", "type": "string"}, {"name": "request", "type": "string"}],
    }
)
OTHER_AVRO = writer_schema({"type": "record", "name": "Number", "fields": [{"name": "n", "type": "double"}]})
AVRO_SPEC = TopicSpec(topic="refunds", acceptors=[ACCEPTOR], writers=Writers(listed=[OTHER_AVRO, AVRO]))
REGISTRY_SPEC = TopicSpec(
    topic="refunds",
    acceptors=[ACCEPTOR],
    writers=Writers(lookup={7: AVRO, 8: "json"}.get),  # type: ignore[arg-type]
)
EVENT = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "refund.requested"}
CE_HEADERS = {f"ce_{name}": value for name, value in EVENT.items()}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def record(value: object, **headers: str | bytes) -> Record:
    """A record at refunds 3@118; anything but bytes is written as JSON."""
    return Record(
        topic="refunds",
        partition=3,
        offset=118,
        value=value if isinstance(value, bytes | None) else json.dumps(value).encode(),
        headers=tuple((name, text if isinstance(text, bytes) else text.encode()) for name, text in headers.items()),
    )


def only(answers: tuple[Accepted | Rejected, ...]) -> Accepted | Rejected:
    (answer,) = answers
    return answer


def accepted(rec: Record, spec: TopicSpec = SPEC) -> Accepted:
    answer = only(read(rec, spec))
    assert isinstance(answer, Accepted), answer
    return answer


def rejected(rec: Record, spec: TopicSpec = SPEC) -> Rejected:
    answer = only(read(rec, spec))
    assert isinstance(answer, Rejected), answer
    return answer
