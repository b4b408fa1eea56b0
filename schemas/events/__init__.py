"""The events of a run: what happened, in past tense, never changed.

Each class is one type in the log, named by the explicit map `EVENT_TYPES`, never by an import path. Every field is
written, absent is null. Times are RFC 3339 text, durations milliseconds, values of users digests into the entry's
`payloads`. A field that a type was given later is left out where it says nothing (`T | UnsetType = UNSET`): older
entries keep their bytes. What would make a field mean something else is another type.
"""

from amends.schemas.events.base import Cause, Digest, Failure, Origin, Proof, Resolution, Role, VerifiedBy
from amends.schemas.events.ending import (
    LateReplyRecorded,
    LimitReached,
    ParkingResolved,
    RunResumed,
    SagaCompensated,
    SagaCompleted,
    SagaKilled,
    SagaParked,
    SavepointChosen,
    SavepointReached,
)
from amends.schemas.events.evidence import CheckpointRecorded, EvidenceRecorded, PermissionDenied
from amends.schemas.events.pending import AnswerReceived, StepPending
from amends.schemas.events.proving import (
    ExpectationChecked,
    OutcomeAmended,
    VerificationPlanned,
    VerificationRequested,
)
from amends.schemas.events.repeating import FanOutEnded, FanOutPlanned, LoopEnded, RoundPlanned
from amends.schemas.events.starting import LockReleased, LocksRequested, LocksTaken, RerunStarted, SagaStarted
from amends.schemas.events.steps import (
    GenerationRaised,
    MessageReceived,
    RetryScheduled,
    StepFailed,
    StepInDoubt,
    StepRequested,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    StepVerified,
    WaitStarted,
)
from amends.schemas.events.undoing import (
    CompensationStarted,
    DrainStarted,
    UndoFailed,
    UndoRequested,
    UndoSucceeded,
    UndoVerified,
)

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
    | StepPending
    | AnswerReceived
    | FanOutPlanned
    | FanOutEnded
    | RoundPlanned
    | LoopEnded
    | StepVerified
    | RetryScheduled
    | GenerationRaised
    | DrainStarted
    | CompensationStarted
    | UndoRequested
    | UndoSucceeded
    | UndoFailed
    | UndoVerified
    | ExpectationChecked
    | VerificationPlanned
    | SagaCompleted
    | SagaCompensated
    | SagaParked
    | ParkingResolved
    | SavepointChosen
    | SavepointReached
    | RunResumed
    | SagaKilled
    | LateReplyRecorded
    | VerificationRequested
    | OutcomeAmended
    | LimitReached
    | EvidenceRecorded
    | PermissionDenied
    | CheckpointRecorded
)

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}
"""Name in the log to class."""

__all__ = [
    "EVENT_TYPES",
    "AnswerReceived",
    "Cause",
    "CheckpointRecorded",
    "CompensationStarted",
    "Digest",
    "DrainStarted",
    "Event",
    "EvidenceRecorded",
    "ExpectationChecked",
    "Failure",
    "FanOutEnded",
    "FanOutPlanned",
    "GenerationRaised",
    "LateReplyRecorded",
    "LimitReached",
    "LockReleased",
    "LocksRequested",
    "LocksTaken",
    "LoopEnded",
    "MessageReceived",
    "Origin",
    "OutcomeAmended",
    "ParkingResolved",
    "PermissionDenied",
    "Proof",
    "RerunStarted",
    "Resolution",
    "RetryScheduled",
    "Role",
    "RoundPlanned",
    "RunResumed",
    "SagaCompensated",
    "SagaCompleted",
    "SagaKilled",
    "SagaParked",
    "SagaStarted",
    "SavepointChosen",
    "SavepointReached",
    "StepFailed",
    "StepInDoubt",
    "StepPending",
    "StepRequested",
    "StepSettled",
    "StepSkipped",
    "StepSucceeded",
    "StepVerified",
    "UndoFailed",
    "UndoRequested",
    "UndoSucceeded",
    "UndoVerified",
    "VerificationPlanned",
    "VerificationRequested",
    "VerifiedBy",
    "WaitStarted",
]
