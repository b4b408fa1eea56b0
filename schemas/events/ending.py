"""Where a run stops, for good or until a person decides, and what may still follow."""

from typing import Literal

from amends.schemas.events.base import Digest, EventStruct, Resolution
from amends.schemas.ids import Direction


class SagaCompleted(EventStruct, frozen=True, kw_only=True):
    """Every step is done; `result` as in the contract, section 4."""

    result: Digest | None


class SagaCompensated(EventStruct, frozen=True, kw_only=True):
    """The undo list is worked off."""


class SagaParked(EventStruct, frozen=True, kw_only=True):
    """Stopped until a person decides. `phase` says which way the run was going; `kind` is a failure kind."""

    phase: Literal["forward", "undo"]
    step: str
    kind: str
    why: str


class ParkingResolved(EventStruct, frozen=True, kw_only=True):
    """A person's decision; who it was is the entry's `actor`."""

    step: str
    resolution: Resolution
    reason: str | None
    evidence: str | None


class SavepointChosen(EventStruct, frozen=True, kw_only=True):
    """A person had a parked run undo what came after `step`, and go forward again; who it was is the entry's `actor`.

    The list of what is undone follows as `CompensationStarted`.
    """

    step: str
    reason: str


class SavepointReached(EventStruct, frozen=True, kw_only=True):
    """All of that is undone: the run goes forward again, and what came after `step` is done anew under new keys."""

    step: str


class RunResumed(EventStruct, frozen=True, kw_only=True):
    """The run goes on after a stop of its owner (`recovery`), or forward again because its pivot did pass.

    `clean`: the former owner stopped in order. `alone`: nothing else is dispatched meanwhile (rule 19).
    """

    why: Literal["recovery", "pivot_passed"]
    clean: bool
    alone: bool


class SagaKilled(EventStruct, frozen=True, kw_only=True):
    """A person stopped the run where it stood; what remains in the world is published as exposure."""

    reason: str


class LateReplyRecorded(EventStruct, frozen=True, kw_only=True):
    """A reply that arrived after the end; it corrects the exposure and nothing else (rule 12)."""

    path: str
    direction: Direction
    attempt: int
    answer: Literal["succeeded", "failed", "unknown"]
    message: str | None
    result: Digest | None


class LimitReached(EventStruct, frozen=True, kw_only=True):
    """A limit of the run was passed (rule 18); what follows from it stands beside it in the entry."""

    limit: str
    used: int
    allowed: int
