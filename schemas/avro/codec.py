"""Avro writer schemas and the two ways a record names the one it was written with.

Single-object encoding: `C3 01`, the CRC-64-AVRO fingerprint of the schema's parsing canonical form as 8 bytes little
endian, the datum. Confluent wire format: `00`, a registry's schema id as 4 bytes big endian, the datum.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType, fingerprint, parse_schema, to_parsing_canonical_form

from amends.schemas.avro.reader import Schema, reader_of

SINGLE_OBJECT_MARK: Final = b"\xc3\x01"
CONFLUENT_MARK: Final = b"\x00"
SINGLE_OBJECT_HEAD_BYTES: Final = 10
CONFLUENT_HEAD_BYTES: Final = 5

SCHEMA_BYTES_MAX: Final = 1_000_000

_confluent_head: Final = struct.Struct(">BI")


class BadSchema(ValueError):
    """This text is not a usable Avro schema; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSchema:
    """A schema that records were written with, ready to read and write them."""

    name: str
    fingerprint: bytes
    """CRC-64-AVRO, 8 bytes little endian, as single-object encoding carries it."""

    schema: Schema
    """As JSON; named types are written out at their first use."""

    read: Callable[[bytes, int], object]
    """Reads from an offset to the end; see `reader_of`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WriterSchema) and self.schema == other.schema

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def writer_schema(schema: Schema, *, references: Sequence[Schema] = ()) -> WriterSchema:
    """Prepare a schema: JSON text or what it decodes to. `references` are schemas whose named types it uses.

    Raises `BadSchema`.
    """
    named: dict[str, Schema] = {}
    try:
        for reference in references:
            parse_schema(_loaded(reference), named_schemas=named)
        plain = _loaded(schema)
        parsed = parse_schema(plain, named_schemas=named)
        canonical = to_parsing_canonical_form(parsed)
        return WriterSchema(
            name=_name_of(parsed),
            fingerprint=bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")),
            schema=parsed,
            read=reader_of(parsed, named),
        )
    except (SchemaParseException, UnknownType) as error:
        raise BadSchema(f"not an Avro schema: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadSchema(f"not an Avro schema: {type(error).__name__}: {error}") from error


def _loaded(schema: Schema) -> Schema:
    if not isinstance(schema, str | bytes):
        return schema
    if len(schema) > SCHEMA_BYTES_MAX:
        raise BadSchema(f"a schema of {len(schema)} bytes; {SCHEMA_BYTES_MAX} are allowed")
    try:
        loaded = json.loads(schema)
    except ValueError:
        return schema if isinstance(schema, str) else schema.decode()  # `string` without quotes, as some tools write it
    return "null" if loaded is None else loaded


def _name_of(parsed: Schema) -> str:
    if isinstance(parsed, Mapping):
        return str(parsed.get("name") or parsed["type"])
    return parsed if isinstance(parsed, str) else "union"


def write_datum(writer: WriterSchema, value: object) -> bytes:
    """Write a value without a head. Raises `ValueError` where it does not fit the schema; nothing is left out."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, writer.schema, value, strict=True)
    return stream.getvalue()


def write_single_object(writer: WriterSchema, value: object) -> bytes:
    return SINGLE_OBJECT_MARK + writer.fingerprint + write_datum(writer, value)


def write_confluent(writer: WriterSchema, schema_id: int, value: object) -> bytes:
    return _confluent_head.pack(0, schema_id) + write_datum(writer, value)


def is_single_object(data: bytes) -> bool:
    return data.startswith(SINGLE_OBJECT_MARK) and len(data) >= SINGLE_OBJECT_HEAD_BYTES


def is_confluent(data: bytes) -> bool:
    return data.startswith(CONFLUENT_MARK) and len(data) >= CONFLUENT_HEAD_BYTES


def fingerprint_in(data: bytes) -> bytes:
    """Give the fingerprint in the head of single-object encoded bytes."""
    return data[2:SINGLE_OBJECT_HEAD_BYTES]


def confluent_id_in(data: bytes) -> int:
    """Give the schema id in the head of bytes in Confluent wire format."""
    return int(_confluent_head.unpack_from(data)[1])
