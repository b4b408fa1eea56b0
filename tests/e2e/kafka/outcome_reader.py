"""An independent reader of outcomes: has a folder of exported schemas or a registry, and nothing of Amends.

Run as a program: it prints every outcome of the topic as a JSON line, until it has seen the wanted business keys.
"""

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

Decode = Callable[[bytes], Any]


def by_files(folder: Path) -> Decode:
    """Single-object encoding, the schema found by its fingerprint."""
    schemas = {}
    for file in folder.glob("*.avsc"):
        schema = json.loads(file.read_text(encoding="utf-8"))
        mark = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        schemas[bytes.fromhex(mark)] = parse_schema(schema)

    def decode(value: bytes) -> Any:
        assert value[:2] == b"\xc3\x01", value[:10]
        return schemaless_reader(BytesIO(value[10:]), schemas[value[2:10]], None)

    return decode


def by_registry(url: str) -> Decode:
    """Confluent's wire format, the schema asked for by its id."""
    from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415

    client = SchemaRegistryClient({"url": url})

    def decode(value: bytes) -> Any:
        mark, schema_id = struct.unpack(">bI", value[:5])
        assert mark == 0, value[:5]
        text = client.get_schema(schema_id).schema_str
        assert text is not None
        return schemaless_reader(BytesIO(value[5:]), parse_schema(json.loads(text)), None)

    return decode


def read(address: str, topic: str, decode: Decode, wanted: set[str], within_s: float) -> None:
    """Print outcomes until every wanted business key has come."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    until = time.monotonic() + within_s
    while wanted and time.monotonic() < until:
        for message in consumer.consume(100, timeout=0.2):
            value = message.value()
            assert message.error() is None, message.error()
            assert value is not None
            outcome = decode(value)
            wanted.discard(outcome["business_key"])
            given: Any = message.headers() or []
            headers = {name: data.decode() for name, data in given}
            key = message.key() or b""
            print(json.dumps({"key": key.decode(), "headers": headers, "outcome": outcome}, default=str))
    consumer.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("wanted", nargs="+")
    parser.add_argument("--schemas", type=Path)
    parser.add_argument("--registry")
    parser.add_argument("--within-s", type=float, default=60)
    given = parser.parse_args()
    decode = by_registry(given.registry) if given.registry else by_files(given.schemas)
    read(given.address, given.topic, decode, set(given.wanted), given.within_s)
    assert not [name for name in sys.modules if name.partition(".")[0] == "amends"]
    return 0


if __name__ == "__main__":
    sys.exit(main())
