"""The entry: one decision of one run, the unit of storage, hashing and publication (contract, section 5).

Its bytes are made once. The hash covers them without the `hash` member, and the former entry's hash is among them, so
the entries of a run form a chain that anybody can verify from the audit topic alone.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from amends.schemas.canonical import encode, sha256_hex
from amends.schemas.events import Digest, Event
from amends.schemas.ids import SagaId

ENTRY_BYTES_MAX: Final = 512 * 1024
"""Beyond this an entry's largest payloads go to the blob table (design, section 2)."""

EXTERNAL_BYTES: Final = 64 * 1024
"""A single payload over this size goes to the blob table."""


class Inline(msgspec.Struct, frozen=True, kw_only=True):
    """User data as JSON text, carried as text so that nobody re-encodes it."""

    inline: str


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Encrypted under its subject's key; destroying the key erases every copy while the chain still verifies."""

    sealed: str


class External(msgspec.Struct, frozen=True, kw_only=True):
    """In the blob table, by digest; the number is its size in bytes."""

    external: int


Payload = Inline | Sealed | External


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry without its hash: what `seal` turns into bytes."""

    namespace: str
    saga_id: SagaId
    saga: str
    definition_version: int
    definition_hash: str
    version: int
    at: str
    cause: str
    causation_id: str | None
    correlation_id: str | None
    actor: str
    epoch: int
    build: str
    events: tuple[Event, ...]
    payloads: Mapping[Digest, Inline | Sealed | External]
    previous_hash: str


class Entry(Draft, frozen=True, kw_only=True):
    """An entry as stored and published."""

    hash: str


class MalformedEntry(ValueError):
    """Bytes that are not an entry, or not its canonical form."""


_BEFORE_NAMESPACE: Final = b',"namespace":'


def seal(draft: Draft) -> tuple[bytes, str]:
    """Return the entry's canonical bytes and its hash.

    Keys are sorted, so `hash` belongs directly before `namespace`; no event has a member of that name and inside
    text every quote is escaped, so its first occurrence is the member itself.
    """
    body = encode(draft)
    entry_hash = sha256_hex(body)
    head, _, tail = body.partition(_BEFORE_NAMESPACE)
    return b'%b,"hash":"%b"%b%b' % (head, entry_hash.encode(), _BEFORE_NAMESPACE, tail), entry_hash


def unseal(data: bytes) -> bytes:
    """Give the bytes that the hash covers. Raises `MalformedEntry` if there is no `hash` where it belongs."""
    head, found, tail = data.partition(b',"hash":"')
    if not found or tail[64:78] != b'"' + _BEFORE_NAMESPACE:
        raise MalformedEntry("the entry has no hash member where its canonical form puts it")
    return head + tail[65:]


class _PayloadText(msgspec.Struct, frozen=True):
    """Decoding form: the one member that is set says which kind of payload it is."""

    inline: str | None = None
    sealed: str | None = None
    external: int | None = None


class _Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    namespace: str
    saga_id: SagaId
    saga: str
    definition_version: int
    definition_hash: str
    version: int
    at: str
    cause: str
    causation_id: str | None
    correlation_id: str | None
    actor: str
    epoch: int
    build: str
    events: tuple[Event, ...]
    payloads: dict[Digest, _PayloadText]
    previous_hash: str
    hash: str


_decoder: Final = msgspec.json.Decoder(_Stored)


def decode(data: bytes) -> Entry:
    """Read an entry's bytes. Raises `MalformedEntry` with the path of what does not fit; does not check the hash."""
    try:
        stored = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedEntry(f"not an entry: {error}") from error
    fields = {name: getattr(stored, name) for name in _Stored.__struct_fields__ if name != "payloads"}
    return Entry(payloads={key: _payload(key, text) for key, text in stored.payloads.items()}, **fields)


def _payload(key: Digest, text: _PayloadText) -> Payload:
    if text.inline is not None:
        return Inline(inline=text.inline)
    if text.sealed is not None:
        return Sealed(sealed=text.sealed)
    if text.external is not None:
        return External(external=text.external)
    raise MalformedEntry(f"payload {key} is neither inline, sealed nor external")
