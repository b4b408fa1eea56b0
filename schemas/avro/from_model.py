"""The Avro schema of a trigger's model: what writers may use without being told another one.

Made from the model's JSON Schema, so that every class pydantic knows will do. What the two cannot both say (a field of
any type, a tuple of different types) is refused by name; such a topic takes JSON, or lists its schemas by hand.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from amends.schemas.undecodable import joined


class NotExpressible(ValueError):
    """This model has no Avro schema; `path` is the field because of which."""

    def __init__(self, detail: str, path: str = "") -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.detail = detail
        self.path = path


TRIGGER_NAMESPACE: Final = "amends.triggers"


def avro_schema_of(
    adapter: TypeAdapter[Any], *, namespace: str = TRIGGER_NAMESPACE, name: str | None = None
) -> dict[str, Any]:
    """Derive the schema; records are named as their classes. Raises `NotExpressible`.

    The namespace is part of the fingerprint: writers and readers must agree on it.

    Optional fields become unions with null; decimals `decimal` where their digits are bounded, else text; times
    `timestamp-micros`; `bytes` are text, as in JSON, unless the model takes base64.
    """
    schema = adapter.json_schema(schema_generator=_Described)
    return _Derivation(schema.get("$defs", {}), namespace).record_at_root(schema, name)


class _Described(GenerateJsonSchema):
    """JSON Schema that still tells decimals from numbers, base64 from text, and local times from instants."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {key: schema.get(key) for key in ("max_digits", "decimal_places")}
        return {"type": "string", "format": "decimal", **bounds}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        described = super().bytes_schema(schema)
        return {**described, "format": "base64"} if self._config.val_json_bytes == "base64" else described

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        described = super().datetime_schema(schema)
        return {**described, "format": "local-date-time"} if schema.get("tz_constraint") == "naive" else described


_REFERENCE: Final = "#/$defs/"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIMPLE: Final = {"string": "string", "integer": "long", "number": "double", "boolean": "boolean", "null": "null"}
_FORMATS: Final[Mapping[str, Any]] = {
    "date-time": {"type": "long", "logicalType": "timestamp-micros"},
    "local-date-time": {"type": "long", "logicalType": "local-timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
    "time": {"type": "long", "logicalType": "time-micros"},
    "uuid": {"type": "string", "logicalType": "uuid"},
    "base64": "bytes",
    "base64url": "bytes",
}
_PRECISION_MAX: Final = 100

AvroType = Any
_Node = Mapping[str, Any]


class _Derivation:
    """Walks a JSON Schema; named types are written out once and referred to by name after that."""

    def __init__(self, definitions: _Node, namespace: str) -> None:
        self._definitions = definitions
        self._namespace = namespace
        self._written: set[str] = set()

    def record_at_root(self, schema: _Node, name: str | None) -> dict[str, Any]:
        reference = schema.get("$ref")
        if reference is not None:
            title = _name_of(reference)
            derived = self._named(title, self._definitions[reference.removeprefix(_REFERENCE)], "")
        else:
            title = _valid_name(name or schema.get("title", "Trigger"))
            derived = self._named(title, schema, "")
        if not isinstance(derived, dict) or derived["type"] != "record":
            raise NotExpressible("only a model with fields has an Avro schema")
        return {**derived, "namespace": self._namespace}

    def _type(self, schema: _Node, path: str) -> AvroType:
        if "$ref" in schema:
            reference = schema["$ref"]
            return self._named(_name_of(reference), self._definitions[reference.removeprefix(_REFERENCE)], path)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._union(schema[several], path)
        match schema.get("type"):
            case "string":
                return _text(schema)
            case "array":
                return {"type": "array", "items": self._items(schema, path)}
            case "object" if "properties" in schema:
                return self._named(_valid_name(schema.get("title", "Record")), schema, path)
            case "object":
                return {"type": "map", "values": self._values(schema, path)}
            case str(simple) if simple in _SIMPLE:
                return _SIMPLE[simple]
        kinds = {type(value) for value in schema.get("enum", [schema.get("const")])}
        if kinds == {str}:
            return "string"
        raise NotExpressible("Avro has no type for any value; give the field a type", path)

    def _named(self, name: str, schema: _Node, path: str) -> AvroType:
        if name in self._written:
            return name
        if "properties" in schema or (schema.get("type") == "object" and "additionalProperties" not in schema):
            self._written.add(name)
            required = schema.get("required", ())
            fields = [
                self._field(field, inner, required=field in required, path=joined(path, field) if path else field)
                for field, inner in schema.get("properties", {}).items()
            ]
            return {"type": "record", "name": name, **_doc(schema), "fields": fields}
        symbols = schema.get("enum", ())
        if symbols and all(isinstance(symbol, str) and _NAME.fullmatch(symbol) for symbol in symbols):
            self._written.add(name)
            return {"type": "enum", "name": name, "symbols": list(symbols)}
        return self._type(schema, path)

    def _field(self, name: str, schema: _Node, *, required: bool, path: str) -> dict[str, Any]:
        if not _NAME.fullmatch(name):
            raise NotExpressible(f"Avro names are letters, digits and _, not {name!r}", path)
        kind = self._type(schema, path)
        field: dict[str, Any] = {"name": name, "type": kind, **_doc(schema)}
        if required or "default" not in schema:
            return field
        default = schema["default"]
        if isinstance(kind, list):
            field["type"] = kind = sorted(kind, key=lambda branch: not _is_default(branch, default))
            fits = _is_default(kind[0], default)
        else:
            fits = _is_default(kind, default)
        return {**field, "default": default} if fits else field

    def _union(self, schemas: list[_Node], path: str) -> AvroType:
        branches: list[AvroType] = []
        for schema in schemas:
            inner = self._type(schema, path)
            for branch in inner if isinstance(inner, list) else [inner]:
                if branch not in branches:
                    branches.append(branch)
        branches.sort(key=lambda branch: branch != "null")
        tags = [_tag(branch) for branch in branches]
        if len(set(tags)) != len(tags):
            raise NotExpressible(f"an Avro union cannot hold two of {', '.join(tags)}", path)
        return branches if len(branches) > 1 else branches[0]

    def _items(self, schema: _Node, path: str) -> AvroType:
        if "prefixItems" in schema:
            kinds = [self._type(item, path) for item in schema["prefixItems"]]
            if "items" in schema or any(kind != kinds[0] for kind in kinds[1:]):
                raise NotExpressible("Avro has no tuple of different types", path)
            return kinds[0]
        return self._type(schema.get("items", {}), path)

    def _values(self, schema: _Node, path: str) -> AvroType:
        patterns = list(schema.get("patternProperties", {}).values())
        values = patterns[0] if len(patterns) == 1 else schema.get("additionalProperties")
        return self._type(values if isinstance(values, Mapping) else {}, path)


def _doc(schema: _Node) -> dict[str, Any]:
    return {"doc": schema["description"]} if "description" in schema else {}


def _text(schema: _Node) -> AvroType:
    if schema.get("format") == "decimal":
        precision, scale = schema.get("max_digits"), schema.get("decimal_places")
        if precision is None or scale is None or precision > _PRECISION_MAX:
            return "string"
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    return _FORMATS.get(schema.get("format", ""), "string")


def _is_default(kind: AvroType, default: object) -> bool:
    """Whether a JSON default may stand in an Avro field of this type; where not, it is left out."""
    if isinstance(kind, dict):
        empty = (kind["type"] == "array" and default == []) or (kind["type"] == "map" and default == {})
        return empty or (kind["type"] == "enum" and default in kind["symbols"])
    expected = {"null": type(None), "string": str, "long": int, "double": float, "boolean": bool}.get(kind)
    return expected is not None and type(default) is expected


def _tag(kind: AvroType) -> str:
    """Give what Avro tells the branches of a union apart by."""
    return str(kind.get("name", kind["type"])) if isinstance(kind, dict) else str(kind)


def _name_of(reference: str) -> str:
    return _valid_name(reference.removeprefix(_REFERENCE))


def _valid_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    return name if _NAME.fullmatch(name) else f"_{name}"
