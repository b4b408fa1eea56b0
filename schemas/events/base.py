"""What every event is made of: the shared encoding, digests, the words that fields hold."""

from typing import Literal

import msgspec

Digest = str
"""`sha256:` and 64 hex digits of a payload's bytes."""

Cause = Literal["failed", "cancelled", "deadline", "budget", "rejected"]
Proof = Literal["proven", "flagged", "pending"]
"""All that was expected held; something did not; something is still to be read back."""

Role = Literal["step", "undo", "verify", "lookup"]
"""What a handler is called for. `verify` of direction `undo` reads back whether the undo took."""

VerifiedBy = Literal["readback", "reply", "lookup", "person"]
Resolution = Literal["retry", "done_by_hand", "skip", "go_forward"]


class EventStruct(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Shared encoding: the class name is the type."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trigger stood on the bus."""

    topic: str
    partition: int
    offset: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run turned back or stopped; `kind` is one of the contract's (section 4) or the handler's own."""

    step: str
    attempt: int
    kind: str
    message: str
