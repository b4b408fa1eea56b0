"""What becomes of a step on its way forward, and what is said of both directions."""

from typing import Literal

from amends.schemas.events.base import Digest, EventStruct, Role, VerifiedBy
from amends.schemas.ids import Direction, EffectKey


class StepRequested(EventStruct, frozen=True, kw_only=True):
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


class StepSucceeded(EventStruct, frozen=True, kw_only=True):
    """The participant's reply says the step is done. `readback`: the world is asked before dependants may start."""

    path: str
    attempt: int
    result: Digest
    external_id: str | None
    readback: bool


class StepFailed(EventStruct, frozen=True, kw_only=True):
    """A definite failure: this attempt had no effect, or none was possible (`read`, `reason`)."""

    path: str
    attempt: int
    kind: str
    message: str
    retriable: bool


class StepInDoubt(EventStruct, frozen=True, kw_only=True):
    """The effect may have happened or may still land. `attempt_running`: its coroutine or thread has not returned."""

    path: str
    direction: Direction
    attempt: int
    reason: str
    message: str
    attempt_running: bool


class StepSettled(EventStruct, frozen=True, kw_only=True):
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


class StepSkipped(EventStruct, frozen=True, kw_only=True):
    """The step's condition was false, or it needs the result of a skipped step (`because`)."""

    path: str
    because: str


class WaitStarted(EventStruct, frozen=True, kw_only=True):
    """A step waits for what comes from outside: a message of this type and key until `due_at`, or for that instant.

    It is never computed again, only moved by the time that the run is parked, unless it is an `instant` (rule 15).
    """

    path: str
    attempt: int
    awaits: Literal["message", "instant", "pause"]
    correlation: str | None
    message_type: str | None
    due_at: str


class MessageReceived(EventStruct, frozen=True, kw_only=True):
    """A message was taken for what waits for it; what it means stands beside it in the entry."""

    path: str
    message_id: str
    correlation: str
    message_type: str
    body: Digest


class StepVerified(EventStruct, frozen=True, kw_only=True):
    """A read-back confirmed the step; its dependants may start."""

    path: str
    by: VerifiedBy


class RetryScheduled(EventStruct, frozen=True, kw_only=True):
    """The next try, of a step, an undo or a read-back, is due at the recorded instant (never recomputed, rule 13)."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    due_at: str


class GenerationRaised(EventStruct, frozen=True, kw_only=True):
    """The next request of this effect goes out under a new key: the last one failed for certain (rule 3)."""

    path: str
    direction: Direction
    generation: int
    why: str
