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
    text = hashed.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


_NAMED: Final = hashlib.sha1(AMENDS.bytes, usedforsecurity=False)
_VARIANT: Final = {f"{digit:x}": f"{8 | digit & 0b11:x}" for digit in range(16)}
"""RFC 9562's two bits before the six that stay, as the hex digit in which they are; the 5 above is its version."""
