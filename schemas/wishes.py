"""What reaches a run's owner through the inbox: wishes of people and other processes, each with its actor.

A wish's `message_id` is its origin; the owner deletes the row in the transaction that appends what it caused.
"""

import msgspec

from amends.schemas.canonical import encode
from amends.schemas.events import Digest, Origin, Resolution
from amends.schemas.ids import SagaId


class _Wish(msgspec.Struct, frozen=True, kw_only=True, tag_field="wish", tag=str.lower):
    actor: str


class Start(_Wish, frozen=True, kw_only=True):
    """Start a run here: a trigger that another worker took in, or one from a schedule, the API or a person."""

    saga: str
    definition_version: int
    idempotency_key: str
    business_key: str
    generation: int
    origin: Origin | None
    trigger: str
    """The trigger as JSON text."""
    request_digest: Digest
    traceparent: str | None = None


class Cancel(_Wish, frozen=True, kw_only=True):
    """Stop forward work and undo."""

    saga_id: SagaId
    reason: str


class Kill(_Wish, frozen=True, kw_only=True):
    """Stop now and publish the exposure."""

    saga_id: SagaId
    reason: str


class Rerun(_Wish, frozen=True, kw_only=True):
    """Carry the request of a run that has ended out anew, as its next generation."""

    saga_id: SagaId
    """The former run. Its trigger is read from its log, so that nothing of it stands in the inbox."""
    reason: str


class Grant(_Wish, frozen=True, kw_only=True):
    """The run's locks are its own from now on: nobody holds them, nobody stands before it (rule 16)."""

    saga_id: SagaId


class Release(_Wish, frozen=True, kw_only=True):
    """Take a lock away from a parked run."""

    saga_id: SagaId
    key: str
    reason: str


class Resolve(_Wish, frozen=True, kw_only=True):
    """A person's decision about a parked run."""

    saga_id: SagaId
    step: str
    resolution: Resolution
    reason: str | None
    evidence: str | None


class UndoTo(_Wish, frozen=True, kw_only=True):
    """Undo a parked run as far as this step, and go forward from there."""

    saga_id: SagaId
    step: str
    reason: str


class Deliver(_Wish, frozen=True, kw_only=True):
    """A message from outside for what the run waits for under this path; with all that gives it back if it does not."""

    saga_id: SagaId
    path: str
    message_id: str
    correlation_key: str
    type: str
    answer: str | None
    reason: str | None
    external_id: str | None
    body: str
    """JSON text."""
    topic: str
    partition: int
    offset: int
    received_at: int
    expires_at: int


Wish = Deliver | Start | Cancel | Kill | Rerun | Resolve | UndoTo | Grant | Release

_decoder: msgspec.json.Decoder[Wish] = msgspec.json.Decoder(Wish)


def write(wish: Wish) -> bytes:
    """The inbox row's body."""
    return encode(wish)


def read(body: bytes) -> Wish:
    """Raises `msgspec.ValidationError` on a body that is no wish."""
    return _decoder.decode(body)
