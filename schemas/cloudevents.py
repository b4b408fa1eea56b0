"""CloudEvents 1.0 as they come by Kafka: structured (JSON event format) and binary (`ce_*` headers).

Sources: CloudEvents 1.0.2, its JSON event format and its Kafka protocol binding.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Final

import msgspec

from amends.schemas.record import Record
from amends.schemas.undecodable import Undecodable

STRUCTURED: Final = "application/cloudevents+json"
VERSION: Final = "1.0"

_REQUIRED: Final = ("specversion", "id", "source", "type")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope: `source` and `id` together name the event, `type` says which definition it is for."""

    id: str
    source: str
    type: str
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """One text for `source` and `id`. A source is a URI reference, so it holds no space."""
        return f"{self.source} {self.id}"


class Structured(msgspec.Struct, frozen=True, kw_only=True):
    """A structured event. Its data is a JSON value, or bytes with their own content type (`data_base64`)."""

    event: Event
    content_type: str | None
    data: object
    data_bytes: bytes | None


def binary_event(record: Record) -> Event | None:
    """Read the envelope from `ce_*` headers; None where the record is no CloudEvent. Raises `Undecodable`."""
    attributes = {name[3:].lower(): value for name, value in record.headers if name[:3] in ("ce_", "CE_", "Ce_")}
    if "specversion" not in attributes and not all(name in attributes for name in _REQUIRED):
        return None
    return _event({name: _text(value, f"ce_{name}") for name, value in attributes.items()}, prefix="ce_")


def structured_event(value: object) -> Structured:
    """Read an event from the JSON object that it is. Raises `Undecodable` with the path."""
    if not isinstance(value, dict):
        raise Undecodable("a structured CloudEvent is a JSON object")
    event = _event(value, prefix="")
    content_type = value.get("datacontenttype")
    if content_type is not None and not isinstance(content_type, str):
        raise Undecodable("a content type is a text", "datacontenttype")
    encoded = value.get("data_base64")
    if encoded is None:
        return Structured(event=event, content_type=content_type, data=value.get("data"), data_bytes=None)
    if "data" in value:
        raise Undecodable("an event has data or data_base64, not both", "data_base64")
    try:
        raw = b64decode(encoded, validate=True)
    except (NotBase64, TypeError, ValueError):
        raise Undecodable("not base64", "data_base64") from None
    return Structured(event=event, content_type=content_type, data=None, data_bytes=raw)


def _event(attributes: Mapping[str, object], *, prefix: str) -> Event:
    values: dict[str, str] = {}
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise Undecodable("a CloudEvent needs this attribute, as text", prefix + name)
        values[name] = value
    if values["specversion"] != VERSION:
        raise Undecodable(f"CloudEvents {values['specversion'][:20]} is not {VERSION}", prefix + "specversion")
    if any(character.isspace() for character in values["source"]):
        raise Undecodable("a source is a URI reference, without white space", prefix + "source")
    trace = attributes.get("traceparent")
    return Event(
        id=values["id"],
        source=values["source"],
        type=values["type"],
        traceparent=traceparent_of(trace) if isinstance(trace, str) else None,
    )


def traceparent_of(text: str) -> str | None:
    """Give a W3C trace context header as it is, or None if it is not well formed: a trace must never stop a run."""
    return text if _TRACEPARENT.fullmatch(text) else None


def _text(value: bytes, path: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Undecodable("a header that is not UTF-8", path) from None
