"""The events of a run: what happened, in past tense, never changed.

Each class is one type in the log, named by the explicit map `EVENT_TYPES`, never by an import path. Every field is
written, absent is null. Times are RFC 3339 text, durations milliseconds, values of users digests into the entry's
`payloads`. A later version of a type gets a new name (`StepFailed:2`) and an upcaster in `evolution.py`.
"""

from typing import Literal

import msgspec

from amends.schemas.ids import Direction, EffectKey, SagaId

Digest = str
"""`sha256:` and 64 hex digits of a payload's bytes."""

Cause = Literal["failed", "cancelled", "deadline", "budget", "rejected"]
Role = Literal["step", "undo", "verify", "lookup"]
"""What a handler is called for. `verify` of direction `undo` reads back whether the undo took."""

VerifiedBy = Literal["readback", "reply", "lookup", "person"]
Resolution = Literal["retry", "done_by_hand", "skip", "go_forward"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
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


class SagaStarted(_Event, frozen=True, kw_only=True):
    """A trigger became a run. `request_digest` is what conflicts are decided by (rule 5)."""

    idempotency_key: str
    business_key: str
    generation: int
    origin: Origin | None
    trigger: Digest
    request_digest: Digest
    deadline_at: str
    shard: int
    traceparent: str | None


class RerunStarted(_Event, frozen=True, kw_only=True):
    """A person had a request carried out anew: this run is its next generation. Who it was is the entry's `actor`."""

    former: SagaId
    """The run of the generation before, which has ended and stays what it is."""
    reason: str


class LocksRequested(_Event, frozen=True, kw_only=True):
    """The run stands in the row of each of these keys, and begins when it is the first in all of them (rule 16)."""

    keys: tuple[str, ...]


class LocksTaken(_Event, frozen=True, kw_only=True):
    """The locks are the run's, all of them, until its outcome."""

    keys: tuple[str, ...]


class LockReleased(_Event, frozen=True, kw_only=True):
    """A person took a lock away from a parked run; who it was is the entry's `actor`."""

    key: str
    reason: str


class StepRequested(_Event, frozen=True, kw_only=True):
    """The intent, committed before the effect (rule 2); in the log it is the outbox entry (rule 1).

    `same_request` repeats a request in doubt under its own key; otherwise the attempt is a new try.
    """

    path: str
    attempt: int
    generation: int
    idempotency_key: EffectKey | None
    """None for a `read`: it has no effect that could be repeated."""
    arguments: Digest
    timeout_at: str
    same_request: bool
    permission: str
    policy_version: str | None
    price_version: str | None
    reservation: str | None


class StepSucceeded(_Event, frozen=True, kw_only=True):
    """The participant's reply says the step is done. `readback`: the world is asked before dependants may start."""

    path: str
    attempt: int
    result: Digest
    external_id: str | None
    readback: bool


class StepFailed(_Event, frozen=True, kw_only=True):
    """A definite failure: this attempt had no effect, or none was possible (`read`, `reason`)."""

    path: str
    attempt: int
    kind: str
    message: str
    retriable: bool


class StepInDoubt(_Event, frozen=True, kw_only=True):
    """The effect may have happened or may still land. `attempt_running`: its coroutine or thread has not returned."""

    path: str
    direction: Direction
    attempt: int
    reason: str
    message: str
    attempt_running: bool


class StepSettled(_Event, frozen=True, kw_only=True):
    """Evidence ended a doubt.

    `present`: the effect stands. `absent`: it never took and cannot land any more. `tombstone`: the undo itself will
    settle it. `ended`: the attempt has returned, so nothing lands late, but what it did is not known.
    """

    path: str
    direction: Direction
    attempt: int
    state: Literal["present", "absent", "tombstone", "ended"]
    by: Literal["lookup", "reply", "readback", "tombstone", "exception", "person"]
    kind: str | None
    message: str | None
    result: Digest | None
    external_id: str | None
    readback: bool


class StepSkipped(_Event, frozen=True, kw_only=True):
    """The step's condition was false, or it needs the result of a skipped step (`because`)."""

    path: str
    because: str


class WaitStarted(_Event, frozen=True, kw_only=True):
    """A step waits for what comes from outside: a message of this type and key until `due_at`, or for that instant.

    It is never computed again, only moved by the time that the run is parked, unless it is an `instant` (rule 15).
    """

    path: str
    attempt: int
    awaits: Literal["message", "instant", "pause"]
    correlation: str | None
    message_type: str | None
    due_at: str


class MessageReceived(_Event, frozen=True, kw_only=True):
    """A message was taken for what waits for it; what it means stands beside it in the entry."""

    path: str
    message_id: str
    correlation: str
    message_type: str
    body: Digest


class StepVerified(_Event, frozen=True, kw_only=True):
    """A read-back confirmed the step; its dependants may start."""

    path: str
    by: VerifiedBy


class RetryScheduled(_Event, frozen=True, kw_only=True):
    """The next try, of a step, an undo or a read-back, is due at the recorded instant (never recomputed, rule 13)."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    due_at: str


class GenerationRaised(_Event, frozen=True, kw_only=True):
    """The next request of this effect goes out under a new key: the last one failed for certain (rule 3)."""

    path: str
    direction: Direction
    generation: int
    why: str


class DrainStarted(_Event, frozen=True, kw_only=True):
    """No new forward work; what was sent is awaited and settled (rule 7)."""

    cause: Cause
    failure: Failure | None
    reason: str | None


class CompensationStarted(_Event, frozen=True, kw_only=True):
    """Everything is settled; these steps are undone in this order (rule 9)."""

    undo_list: tuple[str, ...]


class UndoRequested(_Event, frozen=True, kw_only=True):
    """The intent of an undo; see `StepRequested`."""

    path: str
    attempt: int
    generation: int
    idempotency_key: EffectKey
    arguments: Digest
    timeout_at: str
    same_request: bool
    permission: str


class UndoSucceeded(_Event, frozen=True, kw_only=True):
    """The participant's reply says the step is undone."""

    path: str
    attempt: int
    external_id: str | None


class UndoFailed(_Event, frozen=True, kw_only=True):
    """The undo did not happen, for certain."""

    path: str
    attempt: int
    kind: str
    message: str
    retriable: bool


class UndoVerified(_Event, frozen=True, kw_only=True):
    """The step counts as undone; the next undo may begin."""

    path: str
    by: VerifiedBy


class SagaCompleted(_Event, frozen=True, kw_only=True):
    """Every step is done; `result` as in the contract, section 4."""

    result: Digest | None


class SagaCompensated(_Event, frozen=True, kw_only=True):
    """The undo list is worked off."""


class SagaParked(_Event, frozen=True, kw_only=True):
    """Stopped until a person decides. `phase` says which way the run was going; `kind` is a failure kind."""

    phase: Literal["forward", "undo"]
    step: str
    kind: str
    why: str


class ParkingResolved(_Event, frozen=True, kw_only=True):
    """A person's decision; who it was is the entry's `actor`."""

    step: str
    resolution: Resolution
    reason: str | None
    evidence: str | None


class RunResumed(_Event, frozen=True, kw_only=True):
    """The run goes on after a stop of its owner (`recovery`), or forward again because its pivot did pass.

    `clean`: the former owner stopped in order. `alone`: nothing else is dispatched meanwhile (rule 19).
    """

    why: Literal["recovery", "pivot_passed"]
    clean: bool
    alone: bool


class SagaKilled(_Event, frozen=True, kw_only=True):
    """A person stopped the run where it stood; what remains in the world is published as exposure."""

    reason: str


class LateReplyRecorded(_Event, frozen=True, kw_only=True):
    """A reply that arrived after the end; it corrects the exposure and nothing else (rule 12)."""

    path: str
    direction: Direction
    attempt: int
    answer: Literal["succeeded", "failed", "unknown"]
    message: str | None
    result: Digest | None


class LimitReached(_Event, frozen=True, kw_only=True):
    """A limit of the run was passed (rule 18); what follows from it stands beside it in the entry."""

    limit: str
    used: int
    allowed: int


class EvidenceRecorded(_Event, frozen=True, kw_only=True):
    """What the runtime saw a connector do: evidence, where a model's words would be a claim."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    tool: str
    action: str
    resource: str
    permission: str
    status: str
    external_id: str | None
    at: str
    arguments: Digest | None
    result: Digest | None


class CheckpointRecorded(_Event, frozen=True, kw_only=True):
    """A place that a handler named on its way, with what it found worth telling; it decides nothing."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    name: str
    at: str
    body: Digest


class PermissionDenied(_Event, frozen=True, kw_only=True):
    """A handler asked a connector for something its role may not do, a change from a read-back for instance."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    tool: str
    action: str
    resource: str
    why: str


Event = (
    SagaStarted
    | RerunStarted
    | LocksRequested
    | LocksTaken
    | LockReleased
    | StepRequested
    | StepSucceeded
    | StepFailed
    | StepInDoubt
    | StepSettled
    | StepSkipped
    | WaitStarted
    | MessageReceived
    | StepVerified
    | RetryScheduled
    | GenerationRaised
    | DrainStarted
    | CompensationStarted
    | UndoRequested
    | UndoSucceeded
    | UndoFailed
    | UndoVerified
    | SagaCompleted
    | SagaCompensated
    | SagaParked
    | ParkingResolved
    | RunResumed
    | SagaKilled
    | LateReplyRecorded
    | LimitReached
    | EvidenceRecorded
    | PermissionDenied
    | CheckpointRecorded
)

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}
"""Name in the log to class."""
