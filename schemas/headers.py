"""Headers on everything we publish (contract, section 6): CloudEvents in binary mode, the trace, the run."""

from typing import Final, Literal
from urllib.parse import quote

from amends.schemas.ids import SagaId
from amends.schemas.published import Published
from amends.schemas.record import Headers

Format = Literal["avro", "json"]

CONTENT_TYPES: Final[dict[Format, str]] = {"avro": "application/avro", "json": "application/json"}

ENTRY_TYPE: Final = "amends.entry"
ENTRY_SCHEMA: Final = "amends:entry/json"
DEAD_LETTER_TYPE: Final = "amends.dead-letter"


def source_of(namespace: str, saga: str) -> str:
    """Name where an event comes from, as a URI: the installation and the definition."""
    return f"amends://{quote(namespace, safe='')}/{quote(saga, safe='')}"


def schema_uri(kind: Published, form: Format) -> str:  # type: ignore[type-arg]
    """Name the schema of a published record; for Avro with the fingerprint that single-object encoding carries."""
    if form == "json":
        return f"amends:{kind.name}/json"
    return f"amends:{kind.name}/avro/{kind.avro.fingerprint[::-1].hex()}"


def record_headers(
    kind: Published,  # type: ignore[type-arg]
    form: Format,
    *,
    event_id: str,
    namespace: str,
    saga: str,
    saga_id: SagaId,
    version: int,
    at: str,
    traceparent: str | None = None,
) -> Headers:
    """Give the headers of an outcome, review, decision or message. `version` is the entry's that caused it."""
    return _headers(
        event_id=event_id,
        event_type=f"amends.{kind.name}",
        source=source_of(namespace, saga),
        at=at,
        saga_id=saga_id,
        version=version,
        schema=schema_uri(kind, form),
        content_type=CONTENT_TYPES[form],
        traceparent=traceparent,
    )


def entry_headers(
    *, namespace: str, saga: str, saga_id: SagaId, version: int, at: str, traceparent: str | None = None
) -> Headers:
    """Give the headers of an audit record; `saga_id:version` names the entry."""
    return _headers(
        event_id=f"{saga_id}:{version}",
        event_type=ENTRY_TYPE,
        source=source_of(namespace, saga),
        at=at,
        saga_id=saga_id,
        version=version,
        schema=ENTRY_SCHEMA,
        content_type=CONTENT_TYPES["json"],
        traceparent=traceparent,
    )


def _headers(
    *,
    event_id: str,
    event_type: str,
    source: str,
    at: str,
    saga_id: SagaId,
    version: int,
    schema: str,
    content_type: str,
    traceparent: str | None,
) -> Headers:
    texts = [
        ("ce_specversion", "1.0"),
        ("ce_id", event_id),
        ("ce_source", source),
        ("ce_type", event_type),
        ("ce_time", at),
        ("ce_subject", saga_id),
        ("ce_dataschema", schema),
        ("content-type", content_type),
        ("amends-saga-id", saga_id),
        ("amends-version", str(version)),
    ]
    if traceparent is not None:
        texts.append(("traceparent", traceparent))
    return tuple((name, text.encode()) for name, text in texts)
