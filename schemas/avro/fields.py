"""Words to write the Avro schemas of our topics with, so that each reads like a table."""

from typing import Any, Final

NAMESPACE: Final = "amends"

STRING: Final = "string"
LONG: Final = "long"
BYTES: Final = "bytes"
UUID: Final = {"type": "string", "logicalType": "uuid"}
TIME: Final = {"type": "long", "logicalType": "timestamp-micros"}
JSON: Final = {"type": "string", "contentMediaType": "application/json"}
"""Text in Avro, the value itself in the JSON form of the same record."""

Type = str | dict[str, Any] | list[Any]


def field(name: str, kind: Type, doc: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "doc": doc}


def optional(name: str, kind: Type, doc: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None, "doc": doc}


def array_of(kind: Type) -> dict[str, Any]:
    return {"type": "array", "items": kind}


def record_of(name: str, doc: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": NAMESPACE, "doc": doc, "fields": list(fields)}
