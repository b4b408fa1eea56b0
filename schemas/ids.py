"""The ids that hold Amends together: derived, never drawn, so that a retry after a crash meets itself again.

Every id is a UUID of version 5 (RFC 9562) over canonical JSON under one published constant, so any program in any
language can compute which run a trigger belongs to and which key an effect was sent under.
"""

import hashlib
from typing import Final, Literal, NewType
from uuid import UUID, uuid5

from amends.schemas.canonical import encode

AMENDS: UUID = UUID("8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21")
"""The published constant `A` of the contract, section 5."""

SagaId = NewType("SagaId", str)
"""One saga run: the text form of a UUID."""

EffectKey = NewType("EffectKey", str)
"""The idempotency key under which a participant sees one effect: the text form of a UUID."""

Direction = Literal["forward", "undo"]


def saga_id_of(*, namespace: str, saga: str, idempotency_key: str, generation: int = 0) -> SagaId:
    """Name the run of one request (rule 4). Generation 0 is the trigger's own run, each rerun adds one."""
    return SagaId(_derived([namespace, saga, idempotency_key, generation]))


def effect_key_of(*, saga_id: SagaId, path: str, direction: Direction, generation: int) -> EffectKey:
    """Name one effect (rule 3). `path` carries a fan-out's or loop's index; definite failure raises the generation."""
    return EffectKey(_derived([saga_id, path, direction, generation]))


def outcome_id_of(*, saga_id: SagaId, version: int) -> str:
    """Name one outcome record: the entry that ended or parked the run has this version (rule 20)."""
    return str(uuid5(UUID(saga_id), str(version)))


def _derived(parts: list[str | int]) -> str:
    """`str(uuid5(AMENDS, …))`, spelled out: a run needs five of them, and the library takes four times as long."""
    hashed = _NAMED.copy()
    hashed.update(encode(parts))
    number = int.from_bytes(hashed.digest()[:16], "big") & _NAME_BITS | _VERSION_5
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_NAMED: Final = hashlib.sha1(AMENDS.bytes, usedforsecurity=False)
_NAME_BITS: Final = ~(0xF << 76 | 0b11 << 62)
_VERSION_5: Final = 5 << 76 | 0b10 << 62
"""Version and variant of RFC 9562, and the bits that they take."""
