"""A trigger record, read as the contract (section 3) says: size, decode, schema, key, model, in this order.

Pure and total: whatever the bytes, the answer is what each definition of the topic makes of them, never an exception.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from pydantic import ValidationError

from amends.schemas import decoding, plain_json
from amends.schemas.canonical import digest
from amends.schemas.cloudevents import Event, traceparent_of
from amends.schemas.decoding import Encoding, UnknownSchema, Writers
from amends.schemas.keys import BadKey, key_at, key_of
from amends.schemas.payload_digest import digest_of
from amends.schemas.record import Record
from amends.schemas.undecodable import Undecodable

TRIGGER_BYTES_MAX: Final = 1_000_000
PAYLOAD_BYTES_MAX: Final = 8_000_000
"""A number like 1e300 is written out, so the payload may be longer than the record; not beyond this."""

DETAIL_CHARACTERS_MAX: Final = 500
IDEMPOTENCY_HEADER: Final = "idempotency-key"

Reason = Literal["too_large", "undecodable", "unknown_schema", "no_key", "invalid", "no_saga"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """What one definition expects of a topic. Paths are dotted names in the writer's data."""

    saga: str
    validate: Callable[[bytes], object]
    """Takes the payload's JSON text; raises pydantic's `ValidationError`. What it returns is not looked at."""

    idempotency_key: str | None = None
    business_key: str | None = None
    volatile: Sequence[str] = ()
    cloudevents_type: str | None = None
    """Only events of this type are meant for it; None: every record is."""

    size_bytes_max: int = TRIGGER_BYTES_MAX

    def accepts(self, event: Event | None) -> bool:
        return self.cloudevents_type is None or (event is not None and event.type == self.cloudevents_type)


NO_WRITERS: Final = Writers()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One trigger topic: its definitions, and the schemas that its records may be written with."""

    topic: str
    acceptors: Sequence[Acceptor]
    writers: Writers = NO_WRITERS


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that is sound for `saga`. Without a business key the saga id stands for it."""

    saga: str
    idempotency_key: str
    business_key: str | None
    payload: bytes
    """JSON text of what the writer wrote, before defaults."""

    payload_digest: str
    request_digest: str
    """Decides conflicts (rule 5): as the payload's, but without the volatile fields."""

    encoding: Encoding
    event: Event | None
    traceparent: str | None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record becomes a dead letter. `saga` is None where that was clear before any definition was asked."""

    reason: Reason
    detail: str
    path: str
    saga: str | None = None
    idempotency_key: str | None = None


def read(record: Record, spec: TopicSpec) -> tuple[Accepted | Rejected, ...]:
    """Read a record for every definition of its topic that accepts it; one answer each, at least one in all."""
    size_bytes = len(record.value or b"")
    allowed_bytes = max((acceptor.size_bytes_max for acceptor in spec.acceptors), default=TRIGGER_BYTES_MAX)
    if size_bytes > allowed_bytes:
        return (_rejected("too_large", _too_large(record, allowed_bytes)),)
    wanted: list[Acceptor] = []

    def accepts(event: Event | None) -> bool:
        wanted.extend(acceptor for acceptor in spec.acceptors if acceptor.accepts(event))
        return bool(wanted)

    try:
        decoded = decoding.decode(record, spec.writers, accepts=accepts)
        if decoded is None:
            return (_rejected("no_saga", _unwanted(record, spec)),)
        _require_object(decoded.data)
        payload = plain_json.encode(decoded.data)
    except Undecodable as fault:
        return (_rejected("undecodable", fault.detail, fault.path),)
    except UnknownSchema as fault:
        return (_rejected("unknown_schema", str(fault)),)
    if len(payload) > PAYLOAD_BYTES_MAX:
        detail = f"{len(payload)} bytes as JSON with every digit written out; {PAYLOAD_BYTES_MAX} are allowed"
        return (_rejected("too_large", detail),)
    whole = digest(payload)
    return tuple(_read_for(acceptor, record, decoded, payload, whole) for acceptor in wanted)


def _require_object(data: object) -> None:
    if not isinstance(data, dict):
        raise Undecodable(f"a trigger is an object with fields, not {_JSON_NAMES.get(type(data), 'a number')}")


def _read_for(
    acceptor: Acceptor, record: Record, decoded: decoding.Decoded, payload: bytes, payload_digest: str
) -> Accepted | Rejected:
    size_bytes = len(record.value or b"")
    if size_bytes > acceptor.size_bytes_max:
        return _rejected("too_large", _too_large(record, acceptor.size_bytes_max), saga=acceptor.saga)
    key: str | None = None
    try:
        key = _idempotency_key(acceptor, record, decoded)
        if key is None:
            return _rejected("no_key", _no_key(acceptor), acceptor.idempotency_key or "", saga=acceptor.saga)
        business_key = key_at(decoded.data, acceptor.business_key) if acceptor.business_key else None
    except BadKey as fault:
        return _rejected("invalid", fault.detail, fault.path, saga=acceptor.saga, key=key)
    complaint = _complaint(acceptor.validate, payload)
    if complaint is not None:
        detail, path = complaint
        return _rejected("invalid", detail, path, saga=acceptor.saga, key=key)
    volatile = acceptor.volatile
    return Accepted(
        saga=acceptor.saga,
        idempotency_key=key,
        business_key=business_key,
        payload=payload,
        payload_digest=payload_digest,
        request_digest=digest_of(decoded.data, volatile=volatile) if volatile else payload_digest,
        encoding=decoded.encoding,
        event=decoded.event,
        traceparent=_traceparent(record, decoded.event),
    )


def _idempotency_key(acceptor: Acceptor, record: Record, decoded: decoding.Decoded) -> str | None:
    """Find the header's, else the definition's, else the CloudEvent's."""
    header = record.header(IDEMPOTENCY_HEADER)
    if header:
        try:
            return key_of(header.decode(), IDEMPOTENCY_HEADER)
        except UnicodeDecodeError:
            raise BadKey("a header that is not UTF-8", IDEMPOTENCY_HEADER) from None
    if acceptor.idempotency_key:
        key = key_at(decoded.data, acceptor.idempotency_key)
        if key is not None:
            return key
    return None if decoded.event is None else key_of(decoded.event.key, "source + id")


def _no_key(acceptor: Acceptor) -> str:
    place = f"nothing at {acceptor.idempotency_key}, " if acceptor.idempotency_key else ""
    return f"{place}no header {IDEMPOTENCY_HEADER}, and it is no CloudEvent: nothing names this request"


def _complaint(validate: Callable[[bytes], object], payload: bytes) -> tuple[str, str] | None:
    """Give what the model says against the payload, and where; None if nothing."""
    try:
        validate(payload)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_context=False, include_input=False)
        more = f" (and {len(others)} more)" if others else ""
        return first["msg"] + more, ".".join(map(str, first["loc"]))
    except Exception as error:  # noqa: BLE001 - a validator is the user's code: whatever it raises, the record is refused
        return f"a validator raised {type(error).__name__}: {error}", ""
    return None


def _too_large(record: Record, allowed_bytes: int) -> str:
    """Say so with the digest of the whole value, of which a dead letter keeps only the beginning."""
    value = record.value or b""
    return f"{len(value)} bytes, {digest(value)}; {allowed_bytes} are allowed"


def _unwanted(record: Record, spec: TopicSpec) -> str:
    types = sorted({acceptor.cloudevents_type for acceptor in spec.acceptors if acceptor.cloudevents_type})
    return f"no saga of {record.topic} takes a record of this CloudEvents type; wanted: {', '.join(types) or 'none'}"


def _traceparent(record: Record, event: Event | None) -> str | None:
    header = record.header("traceparent")
    if header is None:
        return None if event is None else event.traceparent
    return traceparent_of(header.decode(errors="replace"))


def _rejected(
    reason: Reason, detail: str, path: str = "", *, saga: str | None = None, key: str | None = None
) -> Rejected:
    return Rejected(reason=reason, detail=_clean(detail), path=_clean(path), saga=saga, idempotency_key=key)


def _clean(text: str) -> str:
    """Bound a text that may quote the record, and take out what databases and terminals cannot hold."""
    shown = text[:DETAIL_CHARACTERS_MAX].encode(errors="replace").decode()
    return "".join(character if character.isprintable() else " " for character in shown)


_JSON_NAMES: Final = {type(None): "null", str: "a text", list: "a list", bool: "a boolean"}
