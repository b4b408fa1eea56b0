"""A shard's signed head: what is published on `amends.checkpoints` (design, sections 6 and 7).

Whoever keeps a copy of it can show, years later, that the log up to this position is the one that was there then: the
head is a hash over every entry of the shard in its order. The same position of the same log under the same key is the
same bytes, so publishing it twice does no harm.
"""

from typing import Final

import msgspec

from amends.schemas.canonical import encode
from amends.schemas.record import Headers
from amends.schemas.signing import PrivateKey, PublicKey
from amends.schemas.undecodable import Undecodable

FORMAT: Final = 1
HEAD_TYPE: Final = "amends.checkpoint"
HEAD_SCHEMA: Final = "amends:checkpoint/json"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed, as canonical JSON."""

    format: int = FORMAT
    store: str
    """The store's incarnation; a restored backup has a new one."""
    shard: int
    position: int
    head: str
    at: str
    """When the entry at this position was decided."""
    key_id: str


class SignedHead(Head, frozen=True, kw_only=True):
    """The same with its signature, base64."""

    signature: str

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers: canonical JSON of every other member."""
        return encode({name: getattr(self, name) for name in Head.__struct_fields__})

    def is_by(self, key: PublicKey) -> bool:
        """Whether this key signed it."""
        return key.key_id == self.key_id and key.verifies(self.signature, self.signed)


class _Strict(SignedHead, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


def sign(head: Head, key: PrivateKey) -> SignedHead:
    """Sign it, under the key that it names."""
    assert head.key_id == key.public.key_id, "a head names the key that signs it"
    return SignedHead(**msgspec.structs.asdict(head), signature=key.sign(encode(head)))


def read(value: object) -> SignedHead:
    """Take a decoded JSON value. Raises `Undecodable` where it is no signed head of a known format."""
    try:
        found = msgspec.convert(value, _Strict)
    except msgspec.ValidationError as error:
        raise Undecodable(f"not a signed head: {error}") from None
    if found.format != FORMAT:
        raise Undecodable(f"a signed head of format {found.format}; this version knows {FORMAT}")
    if found.shard < 0 or found.position < 1:
        raise Undecodable(f"not a signed head: shard {found.shard}, position {found.position}")
    return SignedHead(**msgspec.structs.asdict(found))


def key_of(head: Head) -> bytes:
    """The record's key: heads of one shard stay in order."""
    return f"{head.store}/{head.shard}".encode()


def headers_of(head: Head, *, namespace: str) -> Headers:
    """CloudEvents in binary mode; the subject is the shard."""
    texts = (
        ("ce_specversion", "1.0"),
        ("ce_id", f"{head.store}/{head.shard}/{head.position}"),
        ("ce_source", f"amends://{namespace}"),
        ("ce_type", HEAD_TYPE),
        ("ce_time", head.at),
        ("ce_subject", f"{head.store}/{head.shard}"),
        ("ce_dataschema", HEAD_SCHEMA),
        ("content-type", "application/json"),
    )
    return tuple((name, text.encode()) for name, text in texts)
