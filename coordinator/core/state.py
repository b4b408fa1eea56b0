"""The state of a run: the fold of its entries. Frozen, and its canonical JSON is the same on every machine (rule S15).

It holds digests, never values of users, so a run replayed from the topic alone gives the same bytes.
"""

from typing import Literal

import msgspec

from amends.coordinator.ports.rows import CLOSED, Status
from amends.schemas.events import Cause, Digest, Failure, Origin, VerifiedBy
from amends.schemas.ids import Direction, EffectKey, SagaId
from amends.schemas.instants import Instant

Phase = Literal[
    "idle",  # not requested yet, or to be requested anew
    "requested",  # an attempt is open
    "repeating",  # a step that repeats others has been planned, and they are at work
    "waiting",  # a message or an instant is awaited; no attempt is open
    "pending",  # the attempt has returned, a message will say what came of it
    "retrying",  # the next request waits for its instant
    "in_doubt",  # being settled
    "verifying",  # the reply says done, the read-back is asked
    "done",  # done; for an undo: undone and verified
    "failed",  # no effect, for certain
    "ended",  # no attempt runs, what was done is not known
    "absent",  # settled: no effect
    "tombstone",  # the undo itself settles it
    "skipped",  # forward: never requested; undo: left in the world by a person
]

STANDING: frozenset[Phase] = frozenset({"verifying", "done", "ended", "tombstone"})
"""Phases in which a step that acts is undone by the compensation."""
OVER: frozenset[Phase] = frozenset({"done", "skipped"})
"""Phases in which what waits for the effect may go on."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about an effect in doubt."""

    since: Instant
    attempt: int
    """The first attempt under the present key that left a doubt."""
    quiet_from: Instant
    """From here `settle_s` is counted: the last moment at which an attempt could still send."""
    reason: str
    message: str
    running: bool
    loose: bool
    """A request was sent and nobody saw its end: it may still land."""
    asked_at: Instant
    """When the reader's question was due; an absence counts if that was late enough."""

    @property
    def ended(self) -> bool:
        """Every attempt has returned by itself, so nothing lands late; what they did is not known."""
        return not self.running and not self.loose


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """What a step waits for; key and type are a message's. An `answer` is awaited by its key alone."""

    awaits: Literal["message", "instant", "pause", "answer"]
    correlation: str | None
    message_type: str | None


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A step's action in one direction."""

    phase: Phase = "idle"
    attempt: int = 0
    counted: int = 0
    """Attempts that count against the policy: not those lost to a crash or withdrawn (rule 13)."""
    generation: int = 0
    key: EffectKey | None = None
    """None for a `read`."""
    arguments: Digest | None = None
    order: int = 0
    """The place of its last request among all of the run's requests: what the undo order reverses."""
    requested_at: Instant | None = None
    key_used_at: Instant | None = None
    """The first request under the present key, from which the participant's memory is counted."""
    same_request: bool = False
    """Whether the last request repeated one under its key, which may have had an effect."""
    timeout_at: Instant | None = None
    due_at: Instant | None = None
    asks: int = 0
    verify_since: Instant | None = None
    external_id: str | None = None
    result: Digest | None = None
    since: Instant | None = None
    """Since when the effect stands, or may stand, in the world."""
    settled: bool = False
    """Evidence, not the participant's reply, says that it stands."""
    verified_by: VerifiedBy | None = None
    doubt: Doubt | None = None
    failure: Failure | None = None
    retriable: bool = False
    awaited: Awaited | msgspec.UnsetType = msgspec.UNSET
    """Of a wait, and of what is or was pending until its answer has come.

    Unset, it is not written: the states of histories from before there were waits stay what they are.
    """
    correlations: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    """Keys under which it was pending, with the generation: none may stand for the request of another one."""

    @property
    def attempt_open(self) -> bool:
        """Whether an attempt has not returned: its reply is awaited, and its step must not be undone meanwhile."""
        return self.phase == "requested" or (self.phase == "in_doubt" and self.doubt is not None and self.doubt.running)


IDLE = Effect()


class Fan(msgspec.Struct, frozen=True, kw_only=True):
    """What was planned of a step that repeats others."""

    count: int
    """Items, or rounds begun."""
    items: Digest | None = None
    """The value that held the items' list."""
    due_at: Instant | None = None
    """When the last round may begin."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """Why the run stopped for a person."""

    phase: Literal["forward", "undo"]
    step: str
    kind: str
    why: str
    since: Instant


class Locks(msgspec.Struct, frozen=True, kw_only=True):
    """The lock keys of a run, sorted; `held` once it has them, and that is all of them at once."""

    keys: tuple[str, ...]
    held: bool = False


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what was expected holds, and why not."""

    held: bool
    message: str | None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What is read back after the end."""

    path: str
    direction: Direction
    due_at: Instant
    number: int = 0
    """Of the question; 0 before the first."""
    asked_at: Instant | None = None
    """When it was asked first."""
    held: bool | None = None
    message: str | None = None


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was undone, in the order it happened."""

    step: str
    verified_by: VerifiedBy


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    namespace: str
    saga_id: SagaId
    saga: str
    definition_version: int
    definition_hash: str
    version: int = 0
    at: Instant = 0
    hash: str = ""
    status: Status = "running"
    cause: Cause | None = None
    reason: str | None = None
    idempotency_key: str = ""
    business_key: str = ""
    generation: int = 0
    origin: Origin | None = None
    trigger: Digest = ""
    request_digest: Digest = ""
    shard: int = 0
    traceparent: str | None = None
    started_at: Instant = 0
    running_since: Instant = 0
    """The start, later by the time the run was parked; anew when a person sends it forward (rule 15)."""
    deadline_at: Instant = 0
    ended_at: Instant | None = None
    fans: dict[str, Fan] | msgspec.UnsetType = msgspec.UNSET
    """By path. Unset where nothing is repeated, so that the states of older histories stay what they are."""
    forward: dict[str, Effect] = {}
    undo: dict[str, Effect] = {}
    requests: int = 0
    draining: bool = False
    undo_list: tuple[str, ...] | None = None
    undone: tuple[Undone, ...] = ()
    parked: Parked | None = None
    failure: Failure | None = None
    result: Digest | None = None
    evidence: tuple[str, ...] = ()
    """`version.index` of every evidence record."""
    unclean_stops: int = 0
    """Stops out of order in a row that cut off an open attempt of this run (rule 19)."""
    alone: int = 0
    """How often since then it was resumed with nothing else running."""
    attempts: int = 0
    limit_reached: bool = False
    extensions: int = 0
    """How often a person let the run go on after it had reached a limit; each allows it as much again."""
    outcome_version: int | None = None
    """The entry that last parked or ended the run: what its next outcome supersedes."""
    superseded_version: int | None = None
    expectations: dict[str, Checked] | msgspec.UnsetType = msgspec.UNSET
    """By path, of those that were checked. Unset until then: states of older histories stay what they are."""
    verifications: tuple[Verification, ...] | msgspec.UnsetType = msgspec.UNSET
    """Planned by the entry that ended the run. Unset where nothing is: older histories stay what they are."""
    savepoint: str | msgspec.UnsetType = msgspec.UNSET
    """While a run turns back only as far as a step, from which it goes forward again: that step."""
    locks: Locks | msgspec.UnsetType = msgspec.UNSET
    """Unset, it is not written: states of histories from before there were locks stay what they are."""

    @property
    def closed(self) -> bool:
        """Whether the run has ended; only late replies may follow."""
        return self.status in CLOSED

    def effects(self, direction: Direction) -> dict[str, Effect]:
        """By path."""
        return self.forward if direction == "forward" else self.undo

    def effect(self, path: str, direction: Direction) -> Effect:
        """The effect of a path; idle if nothing was ever asked of it."""
        return (self.forward if direction == "forward" else self.undo).get(path, IDLE)
