"""A kind of record on one of our own topics, in both of its forms: Avro and JSON with the same fields.

The Avro schema leads: it says which fields are times (RFC 3339 text here, microseconds there), bytes (base64 in JSON)
and JSON (a value here, text there).
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from amends.schemas import strict_json
from amends.schemas.avro.codec import (
    SINGLE_OBJECT_HEAD_BYTES,
    WriterSchema,
    write_confluent,
    write_single_object,
)
from amends.schemas.avro.fields import JSON, TIME
from amends.schemas.avro.reader import Schema
from amends.schemas.instants import instant_of
from amends.schemas.undecodable import Undecodable

Value = Any
"""JSON-shaped, or the fields of a record."""

Kind = TypeVar("Kind", bound=msgspec.Struct)

_json: Final = msgspec.json.Encoder(order="sorted")
_NULL: Final = b"null"


class Published(msgspec.Struct, Generic[Kind], frozen=True, kw_only=True):
    """One kind of record: its name, its topic without the prefix, its class and its Avro schema."""

    name: str
    topic: str
    kind: type[Kind]
    avro: Any

    def to_json(self, record: Kind) -> bytes:
        return _json.encode(record)

    def to_avro(self, record: Kind, *, schema_id: int | None = None) -> bytes:
        """Encode in Confluent wire format if a registry gave the schema an id, else as a single object."""
        datum = _datum_of(record, self.avro.schema)
        if schema_id is None:
            return write_single_object(self.avro, datum)
        return write_confluent(self.avro, schema_id, datum)

    def of_json(self, data: bytes) -> Kind:
        """Raise `Undecodable` with the path where the bytes are no such record."""
        try:
            return msgspec.json.decode(data, type=self.kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(f"not a {self.name} record: {error}") from None

    def of_value(self, value: object) -> Kind:
        """Take what an Avro reader returned. Raise `Undecodable` where it is no such record."""
        return self.of_json(_json.encode(_with_json(value, self.avro.schema)))

    def of_avro(self, data: bytes, *, writer: WriterSchema | None = None) -> Kind:
        """Decode a single object; `writer` is the schema it was written with, if not today's."""
        return self.of_value((writer or self.avro).read(data, SINGLE_OBJECT_HEAD_BYTES))


def _datum_of(value: Value, schema: Schema) -> Value:
    """Give a record in the form the Avro writer takes."""
    if isinstance(schema, list):
        absent = value is None or (isinstance(value, msgspec.Raw) and bytes(value) == _NULL)
        return None if absent else _datum_of(value, schema[1])
    if not isinstance(schema, Mapping):
        return value
    if _is(schema, JSON):
        return bytes(value).decode()
    if _is(schema, TIME):
        return instant_of(value)
    if schema["type"] == "record":
        return {each["name"]: _datum_of(getattr(value, each["name"]), each["type"]) for each in schema["fields"]}
    if schema["type"] == "array":
        return [_datum_of(item, schema["items"]) for item in value]
    return value


def _with_json(value: Value, schema: Schema) -> Value:
    """Give what an Avro reader returned with its JSON texts as the values they stand for."""
    if isinstance(schema, list):
        return None if value is None else _with_json(value, schema[1])
    if not isinstance(schema, Mapping):
        return value
    if _is(schema, JSON) and isinstance(value, str):
        strict_json.decode(value.encode())  # A text is trusted to be one value only after it was read as one.
        return msgspec.Raw(value.encode())
    if schema["type"] == "record" and isinstance(value, dict):
        types = {each["name"]: each["type"] for each in schema["fields"]}
        return {name: _with_json(item, types.get(name, "null")) for name, item in value.items()}
    return value


def _is(schema: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(schema.get(name) == value for name, value in wanted.items())
