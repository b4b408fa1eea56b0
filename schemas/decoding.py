"""From a record's bytes to its data: by content type, else by the first bytes, else JSON (contract, section 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from amends.schemas import strict_json
from amends.schemas.avro.codec import (
    CONFLUENT_HEAD_BYTES,
    CONFLUENT_MARK,
    SINGLE_OBJECT_HEAD_BYTES,
    SINGLE_OBJECT_MARK,
    WriterSchema,
    confluent_id_in,
    fingerprint_in,
    is_confluent,
    is_single_object,
)
from amends.schemas.cloudevents import STRUCTURED, Event, binary_event, structured_event
from amends.schemas.record import Record
from amends.schemas.undecodable import Undecodable

Encoding = Literal["json", "avro", "avro-confluent", "json-confluent"]


@dataclass(frozen=True, slots=True)
class Unusable:
    """What a registry gives for an id, and why nothing can be read with it."""

    why: str


RegisteredSchema = WriterSchema | Literal["json"]
Lookup = Callable[[int], RegisteredSchema | Unusable | None]
"""From a registry's schema id to the schema: Avro, or the word for JSON Schema, whose data is plain JSON. No I/O."""


class UnknownSchema(ValueError):
    """The record names a writer schema that nobody gave us."""


def _nothing(_schema_id: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writers:
    """The schemas that a topic's records may have been written with."""

    listed: Sequence[WriterSchema] = ()
    """What `Topic(schemas=…)` names."""

    exported: Sequence[WriterSchema] = ()
    """What is exported from the models of the topic's definitions."""

    ours: Sequence[WriterSchema] = ()
    """Schemas of our own topics, for sagas that are triggered by them: found by fingerprint only, never by trying."""

    lookup: Lookup = _nothing
    """What the registry says of a schema id."""

    def of_fingerprint(self, fingerprint: bytes) -> WriterSchema:
        for schema in (*self.listed, *self.exported, *self.ours):
            if schema.fingerprint == fingerprint:
                return schema
        shown = fingerprint[::-1].hex()
        raise UnknownSchema(f"no writer schema with the CRC-64-AVRO fingerprint {shown}: list it in Topic(schemas=…)")


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """A record's data, JSON-shaped: what the writer wrote, by value, before anybody's defaults."""

    encoding: Encoding
    event: Event | None
    data: object


Accepts = Callable[[Event | None], bool]


def decode(record: Record, writers: Writers, *, accepts: Accepts = lambda _event: True) -> Decoded | None:
    """Decode a record. Raises `Undecodable` or `UnknownSchema`, nothing else.

    An envelope that `accepts` refuses gives None, before anything is made of the data.
    """
    value = record.value
    if not value:
        raise Undecodable("the record has no value")
    family = _family(_content_type(record))
    if family == "cloudevents":
        structured = structured_event(strict_json.decode(value))
        if not accepts(structured.event):
            return None
        if structured.data_bytes is not None:
            inner = _family(structured.content_type)
            encoding, data = _decode_data(structured.data_bytes, inner, writers)
        elif _family(structured.content_type) in ("json", "any"):
            encoding, data = "json", structured.data
        else:
            raise Undecodable(f"data of type {structured.content_type} comes as data_base64", "datacontenttype")
        return Decoded(encoding=encoding, event=structured.event, data=data)
    event = binary_event(record)
    if not accepts(event):
        return None
    encoding, data = _decode_data(value, family, writers)
    return Decoded(encoding=encoding, event=event, data=data)


def confluent_id_of(record: Record) -> int | None:
    """Give the registry's schema id that must be known before this record can be decoded, if there is one."""
    value = record.value
    if not value:
        return None
    try:
        family = _family(_content_type(record))
        if family == "cloudevents" and b"data_base64" in value:
            structured = structured_event(strict_json.decode(value))
            value, family = structured.data_bytes or b"", _family(structured.content_type)
    except Undecodable:
        return None
    return confluent_id_in(value) if family in ("avro", "any") and is_confluent(value) else None


_Family = Literal["json", "cloudevents", "avro", "any"]

_AVRO_TYPES: Final = frozenset(
    {"application/avro", "application/x-avro", "application/vnd.apache.avro", "avro/binary", "application/avro-binary"}
)
_UNSPECIFIC_TYPES: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def _content_type(record: Record) -> str | None:
    header = record.header("content-type")
    if header is None:
        return None
    try:
        return header.decode()
    except UnicodeDecodeError:
        raise Undecodable("a header that is not UTF-8", "content-type") from None


def _family(content_type: str | None) -> _Family:
    """Give the decoder that a content type asks for. Raises `Undecodable` where there is none."""
    if content_type is None:
        return "any"
    media, *parameters = content_type.strip().strip('"').lower().split(";")
    media = media.strip()
    if media in _UNSPECIFIC_TYPES:
        return "any"
    if media in _AVRO_TYPES or (media.endswith("+avro") and not media.startswith("application/cloudevents")):
        return "avro"
    if media == STRUCTURED:
        _check_charset(parameters)
        return "cloudevents"
    if not media.startswith("application/cloudevents") and media.endswith(("/json", "+json")):
        _check_charset(parameters)
        return "json"
    raise Undecodable(f"content type {content_type[:100]!r} is neither JSON, Avro nor {STRUCTURED}", "content-type")


def _check_charset(parameters: Sequence[str]) -> None:
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip().strip('"') not in _CHARSETS:
            raise Undecodable(f"JSON is UTF-8, not {charset.strip()[:40]!r}", "content-type")


def _decode_data(value: bytes, family: _Family, writers: Writers) -> tuple[Encoding, object]:
    if family == "json":
        return "json", strict_json.decode(value)
    if is_single_object(value):
        schema = writers.of_fingerprint(fingerprint_in(value))
        return "avro", schema.read(value, SINGLE_OBJECT_HEAD_BYTES)
    if is_confluent(value):
        return _decode_confluent(value, writers)
    if value.startswith((SINGLE_OBJECT_MARK, CONFLUENT_MARK)):
        raise Undecodable("the bytes end inside the head that names the schema")
    if family == "avro":
        raise Undecodable("Avro data begins with C3 01 (single object) or 00 (Confluent), so that its schema is known")
    return "json", strict_json.decode(value)


def _decode_confluent(value: bytes, writers: Writers) -> tuple[Encoding, object]:
    """Read with the schema of that id; without a registry that knows it, with the one given schema that fits."""
    schema_id = confluent_id_in(value)
    schema = writers.lookup(schema_id)
    if schema == "json":
        return "json-confluent", strict_json.decode(value[CONFLUENT_HEAD_BYTES:])
    if isinstance(schema, WriterSchema):
        return "avro-confluent", schema.read(value, CONFLUENT_HEAD_BYTES)
    faults: list[Undecodable] = []
    for schemas in (writers.listed, writers.exported):
        readings = _readings(value, schemas, faults)
        if any(reading != readings[0] for reading in readings[1:]):
            raise UnknownSchema(f"several of the given schemas fit, and no registry knows the schema id {schema_id}")
        if readings:
            return "avro-confluent", readings[0]
    if isinstance(schema, Unusable):
        raise UnknownSchema(f"the registry's schema {schema_id} cannot be used: {schema.why}")
    if faults:
        raise faults[0]
    raise UnknownSchema(f"nobody knows the schema id {schema_id}: set AMENDS_SCHEMA_REGISTRY, or Topic(schemas=…)")


def _readings(value: bytes, schemas: Sequence[WriterSchema], faults: list[Undecodable]) -> list[object]:
    """Read with each of the schemas; what does not fit adds its fault."""
    readings: list[object] = []
    for schema in schemas:
        try:
            readings.append(schema.read(value, CONFLUENT_HEAD_BYTES))
        except Undecodable as fault:
            faults.append(fault)
    return readings
