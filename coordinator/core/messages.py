"""What `decide` is told: replies of handlers, wishes of people, and that time has passed."""

from typing import Literal

import msgspec

from amends.schemas.events import (
    CheckpointRecorded,
    Digest,
    EvidenceRecorded,
    Origin,
    PermissionDenied,
    Resolution,
    Role,
)
from amends.schemas.ids import Direction, SagaId

Note = EvidenceRecorded | PermissionDenied | CheckpointRecorded


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RerunOf(_Message, frozen=True, kw_only=True):
    """What a start carries out anew, and why."""

    former: SagaId
    reason: str


class Start(_Message, frozen=True, kw_only=True):
    """A trigger that is no duplicate, or one that a person has carried out anew."""

    namespace: str
    saga: str
    saga_id: SagaId
    idempotency_key: str
    business_key: str
    generation: int
    origin: Origin | None
    trigger: Digest
    request_digest: Digest
    shard: int
    traceparent: str | None = None
    rerun: RerunOf | None = None


class Done(_Message, frozen=True, kw_only=True):
    """The handler returned. `result` is None for an undo."""

    result: Digest | None
    external_id: str | None = None


class Failed(_Message, frozen=True, kw_only=True):
    """Definite: no effect. `retry_after_ms` is the participant's own wish."""

    kind: str
    message: str
    retriable: bool
    retry_after_ms: int | None = None


class Unknown(_Message, frozen=True, kw_only=True):
    """The effect may have happened or may still land. `running`: the timeout fired, the handler has not returned."""

    kind: str
    message: str
    running: bool = False


class Ended(_Message, frozen=True, kw_only=True):
    """The attempt has returned without a verdict: nothing lands late, what it did is not known."""

    kind: str
    message: str


class Pends(_Message, frozen=True, kw_only=True):
    """The handler returned, and what it asked for is not done yet: a message of this key will say what came of it."""

    correlation: str
    within_ms: int
    external_id: str | None = None


Answer = Done | Failed | Unknown | Ended | Pends


class Replied(_Message, frozen=True, kw_only=True):
    """The reply to a `Perform` command."""

    path: str
    direction: Direction
    attempt: int
    answer: Answer
    notes: tuple[Note, ...] = ()


class Yes(_Message, frozen=True, kw_only=True):
    """Verified, or (a lookup) found, with what was found."""

    result: Digest | None = None
    external_id: str | None = None


class No(_Message, frozen=True, kw_only=True):
    """Not verified, or not found."""


class NoAnswer(_Message, frozen=True, kw_only=True):
    """The read-back or lookup itself failed."""

    message: str


class ReadBack(_Message, frozen=True, kw_only=True):
    """The reply to an `Ask` command; `asked` is that command's number."""

    path: str
    direction: Direction
    role: Role
    asked: int
    answer: Yes | No | NoAnswer
    notes: tuple[Note, ...] = ()


class Said(_Message, frozen=True, kw_only=True):
    """What a message says of what is pending, in its own word and as the reply of a handler would be."""

    verdict: Literal["succeeded", "refused", "unavailable", "unknown"]
    answer: Done | Failed | Unknown | Ended


class Delivered(_Message, frozen=True, kw_only=True):
    """A message from outside for what waits, or is pending, under this path.

    `body` is its content's digest, None where that is more than a payload may be.
    """

    path: str
    message_id: str
    correlation: str
    message_type: str
    body: Digest | None
    direction: Direction = "forward"
    answer: Said | None = None


class Tick(_Message, frozen=True, kw_only=True):
    """An instant that the run waits for has come, or a handler has become available."""

    met: tuple[str, ...] = ()
    """Waits that a message is on its way to: they are not given up, though their time is over."""


class Recovered(_Message, frozen=True, kw_only=True):
    """A new owner took the run up; what was running then is lost. `clean`: the former one stopped in order."""

    clean: bool


class CancelWished(_Message, frozen=True, kw_only=True):
    """A person wants the run stopped and undone."""

    reason: str


class KillWished(_Message, frozen=True, kw_only=True):
    """A person wants the run stopped where it stands."""

    reason: str


class RerunWished(_Message, frozen=True, kw_only=True):
    """A person wants the request of a run that has ended carried out anew. It becomes a `Start` of another run."""

    reason: str


class LocksGranted(_Message, frozen=True, kw_only=True):
    """The run is the first in the row of each of its lock keys: the store has written it down as their holder."""


class ReleaseWished(_Message, frozen=True, kw_only=True):
    """A person takes a lock away from a parked run."""

    key: str
    reason: str


class ResolutionWished(_Message, frozen=True, kw_only=True):
    """A person's decision about a parked run."""

    step: str
    resolution: Resolution
    reason: str | None = None
    evidence: str | None = None


class SavepointWished(_Message, frozen=True, kw_only=True):
    """A person wants a parked run undone as far as a step, and to go forward from there."""

    step: str
    reason: str


Message = (
    Start
    | Replied
    | ReadBack
    | Delivered
    | Tick
    | Recovered
    | CancelWished
    | KillWished
    | RerunWished
    | LocksGranted
    | ReleaseWished
    | ResolutionWished
    | SavepointWished
)
