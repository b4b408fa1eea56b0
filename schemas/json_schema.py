"""JSON Schemas (draft 2020-12) of what we publish as JSON: our topics' records, and the audit entry."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from amends.schemas.avro.fields import JSON, TIME
from amends.schemas.avro.reader import Schema
from amends.schemas.events import EVENT_TYPES
from amends.schemas.published import Published

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_PLAIN: Final[Mapping[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "long": {"type": "integer"},
    "int": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}
_TIME: Final = {"type": "string", "format": "date-time"}


def record_json_schema(kind: Published[Any]) -> dict[str, Any]:
    """Derive a record's JSON Schema from its Avro schema, which leads; later releases may add fields."""
    return {"$schema": DIALECT, "$id": f"amends:{kind.name}/json", "title": kind.name, **_of_avro(kind.avro.schema)}


def _of_avro(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, list):
        branches = [_of_avro(branch) for branch in schema]
        return {} if {} in branches else {"anyOf": branches}
    if isinstance(schema, str):
        return dict(_PLAIN[schema])
    if schema.get("contentMediaType") == JSON["contentMediaType"]:
        return {}  # Any value.
    if schema.get("logicalType") == TIME["logicalType"]:
        return dict(_TIME)
    if schema.get("logicalType") == "uuid":
        return {"type": "string", "format": "uuid"}
    match schema["type"]:
        case "array":
            return {"type": "array", "items": _of_avro(schema["items"])}
        case "record":
            properties = {field["name"]: _described(_of_avro(field["type"]), field) for field in schema["fields"]}
            return _described({"type": "object", "properties": properties, "required": list(properties)}, schema)
        case inner:
            return _of_avro(inner)


def _described(schema: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": source["doc"], **schema} if "doc" in source else schema


_TEXT: Final = {"type": "string"}
_HASH: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NATURAL: Final = {"type": "integer", "minimum": 1}
_NULLABLE: Final = {"type": ["string", "null"]}
_ENTRY: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "namespace": ("Separates installations fed by the same topics.", _TEXT),
    "saga_id": ("The run; the record's key.", {"type": "string", "format": "uuid"}),
    "saga": ("Name of the definition.", _TEXT),
    "definition_version": ("Version of the definition.", {"type": "integer"}),
    "definition_hash": ("Content hash of the definition.", _TEXT),
    "version": ("1, 2, 3 … without a gap in its run.", _NATURAL),
    "at": ("When it was decided, UTC with microseconds.", _TIME),
    "cause": ("What caused the decision.", _TEXT),
    "causation_id": ("The message that caused it.", _NULLABLE),
    "correlation_id": ("What it belongs to beyond its run.", _NULLABLE),
    "actor": ("Who or what decided.", _TEXT),
    "epoch": ("Of the shard's owner.", {"type": "integer"}),
    "build": ("The code that decided.", _TEXT),
    "events": ("What happened, in order.", {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Event"}}),
    "payloads": (
        "Users' values by digest: as JSON text, sealed, or only their size in bytes.",
        {
            "type": "object",
            "propertyNames": {"pattern": "^(hmac-)?sha256:[0-9a-f]{64}$"},
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {"inline": _TEXT, "sealed": _TEXT, "external": {"type": "integer"}},
            },
        },
    ),
    "previous_hash": (
        "Of the entry before it; empty in the first.",
        {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
    ),
    "hash": ("SHA-256 of these bytes without this member.", _HASH),
}


def entry_json_schema() -> dict[str, Any]:
    """Describe an audit record: the envelope, and every type of event with its fields."""
    _, definitions = msgspec.json.schema_components(EVENT_TYPES.values(), ref_template="#/$defs/{name}")
    properties = {name: {"description": doc, **schema} for name, (doc, schema) in _ENTRY.items()}
    events = [{"$ref": f"#/$defs/{name}"} for name in EVENT_TYPES]
    return {
        "$schema": DIALECT,
        "$id": "amends:entry/json",
        "title": "entry",
        "description": "One decision of one run; its canonical JSON bytes are hashed, stored and published.",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "$defs": {**definitions, "Event": {"oneOf": events}},
    }
