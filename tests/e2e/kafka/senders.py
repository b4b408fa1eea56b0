"""Triggers as other programs send them: by kcat and by confluent-kafka."""

import json
import struct
import subprocess
from collections.abc import Mapping
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMA = Path(__file__).with_name("order.avsc").read_text(encoding="utf-8")
WITHIN_S = 20.0


def order(number: str, **more: object) -> dict[str, Any]:
    """Give an order's data, request R-`number` about order A-`number`."""
    lines = [{"sku": "MUG-BLUE", "count": 2}, {"sku": "TEA-GREEN", "count": 1}]
    request = {"request_id": f"R-{number}", "order_id": f"A-{number}", "amount": "12.50", "lines": lines}
    return {**request, "note": "häppy", "refuse": None, **more}


def as_json(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def single_object(data: Mapping[str, Any]) -> bytes:
    """Avro's own head: C3 01 and the schema's fingerprint."""
    schema = json.loads(SCHEMA)
    mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    return b"\xc3\x01" + mark + _avro(data)


def confluent(data: Mapping[str, Any], schema_id: int) -> bytes:
    """Confluent's head made by hand: 00 and the registry's id."""
    return struct.pack(">bI", 0, schema_id) + _avro(data)


def by_serializer(data: Mapping[str, Any], registry: str, topic: str, *, doc: str = "") -> bytes:
    """Confluent's own serializer, which registers the schema at the registry; each `doc` makes it another one."""
    schema = json.dumps({**json.loads(SCHEMA), "doc": doc}) if doc else SCHEMA
    with SchemaRegistryClient({"url": registry}) as client:
        serializer = AvroSerializer(client, schema)
        value = serializer(_typed(data), SerializationContext(topic, MessageField.VALUE))
    assert isinstance(value, bytes)
    return value


def structured(data: Mapping[str, Any], **more: object) -> bytes:
    """A whole CloudEvent as JSON."""
    return as_json({**event(str(data["order_id"])), "datacontenttype": "application/json", "data": data, **more})


def event(identity: str) -> dict[str, str]:
    """What every CloudEvent has."""
    return {"specversion": "1.0", "id": f"E-{identity}", "source": "/shop", "type": "shop.order-placed"}


def binary(identity: str, content_type: str) -> dict[str, str]:
    """Headers of a CloudEvent whose data is the record's value."""
    return {"content-type": content_type} | {f"ce_{name}": value for name, value in event(identity).items()}


def send(address: str, topic: str, value: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Send it with confluent-kafka; give partition and offset."""
    placed: list[tuple[int, int]] = []

    def on_delivery(error: object, message: Any) -> None:
        assert error is None, error
        placed.append((message.partition(), message.offset()))

    producer = Producer({"bootstrap.servers": address})
    producer.produce(topic, value=value, headers=list((headers or {}).items()), on_delivery=on_delivery)
    assert producer.flush(WITHIN_S) == 0
    return placed[0]


def send_by_kcat(kcat: str, address: str, topic: str, value: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send one record with kcat: a whole file, whatever its bytes."""
    options = [part for name, text in (headers or {}).items() for part in ("-H", f"{name}={text}")]
    with NamedTemporaryFile() as file:
        file.write(value)
        file.flush()
        command = [kcat, "-q", "-P", "-b", address, "-t", topic, *options, file.name]
        subprocess.run(command, check=True, timeout=WITHIN_S)


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "amount": Decimal(data["amount"])}


def _avro(data: Mapping[str, Any]) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parse_schema(json.loads(SCHEMA)), _typed(data))
    return out.getvalue()
